package snapshot

import "graft/volume"

// patch is a leaf that is known but for what it has of a fixed one, which is not
// loaded: so a commit needs no page index but its own. It does not change.
type patch struct {
	set   leaf  // pages of newer commits
	kept  int   // slots from here on have nothing of under
	under *node // of height 0: a fixed leaf
}

// slotsOf is how many slots of leaf n are within count.
func slotsOf(n volume.LeafIdx, count volume.PageCount) int {
	return int(min(max(int64(count)-int64(n)*volume.LeafPages, 0), volume.LeafPages))
}

// patchOver gives a patch that changes nothing of n, which is leaf at and lazy as
// z says: fixed, or patched already. The patch is the caller's to change.
func patchOver(n *node, z *lazy, at volume.LeafIdx) *patch {
	if z.patch != nil {
		p := *z.patch
		return &p
	}
	return &patch{kept: slotsOf(at, z.count), under: n}
}

// cut gives p, which is leaf n, without the pages above count; n begins within
// it.
func (p *patch) cut(n volume.LeafIdx, count volume.PageCount) *patch {
	return &patch{set: *p.set.truncated(n, count), kept: min(p.kept, slotsOf(n, count)), under: p.under}
}

// at gives the Segment of the page at a slot, if under does not matter for it.
func (p *patch) at(slot int) (id volume.SegmentID, known bool) {
	id = p.set.at(slot)
	return id, !id.IsZero() || slot >= p.kept
}

// content gives what a node is that p is the content of: a leaf, when under does
// not matter for it, or lazy.
func (p *patch) content() (*leaf, *lazy) {
	for i := range p.kept {
		if p.set.at(i).IsZero() {
			return nil, &lazy{patch: p}
		}
	}
	return p.set.orEmpty(), nil
}

// node gives a node of the content of p, which is nil when that is empty.
func (p *patch) node() *node {
	switch l, z := p.content(); l {
	case nil:
		return lazyNode(z)
	case &emptyLeaf:
		return nil
	default:
		return leafNode(l)
	}
}

// over gives the leaf that p is when under is loaded.
func (p *patch) over(under *leaf) *leaf {
	next := *under
	for i := p.kept / groupPages; i < len(next); i++ {
		next[i] = next[i].truncated(max(0, p.kept-i*groupPages))
	}
	for i, g := range p.set {
		next[i] = next[i].with(g)
	}
	if next == *under {
		return under
	}
	return next.orEmpty()
}

// with gives g with the pages of add set.
func (g *group) with(add *group) *group {
	switch {
	case add == nil:
		return g
	case g == nil:
		return add
	}
	next := *g
	for i, id := range add {
		if !id.IsZero() {
			next[i] = id
		}
	}
	return &next
}
