package store

import (
	"errors"
	"fmt"
	"sync"

	"graft/volume"
)

// segmentCache keeps decoded SegmentStates, which every page read through an
// alias needs, and which Segments have none, which every look for a page that is
// not here needs. Entries are immutable. It is emptied when it is full, for the
// Segments in use come back at once.
type segmentCache struct {
	mu struct {
		sync.Mutex
		states map[volume.SegmentID]*volume.SegmentState // nil: there is none
		epoch  uint64                                    // goes up with each Change to a Segment
	}
}

const maxCachedSegments = 256

// now gives the epoch. Take it before reading, and put what was read under it.
func (c *segmentCache) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.epoch
}

// get gives a cached state, or nil when it is known that there is none.
func (c *segmentCache) get(id volume.SegmentID) (state *volume.SegmentState, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, known = c.mu.states[id]
	return state, known
}

// put keeps a state that was read at epoch, or nil, unless one was written since.
func (c *segmentCache) put(id volume.SegmentID, state *volume.SegmentState, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.mu.epoch {
		return
	}
	if c.mu.states == nil || len(c.mu.states) >= maxCachedSegments {
		c.mu.states = make(map[volume.SegmentID]*volume.SegmentState)
	}
	c.mu.states[id] = state
}

// drop forgets Segments that were written.
func (c *segmentCache) drop(written []volume.SegmentState) {
	if len(written) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.epoch++
	for i := range written {
		delete(c.mu.states, written[i].Segment.ID)
	}
}

// Segment gives what is known of a remote Segment, or ErrNotFound.
func (s *Store) Segment(id volume.SegmentID) (*volume.SegmentState, error) {
	if err := s.use.acquire(); err != nil {
		return nil, err
	}
	defer s.use.release()
	epoch := s.segments.now()
	switch state, known := s.segments.get(id); {
	case state != nil:
		return state, nil
	case known:
		return nil, ErrNotFound
	}
	b, err := s.get(keySegment(id))
	if errors.Is(err, ErrNotFound) {
		s.segments.put(id, nil, epoch)
	}
	if err != nil {
		return nil, err
	}
	state, err := volume.DecodeSegmentState(b)
	if err != nil {
		return nil, fmt.Errorf("read state of segment %s: %w", id, err)
	}
	s.segments.put(id, &state, epoch)
	return &state, nil
}
