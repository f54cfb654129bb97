package graft_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"graft"
	"graft/internal/faultbucket"
)

// evictions is a handler of logs that tells of each eviction.
type evictions chan struct{}

func (e evictions) Enabled(context.Context, slog.Level) bool { return true }
func (e evictions) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e evictions) WithGroup(string) slog.Handler            { return e }

func (e evictions) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "evicted" {
		select {
		case e <- struct{}{}:
		default:
		}
	}
	return nil
}

// await waits until so many pages are here at most.
func (e evictions) await(t *testing.T, g *graft.Graft, quota graft.PageCount) {
	t.Helper()
	for {
		p, err := g.Audit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if p.Present <= quota {
			return
		}
		select {
		case <-e:
		case <-time.After(time.Minute): // it would hang
			t.Fatalf("%d pages are here, of a quota of %d", p.Present, quota)
		}
	}
}

// pushPages commits n pages, whose content is their number, and pushes them. It gives
// the remote Volume.
func pushPages(t *testing.T, g *graft.Graft, n int) graft.VolumeID {
	t.Helper()
	_, err := g.Update(ctx, func(w *graft.Writer) error {
		for p := range n {
			page := &graft.Page{byte(p), byte(p >> 8), 1}
			if err := w.Write(graft.PageIdx(p+1), page); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return push(t, g)
}

// readPages reads what pushPages committed.
func readPages(t *testing.T, g *graft.Graft, n int) {
	t.Helper()
	err := g.View(func(r *graft.Reader) error {
		for p := range n {
			page, err := r.Page(ctx, graft.PageIdx(p+1))
			if err != nil {
				return err
			}
			if want := (graft.Page{byte(p), byte(p >> 8), 1}); *page != want {
				t.Errorf("page %d begins with %v", p+1, page[:3])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheCacheQuotaIsKeptInTheBackground(t *testing.T) {
	const n, quota = 1000, 300
	bucket := faultbucket.New()
	a := graftOf(t, openDB(t, t.TempDir(), &graft.Options{Bucket: bucket.Blob()}), "main")
	remote := pushPages(t, a, n)
	done := make(evictions, 1)
	db := openDB(t, t.TempDir(), &graft.Options{Bucket: bucket.Blob(), Cache: quota * graft.PageSize, Logger: slog.New(done)})
	b := graftOf(t, db, "main")
	if err := b.Clone(ctx, remote); err != nil {
		t.Fatal(err)
	}
	readPages(t, b, n)
	done.await(t, b, quota)
	readPages(t, b, n)
	if _, err := b.Hydrate(ctx); !errors.Is(err, graft.ErrQuota) {
		t.Errorf("hydrate: %v", err)
	}
	if p, err := a.Audit(ctx); err != nil || p.Present != n {
		t.Errorf("%+v is left of what was pushed, %v", p, err)
	}
}

func TestTheCacheQuotaIsThatOfPushesToo(t *testing.T) {
	const n, quota = 1000, 300
	bucket := faultbucket.New()
	done := make(evictions, 1)
	g := graftOf(t, openDB(t, t.TempDir(), &graft.Options{Bucket: bucket.Blob(), Cache: quota * graft.PageSize, Logger: slog.New(done)}), "main")
	pushPages(t, g, n)
	done.await(t, g, quota)
	readPages(t, g, n)
}

func TestTheCacheQuotaBelongsToTheDirectory(t *testing.T) {
	dir := t.TempDir()
	openDB(t, dir, &graft.Options{Cache: 1 << 20})
	openDB(t, dir, nil)
	openDB(t, dir, &graft.Options{Cache: 1 << 20})
	if db, err := graft.Open(ctx, dir, &graft.Options{Cache: 1 << 21}); err == nil || !strings.HasSuffix(err.Error(), "another cache") {
		t.Errorf("another quota: %v, %v", db, err)
	}
	if err := (&graft.Options{Cache: -1}).Validate(); err == nil || !strings.Contains(err.Error(), "Cache") {
		t.Errorf("a quota below zero: %v", err)
	}
}
