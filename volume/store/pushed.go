package store

import (
	"errors"
	"fmt"
	"slices"

	"graft/volume"
)

// A page that was pushed from here is stored under a local Segment, and the alias of
// a remote one, which the adopted push wrote, says that the bucket has it. To evict it
// is to take it out of the alias: no Snapshot that names the remote Segment finds it
// here any more. The stored page itself is left to Sweep, which leaves it to whoever
// names the local Segment: a Snapshot older than the push, or a fork that has not
// pushed it. So an eviction deletes nothing that was committed here.

// pushed is where stored pages of a local Segment are in the bucket, too.
type pushed struct {
	remote volume.SegmentID
	pages  volume.PageSet
}

// notePushed counts the pages of aliases that were written: they are cache from now on.
func (s *Store) notePushed(states []volume.SegmentState) {
	f := &s.fetched
	if f.quota == 0 || len(states) == 0 {
		return
	}
	f.clock.Add(1)
	n := 0
	for i := range states {
		for _, a := range states[i].Aliases {
			n += a.Pages.Len()
			touched := ^volume.PageIdx(0)
			for p := range a.Pages.All() {
				if part := p / partPages; part != touched {
					touched = part
					f.touch(PageRef{states[i].Segment.ID, p})
				}
			}
		}
	}
	f.count.Add(int64(n))
	if n > 0 && s.NeedsEvict() {
		s.opts.OverQuota()
	}
}

// findPushed learns which stored pages were pushed, and has them in Badger, where they
// are counted.
func (e *evictor) findPushed() error {
	if err := e.store.Flush(); err != nil {
		return err
	}
	e.pushed = make(map[volume.SegmentID][]pushed)
	return e.store.scan(spaceSegment, func(key, value []byte) error {
		state, err := volume.DecodeSegmentState(value)
		if err != nil {
			return fmt.Errorf("read state of segment %x: %w", key, err)
		}
		for _, a := range state.Aliases {
			e.pushed[a.Segment] = append(e.pushed[a.Segment], pushed{state.Segment.ID, a.Pages})
		}
		return nil
	})
}

// remotesOf gives the remote Segments that have a page which is stored under a local
// one, the newest first.
func (e *evictor) remotesOf(ref PageRef) (ids []volume.SegmentID) {
	for _, in := range slices.Backward(e.pushed[ref.Segment]) {
		if in.pages.Contains(ref.Idx) {
			ids = append(ids, in.remote)
		}
	}
	return ids
}

// drop has a pushed page taken out of its aliases when the eviction ends.
func (e *evictor) drop(p cachedPage) {
	if e.dropped == nil {
		e.dropped = make(map[volume.SegmentID]*droppedPages)
	}
	for i, id := range p.remotes {
		d := e.dropped[id]
		if d == nil {
			d = new(droppedPages)
			e.dropped[id] = d
		}
		d.pages.Add(p.stored.Idx)
		if i > 0 {
			d.again.Add(p.stored.Idx)
		}
	}
}

// droppedPages are pages of a remote Segment that go out of its aliases.
type droppedPages struct {
	pages volume.PageSet
	again volume.PageSet // of these: counted with a newer Segment
}

// unalias takes the pages that are to be dropped out of their aliases, but for what is
// held by now.
func (e *evictor) unalias() error {
	for id, d := range e.dropped {
		gone, err := e.unaliasOf(id, d.pages)
		if err != nil {
			return err
		}
		gone.RemoveSet(d.again)
		e.removed += gone.Len()
	}
	e.dropped = nil
	return nil
}

// unaliasOf takes pages out of the aliases of one Segment, and gives those that were
// in them.
func (e *evictor) unaliasOf(id volume.SegmentID, pages volume.PageSet) (gone volume.PageSet, err error) {
	f := &e.store.fetched
	f.mu.Lock()
	defer f.mu.Unlock()
	state, err := e.store.Segment(id)
	if errors.Is(err, ErrNotFound) { // swept
		return gone, nil
	}
	if err != nil {
		return gone, err
	}
	next := *state
	next.Aliases = nil
	for _, a := range state.Aliases {
		left := volume.Alias{Segment: a.Segment}
		for p := range a.Pages.All() {
			if pages.Contains(p) && !f.isHeldLocked(PageRef{id, p}) {
				gone.Add(p)
			} else {
				left.Pages.Add(p)
			}
		}
		if !left.Pages.IsEmpty() {
			next.Aliases = append(next.Aliases, left)
		}
	}
	if gone.IsEmpty() {
		return gone, nil
	}
	// A power cut that takes this back takes back no page: see Sweep.
	return gone, e.store.apply(Change{Segments: []volume.SegmentState{next}, Relaxed: true})
}
