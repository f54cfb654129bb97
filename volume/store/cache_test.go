package store

import (
	"math/rand/v2"
	"testing"

	"graft/volume"
)

func TestPageInReadsIntoTheCallersMemory(t *testing.T) {
	s, err := Open(t.TempDir(), Options{CacheSize: 1})
	must(t, err)
	defer closeStore(t, s)
	staged, applied, remote := volume.NewSegmentID(), volume.NewSegmentID(), volume.NewSegmentID()
	must(t, s.Stage(staged, pages(1, 40, 1)))
	apply(t, s, Change{
		Segment: applied, Pages: pages(41, 60, 2),
		Segments: []volume.SegmentState{state(remote, 1, volume.Alias{Segment: staged, Pages: volume.PageSetOf(1, 2, 3)})},
	})
	// read counts the pages that were read into the caller's memory.
	read := func(id volume.SegmentID, want []volume.PageEntry) (into int) {
		t.Helper()
		for _, e := range want {
			buf := page(99)
			got, _, err := s.PageIn(id, e.Idx, buf)
			if err != nil || *got != *e.Page {
				t.Fatalf("page %d: other content, or %v", e.Idx, err)
			}
			if got == buf {
				into++
			}
			clear(buf[:]) // it is the caller's
		}
		return into
	}
	for n := range 4 {
		if into := read(applied, pages(41, 60, 2)); into != 0 {
			t.Errorf("%d pages that are in memory were copied", into)
		}
		direct, aliased := read(staged, pages(1, 40, 1)), read(remote, pages(1, 3, 1))
		if n == 0 && (direct != 40 || aliased != 3) {
			t.Errorf("%d pages, and %d by an alias, were read into the caller's memory", direct, aliased)
		}
	}
}

// Each of as many pages as fit, read at random and kept out, is wanted nearly every
// fourth time, however large the cache is.
func TestFullCacheWantsWhatIsReadAgain(t *testing.T) {
	const seed = 1
	for _, pages := range []int{1 << 10, 1 << 14} {
		c, err := newPageCache(int64(pages) * volume.PageSize)
		must(t, err)
		ref := func(p int) PageRef { return PageRef{volume.SegmentID{1}, volume.PageIdx(p)} }
		if !c.wants(ref(1)) {
			t.Errorf("%d pages: an empty cache does not want a page", pages)
		}
		c.room.Store(0)
		if c.wants(ref(1)) || !c.wants(ref(1)) {
			t.Errorf("%d pages: a page is wanted at once, or not the second time", pages)
		}
		r, wanted, reads := rand.New(rand.NewPCG(seed, 0)), 0, 20*pages
		for range reads {
			if c.wants(ref(r.IntN(pages))) {
				wanted++
			}
		}
		if share := float64(wanted) / float64(reads); share < 0.2 || share > 0.28 {
			t.Errorf("%d pages: %.2f of what is read is wanted", pages, share)
		}
	}
}
