package snapshot

import (
	"context"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
)

// rootModel is what a Root must give.
type rootModel struct {
	count volume.PageCount
	pages map[volume.PageIdx]volume.SegmentID
}

// apply is the definition of what a commit does.
func (m rootModel) apply(c volume.Commit) rootModel {
	next := rootModel{count: c.PageCount, pages: maps.Clone(m.pages)}
	maps.DeleteFunc(next.pages, func(p volume.PageIdx, _ volume.SegmentID) bool { return !c.Kept.Has(p) })
	for _, s := range c.Segments {
		for p := range s.Pages.All() {
			next.pages[p] = s.ID
		}
	}
	return next
}

func (m rootModel) check(t rapid.TB, r *Root) {
	t.Helper()
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	if r.PageCount() != m.count {
		t.Fatalf("%d pages, want %d", r.PageCount(), m.count)
	}
	for p := volume.PageIdx(1); m.count.Has(p); p++ {
		if got, err := r.Lookup(context.Background(), p); got != m.pages[p] || err != nil {
			t.Fatalf("page %d of %d is in %s, %v; want %s", p, m.count, got, err, m.pages[p])
		}
	}
	for _, p := range []volume.PageIdx{0, volume.PageIdx(m.count) + 1, 1 << 31} {
		if got, err := r.Lookup(context.Background(), p); err == nil {
			t.Fatalf("page %d of %d is in %s", p, m.count, got)
		}
	}
}

// countGen draws page counts around the borders of leaves.
var countGen = rapid.OneOf(
	rapid.Uint32Range(0, 10),
	rapid.Uint32Range(leafPages-2, leafPages+2),
	rapid.Uint32Range(2*leafPages-2, 2*leafPages+2),
	rapid.Uint32Range(0, 3*leafPages+10),
)

// drawCommit draws a commit that cuts off, grows or does neither.
func drawCommit(t *rapid.T, count volume.PageCount) volume.Commit {
	c := volume.Commit{PageCount: volume.PageCount(countGen.Draw(t, "page count"))}
	switch rapid.IntRange(0, 2).Draw(t, "kept") {
	case 0:
		c.Kept = min(count, c.PageCount)
	case 1:
		c.Kept = min(volume.PageCount(countGen.Draw(t, "cut at")), c.PageCount)
	case 2:
		c.PageCount = max(c.PageCount, count)
		c.Kept = count
	}
	var taken volume.PageSet
	for range rapid.IntRange(0, 2).Draw(t, "segments") {
		s := volume.Segment{ID: volume.NewSegmentID()}
		for range rapid.IntRange(0, 3).Draw(t, "runs") {
			first := volume.PageIdx(countGen.Draw(t, "first"))
			for i := range volume.PageIdx(rapid.Uint32Range(1, 20).Draw(t, "length")) {
				if p := first + i; c.PageCount.Has(p) && !taken.Contains(p) {
					s.Pages.Add(p)
					taken.Add(p)
				}
			}
		}
		if !s.Pages.IsEmpty() {
			c.Segments = append(c.Segments, s)
		}
	}
	return c
}

func TestRootApplyBehavesAsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roots, models := []*Root{{}}, []rootModel{{}}
		models[0].pages = make(map[volume.PageIdx]volume.SegmentID)
		for range rapid.IntRange(1, 8).Draw(t, "commits") {
			// Any older Root may be built on, as by a Reader's Writer or a base.
			i := rapid.IntRange(0, len(roots)-1).Draw(t, "parent")
			c := drawCommit(t, models[i].count)
			roots, models = append(roots, roots[i].Apply(&c)), append(models, models[i].apply(c))
			models[len(models)-1].check(t, roots[len(roots)-1])
		}
		for i := range roots {
			models[i].check(t, roots[i]) // no later commit changed it
		}
	})
}

func TestRootShareLeavesThatDoNotChange(t *testing.T) {
	first := volume.Commit{PageCount: 3 * leafPages, Segments: []volume.Segment{{ID: volume.NewSegmentID(), Pages: pages(1, 3*leafPages)[0].Pages}}}
	old := (&Root{}).Apply(&first)
	second := volume.Commit{PageCount: 3 * leafPages, Kept: 3 * leafPages, Segments: []volume.Segment{{ID: volume.NewSegmentID(), Pages: volume.PageSetOf(leafPages + 1)}}}
	next := old.Apply(&second)
	if next.leaves[0] != old.leaves[0] || next.leaves[2] != old.leaves[2] || next.leaves[1] == old.leaves[1] {
		t.Error("not exactly the leaf of the changed page is copied")
	}
	grown := (&Root{}).Apply(&volume.Commit{PageCount: 10 * leafPages})
	for i, l := range grown.leaves {
		if l != nil {
			t.Errorf("leaf %d has no page, and is there", i)
		}
	}
}

func TestRootCheckFindsABrokenInvariant(t *testing.T) {
	above := new(leaf)
	above[3] = volume.NewSegmentID()
	for name, r := range map[string]*Root{
		"a page above the count": {count: 3, leaves: []*leaf{above}},
		"a leaf too many":        {count: leafPages, leaves: make([]*leaf, 2)},
		"a leaf too few":         {count: leafPages + 1, leaves: make([]*leaf, 1)},
	} {
		if r.check() == nil {
			t.Errorf("%s passes", name)
		}
	}
	if err := (&Root{count: 4, leaves: []*leaf{above}}).check(); err != nil {
		t.Error(err)
	}
}
