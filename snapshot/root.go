package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"graft/volume"
)

// Root is the page index of one Snapshot: it says in which Segment the newest
// version of each page lies. It is immutable; [Root.Apply] makes the next one,
// which shares whatever did not change. It is safe for concurrent use. The zero
// Root is that of an empty Volume.
//
// It is a radix tree: leaves of 256 pages under nodes of 64 children, as high as
// its highest leaf needs, or one that was opened as its page count. A Root that
// was opened loads a part of itself when it is first needed. Roots share parts
// that are not loaded, too, so that a leaf is loaded once for all of them:
//
//   - A Root is opened from leaves that never change, see [OpenRoot], or from
//     some that are stored and written over, see [OpenRootOver]. Apply loads
//     nothing of the former: a leaf that changes before it is loaded becomes a
//     patch over it.
//   - Of the latter, Apply settles what it changes and what it drops: it reads
//     the stored leaf, or finds that there is none. So when Apply has returned,
//     the stored form of each leaf that differs between the two Roots may be
//     overwritten or removed, whatever older Root is still read.
//   - Whoever replaces a stored Root in another way settles each difference
//     first.
//
// A failed load is returned and not remembered.
//
// Invariants, held by check:
//  1. No page above the page count has a Segment.
//  2. No leaf lies beyond those that the page count needs.
//  3. A leaf has a written page, or it is emptyLeaf; a group of one has one, or is nil.
//  4. Each part is either loaded or says how it is lazy.
//  5. The height is at most maxHeight, and 0 when there is nothing.
//  6. A patch lies over a fixed leaf, loaded or not, and never over another patch.
type Root struct {
	count  volume.PageCount
	height int
	top    *node
}

// OpenRoot gives the Root of count pages whose leaves are those of a remote
// Volume. It loads nothing.
func OpenRoot(count volume.PageCount, leaves RemoteLeaves) *Root {
	if count == 0 {
		return &Root{}
	}
	return &Root{count: count, height: heightFor(leavesFor(count)), top: lazyNode(&lazy{count: count, remote: leaves})}
}

// OpenRootOver gives the Root of count pages that has the leaves of base but
// for those in source, of which one may be empty. It loads nothing, and shares
// with base what it can. It is meant for the newest Snapshot of a Graft, of
// which only that is stored in which it differs from its base.
//
// Stored pages above the count are left out: a leaf may have been stored that is
// newer than the count. Such a Root is right once the commits in between have
// been applied to it.
func OpenRootOver(base *Root, count volume.PageCount, source LeafSource) *Root {
	if count == 0 {
		return &Root{}
	}
	height := max(base.height, heightFor(leavesFor(count)))
	z := &lazy{source: source, count: count, cut: base.count > count, under: base.top.raised(base.height, height)}
	return &Root{count: count, height: height, top: lazyNode(z)}
}

// PageCount is the number of pages of the Snapshot.
func (r *Root) PageCount() volume.PageCount { return r.count }

// Lookup gives the Segment that holds the newest version of page p; the zero
// SegmentID is a page of zeros that was never written. A page outside the page
// count is an error. The context bounds the loading of parts of the Root that
// are not in memory.
func (r *Root) Lookup(ctx context.Context, p volume.PageIdx) (volume.SegmentID, error) {
	if !r.count.Has(p) {
		return volume.SegmentID{}, outsideError(p, r.count)
	}
	at := volume.LeafOf(p)
	n, err := r.find(ctx, at)
	if err == nil {
		if l := n.loadedLeaf(); l != nil {
			return l.at(slot(p)), nil
		}
		var id volume.SegmentID
		if id, err = n.lookup(ctx, at, p, true); err == nil {
			return id, nil
		}
	}
	return volume.SegmentID{}, fmt.Errorf("look up page %d: %w", p, err)
}

// lookupHere is Lookup without a request, for a page within the page count:
// ErrAbsent tells that it would take one.
func (r *Root) lookupHere(ctx context.Context, p volume.PageIdx) (volume.SegmentID, error) {
	if id, ok := r.known(p); ok {
		return id, nil
	}
	at := volume.LeafOf(p)
	n, err := r.find(ctx, at)
	if err == nil {
		var id volume.SegmentID
		if id, err = n.lookup(ctx, at, p, false); err == nil {
			return id, nil
		}
	}
	return volume.SegmentID{}, fmt.Errorf("look up page %d: %w", p, err)
}

// known is Lookup of what is in memory.
func (r *Root) known(p volume.PageIdx) (id volume.SegmentID, ok bool) {
	at, n := volume.LeafOf(p), r.top
	if at >= leavesAt(r.height) {
		return id, true
	}
	for height := r.height; height > 0; height-- {
		c := n.loadedChildren()
		if c == nil {
			return id, false
		}
		n = c[childOf(at, height)]
	}
	return n.known(p)
}

func outsideError(p volume.PageIdx, n volume.PageCount) error {
	return fmt.Errorf("graft: page %d is outside of %d pages", p, n)
}

// find gives the node of leaf n, wherever that lies. It makes no request.
func (r *Root) find(ctx context.Context, n volume.LeafIdx) (*node, error) {
	if n >= leavesAt(r.height) {
		return nil, nil
	}
	return r.top.find(ctx, r.height, n)
}

// Leaf gives leaf n in its stored form, or nil when it has no written page. It
// loads it.
func (r *Root) Leaf(ctx context.Context, n volume.LeafIdx) (*volume.Leaf, error) {
	return r.loadLeaf(ctx, n, true)
}

// loadLeaf is Leaf that may make a request only to fetch; otherwise it fails with
// ErrAbsent.
func (r *Root) loadLeaf(ctx context.Context, n volume.LeafIdx, fetch bool) (*volume.Leaf, error) {
	found, err := r.find(ctx, n)
	l := &emptyLeaf
	if err == nil {
		l, err = found.load(ctx, n, fetch)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("load leaf %d: %w", n, err)
	case l == &emptyLeaf:
		return nil, nil
	}
	return l.stored(), nil
}

// settle has r need no stored form of leaf n from then on. It makes no request.
func (r *Root) settle(ctx context.Context, n volume.LeafIdx) error {
	found, err := r.find(ctx, n)
	if err == nil {
		_, _, err = found.settle(ctx, n)
	}
	if err != nil {
		return fmt.Errorf("settle leaf %d: %w", n, err)
	}
	return nil
}

// scan calls fn for every leaf in ascending order, but for those without a
// written page, until fn fails. It makes no request and keeps no leaf: those that
// are not here are nil, many in one call where nobody knows here which of them
// there are.
func (r *Root) scan(ctx context.Context, fn visitor) error {
	return r.top.scan(ctx, r.height, 0, fn.until(ctx))
}

// scanOver is scan that leaves out leaves which are known to be the same in o; it
// need not find out which these are.
func (r *Root) scanOver(ctx context.Context, o *Root, fn visitor) error {
	height := max(r.height, o.height)
	return r.top.raised(r.height, height).scanOver(ctx, o.top.raised(o.height, height), height, 0, fn.until(ctx))
}

// until gives fn that fails when ctx ends.
func (fn visitor) until(ctx context.Context) visitor {
	return func(first, end volume.LeafIdx, l *leaf) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fn(first, end, l)
	}
}

// Each calls fn for every written page in ascending order, until fn fails. It
// loads the whole Root, one leaf after the other.
func (r *Root) Each(ctx context.Context, fn func(volume.PageIdx, volume.SegmentID) error) error {
	return r.top.each(ctx, r.height, 0, func(n volume.LeafIdx, l *leaf) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i, id := range l.written() {
			if err := fn(firstPage(n)+volume.PageIdx(i), id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Diff calls fn for each leaf in which a and b may differ, in ascending order,
// until fn fails. It compares what is shared, not content: leaves are the same
// when one was made from the other without changing them. It takes time
// proportional to the difference and loads no leaf.
func Diff(ctx context.Context, a, b *Root, fn func(volume.LeafIdx) error) error {
	height := max(a.height, b.height)
	return a.top.raised(a.height, height).diff(ctx, b.top.raised(b.height, height), height, 0, fn)
}

// SameLeaf tells whether leaf n is known to be the same in a and b: [Diff]
// leaves out no other. It loads nothing, so it may miss it where either is not
// loaded.
func SameLeaf(a, b *Root, n volume.LeafIdx) bool {
	height := max(a.height, b.height)
	x, y := a.top.raised(a.height, height), b.top.raised(b.height, height)
	if n >= leavesAt(height) {
		return true
	}
	for ; !x.same(y, height); height-- {
		if height == 0 {
			return false
		}
		c, d := x.loadedChildren(), y.loadedChildren()
		if c == nil || d == nil {
			return false
		}
		x, y = c[childOf(n, height)], d[childOf(n, height)]
	}
	return true
}

// Apply gives the Root after commit c: every page above c.Kept is dropped,
// then the pages of c are added. It takes time proportional to the leaves that
// change, whatever the page counts. It makes no request. After an error nothing
// changed.
func (r *Root) Apply(ctx context.Context, c *volume.Commit) (*Root, error) {
	next, err := r.truncated(ctx, c.Kept)
	if err != nil {
		return nil, fmt.Errorf("truncate root: %w", err)
	}
	next.count = c.PageCount
	changes, err := next.changesOf(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("add to root: %w", err)
	}
	if len(changes) == 0 {
		return &next, nil
	}
	height := max(next.height, heightFor(changes[len(changes)-1].at+1))
	next.top, err = next.top.raised(next.height, height).replace(ctx, height, 0, changes)
	if err != nil {
		return nil, fmt.Errorf("add to root: %w", err)
	}
	next.height = height
	return &next, nil
}

// truncated gives r without any page above n, no higher than that needs.
func (r *Root) truncated(ctx context.Context, n volume.PageCount) (Root, error) {
	if n >= r.count {
		return *r, nil
	}
	top, err := r.top.truncate(ctx, r.height, 0, n)
	if err != nil {
		return Root{}, err
	}
	next := Root{count: n, height: r.height, top: top}
	for next.top != nil && next.height > heightFor(leavesFor(n)) {
		c, err := next.top.loadChildren(ctx, next.height, 0)
		if err != nil {
			return Root{}, err
		}
		next.top, next.height = c[0], next.height-1
	}
	if next.top == nil {
		next.height = 0
	}
	return next, nil
}

// changesOf gives a copy of each leaf that has a page of c, with those pages
// set, in ascending order.
func (r *Root) changesOf(ctx context.Context, c *volume.Commit) ([]change, error) {
	var changes []change
	i := 0 // the one that is changed now
	for s := range c.Segments {
		for p := range c.Segments[s].Pages.All() {
			n := volume.LeafOf(p)
			if i >= len(changes) || changes[i].at != n {
				var found bool
				i, found = slices.BinarySearchFunc(changes, n, func(c change, n volume.LeafIdx) int { return cmp.Compare(c.at, n) })
				if !found {
					found, err := r.find(ctx, n)
					if err != nil {
						return nil, err
					}
					c, err := found.change(ctx, n)
					if err != nil {
						return nil, err
					}
					changes = slices.Insert(changes, i, c)
				}
			}
			changes[i].set(slot(p), c.Segments[s].ID)
		}
	}
	return changes, nil
}

// check reports the first invariant of Root that the loaded parts of r break.
func (r *Root) check() error {
	if r.height < 0 || r.height > maxHeight || r.top == nil && r.height != 0 {
		return fmt.Errorf("root of height %d", r.height)
	}
	return r.checkNode(r.top, r.height, 0)
}

func (r *Root) checkNode(n *node, height int, first volume.LeafIdx) error {
	if n == nil {
		return nil
	}
	if first >= leavesFor(r.count) {
		return fmt.Errorf("root of %d pages has a node of height %d at leaf %d", r.count, height, first)
	}
	l, c := n.leaf.Load(), n.children.Load()
	switch {
	case l == nil && c == nil:
		if z := n.lazy.Load(); z != nil {
			return r.checkLazy(z, height, first)
		}
		return fmt.Errorf("node of height %d at leaf %d is neither loaded nor lazy", height, first)
	case (l != nil) != (height == 0), (c != nil) != (height > 0):
		return fmt.Errorf("node of height %d at leaf %d has the content of another height", height, first)
	case height == 0:
		return r.checkLeaf(l, first)
	}
	for i, child := range c {
		if err := r.checkNode(child, height-1, first+volume.LeafIdx(i)*leavesAt(height-1)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Root) checkLazy(z *lazy, height int, first volume.LeafIdx) error {
	count, last := r.count, (uint64(first)+uint64(leavesAt(height)))*volume.LeafPages
	if p := z.patch; p != nil {
		under := p.under.lazy.Load()
		switch {
		case height != 0:
			return fmt.Errorf("patch of height %d at leaf %d", height, first)
		case under != nil && under.remote == nil:
			return fmt.Errorf("patch of leaf %d is over what is not fixed", first)
		case p.kept > slotsOf(first, count):
			return fmt.Errorf("root of %d pages keeps %d slots of leaf %d", count, p.kept, first)
		}
		return r.checkLeaf(p.set.orEmpty(), first)
	}
	if min(uint64(z.count), last) > uint64(count) {
		return fmt.Errorf("root of %d pages has %d lazy ones at leaf %d", count, z.count, first)
	}
	return nil
}

func (r *Root) checkLeaf(l *leaf, n volume.LeafIdx) error {
	if l != &emptyLeaf && l.orEmpty() == &emptyLeaf {
		return fmt.Errorf("leaf %d is a copy of the empty one", n)
	}
	for i, g := range l {
		if g != nil && *g == (group{}) {
			return fmt.Errorf("leaf %d has an empty group at %d", n, i)
		}
	}
	for i := range l.written() {
		if p := firstPage(n) + volume.PageIdx(i); !r.count.Has(p) {
			return fmt.Errorf("root of %d pages has page %d", r.count, p)
		}
	}
	return nil
}
