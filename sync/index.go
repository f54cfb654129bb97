package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	counts "graft/internal/meter"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// index is the page index of a remote Volume at one commit. It implements
// [snapshot.RemoteLeaves]. What it says never changes; what it was loaded from is
// kept, the objects in the local store too.
//
// The newest version of a page is looked for in the commit itself and in what it
// says changed since its checkpoint, then in the checkpoint, but for pages that
// were cut off since.
type index struct {
	r      *Remote
	at     snapshot.Point
	rec    volume.Record
	recent volume.PageTable // pages that changed since the checkpoint
	kept   volume.PageCount // of the checkpoint, what was never cut off since

	bundleKept sync.Once

	mu struct {
		sync.Mutex
		checkpoint *volume.Checkpoint                  // once it is loaded
		chunks     map[volume.LeafIdx]volume.PageTable // by their first leaf
	}
}

const (
	// maxChunks is how many decoded chunks an index keeps. It forgets all of them
	// then, for those in use come back at once.
	maxChunks = 64
	// wholeCheckpoint is how many bytes of chunks in front of a root are read along
	// with it, or as many as the root has.
	wholeCheckpoint = 256 << 10
	// chunksAround is how many bytes of chunks are read along with one that is
	// missing: it takes no request more, and saves one for nearly each page.
	chunksAround = 256 << 10
)

// newIndex gives the index of a commit, which is ErrCorrupt if it was not pushed.
func newIndex(r *Remote, rec volume.Record) (*index, error) {
	c := &rec.Commit
	x := &index{r: r, at: snapshot.Point{Volume: c.Volume, LSN: c.LSN}, rec: rec, kept: c.SinceKept}
	own, ok := c.Own()
	switch {
	case c.OwnCheckpoint():
		x.kept = c.PageCount
	case ok && !c.PushID.IsZero():
		x.recent = c.Since.With(own)
	default:
		return nil, &volume.Error{Op: "read page index", Volume: c.Volume, LSN: c.LSN, Err: fmt.Errorf("%w: the commit was never pushed", volume.ErrCorrupt)}
	}
	x.mu.chunks = make(map[volume.LeafIdx]volume.PageTable)
	return x, nil
}

// index gives the index of a commit that is in the local log. A record that is
// damaged there it gets from the bucket.
func (r *Remote) index(ctx context.Context, at snapshot.Point) (*index, error) {
	return r.indexOf(at, func(v volume.VolumeID, l volume.LSN) (volume.Record, error) { return r.known(ctx, v, l) })
}

// indexOf is index with a way to read the record.
func (r *Remote) indexOf(at snapshot.Point, read func(volume.VolumeID, volume.LSN) (volume.Record, error)) (*index, error) {
	r.mu.Lock()
	x := r.mu.indexes[at]
	r.mu.Unlock()
	if x != nil {
		return x, nil
	}
	rec, err := read(at.Volume, at.LSN)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &volume.Error{Op: "read page index", Volume: at.Volume, LSN: at.LSN, Err: fmt.Errorf("%w: the commit is lost from the local store: %w", volume.ErrCorrupt, err)}
	}
	if err != nil {
		return nil, err
	}
	if x, err = newIndex(r, rec); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mu.indexes) >= maxIndexes {
		clear(r.mu.indexes)
	}
	r.mu.indexes[at] = x
	return x, nil
}

// maxIndexes is how many indexes a Remote keeps. Those that are in use are kept by
// the Roots over them.
const maxIndexes = 64

// Root implements [snapshot.Remote].
func (r *Remote) Root(ctx context.Context, at snapshot.Point) (*snapshot.Root, error) {
	x, err := r.index(ctx, at)
	if err != nil {
		return nil, err
	}
	return snapshot.OpenRoot(x.rec.Commit.PageCount, x), nil
}

// Objects implements [snapshot.Remote].
func (r *Remote) Objects(at snapshot.Point, fn func(volume.Hash)) error {
	x, err := r.indexOf(at, r.store.Commit)
	if err != nil {
		return err
	}
	return x.objects(fn)
}

// ObjectsOf implements [snapshot.Remote].
func (r *Remote) ObjectsOf(rec volume.Record, fn func(volume.Hash)) error {
	x, err := newIndex(r, rec)
	if err != nil {
		return err
	}
	return x.objects(fn)
}

// objects calls fn with the sums of the checkpoint and its chunks, as far as they
// are known without a request.
func (x *index) objects(fn func(volume.Hash)) error {
	if x.rec.Commit.Checkpoint.CheckpointKey.IsZero() {
		return nil
	}
	fn(x.rec.Commit.Checkpoint.Sum)
	c, err := x.checkpoint(context.Background(), false)
	if errors.Is(err, snapshot.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range c.Chunks {
		fn(c.Chunks[i].Sum)
	}
	return nil
}

// Segment implements [snapshot.RemoteLeaves].
func (x *index) Segment(ctx context.Context, p volume.PageIdx, fetch bool) (id volume.SegmentID, known bool, err error) {
	if a, ok := x.recent.At(p); ok {
		return a.Source.Segment, true, nil
	}
	if !x.kept.Has(p) {
		return id, true, nil
	}
	c, err := x.checkpoint(ctx, fetch)
	if err != nil || c == nil || c.Chunk(volume.LeafOf(p)) == nil {
		return id, err == nil, err
	}
	b, ok := c.Bundled(p)
	return b.Segment, ok, nil
}

// Leaf implements [snapshot.RemoteLeaves].
func (x *index) Leaf(ctx context.Context, n volume.LeafIdx, fetch bool) (*volume.Leaf, error) {
	t, err := x.leaf(ctx, n, fetch)
	if err != nil || t.Len() == 0 {
		return nil, err
	}
	l := new(volume.Leaf)
	for p, a := range t.All() {
		l[(p-1)%volume.LeafPages] = a.Source.Segment
	}
	return l, nil
}

// leaf says where the pages of leaf n lie.
func (x *index) leaf(ctx context.Context, n volume.LeafIdx, fetch bool) (volume.PageTable, error) {
	chunk, err := x.chunk(ctx, n, fetch)
	if err != nil {
		return volume.PageTable{}, err
	}
	return chunk.Truncated(x.kept).With(x.recent.Leaf(n)), nil
}

// NextLeaf implements [snapshot.RemoteLeaves].
func (x *index) NextLeaf(ctx context.Context, n volume.LeafIdx) (next volume.LeafIdx, ok bool, err error) {
	c, err := x.checkpoint(ctx, false)
	if err != nil {
		return 0, false, err
	}
	next, ok = x.recent.NextLeaf(n)
	if c == nil {
		return next, ok, nil
	}
	kept, has := c.NextLeaf(n)
	if has && x.kept.Has(volume.PageIdx(kept)*volume.LeafPages+1) && (!ok || kept < next) {
		return kept, true, nil
	}
	return next, ok, nil
}

// checkpoint gives the checkpoint that the index rests on, or nil when there is
// none. Without fetch it makes no request: ErrAbsent tells that it would take one.
func (x *index) checkpoint(ctx context.Context, fetch bool) (*volume.Checkpoint, error) {
	ref := x.rec.Commit.Checkpoint
	if ref.CheckpointKey.IsZero() {
		return nil, nil
	}
	x.mu.Lock()
	c := x.mu.checkpoint
	x.mu.Unlock()
	if c != nil {
		return c, nil
	}
	root := part{at: x.at, place: place{ref.Key(), ref.Offset, ref.Length, ref.Sum}}
	b, err := x.r.object(ctx, root, false)
	switch {
	case !errors.Is(err, snapshot.ErrAbsent):
	case x.rec.Commit.OwnCheckpoint() && ref.Embedded():
		return x.keepRoot(root, x.rec.Bytes)
	case fetch:
		b, err = x.r.objectBy(ctx, root, true, func(ctx context.Context) ([]byte, error) { return x.getRoot(ctx, root) })
	}
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.checkpoint != nil { // getRoot read it
		return x.mu.checkpoint, nil
	}
	if c, err = volume.DecodeCheckpoint(ref, b); err != nil {
		return nil, x.r.corruptPart(root, "read checkpoint", fmt.Errorf("root at offset %d: %w", ref.Offset, err))
	}
	x.mu.checkpoint = c
	return c, nil
}

// getRoot reads the root of a checkpoint, and the chunks in front of it where that
// is not much.
func (x *index) getRoot(ctx context.Context, root part) ([]byte, error) {
	if root.offset > max(wholeCheckpoint, root.length) {
		return x.r.getObject(ctx, root)
	}
	whole := root
	whole.offset, whole.length = 0, root.offset+root.length
	object, err := x.r.get(ctx, whole, "read checkpoint")
	if err != nil {
		return nil, err
	}
	if err := x.r.checkPart(root, object[root.offset:]); err != nil {
		return nil, err
	}
	if _, err := x.keepRoot(root, object); err != nil {
		return nil, err
	}
	return object[root.offset:], nil
}

// keepRoot decodes the root of a checkpoint in the bytes of its object, which may
// have more behind it, and stores it with those chunks in front of it that are right.
func (x *index) keepRoot(root part, object []byte) (*volume.Checkpoint, error) {
	b := object[root.offset : root.offset+root.length]
	c, err := x.r.takeEmbedded(root.sum), error(nil)
	if c == nil {
		c, err = volume.DecodeCheckpoint(x.rec.Commit.Checkpoint, b)
	}
	if err != nil {
		return nil, x.r.corruptPart(root, "read checkpoint", fmt.Errorf("root at offset %d: %w", root.offset, err))
	}
	parts := map[volume.Hash][]byte{root.sum: b}
	for i := range c.Chunks {
		ch := x.partOf(&c.Chunks[i])
		if ch.key != root.key || ch.offset+ch.length > root.offset {
			continue
		}
		if b := object[ch.offset : ch.offset+ch.length]; volume.HashOf(b) == ch.sum {
			parts[ch.sum] = b
		}
	}
	if err := x.r.store.LandObjects(parts); err != nil {
		x.r.log.Warn("keep page index", "key", root.key, "error", err) // it is right, whatever the disk
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.checkpoint = c
	return c, nil
}

// chunk gives what the checkpoint says of leaf n.
func (x *index) chunk(ctx context.Context, n volume.LeafIdx, fetch bool) (volume.PageTable, error) {
	c, err := x.checkpoint(ctx, fetch)
	if err != nil || c == nil {
		return volume.PageTable{}, err
	}
	ch := c.Chunk(n)
	if ch == nil {
		return volume.PageTable{}, nil
	}
	x.mu.Lock()
	t, ok := x.mu.chunks[ch.Leaf]
	x.mu.Unlock()
	if ok {
		return t.Leaf(n), nil
	}
	b, err := x.r.object(ctx, x.partOf(ch), false)
	if errors.Is(err, snapshot.ErrAbsent) && fetch {
		b, err = x.getChunk(ctx, c, ch)
	}
	if err != nil {
		return volume.PageTable{}, err
	}
	if t, err = x.decode(ch, b); err != nil {
		return t, err
	}
	return t.Leaf(n), nil
}

// getChunk gets a chunk from the bucket, and those around it if that is no harm: neither
// what is wrong with one of them, nor a budget that they have no room in, keeps this one
// from being had.
func (x *index) getChunk(ctx context.Context, c *volume.Checkpoint, ch *volume.Chunk) ([]byte, error) {
	p := x.partOf(ch)
	err := x.getChunks(ctx, coalesce(x.around(ctx, c, ch))[:1]) // of one request
	if err != nil && !errors.Is(err, volume.ErrCorrupt) && !errors.Is(err, counts.ErrBudget) {
		return nil, err
	}
	return x.r.object(ctx, p, true)
}

// around gives the chunks that lie near one in its object and are not here, that one
// first.
func (x *index) around(ctx context.Context, c *volume.Checkpoint, wanted *volume.Chunk) []part {
	near := []part{x.partOf(wanted)}
	for i := range c.Chunks {
		ch := &c.Chunks[i]
		if from, to := min(ch.Offset, wanted.Offset), max(ch.Offset+ch.Length, wanted.Offset+wanted.Length); ch != wanted && ch.Object == wanted.Object && to-from <= chunksAround/2 {
			if _, err := x.r.object(ctx, x.partOf(ch), false); err != nil {
				near = append(near, x.partOf(ch))
			}
		}
	}
	return near
}

// partOf says where a chunk lies.
func (x *index) partOf(ch *volume.Chunk) part {
	return part{at: x.at, place: place{ch.Object.Key(), ch.Offset, ch.Length, ch.Sum}}
}

// decode reads a chunk and keeps it.
func (x *index) decode(ch *volume.Chunk, b []byte) (volume.PageTable, error) {
	t, err := volume.DecodeChunk(*ch, b)
	if err != nil {
		return t, x.r.corruptPart(x.partOf(ch), "read chunk of checkpoint", fmt.Errorf("chunk at offset %d: %w", ch.Offset, err))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.mu.chunks) >= maxChunks {
		clear(x.mu.chunks)
	}
	x.mu.chunks[ch.Leaf] = t
	return t, nil
}

// loadChunks has the chunks of those leaves in the local store that are not, in
// few requests.
func (x *index) loadChunks(ctx context.Context, leaves []volume.LeafIdx) error {
	c, err := x.checkpoint(ctx, true)
	if err != nil || c == nil {
		return err
	}
	var absent []part
	seen := make(map[*volume.Chunk]bool)
	for _, n := range leaves {
		ch := c.Chunk(n)
		if ch == nil || seen[ch] {
			continue
		}
		seen[ch] = true
		_, err := x.r.object(ctx, x.partOf(ch), false)
		if errors.Is(err, snapshot.ErrAbsent) {
			absent = append(absent, x.partOf(ch))
		} else if err != nil {
			return err
		}
	}
	if err := x.getChunks(ctx, coalesce(absent)); err != nil {
		return err
	}
	for _, p := range absent { // that somebody else gets
		if _, err := x.r.object(ctx, p, true); err != nil {
			return err
		}
	}
	return nil
}

// getChunks has chunks in the local store that nobody else gets already. A chunk that
// is damaged is an error, but the others of its range are stored.
func (x *index) getChunks(ctx context.Context, absent []span) error {
	led := newLed(x.r.objects)
	defer led.giveUp()
	take := func(p part) bool {
		return led.take(p.place, func() bool {
			_, err := x.r.object(ctx, p, false)
			return err == nil
		})
	}
	return x.r.getSpans(ctx, absent, take, func(s span, b []byte) error {
		chunks := make(map[volume.Hash][]byte, len(s.parts))
		var damage error
		for _, p := range s.parts {
			if err := x.r.checkPart(p, s.of(p, b)); err != nil {
				damage = err
			} else {
				chunks[p.sum] = s.of(p, b)
			}
		}
		if err := x.r.store.LandObjects(chunks); err != nil {
			return err
		}
		for _, p := range s.parts {
			if chunk := chunks[p.sum]; chunk != nil {
				led.land(p.place, chunk)
				led.forget(p.place)
			}
		}
		return damage
	})
}

// address says where page p of Segment id lies. It is false when the index has no
// such page.
func (x *index) address(ctx context.Context, p volume.PageIdx, id volume.SegmentID) (*volume.Address, bool, error) {
	a, ok := x.recent.At(p)
	if !ok && x.kept.Has(p) {
		t, err := x.chunk(ctx, volume.LeafOf(p), true)
		if err != nil {
			return nil, false, err
		}
		a, ok = t.At(p)
	}
	return a, ok && a.Source.Segment == id, nil
}

// leaves gives the numbers of all leaves with a written page.
func (x *index) leaves(ctx context.Context) ([]volume.LeafIdx, error) {
	all := slices.Collect(x.recent.Leaves())
	c, err := x.checkpoint(ctx, true)
	if err != nil || c == nil {
		return all, err
	}
	for i := range c.Chunks {
		all = slices.AppendSeq(all, c.Chunks[i].All())
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
