package snapshot

import (
	"context"

	"graft/volume"
)

// LeafSource gives the stored leaves of the page index of one Snapshot.
type LeafSource interface {
	// Leaf gives leaf n, which nobody changes afterwards, or nil when none is
	// stored.
	Leaf(ctx context.Context, n volume.LeafIdx) (*volume.Leaf, error)
	// NextLeaf gives the lowest leaf from n on that is stored, and whether
	// there is one.
	NextLeaf(ctx context.Context, n volume.LeafIdx) (next volume.LeafIdx, ok bool, err error)
}

// leaf gives the Segment of each of its pages. A leaf that a Root can reach does
// not change.
type leaf volume.Leaf

// emptyLeaf is every leaf without a written page.
var emptyLeaf leaf

// firstPage is the first page of leaf n.
func firstPage(n volume.LeafIdx) volume.PageIdx { return volume.PageIdx(n)*volume.LeafPages + 1 }

// leavesFor is how many leaves n pages need.
func leavesFor(n volume.PageCount) volume.LeafIdx {
	return volume.LeafIdx((uint64(n) + volume.LeafPages - 1) / volume.LeafPages)
}

// slot is the place of page p in its leaf.
func slot(p volume.PageIdx) int { return int((p - 1) % volume.LeafPages) }

// newLeaf gives a leaf from its stored form, which it keeps.
func newLeaf(stored *volume.Leaf) *leaf { return (*leaf)(stored).orEmpty() }

// stored gives the stored form of l, which is the caller's.
func (l *leaf) stored() *volume.Leaf {
	s := volume.Leaf(*l)
	return &s
}

// truncated gives l, which is leaf n and begins within count, without the pages
// above count.
func (l *leaf) truncated(n volume.LeafIdx, count volume.PageCount) *leaf {
	kept := min(int64(count)-int64(n)*volume.LeafPages, volume.LeafPages)
	if isZero(l[kept:]) {
		return l
	}
	next := *l
	clear(next[kept:])
	return next.orEmpty()
}

// orEmpty gives l, or the one empty leaf in its place.
func (l *leaf) orEmpty() *leaf {
	if isZero(l[:]) {
		return &emptyLeaf
	}
	return l
}

func isZero(ids []volume.SegmentID) bool {
	for _, id := range ids {
		if !id.IsZero() {
			return false
		}
	}
	return true
}
