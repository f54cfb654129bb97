package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"graft/internal/sqlitefile"
	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
)

const (
	// WarmSize is how many bytes the object of a warm set has, at most, where
	// nothing else is said.
	WarmSize = 1 << 20
	// warmTimeout bounds how long a clone waits for a warm set.
	warmTimeout = 10 * time.Second
	// warmKeys is how many keys of warm sets are listed: there should be one.
	warmKeys = 100
	// warmRootShare bounds the root of the checkpoint in a warm set: it takes one
	// in so many bytes of it, at most.
	warmRootShare = 2
)

// WarmPublished is what a warm set has that was published.
type WarmPublished struct {
	LSN   volume.LSN // of the remote Volume
	Pages int
	Bytes int64 // of the object
}

// PublishWarm puts the pages of h's Graft that were used here since it was opened,
// as [snapshot.Head.Used] has them, in an object of the bucket beside the log, so
// that a new replica gets them all at once: the interior pages of B-trees, then the
// others by their first use, as far as budget bytes go. Zero is [WarmSize]. What is
// not pushed is not in it, and what is not stored here. It takes the place of all
// warm sets that are not of a newer LSN. ErrNoVolume tells that nothing is pushed yet.
// When no page was used, nothing is put.
func (r *Remote) PublishWarm(ctx context.Context, h *snapshot.Head, budget int64) (WarmPublished, error) {
	st, pinned := h.Pin()
	defer pinned.Close()
	at := pinned.Snapshot().Point()
	switch {
	case r.bucket == nil:
		return WarmPublished{}, ErrNoRemote
	case budget < 0 || budget > volume.MaxWarmSize:
		return WarmPublished{}, fmt.Errorf("graft: a warm set of %d bytes is over the limit of %d", budget, volume.MaxWarmSize)
	case at.IsZero() || at.Volume != st.Remote:
		return WarmPublished{}, &volume.Error{Op: "publish warm set", Volume: st.Remote, Err: ErrNoVolume}
	case budget == 0:
		budget = WarmSize
	}
	set, err := r.buildWarm(ctx, pinned, h.Used(), budget)
	if err != nil || len(set.Pages) == 0 {
		return WarmPublished{LSN: at.LSN}, err
	}
	key, object, err := volume.EncodeWarm(set)
	if err != nil {
		return WarmPublished{}, err
	}
	if err := r.putWarm(ctx, key, object); err != nil {
		return WarmPublished{}, fmt.Errorf("publish warm set: %w", err)
	}
	return WarmPublished{at.LSN, len(set.Pages), int64(len(object))}, nil
}

// putWarm puts a warm set, and removes those whose place it takes. One that stays
// because that fails is removed by the next.
func (r *Remote) putWarm(ctx context.Context, key volume.WarmKey, object []byte) error {
	if err := r.proveVolume(ctx, key.Volume); err != nil {
		return err
	}
	old, err := r.warmKeys(ctx, key.Volume)
	if err != nil {
		return err
	}
	if err := r.bucket.UploadBytes(ctx, key.Key(), object); err != nil {
		return err
	}
	for _, k := range old {
		if k == key || k.LSN > key.LSN {
			continue
		}
		if err := r.bucket.Delete(ctx, k.Key()); err != nil && !errors.Is(err, objstore.ErrNotExist) {
			r.log.Warn("delete warm set", "key", k.Key(), "error", err)
		}
	}
	return nil
}

// proveVolume makes sure that the bucket is the one that v was synced with, unless
// that is known.
func (r *Remote) proveVolume(ctx context.Context, v volume.VolumeID) error {
	rv, err := r.lockVolume(ctx, v)
	if err != nil {
		return err
	}
	defer rv.unlock()
	known, err := r.store.Head(v)
	if err != nil {
		return err
	}
	return r.prove(ctx, rv, v, known, time.Time{})
}

// warmKeys gives the warm sets of v that a listing names, newest first.
func (r *Remote) warmKeys(ctx context.Context, v volume.VolumeID) ([]volume.WarmKey, error) {
	names, _, err := r.bucket.First(ctx, volume.WarmPrefix(v), warmKeys)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var keys []volume.WarmKey
	for _, name := range names {
		if k, err := volume.ParseWarmKey(v, name); err == nil {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// buildWarm makes a warm set of used pages of a Snapshot. It makes no request.
func (r *Remote) buildWarm(ctx context.Context, pinned *snapshot.Reader, used []volume.PageIdx, budget int64) (*volume.WarmSet, error) {
	at := pinned.Snapshot().Point()
	x, err := r.index(ctx, at)
	if err != nil {
		return nil, err
	}
	w := warmBuilder{WarmBuilder: volume.NewWarmBuilder(at.Volume, at.LSN, budget), x: x, from: pinned, has: make(map[volume.Hash]bool)}
	if ref := x.rec.Commit.Checkpoint; !ref.CheckpointKey.IsZero() && !x.comesAlong(ref.CheckpointKey) {
		if root, err := r.store.Object(ref.Sum); err == nil {
			w.AddObject(root, warmRootShare)
		}
	}
	for _, interior := range []bool{true, false} {
		for _, p := range append([]volume.PageIdx{1}, used...) {
			if err := w.add(ctx, p, interior); err != nil {
				return nil, err
			}
		}
	}
	return w.Set(), nil
}

// warmBuilder adds pages of a Snapshot to a warm set.
type warmBuilder struct {
	*volume.WarmBuilder
	x    *index
	from *snapshot.Reader
	has  map[volume.Hash]bool // chunks
	done volume.PageSet
}

// add adds page p, if it is here and one of those that are wanted now, and there is
// room for it. A page that cannot be read is left out: it is a help, and no more.
func (w *warmBuilder) add(ctx context.Context, p volume.PageIdx, interior bool) error {
	if w.done.Contains(p) || !w.from.PageCount().Has(p) {
		return nil
	}
	page, err := w.from.Local(ctx, p)
	if err != nil || page == nil || interior != (p == 1 || sqlitefile.KindOf(page[:]) == sqlitefile.Interior) {
		return ctx.Err()
	}
	w.done.Add(p)
	a, ch, err := w.x.addressHere(ctx, p)
	if err != nil || a == nil {
		return ctx.Err()
	}
	if id, err := w.from.Snapshot().Root().Lookup(ctx, p); err != nil || id != a.Source.Segment {
		return ctx.Err() // a local commit has it, newer
	}
	if x := w.x; x.comesAlong(x.rec.Commit.Checkpoint.CheckpointKey) {
		if c, err := x.checkpoint(ctx, false); err == nil && c != nil {
			if b, ok := c.Bundled(p); ok && b.Segment == a.Source.Segment {
				return nil
			}
		}
	}
	var chunk []byte
	if ch != nil && !w.has[ch.Sum] && !w.x.comesAlong(ch.Object) {
		if chunk, err = w.x.r.store.Object(ch.Sum); err != nil {
			return ctx.Err()
		}
	}
	added := w.Add(volume.BundledPage{PageEntry: volume.PageEntry{Idx: p, Page: page}, Segment: a.Source.Segment}, chunk)
	if added && ch != nil {
		w.has[ch.Sum] = true
	}
	return ctx.Err()
}

// comesAlong tells whether an object of the page index stands in the commit itself,
// so that a clone has it.
func (x *index) comesAlong(k volume.CheckpointKey) bool {
	return k.Embedded() && k.Volume == x.at.Volume && k.LSN == x.at.LSN
}

// addressHere says where page p lies, and in which chunk that stands; nil for none.
// It makes no request: ErrAbsent tells that it would take one.
func (x *index) addressHere(ctx context.Context, p volume.PageIdx) (*volume.Address, *volume.Chunk, error) {
	if a, ok := x.recent.At(p); ok || !x.kept.Has(p) {
		return a, nil, nil
	}
	c, err := x.checkpoint(ctx, false)
	if err != nil || c == nil {
		return nil, nil, err
	}
	t, err := x.chunk(ctx, volume.LeafOf(p), false)
	if err != nil {
		return nil, nil, err
	}
	a, _ := t.At(p)
	return a, c.Chunk(volume.LeafOf(p)), nil
}

// Warmed is what was taken of a warm set.
type Warmed struct {
	LSN   volume.LSN // of the remote Volume; zero: there is no warm set
	Pages int        // that were not here
}

// Warm gets the pages that another replica of the same remote Volume has published
// as used, in two requests. It tells what there was. ErrCorrupt tells that the warm
// set is damaged; nothing was stored then.
func (r *Remote) Warm(ctx context.Context, h *snapshot.Head) (Warmed, error) {
	if r.bucket == nil {
		return Warmed{}, ErrNoRemote
	}
	_, pinned := h.Pin()
	defer pinned.Close()
	at := pinned.Snapshot().Point()
	if at.IsZero() {
		return Warmed{}, nil
	}
	set, err := r.getWarm(ctx, at.Volume)
	if err != nil || set == nil {
		return Warmed{}, err
	}
	return r.stageWarm(ctx, at, set)
}

// getWarm reads the newest warm set of v, or nil when there is none.
func (r *Remote) getWarm(ctx context.Context, v volume.VolumeID) (*volume.WarmSet, error) {
	keys, err := r.warmKeys(ctx, v)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	b, err := r.bucket.Get(ctx, keys[0].Key(), volume.MaxWarmSize)
	if errors.Is(err, objstore.ErrNotExist) {
		return nil, nil // another one took its place
	}
	if err != nil {
		return nil, err
	}
	set, err := volume.DecodeWarm(keys[0], b)
	if err != nil {
		return nil, &volume.Error{Op: "read warm set", Volume: v, LSN: keys[0].LSN, Key: keys[0].Key(), Err: fmt.Errorf("%d bytes at offset 0: %w", len(b), err)}
	}
	return set, nil
}

// startWarm begins to read the warm set of v, if clones do. wait gives it, or nil;
// giveUp is called in any case.
func (r *Remote) startWarm(ctx context.Context, v volume.VolumeID) (wait func() *volume.WarmSet, giveUp func()) {
	if !r.warm || r.bucket == nil {
		return func() *volume.WarmSet { return nil }, func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	var set *volume.WarmSet
	done := make(chan struct{})
	go func() {
		defer close(done)
		var err error
		if set, err = r.getWarm(ctx, v); err != nil && !errors.Is(err, context.Canceled) {
			r.log.Warn("warm set is not used", "volume", v, "error", err)
		}
	}()
	wait = func() *volume.WarmSet { <-done; return set }
	return wait, func() { cancel(); <-done }
}

// stageWarm stores what a warm set has that is not here. A page is read only where
// the Root of a Snapshot names the Segment that the warm set gave; one that is known
// to be out of date by the index at a commit is not stored.
func (r *Remote) stageWarm(ctx context.Context, at snapshot.Point, set *volume.WarmSet) (Warmed, error) {
	objects := make(map[volume.Hash][]byte, len(set.Objects))
	for _, o := range set.Objects {
		objects[volume.HashOf(o)] = o
	}
	if err := r.store.LandObjects(objects); err != nil {
		return Warmed{}, err
	}
	x, err := r.index(ctx, at)
	if err != nil {
		return Warmed{}, err
	}
	got := Warmed{LSN: set.LSN}
	pages := make(map[volume.SegmentID][]volume.PageEntry)
	for _, p := range set.Pages {
		a, _, err := x.addressHere(ctx, p.Idx)
		if err == nil && (a == nil || a.Source.Segment != p.Segment) {
			continue
		}
		if err != nil && !errors.Is(err, snapshot.ErrAbsent) {
			return got, err
		}
		if has, err := r.store.HasPage(p.Segment, p.Idx); err != nil || has {
			if err != nil {
				return got, err
			}
			continue
		}
		pages[p.Segment] = append(pages[p.Segment], p.PageEntry)
	}
	for id, entries := range pages {
		if err := r.store.Land(ctx, id, entries); err != nil {
			return got, err
		}
		got.Pages += len(entries)
	}
	return got, nil
}
