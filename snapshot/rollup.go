package snapshot

import (
	"slices"

	"graft/volume"
)

// Rollup is what a range of local commits comes to as one commit: the newest
// version of each page that the range leaves behind.
type Rollup struct {
	PageCount volume.PageCount
	Kept      volume.PageCount
	Sources   []volume.Alias // local Segments, newest first, with the pages taken from each
}

// Pages is the set of all pages.
func (up Rollup) Pages() volume.PageSet {
	var all volume.PageSet
	for _, s := range up.Sources {
		all.AddSet(s.Pages)
	}
	return all
}

// NewRollup folds commits of one local Volume, oldest first and at least one.
// Page p is taken from a commit only if no later one has it, or has kept below
// p.
func NewRollup(commits []volume.Commit) Rollup {
	last := commits[len(commits)-1]
	up := Rollup{PageCount: last.PageCount, Kept: last.PageCount}
	var taken volume.PageSet
	for _, c := range slices.Backward(commits) {
		for _, seg := range c.Segments {
			var pages volume.PageSet
			for p := range seg.Pages.All() {
				if up.Kept.Has(p) && !taken.Contains(p) {
					pages.Add(p)
				}
			}
			if !pages.IsEmpty() {
				taken.AddSet(pages)
				up.Sources = append(up.Sources, volume.Alias{Segment: seg.ID, Pages: pages})
			}
		}
		up.Kept = min(up.Kept, c.Kept)
	}
	return up
}

// Rollup folds a range of the local log. That of an empty range has no pages, and
// no page count.
func (h *Head) Rollup(local volume.VolumeID, lsns volume.LSNRange) (Rollup, error) {
	var commits []volume.Commit
	err := h.store.Log(local, lsns, func(rec volume.Record) error {
		commits = append(commits, rec.Commit)
		return nil
	})
	if err != nil || len(commits) == 0 {
		return Rollup{}, err
	}
	return NewRollup(commits), nil
}

// pagesBySegment gives the pages of each source. A Segment is in one at most.
func pagesBySegment(sources []volume.Alias) map[volume.SegmentID]volume.PageSet {
	pages := make(map[volume.SegmentID]volume.PageSet, len(sources))
	for _, a := range sources {
		pages[a.Segment] = a.Pages
	}
	return pages
}
