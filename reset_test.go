package graft_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"graft"
	"graft/internal/faultbucket"
)

func TestResetKeepsWhatWasNotPushed(t *testing.T) {
	_, opts := newBucket(t)
	db := openDB(t, t.TempDir(), opts)
	a := graftOf(t, db, "main")
	write(t, a, "base")
	remote := push(t, a)
	other := openDB(t, t.TempDir(), opts)
	b := graftOf(t, other, "main")
	must(t, b.Clone(ctx, remote))
	write(t, b, "theirs")
	push(t, b)

	write(t, a, "mine")
	_, err := a.Push(ctx)
	wantError(t, "push", err, graft.ErrDiverged)
	moved, backup, err := a.Reset(ctx)
	must(t, err)
	if moved.To != 2 {
		t.Errorf("reset moved %+v", moved)
	}
	if got := read(t, a); got != "theirs" {
		t.Errorf("after a reset there is %q", got)
	}
	if got := read(t, graftOf(t, db, backup)); got != "mine" {
		t.Errorf("%q has %q, want what was not pushed", backup, got)
	}
	if _, backup, err := a.Reset(ctx); err != nil || backup != "" {
		t.Errorf("a reset with nothing to keep: %q, %v", backup, err)
	}
	write(t, a, "after")
	push(t, a)
}

func TestResetOfWhatWasNeverPushed(t *testing.T) {
	_, opts := newBucket(t)
	db := openDB(t, t.TempDir(), opts)
	a := graftOf(t, db, "main")
	write(t, a, "mine")
	_, _, err := a.Reset(ctx)
	wantError(t, "reset", err, graft.ErrNoVolume)
	if got := read(t, a); got != "mine" {
		t.Errorf("there is %q", got)
	}
}

func TestHydratedGraftNeedsNoBucket(t *testing.T) {
	bucket, opts := newBucket(t)
	a := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	writeMany(t, a, 300)
	remote := push(t, a)
	b := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	must(t, b.Clone(ctx, remote))
	got, err := b.Hydrate(ctx)
	must(t, err)
	if got.Done != 300 || got.Total != 300 {
		t.Errorf("hydrated %+v", got)
	}
	for _, key := range bucket.Keys("") {
		bucket.SetObject(key, nil)
	}
	must(t, b.View(func(r *graft.Reader) error {
		for p := graft.PageIdx(1); r.PageCount().Has(p); p++ {
			page, err := r.Page(ctx, p)
			if err != nil {
				return err
			}
			if *page != (graft.Page{byte(p), byte(p >> 8)}) {
				t.Errorf("page %d has other bytes", p)
			}
		}
		return nil
	}))
}

// backups gives the Tags of what resets kept.
func backups(t *testing.T, db *graft.DB) (tags []string) {
	t.Helper()
	all, err := db.Tags(ctx)
	must(t, err)
	for _, tag := range all {
		if strings.Contains(tag.Name, "-before-reset-") {
			tags = append(tags, tag.Name)
		}
	}
	return tags
}

// Resets that fail leave nothing, or one fork that the next one takes.
func TestResetsThatFailLeaveNoForks(t *testing.T) {
	bucket, opts := newBucket(t)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	write(t, g, "base")
	push(t, g)
	write(t, g, "mine")
	away := errors.New("the bucket is away")
	bucket.Fail(func(faultbucket.Request) error { return away }, nil)
	_, _, err := g.Reset(ctx)
	wantError(t, "reset on a bad line", err, away)
	_, err = g.Push(ctx)
	wantError(t, "push", err, away)
	for range 2 {
		_, _, err = g.Reset(ctx)
		wantError(t, "reset with a push in doubt", err, graft.ErrPending)
		wantError(t, "reset with a push in doubt", err, away)
	}
	if got := backups(t, db); got != nil {
		t.Errorf("there are %q", got)
	}
	bucket.Fail(nil, nil)
	push(t, g)
	write(t, g, "more")

	giveUp, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := g.Writer(ctx) // for which the reset waits once it has kept that
	must(t, err)
	done := make(chan error)
	go func() {
		_, _, err := g.Reset(giveUp)
		done <- err
	}()
	for backups(t, db) == nil {
		runtime.Gosched()
	}
	cancel()
	wantError(t, "reset that is cancelled", <-done, context.Canceled)
	w.Discard()
	_, kept, err := g.Reset(ctx)
	must(t, err)
	if got := backups(t, db); len(got) != 1 || got[0] != kept {
		t.Errorf("there are %q, kept is %q", got, kept)
	}

	write(t, g, "other") // of another LSN
	_, second, err := g.Reset(ctx)
	must(t, err)
	if second == kept || read(t, graftOf(t, db, kept)) != "more" || read(t, graftOf(t, db, second)) != "other" {
		t.Errorf("kept %q, then %q", kept, second)
	}
}
