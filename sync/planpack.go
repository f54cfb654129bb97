package sync

import (
	"cmp"
	"math"
	"slices"

	"graft/volume"
)

const (
	// maxLoose is how many commits whose pages are still the newest it takes for a push
	// to pack them.
	maxLoose = 128
	// minLoose is how many a push has to find that takes a checkpoint, and packs
	// whatever there is: fewer are not worth an object.
	minLoose = 8
	// maxPackPages is how many pages go into one pack, so that a push uploads 8 MiB
	// more at most, before compression. Pages of commits get half of it, which leaves
	// room to merge packs.
	maxPackPages = 2048
	// mergeWidth is how many packs of about one size are merged: in that proportion,
	// too, sizes count as one. Each page is uploaded once more for each of the sizes,
	// whose number grows with the logarithm of the pages.
	mergeWidth = 4
	// smallPack is how many pages a pack of the lowest size has at most.
	smallPack = 32
	// maxPerChange is how many pages are moved at most for a request that is saved.
	maxPerChange = 128
	// packReach is how many page indexes a reader wants at once. Packs that do not meet
	// within so many take no request from each other, and need no merge.
	packReach = 4096
)

// packPlan is what a push moves into a pack: pages that lie in commits, and pages of
// packs that are merged with them. Each is in ascending order.
type packPlan struct {
	loose, merged []volume.PageAddress
}

// planPack plans a pack for pages that lie as given, in ascending order, in commits
// before the one that is pushed, or in packs. It looks at nothing else, so equal
// tables have equal plans.
//
// Pages of commits are always moved, lowest first. With them go all pages of small
// packs, as in a log-structured merge tree: where mergeWidth of a size meet, the new
// one among them, they are merged with all that are smaller. If these are too many
// pages, those go that follow one another and are the most scattered; the rest stays,
// for another push.
func planPack(pages []volume.PageAddress) packPlan {
	var plan packPlan
	packed := make([]volume.PageAddress, 0, len(pages))
	for _, e := range pages {
		if !e.Frame.Source.LSN.IsZero() && len(plan.loose) < maxPackPages/2 {
			plan.loose = append(plan.loose, e)
		} else if !e.Frame.Source.Pack.IsZero() {
			packed = append(packed, e)
		}
	}
	sizes := packSizes(packed)
	most, ok := mergedSize(packed, sizes, len(plan.loose))
	if !ok {
		return plan
	}
	small := slices.DeleteFunc(packed, func(e volume.PageAddress) bool { return sizes[e.Frame.Source.Pack] > most })
	plan.merged = mostScattered(small, maxPackPages-len(plan.loose))
	return plan
}

// packSizes gives the size of each pack, from zero, by its pages.
func packSizes(packed []volume.PageAddress) map[volume.SegmentID]int {
	counts := make(map[volume.SegmentID]int)
	for _, e := range packed {
		counts[e.Frame.Source.Pack]++
	}
	for id, n := range counts {
		counts[id] = sizeOf(n)
	}
	return counts
}

func sizeOf(pages int) (size int) {
	for n := int64(smallPack); int64(pages) > n; n *= mergeWidth {
		size++
	}
	return size
}

// mergedSize gives the largest size of which packs are merged when one of so many
// pages is made, if any is.
func mergedSize(packed []volume.PageAddress, sizes map[volume.SegmentID]int, loose int) (most int, ok bool) {
	depth := make(map[int]int) // by size
	for at := 0; at < len(packed); {
		reach := packed[at].Idx / packReach
		met := make(map[int]map[volume.SegmentID]bool)
		for ; at < len(packed) && packed[at].Idx/packReach == reach; at++ {
			id := packed[at].Frame.Source.Pack
			if met[sizes[id]] == nil {
				met[sizes[id]] = make(map[volume.SegmentID]bool)
			}
			met[sizes[id]][id] = true
			depth[sizes[id]] = max(depth[sizes[id]], len(met[sizes[id]]))
		}
	}
	if loose > 0 {
		depth[sizeOf(loose)]++
	}
	made := 0 // 1: the sizes below make one of this size
	for size := 0; size <= sizeOf(math.MaxInt32); size++ {
		if depth[size]+made >= mergeWidth {
			most, ok, made = size, true, 1
		} else {
			made = 0
		}
	}
	return most, ok
}

// mostScattered gives as many pages in a row as there is room for: those between which a
// reader changes packs most often, the lowest of these. It gives none where a merge
// would move more than maxPerChange pages for each of these changes.
func mostScattered(pages []volume.PageAddress, room int) []volume.PageAddress {
	n := min(len(pages), room)
	from, changes, most := 0, 0, 0
	for i := 1; i < len(pages); i++ {
		changes += change(pages, i)
		if i >= n {
			changes -= change(pages, i-n+1)
		}
		if changes > most {
			from, most = max(i-n+1, 0), changes
		}
	}
	if n > most*maxPerChange {
		return nil
	}
	return pages[from : from+n]
}

// change is 1 if page i lies in another pack than the one before it.
func change(pages []volume.PageAddress, i int) int {
	if pages[i].Frame.Source.Pack == pages[i-1].Frame.Source.Pack {
		return 0
	}
	return 1
}

// all gives the pages that are moved, in ascending order.
func (p packPlan) all() []volume.PageAddress {
	all := slices.Concat(p.loose, p.merged)
	slices.SortFunc(all, func(a, b volume.PageAddress) int { return cmp.Compare(a.Idx, b.Idx) })
	return all
}

// commits gives how many commits pages lie in.
func commits(pages []volume.PageAddress) int {
	seen := make(map[volume.Source]bool)
	for _, e := range pages {
		if !e.Frame.Source.LSN.IsZero() {
			seen[e.Frame.Source] = true
		}
	}
	return len(seen)
}
