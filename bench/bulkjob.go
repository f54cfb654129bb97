package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/blob"

	"graft"
)

// pushJob pushes what a data directory has.
func pushJob(ctx context.Context, j job) (o outcome, err error) {
	return withGraft(ctx, j, func(g *graft.Graft) (outcome, error) {
		memory := watchMemory()
		start := time.Now()
		pushed, err := g.Push(ctx)
		o, watchErr := memory.end(time.Since(start))
		if err == nil && (pushed.Pages == 0 || j.Pages != 0 && pushed.Pages != j.Pages) {
			err = fmt.Errorf("%d pages were pushed, not %d", pushed.Pages, j.Pages)
		}
		return o, errors.Join(err, watchErr)
	})
}

// withGraft opens the data directory of a job, with its bucket.
func withGraft(ctx context.Context, j job, f func(*graft.Graft) (outcome, error)) (outcome, error) {
	b, err := folderBucket(j.Bucket)
	if err != nil {
		return outcome{}, err
	}
	db, g, err := openGraftWith(ctx, j.Dir, &graft.Options{Bucket: b.Bucket})
	if err != nil {
		return outcome{}, errors.Join(err, b.Close())
	}
	b.slow.setSpeed(j.Speed)
	o, err := f(g)
	return o, errors.Join(err, db.Close(), b.Close())
}

// hydrateJob hydrates a Graft that has no page.
func hydrateJob(ctx context.Context, j job) (outcome, error) {
	return withGraft(ctx, j, func(g *graft.Graft) (outcome, error) {
		return hydrated(ctx, g, func(ctx context.Context) error {
			_, err := g.Hydrate(ctx)
			return err
		})
	})
}

// hydrated measures hydrate, which is to get all pages of g.
func hydrated(ctx context.Context, g *graft.Graft, hydrate func(context.Context) error) (outcome, error) {
	before, err := g.Audit(ctx)
	if err != nil {
		return outcome{}, err
	}
	memory := watchMemory()
	start := time.Now()
	err = hydrate(ctx)
	o, watchErr := memory.end(time.Since(start))
	if err := errors.Join(err, watchErr); err != nil {
		return o, err
	}
	after, err := g.Audit(ctx)
	if err == nil && (before.Present != 0 || after.Written == 0 || after.Unknown != 0 || after.Present != after.Written) {
		err = fmt.Errorf("of %d pages, %d were there before, and %d after", after.Written, before.Present, after.Present)
	}
	return o, err
}

// uploadJob uploads the object of a job to its bucket, by gocloud alone.
func uploadJob(ctx context.Context, j job) (o outcome, err error) {
	f, err := os.Open(filepath.Join(j.Object, objectKey))
	if err != nil {
		return o, err
	}
	defer f.Close()
	b, err := folderBucket(j.Bucket)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	b.slow.setSpeed(j.Speed)
	memory := watchMemory()
	start := time.Now()
	err = b.Upload(ctx, objectKey, f, &blob.WriterOptions{ContentType: "application/octet-stream"})
	o, watchErr := memory.end(time.Since(start))
	if err := errors.Join(err, watchErr); err != nil {
		return o, err
	}
	return o, sameSize(filepath.Join(j.Bucket, objectKey), filepath.Join(j.Object, objectKey))
}

// downloadJob downloads the object of a job to a file, by gocloud alone.
func downloadJob(ctx context.Context, j job) (o outcome, err error) {
	b, err := folderBucket(j.Object)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	f, err := os.Create(j.Dir)
	if err != nil {
		return o, err
	}
	b.slow.setSpeed(j.Speed)
	memory := watchMemory()
	start := time.Now()
	err = b.Download(ctx, objectKey, f, nil)
	o, watchErr := memory.end(time.Since(start))
	if err := errors.Join(err, watchErr, f.Close()); err != nil {
		return o, err
	}
	return o, sameSize(j.Dir, filepath.Join(j.Object, objectKey))
}

// sameSize fails unless two files have as many bytes, and some.
func sameSize(a, b string) error {
	first, err := os.Stat(a)
	if err != nil {
		return err
	}
	second, err := os.Stat(b)
	if err == nil && (first.Size() != second.Size() || first.Size() == 0) {
		err = fmt.Errorf("there are %d bytes, not %d", first.Size(), second.Size())
	}
	return err
}
