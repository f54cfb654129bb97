package store

import (
	"testing"

	"graft/volume"
)

// A run has what is on disk under its name or another, and leaves the rest to PageIn.
func TestReadRunReadsWhatIsOnDisk(t *testing.T) {
	s, looks := openSmall(t)
	id, many, few, unlike := volume.NewSegmentID(), volume.NewSegmentID(), volume.NewSegmentID(), volume.NewSegmentID()
	must(t, s.Stage(id, append(pages(1, 9, 1), pages(20, 22, 1)...)))
	must(t, s.Stage(many, pages(8, 14, 2)))
	must(t, s.Stage(few, pages(15, 16, 3)))
	must(t, s.Stage(unlike, pages(17, 25, 4)))
	apply(t, s, Change{Segments: []volume.SegmentState{state(id, 1,
		volume.Alias{Segment: many, Pages: volume.PageSetOf(10, 11, 12, 13, 14)},
		volume.Alias{Segment: few, Pages: volume.PageSetOf(15, 16, 19)},
	)}})
	readAll(t, s, id, pages(3, 4, 1)) // into the cache
	apply(t, s, Change{Segment: id, Pages: pages(18, 18, 1)})
	putRaw(t, s, keyPage(id, 5), []byte("damaged"))
	s.cache.room.Store(0)

	want := map[volume.PageIdx]uint64{1: 1, 2: 1, 6: 1, 7: 1, 8: 1, 9: 1, 20: 1, 21: 1, 22: 1, 15: 3, 16: 3}
	for p := volume.PageIdx(10); p <= 14; p++ {
		want[p] = 2
	}
	for _, first := range []volume.PageIdx{1, 8, 14, 21} {
		got := make([]volume.Page, 23-first)
		looks.Store(0)
		read := s.ReadRun(id, first, got)
		for i := range got {
			p := first + volume.PageIdx(i)
			salt, ok := want[p]
			if isRead := read>>i&1 == 1; isRead != ok || ok && got[i] != *pages(p, p, salt)[0].Page {
				t.Errorf("from page %d: page %d is read %t, want %t, or it has other content", first, p, isRead, ok)
			}
		}
		if looks.Load() > 2+3 { // for the two of few, and for three at the end
			t.Errorf("from page %d: %d pages were looked up, each", first, looks.Load())
		}
	}
	if got := s.ReadRun(id, 1, make([]volume.Page, MaxRun+1)); got != 0 {
		t.Errorf("a run that is too long gives %b", got)
	}
	if got := s.ReadRun(volume.NewSegmentID(), 1, make([]volume.Page, 9)); got != 0 {
		t.Errorf("a segment that nobody knows gives %b", got)
	}
}

// What is read in runs fills the page cache, and drives nothing out of it.
func TestReadRunFillsTheCache(t *testing.T) {
	const fit = 20
	s, _ := openSmall(t)
	id := volume.NewSegmentID()
	must(t, s.Stage(id, pages(1, 64, 1)))
	s.cache.room.Store(fit)
	got := make([]volume.Page, MaxRun)
	if read := s.ReadRun(id, 1, got); read != 1<<64-1 {
		t.Fatalf("%b is read", read)
	}
	clear(got)
	if read, want := s.ReadRun(id, 1, got), ^uint64(1<<fit-1); read != want {
		t.Errorf("%b is read once more, want %b", read, want)
	}
	readAll(t, s, id, pages(1, 64, 1))
}

func TestReadRunOfAClosedStoreReadsNothing(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	must(t, s.Stage(id, pages(1, 9, 1)))
	closeStore(t, s)
	if got := s.ReadRun(id, 1, make([]volume.Page, 9)); got != 0 {
		t.Errorf("%b is read", got)
	}
}
