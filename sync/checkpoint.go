package sync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"graft/snapshot"
	"graft/volume"
)

const (
	// maxSince is about how many bytes of addresses a commit carries for itself and
	// for what changed since its checkpoint, before it takes a checkpoint of its own.
	maxSince = 16 << 10
	// maxEmbedded is how many bytes of a checkpoint are embedded in its commit at
	// most: whoever reads that needs no request more to find pages.
	maxEmbedded = 160 << 10
)

// lineage is what a push builds on: the commit before it, as an index, or none.
type lineage struct {
	parent *index // nil: the Volume begins
	origin bool   // the parent is a commit of the Volume that this one forks
}

// lineageOf gives the lineage of the next remote commit of a Graft.
func (r *Remote) lineageOf(ctx context.Context, st *volume.GraftState) (lineage, error) {
	at := snapshot.PointOf(st)
	if at.IsZero() {
		return lineage{}, nil
	}
	x, err := r.index(ctx, at)
	return lineage{x, st.SyncPoint.Remote.IsZero()}, err
}

// begin enters in c, whose LSN and page counts are set, what follows from its
// lineage: the parent, and what changed since the parent's checkpoint, without
// the pages that c has itself.
func (l lineage) begin(c *volume.Commit, own volume.PageSet) {
	if l.parent == nil {
		return
	}
	p := &l.parent.rec.Commit
	c.Parent, c.Ancestors = l.parent.rec.Hash(), p.Ancestors
	if l.origin {
		c.Ancestors = append([]volume.Origin{{Volume: p.Volume, LSN: p.LSN}}, p.Ancestors...)
	}
	c.Checkpoint, c.SinceKept = p.Checkpoint, c.Kept
	if !p.OwnCheckpoint() {
		c.SinceKept = min(c.Kept, l.parent.kept)
	}
	var since []volume.PageAddress
	for idx, frame := range l.parent.recent.Truncated(c.Kept).All() {
		if !own.Contains(idx) {
			since = append(since, volume.PageAddress{Idx: idx, Frame: frame})
		}
	}
	c.Since = volume.NewPageTable(since)
}

// importShare tells an import: a commit of one page in so many, or more, that are not
// inline. Its checkpoint costs little beside them, and is where each replica begins.
const importShare = 4

// needsCheckpoint tells whether c, whose pages lie as own says, is to have a
// checkpoint of its own.
func (r *Remote) needsCheckpoint(c *volume.Commit, own volume.PageTable) bool {
	inline := slices.ContainsFunc(c.Segments, func(s volume.Segment) bool { return s.Inline })
	if !inline && own.Len() > 0 && uint64(own.Len())*importShare >= uint64(c.PageCount) {
		return true
	}
	return slices.ContainsFunc(c.Segments, func(s volume.Segment) bool { return !s.Footer.IsZero() }) ||
		own.EncodedSize(c.Volume)+c.Since.EncodedSize(c.Volume) > r.maxSince
}

// maxEmbeddingSets is how many bytes the page sets of a commit take at most that has
// a checkpoint embedded: its object has to stay within bounds.
const maxEmbeddingSets = 16 << 10

// embeds tells whether a checkpoint of so many bytes is embedded in c.
func (r *Remote) embeds(c *volume.Commit, size int) bool {
	sets := 0
	for _, s := range c.Segments {
		sets += s.Pages.EncodedSize()
	}
	return size <= r.maxEmbedded && sets <= maxEmbeddingSets
}

// addCheckpoint makes a checkpoint of c, whose pages lie as own says, and lets c
// name it. It gives what is to be embedded in c behind so many bytes of frames; where
// that is too much, it writes an object. Chunks of leaves that did not change since
// the last checkpoint stay where they are, unless all of them are small. What lies in
// commits, of the leaves that did change, goes into a pack, if one can be had.
func (r *Remote) addCheckpoint(ctx context.Context, l lineage, c *volume.Commit, own volume.PageTable, bundle []volume.BundledPage, frames int, p *prepared) ([]byte, error) {
	kept, leaves, err := l.chunks(ctx, c.Since.With(own), c.SinceKept)
	if err != nil {
		return nil, err
	}
	cp := volume.Checkpoint{Key: volume.CheckpointKey{Volume: c.Volume, LSN: c.LSN}, PageCount: c.PageCount, Bundle: bundle, Chunks: kept}
	var pk *packing
	if !l.origin {
		pk = r.packLeaves(c, leaves)
	}
	before := len(p.keys)
	embedded, err := r.writeCheckpoint(ctx, cp, leaves, pk, c, frames, p)
	if errors.Is(err, errNotPacked) && ctx.Err() == nil {
		r.log.Warn("upload a pack", "volume", c.Volume, "error", err)
		p.giveUp(before)
		embedded, err = r.writeCheckpoint(ctx, cp, leaves, nil, c, frames, p)
	}
	return embedded, err
}

// writeCheckpoint is addCheckpoint for a checkpoint of chunks that are kept, and of
// leaves, whose pages are moved into a pack, if there is one. It uploads both at once.
func (r *Remote) writeCheckpoint(ctx context.Context, cp volume.Checkpoint, leaves map[volume.LeafIdx]volume.PageTable, pk *packing, c *volume.Commit, frames int, p *prepared) ([]byte, error) {
	if pk != nil {
		leaves = maps.Clone(leaves)
		for n := range pk.moved.Leaves() {
			leaves[n] = leaves[n].With(pk.moved.Leaf(n))
		}
	}
	at := volume.CheckpointAt(frames)
	built, object, ref, err := volume.BuildCheckpoint(cp, at, cp.Chunks, ordered(leaves))
	if err == nil && !r.embeds(c, len(object)) {
		cp.Key, at = volume.NewCheckpointKey(c.Volume, c.LSN), 0
		built, object, ref, err = volume.BuildCheckpoint(cp, at, cp.Chunks, ordered(leaves))
	}
	if err != nil {
		return nil, err
	}
	if err := r.keepCheckpoint(built, ref, object, at, p); err != nil {
		return nil, err
	}
	g, both := errgroup.WithContext(ctx)
	if pk != nil {
		p.keys = append(p.keys, pk.id.Key())
		g.Go(func() error { return r.uploadPack(both, pk) })
	}
	if !cp.Key.Embedded() {
		p.keys = append(p.keys, ref.Key())
		g.Go(func() error {
			if err := r.bucket.UploadBytes(both, ref.Key(), object); err != nil {
				return fmt.Errorf("put checkpoint: %w", err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	c.Checkpoint, c.Since, c.SinceKept = ref, volume.PageTable{}, c.Kept
	if pk != nil {
		c.Pack = pk.id
	}
	if cp.Key.Embedded() {
		return object, nil
	}
	return nil, nil
}

// ordered yields leaves that have pages, in order.
func ordered(leaves map[volume.LeafIdx]volume.PageTable) iter.Seq2[volume.LeafIdx, volume.PageTable] {
	return func(yield func(volume.LeafIdx, volume.PageTable) bool) {
		for _, n := range slices.Sorted(maps.Keys(leaves)) {
			if leaves[n].Len() > 0 && !yield(n, leaves[n]) {
				return
			}
		}
	}
}

// keepCheckpoint stores the parts of a checkpoint, whose bytes from offset at on are
// object, and holds them with those that it refers to.
func (r *Remote) keepCheckpoint(built *volume.Checkpoint, ref volume.CheckpointRef, object []byte, at int64, p *prepared) error {
	parts := map[volume.Hash][]byte{ref.Sum: object[ref.Offset-at:]}
	p.held = append(p.held, r.store.HoldObject(ref.Sum))
	for i := range built.Chunks {
		ch := &built.Chunks[i]
		p.held = append(p.held, r.store.HoldObject(ch.Sum))
		if ch.Object == built.Key {
			parts[ch.Sum] = object[ch.Offset-at:][:ch.Length]
		}
	}
	return r.store.PutObjects(parts)
}

// chunks gives the chunks of the last checkpoint that hold still, and the tables
// of the leaves that changed: by the pages in recent, and by what was cut off
// above count.
func (l lineage) chunks(ctx context.Context, recent volume.PageTable, count volume.PageCount) (kept []volume.Chunk, changed map[volume.LeafIdx]volume.PageTable, err error) {
	changed = make(map[volume.LeafIdx]volume.PageTable)
	for n := range recent.Leaves() {
		changed[n] = recent.Leaf(n)
	}
	if l.parent != nil {
		kept, err = l.oldChunks(ctx, changed, count)
	}
	return kept, changed, err
}

// oldChunks enters the pages of the last checkpoint in the leaves of next, and
// gives the chunks of all other leaves within count.
func (l lineage) oldChunks(ctx context.Context, next map[volume.LeafIdx]volume.PageTable, count volume.PageCount) (kept []volume.Chunk, err error) {
	c, err := l.parent.checkpoint(ctx, true)
	if err != nil || c == nil {
		return nil, err
	}
	all := l.parent.hasChunks(ctx, c)
	var mixed []volume.LeafIdx
	for _, ch := range c.Chunks {
		changes := false
		for n := range ch.All() {
			_, has := next[n]
			changes = changes || has
		}
		first, end := uint64(ch.Leaf)*volume.LeafPages, (uint64(ch.Leaf)+uint64(ch.Leaves))*volume.LeafPages
		cut := end > uint64(count) && count < c.PageCount
		switch {
		case first >= uint64(count): // all of it is cut off
		case all || cut || changes:
			mixed = slices.AppendSeq(mixed, ch.All())
		default:
			kept = append(kept, ch)
		}
	}
	if err := l.parent.loadChunks(ctx, mixed); err != nil {
		return nil, err
	}
	for _, n := range mixed {
		old, err := l.parent.chunk(ctx, n, true)
		if err != nil {
			return nil, err
		}
		next[n] = old.Truncated(count).With(next[n])
	}
	return kept, nil
}

// maxRewritten is how many bytes of chunks a checkpoint writes again at most that
// are as they were, so that they lie with its root and take no request.
const maxRewritten = 64 << 10

// hasChunks tells whether a checkpoint has chunks of few bytes, and all are here.
func (x *index) hasChunks(ctx context.Context, c *volume.Checkpoint) bool {
	bytes := int64(0)
	for i := range c.Chunks {
		if bytes += c.Chunks[i].Length; bytes > maxRewritten {
			return false
		}
	}
	for i := range c.Chunks {
		if _, err := x.r.object(ctx, x.partOf(&c.Chunks[i]), false); err != nil {
			return false
		}
	}
	return true
}
