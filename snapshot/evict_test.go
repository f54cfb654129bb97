package snapshot

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

// newWriterWithQuota is newGraft of a store that keeps so many pages that the bucket
// has; it evicts when the test says so.
func newWriterWithQuota(t *testing.T, pages int64) *graft {
	t.Helper()
	g := newGraftOf(t, t.TempDir(), store.Options{Quota: pages * volume.PageSize})
	still(g)
	return g
}

// push is adopt of a push whose pages are in the bucket then.
func push(t rapid.TB, g *graft) {
	t.Helper()
	p, aliases := g.rollup(t)
	local := &Reader{head: g.head, snap: g.head.State().Snapshot}
	for _, s := range p.Record.Commit.Segments {
		for i := range s.Pages.All() {
			page, err := local.Page(context.Background(), i)
			if err != nil {
				t.Fatal(err)
			}
			g.source.put(s.ID, i, page)
		}
	}
	adoptIt(t, g, p, aliases)
	saveNow(t, g)
}

func evict(t rapid.TB, g *graft, quota int) {
	t.Helper()
	if got, err := g.store.Evict(context.Background()); err != nil || got.Left > quota {
		t.Fatalf("evicted %+v, %v; of a quota of %d", got, err, quota)
	}
	sweep(t, g)
}

// What was pushed is fetched again after an eviction, byte for byte; what names the
// pages as they were before the push, a Reader or a fork, has them without the bucket.
func TestPushedPagesAreEvictedForWhoNamesThePush(t *testing.T) {
	const quota = 8
	g := newWriterWithQuota(t, quota)
	g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
	want := contentOf(300, 1, 300, 1)
	r := g.head.Reader() // of the local Segment
	local := places(t, r)
	f := fork(t, g, "fork")
	push(t, g)
	evict(t, g, quota)
	checkPlaces(t, g, local, true)
	g.source.fail(errors.New("no bucket"))
	want.check(t, r)
	r.Close()
	evict(t, g, quota)
	checkNewest(t, f, want) // it has not pushed
	for _, again := range []func(*graft, rapid.TB){(*graft).reopen, (*graft).crash} {
		reopenBoth(t, again, g, f)
		still(g)
		evict(t, g, quota)
		checkNewest(t, f, want)
	}
	g.source.fail(nil)
	checkNewest(t, g, want)
	if n := len(g.source.asked()); n < 300-quota || n > 300 {
		t.Errorf("%d of 300 evicted pages were fetched", n)
	}
	push(t, f) // now the pages are nobody's but the bucket's
	f.update(t, func(w *Writer) { write(t, w, 10, 20, 2) })
	evict(t, f, quota)
	checkPlaces(t, g, local[100:], false)
	checkNewest(t, g, want)
	checkNewest(t, f, want.set(10, 20, 2))
}

// checkNewest checks the newest Snapshot, which nobody reads afterwards.
func checkNewest(t rapid.TB, g *graft, want content) {
	t.Helper()
	r := g.head.Reader()
	defer r.Close()
	want.check(t, r)
}

// A crash right behind an eviction, before or behind the sweep, loses nothing.
func TestACrashBehindAnEviction(t *testing.T) {
	const quota = 8
	for name, between := range map[string]func(*graft){
		"eviction": func(*graft) {},
		"flush":    func(g *graft) { flush(t, g) },
		"sweep":    func(g *graft) { sweep(t, g) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newWriterWithQuota(t, quota)
			g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
			push(t, g)
			g.update(t, func(w *Writer) { write(t, w, 50, 60, 2) })
			want := contentOf(300, 1, 300, 1).set(50, 60, 2)
			if got, err := g.store.Evict(t.Context()); err != nil || got.Removed < 290-quota {
				t.Fatalf("evicted %+v, %v", got, err)
			}
			between(g)
			crashStill(t, g)
			sweep(t, g)
			want.check(t, g.head.Reader())
			g.source.fail(errors.New("no bucket"))
			r := g.head.Reader()
			defer r.Close()
			for p := volume.PageIdx(50); p <= 60; p++ {
				if got, err := r.Page(t.Context(), p); err != nil || *got != *page(2, p) {
					t.Errorf("page %d, which was not pushed: %v", p, err)
				}
			}
		})
	}
}
