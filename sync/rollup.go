package sync

import (
	"cmp"
	"slices"

	"graft/snapshot"
	"graft/volume"
)

// pageRef says where one page of a rollup lies: in its source of that number.
type pageRef struct {
	idx    volume.PageIdx
	source uint32
}

// pageRefs gives all pages of a rollup in ascending order; 8 bytes for each.
func pageRefs(up snapshot.Rollup) []pageRef {
	var refs []pageRef
	for i, s := range up.Sources {
		for p := range s.Pages.All() {
			refs = append(refs, pageRef{p, uint32(i)})
		}
	}
	slices.SortFunc(refs, func(a, b pageRef) int { return cmp.Compare(a.idx, b.idx) })
	return refs
}
