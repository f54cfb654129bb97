package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"graft/volume"
)

func TestSegmentIsNeverStaleAfterApply(t *testing.T) {
	const changes = 150
	s := openNew(t)
	id, local, neighbour := volume.NewSegmentID(), volume.NewSegmentID(), volume.NewSegmentID()
	var applied atomic.Uint64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for last := volume.LSN(0); last < changes; {
				least := max(last, volume.LSN(applied.Load()))
				got, err := s.Segment(id)
				if errors.Is(err, ErrNotFound) && least == 0 {
					continue
				}
				if err != nil || got.LSN < least {
					t.Errorf("change %d was applied, but: %+v, %v", least, got, err)
					return
				}
				last = got.LSN
				// A page read fills the cache too.
				if _, err := s.HasPage(neighbour, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for l := volume.LSN(1); l <= changes; l++ {
		apply(t, s, Change{Segments: []volume.SegmentState{state(id, l), state(neighbour, l, volume.Alias{Segment: local, Pages: volume.PageSetOf(1)})}})
		applied.Store(uint64(l))
		if got, err := s.Segment(id); err != nil || got.LSN != l {
			t.Errorf("after change %d: %+v, %v", l, got, err)
		}
	}
	wg.Wait()
}

func TestPageFollowsAChangedAlias(t *testing.T) {
	s := openNew(t)
	remote := volume.NewSegmentID()
	if has, err := s.HasPage(remote, 1); has || err != nil {
		t.Fatalf("a page of nothing: %t, %v", has, err)
	}
	for l := volume.LSN(1); l <= 5; l++ {
		local := volume.NewSegmentID()
		entries := pages(1, 3, 0) // what is stored under a Segment never changes
		apply(t, s, Change{
			Segments: []volume.SegmentState{state(remote, l, volume.Alias{Segment: local, Pages: volume.PageSetOf(1, 2, 3)})},
			Segment:  local, Pages: entries,
		})
		checkPages(t, s, remote, entries)
		s.cache.pages.InvalidateAll()
		checkPages(t, s, remote, entries)
	}
}

func TestManySegmentsAreAllFound(t *testing.T) {
	s := openNew(t)
	ids := make([]volume.SegmentID, maxCachedSegments+50)
	var c Change
	for i := range ids {
		ids[i] = volume.NewSegmentID()
		c.Segments = append(c.Segments, state(ids[i], volume.LSN(i+1)))
	}
	apply(t, s, c)
	for range 2 {
		for i, id := range ids {
			if got, err := s.Segment(id); err != nil || got.LSN != volume.LSN(i+1) || got.Segment.ID != id {
				t.Fatalf("segment %d: %+v, %v", i, got, err)
			}
		}
	}
	s.segments.mu.Lock()
	defer s.segments.mu.Unlock()
	if n := len(s.segments.mu.states); n > maxCachedSegments {
		t.Errorf("%d states are cached", n)
	}
}

func TestSegmentCacheRefusesWhatWasReadBeforeAChange(t *testing.T) {
	var c segmentCache
	id := volume.NewSegmentID()
	get := func() *volume.SegmentState { state, _ := c.get(id); return state }
	older, newer := state(id, 1), state(id, 2)
	epoch := c.now()
	c.drop([]volume.SegmentState{newer})
	if c.put(id, &older, epoch); get() != nil {
		t.Error("keeps a state that was read before the change")
	}
	if c.put(id, &newer, c.now()); get() != &newer {
		t.Error("does not keep a state")
	}
	c.drop(nil)
	if get() != &newer {
		t.Error("a change of no segment drops a state")
	}
	if c.drop([]volume.SegmentState{newer}); get() != nil {
		t.Error("keeps a state that was written")
	}
	epoch = c.now()
	c.put(id, nil, epoch)
	if state, known := c.get(id); state != nil || !known {
		t.Error("does not keep that there is no state")
	}
	c.drop([]volume.SegmentState{newer})
	c.put(id, nil, epoch)
	if _, known := c.get(id); known {
		t.Error("keeps that there was no state before the change")
	}
}
