package snapshot

import (
	"slices"
	"testing"

	"graft/volume"
	"graft/volume/store"
)

// most is the highest page count: it takes 16,777,216 leaves.
const most = 1<<32 - 1

// hugeRoot gives leaves of a page count of most, where three pages are written.
func hugeRoot(t *testing.T) (*fixedLeaves, []volume.PageIdx) {
	t.Helper()
	id, pages := volume.NewSegmentID(), []volume.PageIdx{7, 1 << 31, most}
	var spans []span
	for _, p := range pages {
		spans = append(spans, span{p, p, id})
	}
	return farOf(t, mustApply(t, &Root{}, volume.Commit{PageCount: most, Segments: segmentsOf(spans)})), pages
}

// found is what a scan finds.
type found struct {
	pages  []volume.PageIdx
	ranges int
	absent uint64 // leaves that are not here
}

func (f *found) visit(first, end volume.LeafIdx, l *leaf) error {
	if l == nil {
		f.ranges++
		f.absent += uint64(end - first)
		return nil
	}
	for i := range l.written() {
		f.pages = append(f.pages, firstPage(first)+volume.PageIdx(i))
	}
	return nil
}

// checkFew has fn ask for little.
func checkFew(t *testing.T, name string, f *fixedLeaves, fn func() error) {
	t.Helper()
	before := f.nexts.Load() + f.asked()
	if err := fn(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if n := f.nexts.Load() + f.asked() - before; n > 100 {
		t.Errorf("%s: asks %d times", name, n)
	}
}

// Whoever goes through a Root takes time for what is written, whatever the page count
// says.
func TestAHugePageCountCostsNothing(t *testing.T) {
	far, pages := hugeRoot(t)
	other, _ := hugeRoot(t)
	for _, f := range []*fixedLeaves{far, other} {
		f.mu.here = nil
	}
	r, o := OpenRoot(most, far), OpenRoot(most, other)
	checkFew(t, "scan", far, func() error {
		var f found
		err := r.scan(t.Context(), f.visit)
		if !slices.Equal(f.pages, pages) || f.absent > 0 {
			t.Errorf("a scan finds %+v", f)
		}
		return err
	})
	checkFew(t, "scan over another", far, func() error {
		var f found
		err := r.scanOver(t.Context(), o, f.visit)
		if !slices.Equal(f.pages, pages) || f.absent > 0 {
			t.Errorf("a scan over another finds %+v", f)
		}
		return err
	})
	checkFew(t, "diff", far, func() error {
		if got := diffOf(t, r, o); len(got) != len(pages) {
			t.Errorf("leaves %v differ", got)
		}
		return nil
	})
	checkFew(t, "each", far, func() error {
		var got []volume.PageIdx
		err := r.Each(t.Context(), func(p volume.PageIdx, _ volume.SegmentID) error { got = append(got, p); return nil })
		if !slices.Equal(got, pages) {
			t.Errorf("pages %v are written", got)
		}
		return err
	})
}

// Where nobody knows which leaves there are they are all absent, at once.
func TestAHugePageCountOfUnknownLeavesIsOneRange(t *testing.T) {
	far, _ := hugeRoot(t)
	other, _ := hugeRoot(t)
	r, o := OpenRoot(most, far), OpenRoot(most, other)
	for name, scan := range map[string]func(visitor) error{
		"scan":              func(fn visitor) error { return r.scan(t.Context(), fn) },
		"scan over another": func(fn visitor) error { return r.scanOver(t.Context(), o, fn) },
	} {
		checkFew(t, name, far, func() error {
			var f found
			err := scan(f.visit)
			if f.ranges != 1 || f.absent != uint64(leavesFor(most)) || len(f.pages) > 0 {
				t.Errorf("%s finds %+v", name, f)
			}
			return err
		})
	}
	next := mustApply(t, r, volume.Commit{PageCount: most, Kept: most, Segments: segmentsOf([]span{{1 << 30, 1 << 30, volume.NewSegmentID()}})})
	checkFew(t, "before a commit", far, func() error {
		var f found
		err := r.scanOver(t.Context(), next, f.visit)
		if f.ranges != 1 || f.absent != 1 {
			t.Errorf("all but one leaf is shared: %+v", f)
		}
		return err
	})
	if a, b, c := pagesIn(0, leavesFor(most), most), pagesIn(1, 3, 600), pagesIn(2, 9, 600); a != most || b != 344 || c != 88 {
		t.Errorf("%d, %d, %d pages", a, b, c)
	}
}

// A commit of very many pages is not applied: its page index is opened.
func TestAdvanceOverManyPagesOpensAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		pages volume.PageIdx // of the second of three commits
		opens bool
	}{
		"many":     {maxAdvancePages - 1, true}, // and one before it, and one after
		"not many": {1000, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			still(g)
			v := g.head.State().Remote
			for i, segments := range [][]volume.Segment{pages(1, 1), pages(1, tt.pages), pages(1, 1)} {
				c := volume.Commit{Volume: v, LSN: volume.LSN(i + 1), PageCount: most, Segments: segments}
				c.Segments[0].ID = volume.NewSegmentID()
				rec, err := volume.EncodeCommit(c)
				if err != nil {
					t.Fatal(err)
				}
				if err := g.store.Apply(store.Change{Commits: []volume.Record{rec}}); err != nil {
					t.Fatal(err)
				}
			}
			advance(t, g, 3)
			if got := g.head.mu.opened.LSN; (got == 3) != tt.opens {
				t.Errorf("its page index was opened at %d", got)
			}
		})
	}
}
