package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"graft/snapshot"
	"graft/volume"
)

const (
	// packTimeout is how long the upload of a pack may delay a push.
	packTimeout = 30 * time.Second
	// packShare is what part of the time that a push has left its pack gets: one in so
	// many. The commit needs the rest.
	packShare = 4
	// packPause is for how long no pack is made after one that was given up: so many
	// times as long as that took. A line that is too slow for packs does not delay each
	// push.
	packPause = 20
	// mergeTries is how often a merge is planned, each time without the packs that were
	// found not to be here.
	mergeTries = 4
)

// errNotPacked is returned for a pack that was not uploaded. Its pages lie where they
// lay before.
var errNotPacked = errors.New("graft: no pack")

// packing is a pack that is to be uploaded.
type packing struct {
	id     volume.SegmentID
	object []byte
	moved  volume.PageTable // where its pages lie then
}

// pack makes a pack of pages that lie as given, in ascending order, in commits or in
// packs, as planPack says and as far as they are stored here: it fetches none. It gives
// nil when there is nothing to merge, and fewer commits than so many to pack.
func (r *Remote) pack(pages []volume.PageAddress, loose int) *packing {
	if r.packsPause() {
		return nil
	}
	pages = slices.DeleteFunc(pages, func(e volume.PageAddress) bool {
		return !e.Frame.Source.LSN.IsZero() && !r.hasPage(e)
	})
	found := commits(pages)
	plan := r.planHere(pages)
	if len(plan.merged) == 0 && found < max(loose, 1) {
		return nil
	}
	all := plan.all()
	var object bytes.Buffer
	object.Grow(len(all) * volume.PageSize) // lest it takes up to thrice as much
	p := &packing{id: volume.NewSegmentID()}
	var err error
	if p.moved, err = writePack(&object, p.id, all, r.store.Page); err != nil {
		r.log.Warn("pack pages of small pushes", "error", err) // they stay where they are
		return nil
	}
	p.object = object.Bytes()
	return p
}

// planHere is planPack for packs of which all that is to be moved is stored here. Others
// are left alone: they would be read still, and the next push would find as many to merge
// as this one, and move the same pages again. It changes pages.
func (r *Remote) planHere(pages []volume.PageAddress) packPlan {
	var plan packPlan
	for range mergeTries {
		plan = planPack(pages)
		absent := make(map[volume.SegmentID]bool)
		for _, e := range plan.merged {
			if pack := e.Frame.Source.Pack; !absent[pack] && !r.hasPage(e) {
				absent[pack] = true
			}
		}
		if len(absent) == 0 {
			return plan
		}
		pages = slices.DeleteFunc(pages, func(e volume.PageAddress) bool { return absent[e.Frame.Source.Pack] })
	}
	plan.merged = nil
	return plan
}

// hasPage tells whether a page is stored here.
func (r *Remote) hasPage(e volume.PageAddress) bool {
	has, err := r.store.HasPage(e.Frame.Source.Segment, e.Idx)
	return has && err == nil
}

// writePack writes a pack of pages, which read gives, to w, and says where they lie
// then. Equal pages give equal bytes.
func writePack(w io.Writer, id volume.SegmentID, pages []volume.PageAddress, read func(volume.SegmentID, volume.PageIdx) (*volume.Page, error)) (volume.PageTable, error) {
	pw := volume.NewPackWriter(w, id)
	var frame []volume.PageEntry
	for i, e := range pages {
		segment := e.Frame.Source.Segment
		page, err := read(segment, e.Idx)
		if err != nil {
			return volume.PageTable{}, fmt.Errorf("read page %d of segment %s to pack: %w", e.Idx, segment, err)
		}
		frame = append(frame, volume.PageEntry{Idx: e.Idx, Page: page})
		if len(frame) < volume.FramePages && i+1 < len(pages) && pages[i+1].Frame.Source.Segment == segment {
			continue
		}
		if err := pw.Add(segment, frame); err != nil {
			return volume.PageTable{}, err
		}
		frame = frame[:0]
	}
	return pw.Close()
}

// packSince packs what c, which has no checkpoint of its own, names of the commits
// before it, if these are many.
func (r *Remote) packSince(ctx context.Context, c *volume.Commit, p *prepared) error {
	since := pagesIn(nil, c.Since, packable(c))
	if commits(since) < r.maxLoose {
		return nil
	}
	pk := r.pack(since, r.maxLoose)
	if pk == nil {
		return nil
	}
	p.keys = append(p.keys, pk.id.Key())
	switch err := r.uploadPack(ctx, pk); {
	case err == nil:
		c.Since, c.Pack = c.Since.With(pk.moved), pk.id
	case ctx.Err() != nil:
		return err
	default:
		r.log.Warn("upload a pack", "key", pk.id.Key(), "error", err)
		p.giveUp(len(p.keys) - 1)
	}
	return nil
}

// packLeaves packs pages of leaves that a checkpoint of c writes anew.
func (r *Remote) packLeaves(c *volume.Commit, leaves map[volume.LeafIdx]volume.PageTable) *packing {
	var pages []volume.PageAddress
	for _, n := range slices.Sorted(maps.Keys(leaves)) {
		pages = pagesIn(pages, leaves[n], packable(c))
	}
	return r.pack(pages, r.minLoose)
}

// packable tells of which sources a push of c may pack pages: of other commits of its
// Volume, for a fork leaves alone what its ancestors' commits have, and of packs. Whose a
// pack is nothing tells, so a fork merges those that it shares as well.
func packable(c *volume.Commit) func(volume.Source) bool {
	return func(s volume.Source) bool { return s.Volume == c.Volume && s.LSN < c.LSN || !s.Pack.IsZero() }
}

// pagesIn appends to pages those of t whose source is one of some.
func pagesIn(pages []volume.PageAddress, t volume.PageTable, some func(volume.Source) bool) []volume.PageAddress {
	for idx, a := range t.All() {
		if some(a.Source) {
			pages = append(pages, volume.PageAddress{Idx: idx, Frame: a})
		}
	}
	return pages
}

// uploadPack uploads a pack, or returns errNotPacked.
func (r *Remote) uploadPack(ctx context.Context, p *packing) error {
	begin, timeout := r.now(), r.packTimeout
	if end, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(end)/packShare)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := r.bucket.UploadBytes(ctx, p.id.Key(), p.object); err != nil {
		if ctx.Err() != nil {
			r.pausePacks(begin)
		}
		return fmt.Errorf("%w: %w", errNotPacked, err)
	}
	return nil
}

// pausePacks has no pack made for a while, because one was given up that was begun then.
func (r *Remote) pausePacks(begun time.Time) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.packsFrom = now.Add(packPause * now.Sub(begun))
}

func (r *Remote) packsPause() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now().Before(r.mu.packsFrom)
}

// restorePack uploads the pack of a pending commit again, to the byte, if it is gone.
// Pages that are not here any more it fetches from where the commit at, which is before
// c, has them.
func (r *Remote) restorePack(ctx context.Context, c *volume.Commit, at snapshot.Point) error {
	if c.Pack.IsZero() {
		return nil
	}
	has, err := r.bucket.Exists(ctx, c.Pack.Key())
	if err != nil || has {
		return err
	}
	want, err := r.packed(c)
	if err != nil {
		return fmt.Errorf("restore pack %s: %w", c.Pack, err)
	}
	if err := r.fetchPacked(ctx, at, want); err != nil {
		return fmt.Errorf("restore pack %s: %w", c.Pack, err)
	}
	var object bytes.Buffer
	got, err := writePack(&object, c.Pack, want, func(id volume.SegmentID, p volume.PageIdx) (*volume.Page, error) {
		if page, err := r.store.Page(id, p); err == nil {
			return page, nil
		}
		return r.Page(ctx, at, id, p)
	})
	if err == nil && !slices.EqualFunc(pagesIn(nil, got, packedBy(c)), want, func(a, b volume.PageAddress) bool { return a.Idx == b.Idx && *a.Frame == *b.Frame }) {
		err = fmt.Errorf("%w: it comes out otherwise than it was pushed", volume.ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("restore pack %s: %w", c.Pack, err)
	}
	return r.bucket.UploadBytes(ctx, c.Pack.Key(), object.Bytes())
}

// fetchPacked fetches those of some pages that are not here, which the commit at has,
// neighbours together. What it does not get, whoever reads it gets alone.
func (r *Remote) fetchPacked(ctx context.Context, at snapshot.Point, pages []volume.PageAddress) error {
	var absent []volume.PageIdx
	for _, e := range pages {
		if !r.hasPage(e) {
			absent = append(absent, e.Idx)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	root, err := r.Root(ctx, at)
	if err != nil {
		return err
	}
	if err := r.Prefetch(ctx, at, root, absent); err != nil {
		r.log.Warn("fetch pages to pack again", "error", err)
	}
	return ctx.Err()
}

// packed gives the pages that lie in the pack of c: c names them itself, or its own
// checkpoint in the chunks that it wrote.
func (r *Remote) packed(c *volume.Commit) ([]volume.PageAddress, error) {
	pages := pagesIn(nil, c.Since, packedBy(c))
	if !c.OwnCheckpoint() {
		return pages, nil
	}
	root, err := r.store.Object(c.Checkpoint.Sum)
	if err != nil {
		return nil, err
	}
	cp, err := volume.DecodeCheckpoint(c.Checkpoint, root)
	if err != nil {
		return nil, err
	}
	for _, ch := range cp.Chunks {
		if ch.Object != cp.Key {
			continue
		}
		b, err := r.store.Object(ch.Sum)
		if err != nil {
			return nil, err
		}
		t, err := volume.DecodeChunk(ch, b)
		if err != nil {
			return nil, err
		}
		pages = pagesIn(pages, t, packedBy(c))
	}
	return pages, nil
}

// packedBy tells which sources lie in the pack of c.
func packedBy(c *volume.Commit) func(volume.Source) bool {
	return func(s volume.Source) bool { return s.Pack == c.Pack }
}
