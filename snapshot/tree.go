package snapshot

import (
	"context"
	"errors"
	"sync/atomic"

	"graft/volume"
)

const (
	fanoutBits = 6
	fanout     = 1 << fanoutBits
	maxHeight  = 4 // fanout^maxHeight leaves cover every PageIdx
)

// node is one place in a tree of leaves: at height 0 a leaf, above it up to 64
// subtrees of the height below. A nil node has no written page. Once a node is
// loaded it never changes, so trees share nodes; and since they share those too
// that are not loaded yet, what one of them loads all of them have.
//
// Which leaves a node covers is known to who came to it: height and first leaf.
type node struct {
	leaf     atomic.Pointer[leaf]     // height 0
	children atomic.Pointer[children] // other heights
	lazy     atomic.Pointer[lazy]     // what it is while it is not loaded; nil then
}

type children [fanout]*node

// noChildren is the content of every inner node without a written page.
var noChildren children

func leafNode(l *leaf) *node {
	n := new(node)
	n.leaf.Store(l)
	return n
}

func innerNode(c *children) *node {
	n := new(node)
	n.children.Store(c)
	return n
}

func lazyNode(z *lazy) *node {
	n := new(node)
	n.lazy.Store(z)
	return n
}

// leavesAt is how many leaves a node of that height covers.
func leavesAt(height int) volume.LeafIdx { return 1 << (fanoutBits * height) }

// childOf is which child of a node of that height covers leaf n.
func childOf(n volume.LeafIdx, height int) int {
	return int(n>>(fanoutBits*(height-1))) % fanout
}

// heightFor is the lowest height of a tree of that many leaves.
func heightFor(leaves volume.LeafIdx) int {
	height := 0
	for leavesAt(height) < leaves {
		height++
	}
	return height
}

// loadChildren gives the children of n, which is nil or stands at that height
// and covers leaf first and those behind it. It loads none of them.
func (n *node) loadChildren(ctx context.Context, height int, first volume.LeafIdx) (*children, error) {
	if n == nil {
		return &noChildren, nil
	}
	if c := n.children.Load(); c != nil {
		return c, nil
	}
	z := n.lazy.Load()
	if z == nil { // loaded since
		return n.children.Load(), nil
	}
	var c *children
	var err error
	switch {
	case z.remote != nil:
		c, err = z.fixedChildren(ctx, height, first)
	case z.under == nil && height == 1:
		// To ask which leaves there are takes as long as to read them.
		c = z.everyChild(height, first)
	default:
		c, err = z.expand(ctx, height, first)
	}
	if err != nil {
		return nil, err
	}
	n.children.CompareAndSwap(nil, c)
	n.lazy.Store(nil)
	return n.children.Load(), nil
}

// everyChild gives children that are all lazy, from the one at leaf first to the
// last that the page count needs. It asks nobody.
func (z *lazy) everyChild(height int, first volume.LeafIdx) *children {
	c := new(children)
	for i := range c {
		if first+volume.LeafIdx(i)*leavesAt(height-1) < leavesFor(z.count) {
			c[i] = lazyNode(z)
		}
	}
	return c
}

// fixedChildren gives lazy children wherever z.remote may have a leaf, or all of
// them while that is not known here: so whoever goes through a tree takes time for
// what is written, whatever the page count says.
func (z *lazy) fixedChildren(ctx context.Context, height int, first volume.LeafIdx) (*children, error) {
	c := new(children)
	err := z.eachChild(ctx, z.remote.NextLeaf, height, first, func(i int) { c[i] = lazyNode(z) })
	if errors.Is(err, ErrAbsent) {
		return z.everyChild(height, first), nil
	}
	return c, err
}

// expand gives the children of a node: those of z.under, and over them lazy
// ones wherever z.source has a leaf.
func (z *lazy) expand(ctx context.Context, height int, first volume.LeafIdx) (*children, error) {
	under, err := z.under.loadChildren(ctx, height, first)
	if err != nil {
		return nil, err
	}
	next := *under
	if z.cut {
		z.cutOff(&next, height, first)
	}
	err = z.eachChild(ctx, z.source.NextLeaf, height, first, func(i int) { next[i] = lazyNode(z.over(under[i])) })
	if err != nil {
		return nil, err
	}
	if next == *under {
		return under, nil
	}
	return &next, nil
}

// eachChild calls fn with the number of each child of a node that has a leaf which
// next gives, within the page count.
func (z *lazy) eachChild(ctx context.Context, next nextLeaf, height int, first volume.LeafIdx, fn func(i int)) error {
	end := min(first+leavesAt(height), leavesFor(z.count))
	for at := first; at < end; {
		found, ok, err := next(ctx, at)
		if err != nil || !ok || found >= end {
			return err
		}
		i := childOf(found, height)
		fn(i)
		at = first + volume.LeafIdx(i+1)*leavesAt(height-1)
	}
	return nil
}

// nextLeaf is [LeafSource.NextLeaf] or [RemoteLeaves.NextLeaf].
type nextLeaf func(ctx context.Context, n volume.LeafIdx) (next volume.LeafIdx, ok bool, err error)

// cutOff takes out of c, the children of a node, those that lie above z.count,
// and has the one that it goes through cut when it is loaded.
func (z *lazy) cutOff(c *children, height int, first volume.LeafIdx) {
	for i, child := range c {
		from := first + volume.LeafIdx(i)*leavesAt(height-1)
		switch {
		case child == nil || within(height-1, from, z.count):
		case from < leavesFor(z.count):
			c[i] = lazyNode(z.over(child))
		default:
			c[i] = nil
		}
	}
}

// within tells whether all pages of a node of that height are within count.
func within(height int, first volume.LeafIdx, count volume.PageCount) bool {
	return (uint64(first)+uint64(leavesAt(height)))*volume.LeafPages <= uint64(count)
}

// find gives the node of leaf at of the tree n, which covers it. It makes no
// request.
func (n *node) find(ctx context.Context, height int, at volume.LeafIdx) (*node, error) {
	for ; height > 0 && n != nil; height-- {
		c := n.children.Load()
		if c == nil {
			var err error
			if c, err = n.loadChildren(ctx, height, at&^(leavesAt(height)-1)); err != nil {
				return nil, err
			}
		}
		n = c[childOf(at, height)]
	}
	return n, nil
}

// each calls fn for every leaf of n that has a written page, in ascending order.
// It loads them all.
func (n *node) each(ctx context.Context, height int, first volume.LeafIdx, fn func(volume.LeafIdx, *leaf) error) error {
	if n == nil {
		return nil
	}
	if height == 0 {
		l, err := n.load(ctx, first, true)
		if err != nil || l == &emptyLeaf {
			return err
		}
		return fn(first, l)
	}
	c, err := n.loadChildren(ctx, height, first)
	if err != nil {
		return err
	}
	for i, child := range c {
		if err := child.each(ctx, height-1, first+volume.LeafIdx(i)*leavesAt(height-1), fn); err != nil {
			return err
		}
	}
	return nil
}

// visitor is called with a leaf, or with nil for all leaves from first up to end,
// without end, which it would take requests to read.
type visitor func(first, end volume.LeafIdx, l *leaf) error

// scan is each that makes no request and keeps no leaf.
func (n *node) scan(ctx context.Context, height int, first volume.LeafIdx, fn visitor) error {
	if n == nil {
		return nil
	}
	if height == 0 {
		l, err := n.peek(ctx, first)
		return visit(first, l, err, fn)
	}
	if z := n.lazy.Load(); z != nil && z.remote != nil {
		return z.scanFixed(ctx, first, min(first+leavesAt(height), leavesFor(z.count)), fn)
	}
	c, err := n.loadChildren(ctx, height, first)
	if err != nil {
		return err
	}
	for i, child := range c {
		if err := child.scan(ctx, height-1, first+volume.LeafIdx(i)*leavesAt(height-1), fn); err != nil {
			return err
		}
	}
	return nil
}

// scanFixed is scan of the leaves from at up to end, which are fixed.
func (z *lazy) scanFixed(ctx context.Context, at, end volume.LeafIdx, fn visitor) error {
	for at < end {
		found, ok, err := z.remote.NextLeaf(ctx, at)
		switch {
		case errors.Is(err, ErrAbsent):
			return fn(at, end, nil)
		case err != nil || !ok || found >= end:
			return err
		}
		l, err := z.readFixed(ctx, found, false)
		if err := visit(found, l, err, fn); err != nil {
			return err
		}
		at = found + 1
	}
	return nil
}

// visit calls fn with a leaf as peek gave it.
func visit(at volume.LeafIdx, l *leaf, err error, fn visitor) error {
	switch {
	case errors.Is(err, ErrAbsent):
		return fn(at, at+1, nil)
	case err != nil || l == &emptyLeaf:
		return err
	}
	return fn(at, at+1, l)
}

// scanOver is scan of n, which may leave out what is known to be the same in o. It
// goes through no tree that is not loaded.
func (n *node) scanOver(ctx context.Context, o *node, height int, first volume.LeafIdx, fn visitor) error {
	if n == nil || n.same(o, height) {
		return nil
	}
	if z := n.lazy.Load(); height == 0 || z != nil && z.remote != nil {
		return n.scan(ctx, height, first, fn)
	}
	return n.pairs(ctx, o, height, first, func(a, b *node, at volume.LeafIdx) error {
		return a.scanOver(ctx, b, height-1, at, fn)
	})
}

// pairs calls fn with each child of n, that of o in its place, and the first leaf
// that they cover. It loads children.
func (n *node) pairs(ctx context.Context, o *node, height int, first volume.LeafIdx, fn func(a, b *node, at volume.LeafIdx) error) error {
	a, err := n.loadChildren(ctx, height, first)
	if err != nil {
		return err
	}
	b, err := o.loadChildren(ctx, height, first)
	if err != nil {
		return err
	}
	for i := range a {
		if err := fn(a[i], b[i], first+volume.LeafIdx(i)*leavesAt(height-1)); err != nil {
			return err
		}
	}
	return nil
}

// truncate gives n without the pages above count. What it drops it settles first.
func (n *node) truncate(ctx context.Context, height int, first volume.LeafIdx, count volume.PageCount) (*node, error) {
	switch {
	case n == nil:
		return nil, nil
	case first >= leavesFor(count):
		return nil, n.settleAll(ctx, height, first)
	case within(height, first, count):
		return n, nil
	case height == 0:
		return n.truncateLeaf(ctx, first, count)
	}
	c, err := n.loadChildren(ctx, height, first)
	if err != nil {
		return nil, err
	}
	next := *c
	for i, child := range c {
		if next[i], err = child.truncate(ctx, height-1, first+volume.LeafIdx(i)*leavesAt(height-1), count); err != nil {
			return nil, err
		}
	}
	switch next {
	case *c:
		return n, nil
	case noChildren:
		return nil, nil
	}
	return innerNode(&next), nil
}

// truncateLeaf is truncate of leaf at, through which the cut goes.
func (n *node) truncateLeaf(ctx context.Context, at volume.LeafIdx, count volume.PageCount) (*node, error) {
	l, z, err := n.settle(ctx, at)
	if err != nil {
		return nil, err
	}
	if l == nil {
		p := patchOver(n, z, at)
		if next := p.cut(at, count); *next != *p {
			return next.node(), nil
		}
		return n, nil
	}
	switch next := l.truncated(at, count); next {
	case l:
		return n, nil
	case &emptyLeaf:
		return nil, nil
	default:
		return leafNode(next), nil
	}
}

// change is the new content of one leaf. Until it is complete leaf shares groups
// with old.
type change struct {
	at    volume.LeafIdx
	old   *leaf
	leaf  *leaf  // the pages of patch, if there is one
	patch *patch // the new content, when the old one is not loaded
}

// change gives a change of leaf at, which is n.
func (n *node) change(ctx context.Context, at volume.LeafIdx) (change, error) {
	l, z, err := n.settle(ctx, at)
	if err != nil {
		return change{}, err
	}
	if l == nil {
		p := patchOver(n, z, at)
		old := p.set
		return change{at: at, old: &old, leaf: &p.set, patch: p}, nil
	}
	next := *l
	return change{at: at, old: l, leaf: &next}, nil
}

// node gives a node of the new content.
func (c *change) node() *node {
	if c.patch != nil {
		return c.patch.node()
	}
	return leafNode(c.leaf)
}

// set enters the Segment of the page at a slot.
func (c *change) set(slot int, id volume.SegmentID) {
	i := slot / groupPages
	switch g := c.leaf[i]; {
	case g == nil:
		c.leaf[i] = new(group)
	case g == c.old[i]:
		next := *g
		c.leaf[i] = &next
	}
	c.leaf[i][slot%groupPages] = id
}

// replace gives n with the changes, which are in ascending order and within it.
func (n *node) replace(ctx context.Context, height int, first volume.LeafIdx, changes []change) (*node, error) {
	if height == 0 {
		return changes[0].node(), nil
	}
	c, err := n.loadChildren(ctx, height, first)
	if err != nil {
		return nil, err
	}
	next, span := *c, leavesAt(height-1)
	for len(changes) > 0 {
		i := childOf(changes[0].at, height)
		from, count := first+volume.LeafIdx(i)*span, 1
		for count < len(changes) && changes[count].at-from < span {
			count++
		}
		if next[i], err = c[i].replace(ctx, height-1, from, changes[:count]); err != nil {
			return nil, err
		}
		changes = changes[count:]
	}
	return innerNode(&next), nil
}

// same tells whether n and o, of one height, are known to have the same content
// because they share it.
func (n *node) same(o *node, height int) bool {
	if n == o {
		return true
	}
	if n != nil && o != nil {
		if z := n.lazy.Load(); z != nil && z.remote != nil && z == o.lazy.Load() {
			return true
		}
	}
	if height == 0 {
		l := n.loadedLeaf()
		return l != nil && l == o.loadedLeaf()
	}
	c := n.loadedChildren()
	return c != nil && c == o.loadedChildren()
}

// loadedLeaf gives the leaf of n if it is in memory, or nil.
func (n *node) loadedLeaf() *leaf {
	if n == nil {
		return &emptyLeaf
	}
	return n.leaf.Load()
}

// loadedChildren gives the children of n if they are in memory, or nil.
func (n *node) loadedChildren() *children {
	if n == nil {
		return &noChildren
	}
	return n.children.Load()
}

// diff calls fn for each leaf that is not known to be the same in n and o, in
// ascending order. It loads children, but no leaf.
func (n *node) diff(ctx context.Context, o *node, height int, first volume.LeafIdx, fn func(volume.LeafIdx) error) error {
	if n.same(o, height) {
		return nil
	}
	if height == 0 {
		return fn(first)
	}
	return n.pairs(ctx, o, height, first, func(a, b *node, at volume.LeafIdx) error {
		return a.diff(ctx, b, height-1, at, fn)
	})
}

// raised gives the tree n of height from as one of height to.
func (n *node) raised(from, to int) *node {
	for ; from < to && n != nil; from++ {
		n = innerNode(&children{n})
	}
	return n
}
