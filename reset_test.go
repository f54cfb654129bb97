package graft_test

import (
	"testing"

	"graft"
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
