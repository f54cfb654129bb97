package sync

import (
	"context"
	"errors"
	"fmt"

	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// Page gives page p of the remote Segment id, which the Snapshot at names. It
// fetches the frame that holds the page, verifies it and stores all its pages;
// concurrent calls for one frame share one request. It implements
// [snapshot.Remote].
func (r *Remote) Page(ctx context.Context, at snapshot.Point, id volume.SegmentID, p volume.PageIdx) (*volume.Page, error) {
	lost := func() error {
		return fmt.Errorf("%w: page %d of segment %s is lost from the local store", volume.ErrCorrupt, p, id)
	}
	if at.IsZero() {
		return nil, lost()
	}
	x, err := r.index(ctx, at)
	if err != nil {
		return nil, err
	}
	if page := x.bundled(ctx, p, id); page != nil {
		return page, nil
	}
	a, ok, err := x.address(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, lost()
	}
	pages, err := r.frames.do(ctx, *a, func(ctx context.Context) ([]volume.PageEntry, error) { return r.frame(ctx, at, a) })
	if err != nil {
		return nil, err
	}
	for _, e := range pages {
		if e.Idx == p {
			return e.Page, nil
		}
	}
	return nil, r.corruptPart(partOf(at, a), "read frame", fmt.Errorf("%w: page %d is not in the frame at offset %d", volume.ErrCorrupt, p, a.Offset))
}

// bundled gives a page that came with the checkpoint, if it is what the Root
// names.
func (x *index) bundled(ctx context.Context, p volume.PageIdx, id volume.SegmentID) *volume.Page {
	x.mu.Lock()
	c := x.mu.checkpoint
	x.mu.Unlock()
	if c == nil {
		return nil
	}
	b, ok := c.Bundled(p)
	if !ok || b.Segment != id {
		return nil
	}
	x.bundleKept.Do(func() { x.keepBundle(ctx, c) })
	return b.Page
}

// keepBundle stores the bundled pages that the commit still has, so that they count
// as here.
func (x *index) keepBundle(ctx context.Context, c *volume.Checkpoint) {
	pages := make(map[volume.SegmentID][]volume.PageEntry)
	for _, b := range c.Bundle {
		if _, newer := x.recent.At(b.Idx); !newer && x.kept.Has(b.Idx) {
			pages[b.Segment] = append(pages[b.Segment], b.PageEntry)
		}
	}
	for id, entries := range pages {
		x.r.land(ctx, id, entries)
	}
}

// partOf gives the part that a frame is.
func partOf(at snapshot.Point, a *volume.Address) part {
	return part{at: at, place: place{key: a.Source.Key(), offset: a.Offset, length: a.Length}}
}

// frame gets a frame, verifies it and stores its pages.
func (r *Remote) frame(ctx context.Context, at snapshot.Point, a *volume.Address) ([]volume.PageEntry, error) {
	b, damage := r.inlineFrame(a)
	if damage != nil && (r.bucket == nil || !errors.Is(damage, volume.ErrCorrupt)) {
		return nil, damage
	}
	if b == nil {
		if r.bucket == nil {
			return nil, ErrNoRemote
		}
		var err error
		if b, err = r.get(ctx, partOf(at, a), "read frame"); err != nil {
			return nil, err
		}
	}
	pages, err := volume.DecodeFrameAt(a, b)
	if err != nil {
		return nil, r.corruptPart(partOf(at, a), "read frame", err)
	}
	r.land(ctx, a.Source.Segment, pages)
	if damage != nil {
		at := snapshot.Point{Volume: a.Source.Volume, LSN: a.Source.LSN}
		_, mended, err := r.mend(ctx, at)
		r.log.Warn("commit is damaged in the local log", "volume", at.Volume, "lsn", at.LSN, "error", damage, "mended", mended, "mending", err)
	}
	return pages, nil
}

// land keeps pages here, for whom nobody waits.
func (r *Remote) land(ctx context.Context, id volume.SegmentID, pages []volume.PageEntry) {
	if err := r.store.Land(ctx, id, pages); err != nil {
		r.log.Warn("keep fetched pages", "segment", id, "error", err) // they are right, whatever the disk
	}
}

// inlineFrame gives the bytes of a frame that lies in a commit of the local log,
// or nil.
func (r *Remote) inlineFrame(a *volume.Address) ([]byte, error) {
	if a.Source.LSN.IsZero() {
		return nil, nil
	}
	rec, err := r.store.Commit(a.Source.Volume, a.Source.LSN)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return rec.InlineFrame(a), err
}
