package snapshot

import (
	"context"
	"errors"
	"slices"
	"testing"

	"graft/volume"
	"graft/volume/store"
)

// pulled is a Graft at a remote commit of pages 1 to 4 of 6, none of which is
// stored here.
func pulled(t *testing.T) (*graft, volume.SegmentID) {
	t.Helper()
	g := newGraft(t)
	id := g.putRemote(t, 1, volume.Commit{PageCount: 6, Segments: pages(1, 4)}, 7)
	advance(t, g, 1)
	return g, id
}

func TestMissingPageComesFromTheSource(t *testing.T) {
	g, id := pulled(t)
	r := g.head.Reader()
	for p := volume.PageIdx(1); p <= 6; p++ {
		want, wantAsked := page(7, p), []pageKey{{id, p}}
		if p > 4 {
			want, wantAsked = page(0, p), nil // never written
		}
		got, err := r.Page(context.Background(), p)
		if err != nil || *got != *want {
			t.Errorf("page %d: other content, or %v", p, err)
		}
		if asked := g.source.asked(); !slices.Equal(asked, wantAsked) {
			t.Errorf("page %d: asked for %v", p, asked)
		}
	}
	if err := g.store.Stage(id, []volume.PageEntry{{Idx: 2, Page: page(7, 2)}}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Page(context.Background(), 2); err != nil || *got != *page(7, 2) || len(g.source.asked()) != 0 {
		t.Errorf("a page that is stored here: other content, fetched, or %v", err)
	}
}

func TestReadPageGivesWhatPageGives(t *testing.T) {
	g, id := pulled(t)
	if err := g.store.Stage(id, []volume.PageEntry{{Idx: 2, Page: page(7, 2)}}); err != nil {
		t.Fatal(err)
	}
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 4, 4, 8)
	want := content{count: 6, seeds: map[volume.PageIdx]uint64{1: 7, 2: 7, 3: 7, 4: 7}}
	want.check(t, w.base)
	want.set(4, 4, 8).check(t, w)
	for _, r := range []pageReader{w.base, w} {
		for _, p := range []volume.PageIdx{0, 7} {
			if err := r.ReadPage(context.Background(), p, new(volume.Page)); err == nil {
				t.Errorf("page %d is read", p)
			}
		}
	}
}

func TestReadingACachedPageAllocatesItsKeyAlone(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 4, 1) })
	if err := g.store.Flush(); err != nil {
		t.Fatal(err)
	}
	r, dst := g.head.Reader(), new(volume.Page)
	defer r.Close()
	n := testing.AllocsPerRun(100, func() {
		if err := r.ReadPage(context.Background(), 3, dst); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 || *dst != *page(1, 3) {
		t.Errorf("%v allocations, or other content", n)
	}
}

func TestErrorOfTheSourceComesThrough(t *testing.T) {
	g, _ := pulled(t)
	offline := errors.New("offline")
	g.source.fail(offline)
	if got, err := g.head.Reader().Page(context.Background(), 3); !errors.Is(err, offline) || got != nil {
		t.Errorf("page: %v", err)
	}
	w := g.writer(t)
	defer w.Discard()
	if got, err := w.Page(context.Background(), 3); !errors.Is(err, offline) || got != nil {
		t.Errorf("page of a writer: %v", err)
	}
	g.source.fail(nil)
	cause := errors.New("query is over")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := g.head.Reader().Page(ctx, 3); !errors.Is(err, cause) {
		t.Errorf("the context does not reach the source: %v", err)
	}
}

func TestPageOutsideTheSnapshotIsAnError(t *testing.T) {
	g, _ := pulled(t)
	for _, p := range []volume.PageIdx{0, 7, 1 << 31} {
		if got, err := g.head.Reader().Page(context.Background(), p); err == nil {
			t.Errorf("page %d starts with % x", p, got[:8])
		}
	}
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
}

func TestPageOfAClosedStoreIsErrClosed(t *testing.T) {
	g, _ := pulled(t)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.head.Reader().Page(context.Background(), 1); !errors.Is(err, store.ErrClosed) {
		t.Errorf("page: %v", err)
	}
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
}

func TestCommitNeverFetches(t *testing.T) {
	g, _ := pulled(t)
	g.source.fail(errors.New("offline"))
	if lsn := g.update(t, func(w *Writer) { write(t, w, 2, 2, 7) }); lsn != 1 {
		t.Errorf("LSN %d", lsn)
	}
	if got := lastPages(t, g); !got.Equal(volume.PageSetOf(2)) {
		t.Errorf("the commit has %d pages", got.Len())
	}
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
	got, err := g.head.Reader().Page(context.Background(), 2)
	if err != nil || *got != *page(7, 2) {
		t.Errorf("page 2: other content, or %v", err)
	}
}

func TestPresenceCountsWhatIsStoredHere(t *testing.T) {
	g, id := pulled(t)
	check := func(name string, want Presence, presence func(context.Context) (Presence, error)) {
		t.Helper()
		if got, err := presence(context.Background()); got != want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	old := g.head.Reader()
	check("nothing fetched", Presence{Present: 0, Written: 4}, old.Presence)
	if err := g.store.Stage(id, []volume.PageEntry{{Idx: 2, Page: page(7, 2)}}); err != nil {
		t.Fatal(err)
	}
	g.update(t, func(w *Writer) { write(t, w, 5, 5, 1) })
	check("a page fetched", Presence{Present: 1, Written: 4}, old.Presence)
	check("and one written", Presence{Present: 2, Written: 5}, g.head.Reader().Presence)
	check("remote", Presence{Present: 1, Written: 4}, g.head.RemotePresence)
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
	g.update(t, func(w *Writer) { setPageCount(t, w, 3000) })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.head.Reader().Presence(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
