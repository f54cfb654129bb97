package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
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
	next := rootModel{count: c.PageCount, pages: make(map[volume.PageIdx]volume.SegmentID)}
	maps.Copy(next.pages, m.pages)
	maps.DeleteFunc(next.pages, func(p volume.PageIdx, _ volume.SegmentID) bool { return !c.Kept.Has(p) })
	for _, s := range c.Segments {
		for p := range s.Pages.All() {
			next.pages[p] = s.ID
		}
	}
	return next
}

// check reads every page of a small Root, and of another the written ones and
// those beside them.
func (m rootModel) check(t rapid.TB, r *Root) {
	t.Helper()
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	if r.PageCount() != m.count {
		t.Fatalf("%d pages, want %d", r.PageCount(), m.count)
	}
	for p := volume.PageIdx(1); p < 4*volume.LeafPages && m.count.Has(p); p++ {
		m.checkPage(t, r, p)
	}
	for p := range m.pages {
		for _, q := range []volume.PageIdx{p - 1, p, p + 1, p - volume.LeafPages, p + volume.LeafPages} {
			m.checkPage(t, r, q)
		}
	}
	for _, p := range []volume.PageIdx{0, volume.PageIdx(m.count), volume.PageIdx(m.count) + 1, 1 << 31} {
		m.checkPage(t, r, p)
	}
	m.checkEach(t, r)
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
}

func (m rootModel) checkPage(t rapid.TB, r *Root, p volume.PageIdx) {
	t.Helper()
	got, err := r.Lookup(context.Background(), p)
	if got != m.pages[p] || (err == nil) != m.count.Has(p) {
		t.Fatalf("page %d of %d is in %s, %v; want %s", p, m.count, got, err, m.pages[p])
	}
}

func (m rootModel) checkEach(t rapid.TB, r *Root) {
	t.Helper()
	var last volume.PageIdx
	got := make(map[volume.PageIdx]volume.SegmentID)
	err := r.Each(context.Background(), func(p volume.PageIdx, id volume.SegmentID) error {
		if p <= last {
			t.Fatalf("page %d after page %d", p, last)
		}
		last, got[p] = p, id
		return nil
	})
	if err != nil || !maps.Equal(got, m.pages) {
		t.Fatalf("each gives %v, %v, want %v", got, err, m.pages)
	}
}

// countGen draws page counts around the borders of leaves.
var countGen = rapid.OneOf(
	rapid.Uint32Range(0, 10),
	rapid.Uint32Range(volume.LeafPages-2, volume.LeafPages+2),
	rapid.Uint32Range(2*volume.LeafPages-2, 2*volume.LeafPages+2),
	rapid.Uint32Range(0, 3*volume.LeafPages+10),
)

// nodeGen draws those around the borders of nodes too.
var nodeGen = rapid.OneOf(
	countGen,
	rapid.Uint32Range(fanout*volume.LeafPages-2, fanout*volume.LeafPages+2),
	rapid.Uint32Range(fanout*fanout*volume.LeafPages-2, fanout*fanout*volume.LeafPages+2),
)

// sparseGen draws the highest, too.
var sparseGen = rapid.OneOf(nodeGen, nodeGen, nodeGen, rapid.Uint32Range(1<<32-300, 1<<32-1))

// drawCommit draws a commit that cuts off, grows or does neither.
func drawCommit(t *rapid.T, count volume.PageCount) volume.Commit {
	return drawCommitOf(t, count, countGen)
}

// drawSparse is drawCommit with pages that stand far from one another.
func drawSparse(t *rapid.T, count volume.PageCount) volume.Commit {
	return drawCommitOf(t, count, sparseGen)
}

// drawDense is drawSparse without the highest pages: to go through all leaves of
// a remote Volume takes time in proportion to its page count.
func drawDense(t *rapid.T, count volume.PageCount) volume.Commit {
	return drawCommitOf(t, count, nodeGen)
}

func drawCommitOf(t *rapid.T, count volume.PageCount, gen *rapid.Generator[uint32]) volume.Commit {
	c := volume.Commit{PageCount: volume.PageCount(gen.Draw(t, "page count"))}
	switch rapid.IntRange(0, 2).Draw(t, "kept") {
	case 0:
		c.Kept = min(count, c.PageCount)
	case 1:
		c.Kept = min(volume.PageCount(gen.Draw(t, "cut at")), c.PageCount)
	case 2:
		c.PageCount = max(c.PageCount, count)
		c.Kept = count
	}
	var taken volume.PageSet
	for range rapid.IntRange(0, 3).Draw(t, "segments") {
		s := volume.Segment{ID: volume.NewSegmentID()}
		for range rapid.IntRange(0, 3).Draw(t, "runs") {
			first := volume.PageIdx(gen.Draw(t, "first"))
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

func mustApply(t rapid.TB, r *Root, c volume.Commit) *Root {
	t.Helper()
	next, err := r.Apply(context.Background(), &c)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// diffOf gives what Diff does, and holds SameLeaf against it.
func diffOf(t rapid.TB, a, b *Root) []volume.LeafIdx {
	t.Helper()
	var diff []volume.LeafIdx
	err := Diff(context.Background(), a, b, func(n volume.LeafIdx) error {
		if SameLeaf(a, b, n) {
			t.Fatalf("leaf %d differs, and is the same", n)
		}
		diff = append(diff, n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(diff) {
		t.Fatalf("leaves are not in order: %v", diff)
	}
	return diff
}

func TestRootApplyBehavesAsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roots, models := []*Root{{}}, []rootModel{{}}
		for range rapid.IntRange(1, 8).Draw(t, "commits") {
			// Any older Root may be built on, as by a Reader's Writer or a base.
			i := rapid.IntRange(0, len(roots)-1).Draw(t, "parent")
			c := drawSparse(t, models[i].count)
			roots, models = append(roots, mustApply(t, roots[i], c)), append(models, models[i].apply(c))
			models[len(models)-1].check(t, roots[len(roots)-1])
		}
		for i := range roots {
			models[i].check(t, roots[i]) // no later commit changed it
		}
	})
}

func TestRootDiffIsWhereContentDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, model := &Root{}, rootModel{}
		for range rapid.IntRange(1, 5).Draw(t, "commits") {
			c := drawSparse(t, model.count)
			next, nextModel := mustApply(t, old, c), model.apply(c)
			want := make(map[volume.LeafIdx]bool)
			for p := range model.pages {
				if _, ok := nextModel.pages[p]; !ok {
					want[volume.LeafOf(p)] = true
				}
			}
			pages := c.Pages()
			for p := range pages.All() {
				want[volume.LeafOf(p)] = true
			}
			if got := diffOf(t, old, next); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				t.Fatalf("differ in leaves %v, want %v", got, slices.Sorted(maps.Keys(want)))
			}
			if got := diffOf(t, next, next); len(got) > 0 {
				t.Fatalf("differs from itself in leaves %v", got)
			}
			old, model = next, nextModel
		}
	})
}

// span is a run of pages of one Segment.
type span struct {
	first, last volume.PageIdx
	id          volume.SegmentID
}

// segmentsOf gives a Segment for each span.
func segmentsOf(spans []span) []volume.Segment {
	var segments []volume.Segment
	for _, s := range spans {
		seg := volume.Segment{ID: s.id}
		for i := range s.last - s.first + 1 {
			seg.Pages.Add(s.first + i)
		}
		segments = append(segments, seg)
	}
	return segments
}

func TestRootApplyCutsAtKept(t *testing.T) {
	a, b, c := volume.NewSegmentID(), volume.NewSegmentID(), volume.NewSegmentID()
	const leaf, node = volume.LeafPages, fanout * volume.LeafPages
	for name, tt := range map[string]struct {
		before      volume.PageCount // all of Segment a
		kept, count volume.PageCount
		add, want   []span
	}{
		"nothing":                         {10, 10, 10, nil, []span{{1, 10, a}}},
		"grow":                            {10, 10, 20, nil, []span{{1, 10, a}}},
		"cut":                             {10, 5, 5, nil, []span{{1, 5, a}}},
		"cut and grow back":               {10, 5, 10, nil, []span{{1, 5, a}}},
		"cut, grow and write":             {10, 5, 10, []span{{6, 6, b}}, []span{{1, 5, a}, {6, 6, b}}},
		"cut all":                         {10, 0, 0, nil, nil},
		"cut all of many leaves":          {3 * node, 0, 0, nil, nil},
		"cut all and write":               {3 * leaf, 0, 2, []span{{2, 2, b}}, []span{{2, 2, b}}},
		"cut on the border of a leaf":     {3 * leaf, leaf, 3 * leaf, nil, []span{{1, leaf, a}}},
		"cut before the border of a leaf": {3 * leaf, leaf - 1, 3 * leaf, nil, []span{{1, leaf - 1, a}}},
		"cut behind the border of a leaf": {3 * leaf, leaf + 1, 3 * leaf, nil, []span{{1, leaf + 1, a}}},
		"cut on the border of a node":     {2 * node, node, 2 * node, nil, []span{{1, node, a}}},
		"cut before the border of a node": {2 * node, node - 1, 2 * node, nil, []span{{1, node - 1, a}}},
		"cut behind the border of a node": {2 * node, node + 1, 2 * node, nil, []span{{1, node + 1, a}}},
		"cut and write far away":          {2 * node, 3, 1<<32 - 1, []span{{1<<32 - 2, 1<<32 - 2, b}}, []span{{1, 3, a}, {1<<32 - 2, 1<<32 - 2, b}}},
		"segments that share a leaf":      {10, 10, 2 * leaf, []span{{1, 1, b}, {5, leaf + 2, c}, {leaf + 5, leaf + 6, b}}, []span{{1, 1, b}, {2, 4, a}, {5, leaf + 2, c}, {leaf + 5, leaf + 6, b}}},
		"segments against the order":      {0, 0, 2 * leaf, []span{{leaf, leaf + 1, b}, {1, 2, c}, {2 * leaf, 2 * leaf, a}}, []span{{1, 2, c}, {leaf, leaf + 1, b}, {2 * leaf, 2 * leaf, a}}},
	} {
		t.Run(name, func(t *testing.T) {
			old := &Root{}
			before := rootModel{}
			if tt.before > 0 {
				first := volume.Commit{PageCount: tt.before, Segments: segmentsOf([]span{{1, volume.PageIdx(tt.before), a}})}
				old, before = mustApply(t, old, first), before.apply(first)
			}
			want := rootModel{count: tt.count, pages: make(map[volume.PageIdx]volume.SegmentID)}
			for _, s := range segmentsOf(tt.want) {
				for p := range s.Pages.All() {
					want.pages[p] = s.ID
				}
			}
			next := mustApply(t, old, volume.Commit{PageCount: tt.count, Kept: tt.kept, Segments: segmentsOf(tt.add)})
			want.check(t, next)
			before.check(t, old)
		})
	}
}

func TestRootSharesWhatDoesNotChange(t *testing.T) {
	const count = 3 * fanout * volume.LeafPages
	old := mustApply(t, &Root{}, volume.Commit{PageCount: count, Segments: segmentsOf([]span{{1, count, volume.NewSegmentID()}})})
	next := mustApply(t, old, volume.Commit{PageCount: count, Kept: count, Segments: segmentsOf([]span{{volume.LeafPages + 1, volume.LeafPages + 1, volume.NewSegmentID()}})})
	if got := diffOf(t, old, next); !slices.Equal(got, []volume.LeafIdx{1}) {
		t.Errorf("leaves %v differ, want 1 alone", got)
	}
	a, b := old.top.children.Load(), next.top.children.Load()
	if a[0] == b[0] || a[1] != b[1] || a[2] != b[2] {
		t.Error("not exactly the path to the changed leaf is copied")
	}
	for n := range leavesFor(count) {
		if SameLeaf(old, next, n) != (n != 1) {
			t.Errorf("leaf %d: same is %t", n, n == 1)
		}
	}
	same := mustApply(t, old, volume.Commit{PageCount: count + 7, Kept: count})
	if same.top != old.top {
		t.Error("a commit that changes nothing copies")
	}
}

func TestRootHeightFollowsTheHighestLeaf(t *testing.T) {
	r := &Root{}
	for _, tt := range []struct {
		kept   volume.PageCount
		write  volume.PageIdx
		height int
	}{
		{0, 1, 0}, {1, 256, 0}, {256, 257, 1}, {257, 64*256 + 1, 2}, {1 << 31, 1<<32 - 1, 4},
		{64*256 + 1, 2, 2}, {64 * 256, 3, 1}, {256, 4, 0}, {0, 1<<32 - 1, 4}, {0, 5, 0},
	} {
		r = mustApply(t, r, volume.Commit{PageCount: 1<<32 - 1, Kept: tt.kept, Segments: segmentsOf([]span{{tt.write, tt.write, volume.NewSegmentID()}})})
		if err := r.check(); err != nil || r.height != tt.height {
			t.Errorf("kept %d, page %d: height %d, %v, want %d", tt.kept, tt.write, r.height, err, tt.height)
		}
	}
	if r = mustApply(t, r, volume.Commit{PageCount: 1<<32 - 1}); r.top != nil || r.height != 0 {
		t.Errorf("an empty root of height %d", r.height)
	}
}

// A page count costs nothing, nor does a page that stands far from the others.
func TestRootOfHugePageCountIsCheap(t *testing.T) {
	const most = 1<<32 - 1
	low := volume.Commit{PageCount: most, Segments: segmentsOf([]span{{7, 7, volume.NewSegmentID()}})}
	high := volume.Commit{PageCount: most, Kept: most, Segments: segmentsOf([]span{{most, most, volume.NewSegmentID()}})}
	cut := volume.Commit{PageCount: most, Kept: 1 << 31}
	saved := &savedLeaves{leaves: make(map[volume.LeafIdx]*volume.Leaf)}
	saved.save(t, mustApply(t, mustApply(t, &Root{}, low), high), 0, volume.LeafOf(most))
	for name, open := range map[string]func() *Root{
		"made":   func() *Root { return &Root{} },
		"opened": func() *Root { return openStored(most, saved) },
	} {
		t.Run(name, func(t *testing.T) {
			asked := saved.asked()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := open()
			for _, c := range []volume.Commit{low, high, cut} {
				r = mustApply(t, r, c)
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
				t.Errorf("%d bytes are allocated", n)
			}
			rootModel{count: most, pages: map[volume.PageIdx]volume.SegmentID{7: low.Segments[0].ID}}.check(t, r)
			if n := saved.asked() - asked; n > 3*fanout {
				t.Errorf("%d loads", n)
			}
		})
	}
}

func TestRootLookupAllocatesNothing(t *testing.T) {
	const count = 100_000
	r := mustApply(t, &Root{}, volume.Commit{PageCount: count, Segments: segmentsOf([]span{{1, count, volume.NewSegmentID()}})})
	n := testing.AllocsPerRun(100, func() {
		if id, err := r.Lookup(context.Background(), 70_000); err != nil || id.IsZero() {
			t.Fatal(id, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRootEachStopsAtAnError(t *testing.T) {
	r := mustApply(t, &Root{}, volume.Commit{PageCount: 1000, Segments: segmentsOf([]span{{1, 1000, volume.NewSegmentID()}})})
	stop, calls := errors.New("stop"), 0
	err := r.Each(context.Background(), func(volume.PageIdx, volume.SegmentID) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(context.Background())
	calls = 0
	err = r.Each(ctx, func(volume.PageIdx, volume.SegmentID) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls != volume.LeafPages {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestRootCheckFindsABrokenInvariant(t *testing.T) {
	c := volume.Commit{PageCount: 4, Segments: segmentsOf([]span{{4, 4, volume.NewSegmentID()}})}
	good := mustApply(t, &Root{}, c)
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	high := innerNode(&children{1: good.top})
	for name, r := range map[string]*Root{
		"a page above the count":  {count: 3, top: good.top},
		"a leaf too many":         {count: volume.LeafPages, height: 1, top: high},
		"a copy of the empty one": {count: 4, top: leafNode(new(leaf))},
		"neither loaded nor lazy": {count: 4, top: new(node)},
		"a leaf among nodes":      {count: 4, height: 1, top: good.top},
		"a node among leaves":     {count: 1000, top: high},
		"too high":                {count: 4, height: maxHeight + 1, top: innerNode(new(children))},
		"high and empty":          {count: 4, height: 1},
	} {
		if r.check() == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// manyCommits gives the Root of 250,000 pages after that many commits.
func manyCommits(tb testing.TB, commits int) *Root {
	const count = 250_000
	r := mustApply(tb, &Root{}, volume.Commit{PageCount: count, Segments: segmentsOf([]span{{1, count, volume.NewSegmentID()}})})
	for i := 1; i < commits; i++ {
		p := volume.PageIdx(uint64(i)*7919%count + 1)
		r = mustApply(tb, r, volume.Commit{PageCount: count, Kept: count, Segments: []volume.Segment{{ID: volume.NewSegmentID(), Pages: volume.PageSetOf(p)}}})
	}
	return r
}

func BenchmarkLookup(b *testing.B) {
	for _, commits := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("commits=%d", commits), func(b *testing.B) {
			r := manyCommits(b, commits)
			ctx := context.Background()
			b.ReportAllocs()
			random := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				if _, err := r.Lookup(ctx, volume.PageIdx(random.Uint32N(250_000)+1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkApplyOneRow(b *testing.B) {
	r := manyCommits(b, 10)
	ctx := context.Background()
	c := volume.Commit{PageCount: r.count, Kept: r.count, Segments: []volume.Segment{{Pages: volume.PageSetOf(1, 70_000, 200_000)}}}
	b.ReportAllocs()
	for b.Loop() {
		c.Segments[0].ID = volume.NewSegmentID()
		var err error
		if r, err = r.Apply(ctx, &c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRootMemory reports the memory of 250,000 pages: of one Segment, and
// of a Segment for each page.
func BenchmarkRootMemory(b *testing.B) {
	for _, commits := range []int{1, 250_000} {
		b.Run(fmt.Sprintf("segments=%d", commits), func(b *testing.B) {
			for b.Loop() {
				before := liveBytes()
				r := manyCommits(b, commits)
				b.ReportMetric(float64(liveBytes()-before), "B/root")
				runtime.KeepAlive(r)
			}
		})
	}
}

func liveBytes() int64 {
	var m runtime.MemStats
	for range 3 { // the interned SegmentIDs go in more than one cycle
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
