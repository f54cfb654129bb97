package snapshot

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

// imported is a Graft of n pages of one Segment, which are on disk, and of which 16
// fit into the page cache.
func imported(t *testing.T, n volume.PageIdx) (*graft, content) {
	t.Helper()
	g := newGraftOf(t, t.TempDir(), store.Options{CacheSize: 1})
	g.update(t, func(w *Writer) { write(t, w, 1, n, 1) })
	g.reopen(t)
	return g, contentOf(volume.PageCount(n), 1, n, 1)
}

// Pages that are asked for in order are read together, more and more of them.
func TestPagesInOrderAreReadTogether(t *testing.T) {
	g, _ := imported(t, 300)
	r := g.head.Reader()
	defer r.Close()
	var firsts []volume.PageIdx
	ask := func(p volume.PageIdx) {
		if _, err := r.Page(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if s := r.ahead.mu.newest; s != nil && !slices.Contains(firsts, s.first) {
			firsts = append(firsts, s.first)
		}
	}
	ask(299) // a root, far away
	for p := volume.PageIdx(1); p <= 290; p++ {
		if p%100 == 50 {
			continue // an interior page, which was read before
		}
		ask(p)
	}
	if want := []volume.PageIdx{5, 9, 17, 33, 65, 128, 192, 256}; !slices.Equal(firsts, want) {
		t.Errorf("pages are read together from %v on, want %v", firsts, want)
	}
	firsts = nil
	for range 3 {
		for _, p := range []volume.PageIdx{10, 3, 200, 7, 100, 101, 102} {
			ask(p)
		}
	}
	if want := []volume.PageIdx{256}; !slices.Equal(firsts, want) {
		t.Errorf("pages are read from %v on, where the order is lost", firsts)
	}
}

// Whatever the order, and however many ask, each gets the page that it asked for.
func TestPagesAreRightInAnyOrder(t *testing.T) {
	const count = 200
	g, want := imported(t, count)
	g.update(t, func(w *Writer) { write(t, w, 40, 45, 2) })
	want.set(40, 45, 2)
	rapid.Check(t, func(t *rapid.T) {
		r := g.head.Reader()
		defer r.Close()
		var asking sync.WaitGroup
		for range rapid.IntRange(1, 3).Draw(t, "goroutines") {
			starts := rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 50, 150}), 1, 3).Draw(t, "starts")
			length := rapid.IntRange(1, 50).Draw(t, "length")
			into := rapid.Bool().Draw(t, "into")
			asking.Go(func() {
				buf := new(volume.Page)
				for _, start := range starts {
					for p := start; p < min(start+length, count); p++ {
						got, err := buf, error(nil)
						if p := volume.PageIdx(p); into {
							err = r.ReadPage(t.Context(), p, buf)
						} else {
							got, err = r.Page(t.Context(), p)
						}
						if err != nil || *got != *page(want.seeds[volume.PageIdx(p)], volume.PageIdx(p)) {
							t.Errorf("page %d: other content, or %v", p, err)
							return
						}
					}
				}
			})
		}
		asking.Wait()
	})
}
