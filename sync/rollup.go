package sync

import (
	"cmp"
	"slices"

	"graft/volume"
)

// rollup is what a range of local commits comes to as one commit: the newest
// version of each page that the range leaves behind.
type rollup struct {
	pageCount volume.PageCount
	kept      volume.PageCount
	sources   []volume.Alias // local Segments, newest first, with the pages taken from each
}

// planRollup folds commits of one local Volume, oldest first and at least one.
// Page p is taken from a commit only if no later one has it, or has kept below
// p.
func planRollup(commits []volume.Commit) rollup {
	last := commits[len(commits)-1]
	plan := rollup{pageCount: last.PageCount, kept: last.PageCount}
	var taken volume.PageSet
	for _, c := range slices.Backward(commits) {
		for _, seg := range c.Segments {
			var pages volume.PageSet
			for p := range seg.Pages.All() {
				if plan.kept.Has(p) && !taken.Contains(p) {
					pages.Add(p)
				}
			}
			if !pages.IsEmpty() {
				taken.AddSet(pages)
				plan.sources = append(plan.sources, volume.Alias{Segment: seg.ID, Pages: pages})
			}
		}
		plan.kept = min(plan.kept, c.Kept)
	}
	return plan
}

// pageRef says where one page of a rollup lies: in its source of that number.
type pageRef struct {
	idx    volume.PageIdx
	source uint32
}

// refs gives all pages of the rollup in ascending order; 8 bytes for each.
func (r *rollup) refs() []pageRef {
	var refs []pageRef
	for i, s := range r.sources {
		for p := range s.Pages.All() {
			refs = append(refs, pageRef{p, uint32(i)})
		}
	}
	slices.SortFunc(refs, func(a, b pageRef) int { return cmp.Compare(a.idx, b.idx) })
	return refs
}
