package sync

import (
	"context"
	"errors"
	"fmt"
	"io"

	"graft/objstore"
	"graft/volume"
	"graft/volume/store"
)

// Page gives page p of the remote Segment id. It fetches the frame that holds
// the page, verifies it and stores all its pages; concurrent calls for one
// frame share one request. It implements [snapshot.PageSource].
func (r *Remote) Page(ctx context.Context, id volume.SegmentID, p volume.PageIdx) (*volume.Page, error) {
	state, err := r.store.Segment(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: page %d of segment %s is lost from the local store", volume.ErrCorrupt, p, id)
	}
	if err != nil {
		return nil, err
	}
	if r.bucket == nil {
		return nil, ErrNoRemote
	}
	if !state.Segment.Footer.IsZero() && state.Segment.Frames.Len() == 0 {
		if state, err = r.loadFooter(ctx, state); err != nil {
			return nil, err
		}
	}
	seg := &state.Segment
	n, ok := seg.Frames.Find(p)
	if !ok || !seg.Pages.Contains(p) {
		return nil, r.corrupt(state, "find page", fmt.Errorf("%w: page %d is in no frame", volume.ErrCorrupt, p))
	}
	pages, err := r.flights.do(ctx, frameKey{id, n}, func(ctx context.Context) ([]volume.PageEntry, error) {
		return r.frame(ctx, state, n)
	})
	if err != nil {
		return nil, err
	}
	for _, e := range pages {
		if e.Idx == p {
			return e.Page, nil
		}
	}
	return nil, r.corrupt(state, "read frame", fmt.Errorf("%w: page %d is not in frame %d", volume.ErrCorrupt, p, n))
}

// frame fetches frame n of a Segment and stores its pages.
func (r *Remote) frame(ctx context.Context, state *volume.SegmentState, n int) ([]volume.PageEntry, error) {
	seg := &state.Segment
	f := seg.Frames.Frame(n)
	b, err := r.rangeOf(ctx, state, "read frame", f.Offset, f.Length)
	if err != nil {
		return nil, err
	}
	pages, err := volume.DecodeFrame(seg, f, b)
	if err != nil {
		return nil, r.corrupt(state, "read frame", err)
	}
	if err := r.store.Stage(seg.ID, pages); err != nil {
		r.log.Warn("keep fetched pages", "segment", seg.ID, "error", err) // they are right, whatever the disk
	}
	return pages, nil
}

// loadFooter fetches the frame index of a Segment that has it in its object,
// and stores it.
func (r *Remote) loadFooter(ctx context.Context, state *volume.SegmentState) (*volume.SegmentState, error) {
	rv, err := r.lockVolume(ctx, state.Volume)
	if err != nil {
		return nil, err
	}
	defer rv.unlock()
	if state, err = r.store.Segment(state.Segment.ID); err != nil || state.Segment.Frames.Len() > 0 {
		return state, err
	}
	footer := state.Segment.Footer
	b, err := r.rangeOf(ctx, state, "read frame index", footer.Offset, footer.Length)
	if err != nil {
		return nil, err
	}
	loaded := *state
	if loaded.Segment.Frames, err = volume.DecodeFooter(&state.Segment, b); err != nil {
		return nil, r.corrupt(state, "read frame index", err)
	}
	return &loaded, r.store.Apply(store.Change{Segments: []volume.SegmentState{loaded}})
}

// rangeOf reads a range of a Segment's object, which must be there.
func (r *Remote) rangeOf(ctx context.Context, state *volume.SegmentState, op string, off, length int64) ([]byte, error) {
	b, err := r.bucket.GetRange(ctx, state.Segment.ID.Key(), off, length)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.corrupt(state, op, fmt.Errorf("%w: %w", volume.ErrCorrupt, err))
	case errors.Is(err, objstore.ErrNotExist):
		if err := r.verify(ctx, state.Volume, state.LSN); err != nil {
			return nil, err
		}
		return nil, r.corrupt(state, op, fmt.Errorf("%w: %w", volume.ErrCorrupt, err))
	}
	return b, err
}

// corrupt names the Segment's object and the commit that it belongs to.
func (r *Remote) corrupt(state *volume.SegmentState, op string, err error) error {
	return &volume.Error{Op: op, Volume: state.Volume, LSN: state.LSN, Key: state.Segment.ID.Key(), Err: err}
}
