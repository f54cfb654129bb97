package sync

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// scattered is a rollup of pages of three Segments, some hundreds of which lie side by
// side, and the pages.
func scattered(t *testing.T) (*Remote, snapshot.Rollup, []volume.PageEntry) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{CacheSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	plan := snapshot.Rollup{PageCount: 700, Kept: 700}
	var all []volume.PageEntry
	parts := make([][]volume.PageEntry, 3)
	r := rand.New(rand.NewPCG(1, 2))
	for p := volume.PageIdx(1); p <= 700; p++ {
		page := new(volume.Page)
		for i := range 300 {
			page[i] = byte(r.Uint32())
		}
		source := 0
		if p > 300 { // one by one
			source = r.IntN(3)
		}
		all = append(all, volume.PageEntry{Idx: p, Page: page})
		parts[source] = append(parts[source], all[len(all)-1])
	}
	for _, entries := range parts {
		a := volume.Alias{Segment: volume.NewSegmentID()}
		for _, e := range entries {
			a.Pages.Add(e.Idx)
		}
		if err := s.Stage(a.Segment, entries); err != nil {
			t.Fatal(err)
		}
		plan.Sources = append(plan.Sources, a)
	}
	return &Remote{store: s, maxIndex: volume.MaxInlineIndex}, plan, all
}

func TestWriteSegmentWritesAllPagesInOrder(t *testing.T) {
	r, plan, all := scattered(t)
	id := volume.NewSegmentID()
	var want, got bytes.Buffer
	sw := volume.NewSegmentWriter(&want, id)
	for _, e := range all {
		if err := sw.Add(e.Idx, e.Page); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sw.Close(); err != nil {
		t.Fatal(err)
	}
	last := 0
	_, seg, err := r.writeSegment(&got, id, plan, func(pages int) {
		if pages <= last {
			t.Errorf("%d pages are written, after %d", pages, last)
		}
		last = pages
	})
	if err != nil || seg.Pages.Len() != len(all) || last != len(all) {
		t.Fatalf("%d pages, %d in the segment, %v", last, seg.Pages.Len(), err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Error("the object has other bytes")
	}
}

// However far a Segment gets, its goroutines end.
func TestWriteSegmentEndsWithAnError(t *testing.T) {
	r, plan, _ := scattered(t)
	errFull := errors.New("full")
	for _, room := range []int{0, 8, 1000, 100_000, 200_000} {
		_, _, err := r.writeSegment(&limited{room, errFull}, volume.NewSegmentID(), plan, func(int) {})
		if !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	for _, missing := range []volume.PageIdx{1, 200, 650, 701} {
		without := plan
		without.Sources = append([]volume.Alias{{Segment: volume.NewSegmentID(), Pages: volume.PageSetOf(missing)}}, plan.Sources...)
		for i, s := range plan.Sources {
			pages := s.Pages.Clone()
			pages.Remove(missing)
			without.Sources[i+1].Pages = pages
		}
		_, _, err := r.writeSegment(io.Discard, volume.NewSegmentID(), without, func(int) {})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("page %d is not there: %v", missing, err)
		}
	}
}

// limited takes so many bytes.
type limited struct {
	room int
	err  error
}

func (w *limited) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, w.err
	}
	return len(b), nil
}
