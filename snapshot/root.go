package snapshot

import (
	"context"
	"fmt"
	"slices"

	"graft/volume"
)

// leafPages is how many consecutive pages one leaf of a Root covers.
const leafPages = 256

// leaf gives the Segment of each of its pages; a zero Segment is a page that
// was never written.
type leaf [leafPages]volume.SegmentID

// Root is the page index of one Snapshot: it says in which Segment the newest
// version of each page lies. It is immutable; [Root.Apply] makes the next one,
// which shares every leaf that did not change.
//
// Invariants, held by check:
//  1. No page above the page count has a Segment.
//  2. There are exactly as many leaves as the page count needs. A leaf without
//     a written page may be nil.
type Root struct {
	count  volume.PageCount
	leaves []*leaf
}

// PageCount is the number of pages of the Snapshot.
func (r *Root) PageCount() volume.PageCount { return r.count }

// Lookup gives the Segment that holds the newest version of page p; the zero
// SegmentID is a page of zeros that was never written. A page outside the page
// count is an error. The context bounds the loading of parts of the Root that
// are not in memory.
func (r *Root) Lookup(_ context.Context, p volume.PageIdx) (volume.SegmentID, error) {
	if !r.count.Has(p) {
		return volume.SegmentID{}, outsideError(p, r.count)
	}
	l := r.leaves[(p-1)/leafPages]
	if l == nil {
		return volume.SegmentID{}, nil
	}
	return l[(p-1)%leafPages], nil
}

func outsideError(p volume.PageIdx, n volume.PageCount) error {
	return fmt.Errorf("graft: page %d is outside of %d pages", p, n)
}

// Apply gives the Root after commit c: every page above c.Kept is dropped,
// then the pages of c are added. It takes time proportional to the leaves that
// change and to their number in all.
func (r *Root) Apply(c *volume.Commit) *Root {
	next := r.truncate(c.Kept)
	next.count = c.PageCount
	for len(next.leaves) < leavesFor(c.PageCount) {
		next.leaves = append(next.leaves, nil)
	}
	copied := -1 // the leaf that is ours to change
	for i := range c.Segments {
		for p := range c.Segments[i].Pages.All() {
			n := int((p - 1) / leafPages)
			if n != copied {
				next.leaves[n] = copyLeaf(next.leaves[n])
				copied = n
			}
			next.leaves[n][(p-1)%leafPages] = c.Segments[i].ID
		}
	}
	return next
}

// truncate gives a Root of its own leaf table without any page above n.
func (r *Root) truncate(n volume.PageCount) *Root {
	if n >= r.count {
		return &Root{count: r.count, leaves: slices.Clone(r.leaves)}
	}
	next := &Root{count: n, leaves: slices.Clone(r.leaves[:leavesFor(n)])}
	if rest := int(n % leafPages); rest != 0 {
		last := len(next.leaves) - 1
		if next.leaves[last] != nil {
			next.leaves[last] = copyLeaf(next.leaves[last])
			clear(next.leaves[last][rest:])
		}
	}
	return next
}

func leavesFor(n volume.PageCount) int { return int((uint64(n) + leafPages - 1) / leafPages) }

func copyLeaf(l *leaf) *leaf {
	if l == nil {
		return new(leaf)
	}
	c := *l
	return &c
}

// check reports the first invariant of Root that r breaks.
func (r *Root) check() error {
	if len(r.leaves) != leavesFor(r.count) {
		return fmt.Errorf("root of %d pages has %d leaves", r.count, len(r.leaves))
	}
	for i, l := range r.leaves {
		if l == nil {
			continue
		}
		for j, id := range l {
			if p := volume.PageIdx(i*leafPages + j + 1); !id.IsZero() && !r.count.Has(p) {
				return fmt.Errorf("root of %d pages has page %d", r.count, p)
			}
		}
	}
	return nil
}
