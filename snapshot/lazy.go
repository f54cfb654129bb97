package snapshot

import (
	"context"
	"errors"
	"sync"

	"graft/volume"
)

// lazy says what a node is that is not loaded. There are three kinds:
//
//   - fixed: what remote has up to page count. It never changes, so a node may
//     stay lazy however often it is read.
//   - in place: what source has, and where source has nothing what under is,
//     both up to page count. It stands for a stored leaf that may be written
//     over, so it has to be settled before.
//   - patched, at height 0 alone: a leaf over a fixed one that is not loaded.
type lazy struct {
	turn sync.Mutex // held while a node goes from this lazy to what is next

	count  volume.PageCount
	remote RemoteLeaves

	source LeafSource
	cut    bool  // under may have pages above count
	under  *node // nil: nothing

	patch *patch
}

// over gives how a part of the node is read, which lies over that part of
// z.under.
func (z *lazy) over(under *node) *lazy {
	return &lazy{source: z.source, count: z.count, cut: z.cut, under: under}
}

// become makes n, of height 0, what is next after z: loaded, or lazy in another
// way. It does nothing when somebody else did so first.
func (n *node) become(z *lazy, l *leaf, next *lazy) {
	z.turn.Lock()
	defer z.turn.Unlock()
	if n.lazy.Load() != z {
		return
	}
	if l != nil {
		n.leaf.Store(l)
	}
	n.lazy.Store(next)
}

// settle gives the leaf of n, which stands at height 0, if that is in memory or
// stored in place, or how it is lazy: fixed or patched. It makes no request.
// Afterwards n does not depend on what is stored in place.
func (n *node) settle(ctx context.Context, at volume.LeafIdx) (*leaf, *lazy, error) {
	if n == nil {
		return &emptyLeaf, nil, nil
	}
	for {
		if l := n.leaf.Load(); l != nil {
			return l, nil, nil
		}
		z := n.lazy.Load()
		switch {
		case z == nil: // loaded since
		case z.source != nil:
			l, next, err := z.read(ctx, at)
			if err != nil {
				return nil, nil, err
			}
			n.become(z, l, next)
		case z.patch != nil:
			under := z.patch.under.leaf.Load()
			if under == nil {
				return nil, z, nil
			}
			n.become(z, z.patch.over(under), nil)
		default:
			return nil, z, nil
		}
	}
}

// read gives what an in-place leaf is: loaded, or lazy.
func (z *lazy) read(ctx context.Context, at volume.LeafIdx) (*leaf, *lazy, error) {
	stored, err := z.source.Leaf(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	if stored != nil {
		return newLeaf(stored).truncated(at, z.count), nil, nil
	}
	l, under, err := z.under.settle(ctx, at)
	switch {
	case err != nil:
		return nil, nil, err
	case l != nil:
		return l.truncated(at, z.count), nil, nil
	}
	l, next := patchOver(z.under, under, at).cut(at, z.count).content()
	return l, next, nil
}

// settleAll settles every leaf of n.
func (n *node) settleAll(ctx context.Context, height int, first volume.LeafIdx) error {
	if n == nil {
		return nil
	}
	if z := n.lazy.Load(); z != nil && z.source == nil {
		return nil
	}
	if height == 0 {
		_, _, err := n.settle(ctx, first)
		return err
	}
	c, err := n.loadChildren(ctx, height, first)
	if err != nil {
		return err
	}
	for i, child := range c {
		if err := child.settleAll(ctx, height-1, first+volume.LeafIdx(i)*leavesAt(height-1)); err != nil {
			return err
		}
	}
	return nil
}

// load gives the leaf of n, which is nil or stands at height 0, and keeps it for
// all that share n. Without fetch it makes no request, but fails with ErrAbsent.
func (n *node) load(ctx context.Context, at volume.LeafIdx, fetch bool) (*leaf, error) {
	for {
		l, z, err := n.settle(ctx, at)
		if l != nil || err != nil {
			return l, err
		}
		if z.patch != nil {
			if _, err := z.patch.under.load(ctx, at, fetch); err != nil {
				return nil, err
			}
			continue // it is settled over that
		}
		if l, err = z.readFixed(ctx, at, fetch); err != nil {
			return nil, err
		}
		n.become(z, l, nil)
	}
}

func (z *lazy) readFixed(ctx context.Context, at volume.LeafIdx, fetch bool) (*leaf, error) {
	stored, err := z.remote.Leaf(ctx, at, fetch)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return &emptyLeaf, nil
	}
	return newLeaf(stored).truncated(at, z.count), nil
}

// peek gives the leaf of n, which is nil or stands at height 0, without a request
// and without keeping it. ErrAbsent tells that it would take a request.
func (n *node) peek(ctx context.Context, at volume.LeafIdx) (*leaf, error) {
	if n == nil {
		return &emptyLeaf, nil
	}
	for {
		if l := n.leaf.Load(); l != nil {
			return l, nil
		}
		z := n.lazy.Load()
		if z == nil { // loaded since
			continue
		}
		l, err := z.peek(ctx, at)
		// Whoever writes over what is stored in place settles n before.
		if z.source == nil || n.lazy.Load() == z {
			return l, err
		}
	}
}

func (z *lazy) peek(ctx context.Context, at volume.LeafIdx) (*leaf, error) {
	switch {
	case z.remote != nil:
		return z.readFixed(ctx, at, false)
	case z.patch != nil:
		under, err := z.patch.under.peek(ctx, at)
		if err != nil {
			return nil, err
		}
		return z.patch.over(under), nil
	}
	stored, err := z.source.Leaf(ctx, at)
	if err != nil {
		return nil, err
	}
	if stored != nil {
		return newLeaf(stored).truncated(at, z.count), nil
	}
	l, err := z.under.peek(ctx, at)
	if err != nil {
		return nil, err
	}
	return l.truncated(at, z.count), nil
}

// lookup gives the Segment of page p, which leaf n has. It loads the leaf unless
// p is known without. Without fetch it makes no request: ErrAbsent tells that it
// would take one.
func (n *node) lookup(ctx context.Context, at volume.LeafIdx, p volume.PageIdx, fetch bool) (volume.SegmentID, error) {
	l, z, err := n.settle(ctx, at)
	if err == nil && z != nil && z.patch != nil {
		if id, known := z.patch.at(slot(p)); known {
			return id, nil
		}
		return z.patch.under.lookup(ctx, at, p, fetch)
	}
	if err == nil && z != nil {
		if !z.count.Has(p) {
			return volume.SegmentID{}, nil
		}
		id, known, err := z.remote.Segment(ctx, p, fetch)
		if known || err != nil && !errors.Is(err, ErrAbsent) {
			return id, err
		}
		if l, err = n.load(ctx, at, fetch); err != nil {
			return volume.SegmentID{}, err
		}
	}
	if err != nil {
		return volume.SegmentID{}, err
	}
	return l.at(slot(p)), nil
}

// known gives the Segment of page p of a node of height 0 if it is in memory.
func (n *node) known(p volume.PageIdx) (id volume.SegmentID, ok bool) {
	if l := n.loadedLeaf(); l != nil {
		return l.at(slot(p)), true
	}
	switch z := n.lazy.Load(); {
	case z == nil: // loaded since
		return n.leaf.Load().at(slot(p)), true
	case z.patch != nil:
		if id, ok := z.patch.at(slot(p)); ok {
			return id, true
		}
		return z.patch.under.known(p)
	default:
		return id, z.remote != nil && !z.count.Has(p)
	}
}
