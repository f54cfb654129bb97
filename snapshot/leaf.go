package snapshot

import (
	"context"
	"iter"

	"graft/volume"
)

// LeafSource gives the stored leaves of the page index of one Snapshot. It asks
// nobody but the local store.
type LeafSource interface {
	// Leaf gives leaf n, which nobody changes afterwards, or nil when none is
	// stored.
	Leaf(ctx context.Context, n volume.LeafIdx) (*volume.Leaf, error)
	// NextLeaf gives the lowest leaf from n on that is stored, and whether
	// there is one.
	NextLeaf(ctx context.Context, n volume.LeafIdx) (next volume.LeafIdx, ok bool, err error)
}

// groupPages is how many consecutive pages one group covers.
const groupPages = 16

// group gives the Segment of each of its pages.
type group [groupPages]volume.SegmentID

// leaf gives the Segment of each of its pages, in groups: a commit of one page
// copies one of them. A nil group has no written page, and no other has none. A
// leaf that a Root can reach does not change.
type leaf [volume.LeafPages / groupPages]*group

// emptyLeaf is every leaf without a written page.
var emptyLeaf leaf

// firstPage is the first page of leaf n.
func firstPage(n volume.LeafIdx) volume.PageIdx { return volume.PageIdx(n)*volume.LeafPages + 1 }

// leavesFor is how many leaves n pages need.
func leavesFor(n volume.PageCount) volume.LeafIdx {
	return volume.LeafIdx((uint64(n) + volume.LeafPages - 1) / volume.LeafPages)
}

// pagesIn is how many pages the leaves from first up to end have within count.
func pagesIn(first, end volume.LeafIdx, count volume.PageCount) volume.PageCount {
	return volume.PageCount(min(uint64(end)*volume.LeafPages, uint64(count)) - min(uint64(first)*volume.LeafPages, uint64(count)))
}

// slot is the place of page p in its leaf.
func slot(p volume.PageIdx) int { return int((p - 1) % volume.LeafPages) }

// newLeaf gives a leaf from its stored form, which it keeps.
func newLeaf(stored *volume.Leaf) *leaf {
	l := new(leaf)
	for i := range l {
		if g := (*group)(stored[i*groupPages:]); *g != (group{}) {
			l[i] = g
		}
	}
	return l.orEmpty()
}

// stored gives the stored form of l, which is the caller's.
func (l *leaf) stored() *volume.Leaf {
	s := new(volume.Leaf)
	for i, g := range l {
		if g != nil {
			copy(s[i*groupPages:], g[:])
		}
	}
	return s
}

// at gives the Segment of the page at a slot, which is zero if it was never
// written.
func (l *leaf) at(slot int) volume.SegmentID {
	if g := l[slot/groupPages]; g != nil {
		return g[slot%groupPages]
	}
	return volume.SegmentID{}
}

// written yields the slots of written pages in ascending order, with the
// Segments.
func (l *leaf) written() iter.Seq2[int, volume.SegmentID] {
	return func(yield func(int, volume.SegmentID) bool) {
		for i, g := range l {
			if g == nil {
				continue
			}
			for j, id := range g {
				if !id.IsZero() && !yield(i*groupPages+j, id) {
					return
				}
			}
		}
	}
}

// truncated gives l, which is leaf n and begins within count, without the pages
// above count.
func (l *leaf) truncated(n volume.LeafIdx, count volume.PageCount) *leaf {
	kept := int(min(int64(count)-int64(n)*volume.LeafPages, volume.LeafPages))
	next := *l
	for i := kept / groupPages; i < len(next); i++ {
		next[i] = next[i].truncated(max(0, kept-i*groupPages))
	}
	if next == *l {
		return l
	}
	return next.orEmpty()
}

// truncated gives g with its first pages alone.
func (g *group) truncated(kept int) *group {
	if g == nil {
		return nil
	}
	next := *g
	clear(next[kept:])
	switch next {
	case *g:
		return g
	case group{}:
		return nil
	}
	return &next
}

// orEmpty gives l, or the one empty leaf in its place.
func (l *leaf) orEmpty() *leaf {
	if *l == emptyLeaf {
		return &emptyLeaf
	}
	return l
}
