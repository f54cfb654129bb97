package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"graft"
)

func spaceWorkloads() []workload {
	return []workload{{
		name: "space",
		what: "20 overwrites of the same 40 MB: blocks of the data directory over live data, when it has settled; then after deletion",
		want: spaceTarget.String() + "; " + deletedTarget.String(),
		run:  space,
	}}
}

var (
	spaceTarget   = target{relation: below, bound: 3, unit: ratio}
	deletedTarget = target{relation: atMost, bound: 2 << 20, unit: octets}
)

// deleteGraft deletes the Graft of a tag.
func deleteGraft(ctx context.Context, db *graft.DB, tag string) error {
	g, err := db.Graft(ctx, tag)
	if err != nil {
		return err
	}
	info, err := g.Info()
	if err != nil {
		return err
	}
	return db.DeleteGraft(ctx, info.Graft, &graft.DeleteOptions{Unpushed: true})
}

// space does it as often as it takes to judge.
func space(ctx context.Context, e *env) ([]row, error) {
	return repeated(min(e.rounds, minRounds), func() ([]row, error) { return spaceOnce(ctx, e) })
}

// repeated joins the samples of rounds that each give the same rows of one. The last
// notes count.
func repeated(rounds int, once func() ([]row, error)) (all []row, err error) {
	for range rounds {
		rows, err := once()
		if err != nil {
			return all, err
		}
		for i := range rows {
			if all != nil {
				rows[i].Graft.Samples = slices.Concat(all[i].Graft.Samples, rows[i].Graft.Samples)
				rows[i].Reference.Samples = slices.Concat(all[i].Reference.Samples, rows[i].Reference.Samples)
				rows[i].Figure.Samples = slices.Concat(all[i].Figure.Samples, rows[i].Figure.Samples)
			}
		}
		all = rows
	}
	return all, nil
}

// spaceOnce overwrites the same pages, and looks at the disk.
func spaceOnce(ctx context.Context, e *env) (_ []row, err error) {
	dir, err := e.fresh("space")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, g, err := openGraft(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for version := range e.size.overwrites {
		if err := writeAll(ctx, g, e.size.overwritten, version); err != nil {
			return nil, err
		}
	}
	live := one(octets, float64(e.size.overwritten*graft.PageSize))
	used, note, err := settled(ctx, dir, e.size.quiet, e.size.patience)
	if err != nil {
		return nil, err
	}
	reader := g.Reader()
	want := slices.Repeat([]int{e.size.overwrites - 1}, e.size.overwritten+1)
	if err := errors.Join(checkPages(ctx, reader, want), closeReader(reader)); err != nil {
		return nil, err
	}
	overwritten := row{Name: "space", Graft: used, Reference: live, Against: "live", Figure: over(used, live), Target: spaceTarget, Note: note}
	deleted := row{Name: "space-deleted", Reference: live, Against: "deleted", Target: deletedTarget}
	var skip skipped
	if err := deleteGraft(ctx, db, tag); errors.As(err, &skip) {
		deleted.Skipped = string(skip)
		return []row{overwritten, deleted}, nil
	} else if err != nil {
		return nil, err
	}
	deleted.Graft, deleted.Note, err = settled(ctx, dir, e.size.quiet, e.size.patience)
	deleted.Figure = deleted.Graft
	return []row{overwritten, deleted}, err
}

// settled waits until the size of a directory does not change for quiet, and
// gives it. After patience it gives what it is, with a note that says so.
func settled(ctx context.Context, dir string, quiet, patience time.Duration) (used series, note string, err error) {
	start := time.Now()
	last, since := int64(-1), start
	for {
		n, err := blocks(dir)
		if err != nil {
			return series{}, "", err
		}
		now := time.Now()
		if n != last {
			last, since = n, now
		}
		switch {
		case now.Sub(since) >= quiet:
			return one(octets, float64(n)), "", nil
		case now.Sub(start) >= patience:
			return one(octets, float64(n)), fmt.Sprintf("not settled after %v", patience), nil
		}
		select {
		case <-ctx.Done():
			return series{}, "", context.Cause(ctx)
		case <-time.After(quiet / 20):
		}
	}
}

// blocks is what the files of a directory take on the disk. Files may come and
// go meanwhile.
func blocks(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				sum += allocated(info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return sum, err
}
