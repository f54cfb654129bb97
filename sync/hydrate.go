package sync

import (
	"context"
	"sync/atomic"

	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// Hydrated is how far a hydration is.
type Hydrated struct {
	Done  int // pages that were missing and are here now
	Total int // pages that were missing when it began
}

// Hydrate gets all pages of the newest Snapshot of h's Graft that are not stored
// here, neighbours together and several requests at a time. What is here stays
// when it is cut short, and is not fetched again. Nothing of the Snapshot is evicted
// meanwhile; [store.ErrQuota] tells that the quota has no room for it, and then
// nothing was fetched.
func (r *Remote) Hydrate(ctx context.Context, h *snapshot.Head) (got Hydrated, err error) {
	ctx, end := begin(ctx, "hydrate", h.State().Local)
	defer end(&err)
	_, pinned := h.Pin()
	defer pinned.Close()
	at := pinned.Snapshot().Point()
	if at.IsZero() {
		return got, nil
	}
	if r.bucket == nil {
		return got, ErrNoRemote
	}
	meterOf(ctx).phase(PhaseIndex)
	x, err := r.index(ctx, at)
	if err != nil {
		return got, err
	}
	leaves, err := x.leaves(ctx)
	if err != nil {
		return got, err
	}
	if err := x.loadChunks(ctx, leaves); err != nil {
		return got, err
	}
	hold := r.store.HoldFetched(ctx)
	defer hold.Release()
	_, missing, frames, err := r.missing(ctx, x, leaves, pinned.Snapshot().Root(), hold)
	if err != nil {
		return got, err
	}
	if err := hold.Fits(); err != nil {
		return got, err
	}
	got.Total = missing
	got.Done, err = r.getFrames(ctx, at, frames, missing)
	return got, err
}

// getFrames gets frames and stores their pages, of which so many are wanted. It
// gives how many of these are here then.
func (r *Remote) getFrames(ctx context.Context, at snapshot.Point, frames []frameWant, pages int) (int, error) {
	parts := make([]part, 0, len(frames))
	wanted := make(map[place]frameWant, len(frames))
	for _, f := range frames {
		p := partOf(at, f.frame)
		parts = append(parts, p)
		wanted[p.place] = f
	}
	spans := coalesce(parts)
	meterOf(ctx).phase(PhasePages)
	meterOf(ctx).expect(spanBytes(spans), pages)
	var done atomic.Int64
	err := r.getSpans(ctx, spans, nil, func(s span, b []byte) error {
		n := 0
		for _, p := range s.parts {
			n += wanted[p.place].pages
		}
		decoded, err := r.decodeSpan(s, b, func(p place) *volume.Address { return wanted[p].frame })
		if err == nil {
			err = r.store.StageFetched(bySegment(decoded))
		}
		if err != nil {
			return err
		}
		done.Add(int64(n))
		meterOf(ctx).moved(n)
		return nil
	})
	return int(done.Load()), err
}

// decodedFrame is the pages of a frame.
type decodedFrame struct {
	frame *volume.Address
	pages []volume.PageEntry
}

// decodeSpan gives the frames that the parts of a range are, verified.
func (r *Remote) decodeSpan(s span, b []byte, frameOf func(place) *volume.Address) ([]decodedFrame, error) {
	frames := make([]decodedFrame, 0, len(s.parts))
	for _, p := range s.parts {
		a := frameOf(p.place)
		pages, err := volume.DecodeFrameAt(a, s.of(p, b))
		if err != nil {
			return nil, r.corruptPart(p, "read frame", err)
		}
		frames = append(frames, decodedFrame{a, pages})
	}
	return frames, nil
}

// bySegment gives the pages of frames by their Segments.
func bySegment(frames []decodedFrame) map[volume.SegmentID][]volume.PageEntry {
	pages := make(map[volume.SegmentID][]volume.PageEntry)
	for _, f := range frames {
		id := f.frame.Source.Segment
		pages[id] = append(pages[id], f.pages...)
	}
	return pages
}

// frameWant is a frame with how many of its pages are wanted.
type frameWant struct {
	frame *volume.Address
	pages int
	first volume.PageIdx // that was wanted
}

// frameWants are frames, each once, in the order in which they were first wanted.
type frameWants struct {
	list   []frameWant
	pages  int                    // of all
	places map[volume.Address]int // in list
}

func newFrameWants() *frameWants { return &frameWants{places: make(map[volume.Address]int)} }

// add wants page p of a frame, too.
func (w *frameWants) add(a *volume.Address, p volume.PageIdx) {
	i, ok := w.places[*a]
	if !ok {
		i = len(w.list)
		w.places[*a] = i
		w.list = append(w.list, frameWant{frame: a, first: p})
	}
	w.list[i].pages++
	w.pages++
}

// missing gives the frames that hold pages which root names and which are not
// stored here, the number of these pages, and that of all. It holds all that root
// names.
func (r *Remote) missing(ctx context.Context, x *index, leaves []volume.LeafIdx, root *snapshot.Root, hold *store.FetchedHold) (all, n int, frames []frameWant, err error) {
	wants := newFrameWants()
	for _, leaf := range leaves {
		chunk, err := x.chunk(ctx, leaf, true)
		if err != nil {
			return 0, 0, nil, err
		}
		for p, a := range chunk.Truncated(x.kept).With(x.recent.Leaf(leaf)).All() {
			if !root.PageCount().Has(p) {
				break
			}
			id, err := root.Lookup(ctx, p)
			if err != nil {
				return 0, 0, nil, err
			}
			if id != a.Source.Segment {
				continue // a local commit has it, newer
			}
			all++
			has, err := hold.Add(id, p)
			if err != nil {
				return 0, 0, nil, err
			}
			if has {
				continue
			}
			wants.add(a, p)
			n++
		}
	}
	return all, n, wants.list, nil
}
