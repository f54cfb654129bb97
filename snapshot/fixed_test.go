package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
)

// fixedLeaves are the RemoteLeaves of a Root that is in memory.
type fixedLeaves struct {
	root  *Root
	knows func(volume.PageIdx) bool // whether Segment knows a page; nil: never

	written []volume.LeafIdx // those with a page, once somebody asked

	calls atomic.Int64 // for pages and leaves
	nexts atomic.Int64 // of NextLeaf
	mu    struct {
		sync.Mutex
		here    map[volume.LeafIdx]bool // nil: all
		listed  bool                    // NextLeaf knows, although not all leaves are here
		fetches []volume.LeafIdx
		err     error // of a fetch
	}
}

// fixedOf gives the leaves of r, all of them here.
func fixedOf(t rapid.TB, r *Root) *fixedLeaves {
	t.Helper()
	if err := r.Each(context.Background(), func(volume.PageIdx, volume.SegmentID) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return &fixedLeaves{root: r}
}

// farOf gives the leaves of r, none of which is here.
func farOf(t rapid.TB, r *Root) *fixedLeaves {
	t.Helper()
	f := fixedOf(t, r)
	f.mu.here = make(map[volume.LeafIdx]bool)
	return f
}

// drawFixed gives the leaves of a model, of which some are here and some pages
// are known. A leaf may have pages above the page count, as a chunk may.
func drawFixed(t *rapid.T, m rootModel) *fixedLeaves {
	r := &Root{count: 1<<32 - 1}
	for p, id := range m.pages {
		r = mustApply(t, r, volume.Commit{PageCount: r.count, Kept: r.count, Segments: segmentsOf([]span{{p, p, id}})})
	}
	if above := volume.PageIdx(m.count) + 1; above%volume.LeafPages != 1 && above != 0 {
		r = mustApply(t, r, volume.Commit{PageCount: r.count, Kept: r.count, Segments: segmentsOf([]span{{above, above, volume.NewSegmentID()}})})
	}
	f := farOf(t, r)
	if rapid.Bool().Draw(t, "pages are known") {
		f.knows = func(p volume.PageIdx) bool { return p%3 == 0 }
	}
	if rapid.Bool().Draw(t, "leaves are here") {
		f.mu.here = nil
	}
	f.mu.listed = rapid.Bool().Draw(t, "leaves are listed")
	return f
}

func (f *fixedLeaves) asked() int64 { return f.calls.Load() }

func (f *fixedLeaves) Segment(ctx context.Context, p volume.PageIdx, _ bool) (volume.SegmentID, bool, error) {
	f.calls.Add(1)
	if f.knows == nil || !f.knows(p) {
		return volume.SegmentID{}, false, nil
	}
	id, err := f.root.Lookup(ctx, p)
	return id, true, err
}

func (f *fixedLeaves) Leaf(ctx context.Context, n volume.LeafIdx, fetch bool) (*volume.Leaf, error) {
	f.calls.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.here != nil && !f.mu.here[n] {
		if !fetch {
			return nil, ErrAbsent
		}
		f.mu.fetches = append(f.mu.fetches, n)
		if f.mu.err != nil {
			return nil, f.mu.err
		}
		f.mu.here[n] = true
	}
	return f.root.Leaf(ctx, n)
}

func (f *fixedLeaves) NextLeaf(ctx context.Context, n volume.LeafIdx) (volume.LeafIdx, bool, error) {
	f.nexts.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.here != nil && !f.mu.listed {
		return 0, false, ErrAbsent
	}
	if f.written == nil {
		err := f.root.Each(ctx, func(p volume.PageIdx, _ volume.SegmentID) error {
			if at := volume.LeafOf(p); len(f.written) == 0 || f.written[len(f.written)-1] != at {
				f.written = append(f.written, at)
			}
			return nil
		})
		if err != nil {
			return 0, false, err
		}
	}
	i, _ := slices.BinarySearch(f.written, n)
	if i == len(f.written) {
		return 0, false, nil
	}
	return f.written[i], true, nil
}

// fetched gives the leaves that were fetched since the last call, or were to be.
func (f *fixedLeaves) fetched() []volume.LeafIdx {
	f.mu.Lock()
	defer f.mu.Unlock()
	fetches := f.mu.fetches
	f.mu.fetches = nil
	return fetches
}

func (f *fixedLeaves) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.err = err
}

// A commit needs nothing of a leaf that is not loaded, whatever it does to it.
func TestApplyAsksForNoFixedLeaf(t *testing.T) {
	const count = 70*volume.LeafPages + 10 // 71 leaves, the last of 10 pages
	full, a := fullRoot(t, count)
	b := volume.NewSegmentID()
	for name, tt := range map[string]struct {
		commits []volume.Commit
		known   []span // what is answered without a request; an id of zero is a page of zeros
		count   volume.PageCount
	}{
		"a page":               {[]volume.Commit{{PageCount: count, Kept: count, Segments: segmentsOf([]span{{300, 300, b}})}}, []span{{300, 300, b}}, count},
		"a page, and again":    {[]volume.Commit{{PageCount: count, Kept: count, Segments: segmentsOf([]span{{300, 301, a}})}, {PageCount: count, Kept: count, Segments: segmentsOf([]span{{300, 300, b}})}}, []span{{300, 300, b}, {301, 301, a}}, count},
		"appended":             {[]volume.Commit{{PageCount: count + 3, Kept: count, Segments: segmentsOf([]span{{count + 1, count + 2, b}})}}, []span{{count + 1, count + 2, b}, {first: count + 3, last: count + 3}}, count + 3},
		"grown":                {[]volume.Commit{{PageCount: count + 3, Kept: count}}, []span{{first: count + 1, last: count + 3}}, count + 3},
		"cut":                  {[]volume.Commit{{PageCount: 300, Kept: 300}}, nil, 300},
		"cut and grown":        {[]volume.Commit{{PageCount: 300, Kept: 300}, {PageCount: count, Kept: 300}}, []span{{first: 301, last: count}}, count},
		"cut to a border":      {[]volume.Commit{{PageCount: 1000, Kept: 2 * volume.LeafPages}}, []span{{first: 2*volume.LeafPages + 1, last: 1000}}, 1000},
		"cut, written, cut":    {[]volume.Commit{{PageCount: 400, Kept: 300, Segments: segmentsOf([]span{{290, 310, b}})}, {PageCount: 400, Kept: 305}}, []span{{290, 305, b}, {first: 306, last: 400}}, 400},
		"a whole leaf":         {[]volume.Commit{{PageCount: count, Kept: count, Segments: segmentsOf([]span{{257, 512, b}})}}, []span{{257, 512, b}}, count},
		"the whole last leaf":  {[]volume.Commit{{PageCount: count, Kept: count, Segments: segmentsOf([]span{{count - 9, count, b}})}}, []span{{count - 9, count, b}}, count},
		"all as by VACUUM":     {[]volume.Commit{{PageCount: 290, Kept: 290, Segments: segmentsOf([]span{{1, 280, b}})}}, []span{{1, 280, b}}, 290},
		"everything":           {[]volume.Commit{{PageCount: 0}, {PageCount: 600, Segments: segmentsOf([]span{{300, 300, b}})}}, []span{{300, 300, b}, {first: 301, last: 600}, {first: 1, last: 299}}, 600},
		"beyond the last leaf": {[]volume.Commit{{PageCount: 1 << 20, Kept: count, Segments: segmentsOf([]span{{1 << 20, 1 << 20, b}})}}, []span{{1 << 20, 1 << 20, b}, {first: count + 1, last: count + 300}}, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			far := farOf(t, full)
			far.fail(errOffline)
			opened, want := OpenRoot(count, far), rootModel{count, written(t, full)}
			r := opened
			for _, c := range tt.commits {
				r, want = mustApply(t, r, c), want.apply(c)
			}
			if far.asked() != 0 {
				t.Errorf("%d calls", far.asked())
			}
			if err := r.check(); err != nil || r.PageCount() != tt.count {
				t.Errorf("%d pages, %v", r.PageCount(), err)
			}
			known := make(map[volume.PageIdx]bool)
			for _, s := range tt.known {
				for p := s.first; p <= s.last; p++ {
					mustLookup(t, r, p, s.id)
					if id, ok := r.known(p); id != s.id || !ok {
						t.Errorf("page %d is in %s in memory, %t", p, id, ok)
					}
					known[p] = true
				}
			}
			if got := far.fetched(); len(got) != 0 {
				t.Errorf("fetches leaves %v", got)
			}
			for p := range want.pages {
				if _, ok := r.known(p); ok != known[p] {
					t.Fatalf("page %d is known: %t", p, ok)
				}
			}
			checkOffline(t, far, r, want, known)
			far.fail(nil)
			want.check(t, r)
			rootModel{count, written(t, full)}.check(t, opened)
		})
	}
}

// checkOffline looks up a page of each leaf that is not known, without and then
// with the remote.
func checkOffline(t *testing.T, far *fixedLeaves, r *Root, want rootModel, known map[volume.PageIdx]bool) {
	t.Helper()
	tried := make(map[volume.LeafIdx]bool)
	for p, id := range want.pages {
		n := volume.LeafOf(p)
		if known[p] || tried[n] {
			continue
		}
		tried[n] = true
		far.fail(errOffline)
		if _, err := r.lookupHere(t.Context(), p); !errors.Is(err, ErrAbsent) {
			t.Fatalf("page %d is here: %v", p, err)
		}
		if got := far.fetched(); len(got) != 0 {
			t.Fatalf("page %d fetches leaf %v to see whether it is here", p, got)
		}
		if _, err := r.Lookup(t.Context(), p); !errors.Is(err, errOffline) {
			t.Fatalf("page %d: %v, want an error", p, err)
		}
		far.fail(nil)
		far.fetched()
		for range 2 {
			mustLookup(t, r, p, id)
		}
		if got := far.fetched(); !slices.Equal(got, []volume.LeafIdx{n}) {
			t.Fatalf("page %d fetches leaves %v, want %d once", p, got, n)
		}
	}
}

// What one Root loads is loaded for all that share it: those too that have a
// patch over it.
func TestAFixedLeafIsLoadedOnceForAllThatShareIt(t *testing.T) {
	const count = 3 * volume.LeafPages
	full, a := fullRoot(t, count)
	far := farOf(t, full)
	opened := OpenRoot(count, far)
	b := volume.NewSegmentID()
	roots := []*Root{opened}
	for i := range volume.PageIdx(5) {
		c := volume.Commit{PageCount: count, Kept: count, Segments: segmentsOf([]span{{300 + i, 300 + i, b}})}
		roots = append(roots, mustApply(t, roots[i], c))
	}
	for first := range roots {
		r := roots[(first+3)%len(roots)]
		mustLookup(t, r, 400, a)
	}
	if got := far.fetched(); !slices.Equal(got, []volume.LeafIdx{1}) {
		t.Errorf("leaves %v are fetched, want leaf 1 once", got)
	}
	calls := far.asked()
	for i, r := range roots {
		for p := volume.PageIdx(300); p < 306; p++ {
			want := a
			if p < 300+volume.PageIdx(i) {
				want = b
			}
			mustLookup(t, r, p, want)
		}
		if err := r.check(); err != nil {
			t.Error(err)
		}
	}
	next := mustApply(t, roots[5], volume.Commit{PageCount: count, Kept: 301})
	mustLookup(t, next, 300, b)
	mustLookup(t, next, 302, volume.SegmentID{})
	if far.asked() != calls {
		t.Errorf("%d calls for what is loaded", far.asked()-calls)
	}
}

func TestPagesThatAreKnownNeedNoLeaf(t *testing.T) {
	full, a := fullRoot(t, 600)
	far := farOf(t, full)
	far.fail(errOffline)
	far.knows = func(p volume.PageIdx) bool { return p != 5 }
	b := volume.NewSegmentID()
	r := mustApply(t, OpenRoot(600, far), volume.Commit{PageCount: 600, Kept: 500, Segments: segmentsOf([]span{{7, 7, b}})})
	mustLookup(t, r, 6, a)
	mustLookup(t, r, 7, b)
	mustLookup(t, r, 501, volume.SegmentID{}) // the base knows better, and does not matter
	if _, err := r.Lookup(t.Context(), 5); !errors.Is(err, errOffline) {
		t.Errorf("page 5: %v", err)
	}
	broken := errors.New("no checkpoint")
	r = OpenRoot(600, &failingLeaves{far, broken})
	if _, err := r.Lookup(t.Context(), 6); !errors.Is(err, broken) {
		t.Errorf("page 6: %v", err)
	}
}

// failingLeaves fail to say what they know.
type failingLeaves struct {
	*fixedLeaves
	err error
}

func (f *failingLeaves) Segment(context.Context, volume.PageIdx, bool) (id volume.SegmentID, known bool, err error) {
	return id, false, f.err
}

func TestRootOverAFixedBaseBehavesAsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := rootModel{}
		for range rapid.IntRange(0, 3).Draw(t, "commits of the base") {
			model = model.apply(drawDense(t, model.count))
		}
		fixed := drawFixed(t, model)
		roots, models := []*Root{OpenRoot(model.count, fixed)}, []rootModel{model}
		for range rapid.IntRange(1, 6).Draw(t, "commits") {
			i := rapid.IntRange(0, len(roots)-1).Draw(t, "parent")
			c := drawDense(t, models[i].count)
			calls := fixed.asked()
			next := mustApply(t, roots[i], c)
			if fixed.asked() != calls {
				t.Fatal("a commit asks for something")
			}
			if err := next.check(); err != nil {
				t.Fatal(err)
			}
			checkScan(t, next, models[i].apply(c))
			roots, models = append(roots, next), append(models, models[i].apply(c))
			for range rapid.IntRange(0, 2).Draw(t, "looks") {
				i := rapid.IntRange(0, len(roots)-1).Draw(t, "root")
				models[i].checkPage(t, roots[i], volume.PageIdx(nodeGen.Draw(t, "page")))
			}
		}
		for i := range roots {
			models[i].check(t, roots[i])
		}
	})
}

// checkScan holds that a scan makes no request, keeps nothing, and leaves nothing
// out but leaves that it says are not here.
func checkScan(t rapid.TB, r *Root, want rootModel) {
	t.Helper()
	before := loadedLeaves(r)
	got, last := make(map[volume.PageIdx]volume.SegmentID), int64(-1)
	var absent [][2]volume.LeafIdx
	isAbsent := func(p volume.PageIdx) bool {
		return slices.ContainsFunc(absent, func(a [2]volume.LeafIdx) bool { return volume.LeafOf(p) >= a[0] && volume.LeafOf(p) < a[1] })
	}
	err := r.scan(context.Background(), func(n, end volume.LeafIdx, l *leaf) error {
		if int64(n) <= last || end <= n || l != nil && end != n+1 || end > leavesFor(r.PageCount()) {
			return fmt.Errorf("leaves %d to %d after leaf %d", n, end, last)
		}
		last = int64(end) - 1
		if l == nil {
			absent = append(absent, [2]volume.LeafIdx{n, end})
			return nil
		}
		for i, id := range l.written() {
			got[firstPage(n)+volume.PageIdx(i)] = id
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for p, id := range want.pages {
		if got[p] != id && !isAbsent(p) {
			t.Fatalf("page %d is in %s by a scan, want %s", p, got[p], id)
		}
	}
	for p := range got {
		if want.pages[p].IsZero() {
			t.Fatalf("page %d is in %s by a scan, and was never written", p, got[p])
		}
	}
	if after := loadedLeaves(r); after != before {
		t.Fatalf("a scan keeps %d leaves", after-before)
	}
}

// loadedLeaves counts the leaves of r that are in memory.
func loadedLeaves(r *Root) int {
	var count func(n *node, height int) int
	count = func(n *node, height int) (loaded int) {
		switch {
		case n == nil || height == 0 && n.leaf.Load() == nil || height > 0 && n.children.Load() == nil:
			return 0
		case height == 0:
			return 1
		}
		for _, child := range n.children.Load() {
			loaded += count(child, height-1)
		}
		return loaded
	}
	return count(r.top, r.height)
}

// Readers load a fixed leaf while commits change it and others load it.
func TestFixedLeavesAreLoadedBesideCommits(t *testing.T) {
	const count = 100 * volume.LeafPages
	full, id := fullRoot(t, count)
	opened := OpenRoot(count, farOf(t, full))
	var wg sync.WaitGroup
	newest := new(atomic.Pointer[Root])
	newest.Store(opened)
	for reader := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				p := volume.PageIdx((i*7919+reader*31)%count + 1)
				if got, err := opened.Lookup(context.Background(), p); got != id || err != nil {
					t.Errorf("page %d is in %s, %v", p, got, err)
					return
				}
				if _, err := newest.Load().Lookup(context.Background(), p); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	r, want := opened, rootModel{count, written(t, full)}
	for i := range 300 {
		p := volume.PageIdx((i*104729)%count + 1)
		c := volume.Commit{PageCount: count, Kept: count, Segments: segmentsOf([]span{{p, p, volume.NewSegmentID()}})}
		if i%50 == 49 {
			c.Kept = volume.PageCount(count - i)
		}
		r, want = mustApply(t, r, c), want.apply(c)
		newest.Store(r)
	}
	wg.Wait()
	want.check(t, r)
}

// A page count says nothing of what is written: what is far from everything is
// neither asked for nor made.
func TestAFixedRootOfHugePageCountIsCheap(t *testing.T) {
	const most = 1<<32 - 1
	id := volume.NewSegmentID()
	far := farOf(t, mustApply(t, &Root{}, volume.Commit{PageCount: most, Segments: segmentsOf([]span{{7, 7, id}, {most, most, id}})}))
	opened := OpenRoot(most, far)
	next := mustApply(t, opened, volume.Commit{PageCount: most, Kept: 1 << 31, Segments: segmentsOf([]span{{1 << 30, 1 << 30, id}})})
	mustLookup(t, next, 7, id)
	mustLookup(t, next, most, volume.SegmentID{})
	mustLookup(t, opened, most, id)
	if got := diffOf(t, opened, opened); len(got) != 0 {
		t.Errorf("leaves %v differ from themselves", got)
	}
	if got := far.fetched(); len(got) != 2 {
		t.Errorf("leaves %v are fetched", got)
	}
}

// A reader that looks for a stored leaf meets a commit that finds none, becomes a
// patch over the base and is stored before the reader goes on.
func TestAReaderTakesNoLeafThatWasStoredSince(t *testing.T) {
	const count = 3 * volume.LeafPages
	full, a := fullRoot(t, count)
	b := volume.NewSegmentID()
	for name, read := range map[string]func(r *Root) (volume.SegmentID, error){
		"lookup": func(r *Root) (volume.SegmentID, error) { return r.Lookup(context.Background(), 280) },
		"scan": func(r *Root) (id volume.SegmentID, err error) {
			n, err := r.find(context.Background(), 1)
			if err != nil {
				return id, err
			}
			l, err := n.peek(context.Background(), 1)
			return l.at(slot(280)), err
		},
	} {
		stored := &savedLeaves{leaves: make(map[volume.LeafIdx]*volume.Leaf)}
		opened := OpenRootOver(OpenRoot(count, fixedOf(t, full)), 300, stored) // the cut goes through leaf 1
		if _, err := opened.find(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		reached, release := make(chan struct{}), make(chan struct{})
		first := stored.asked() + 1
		stored.before = func() {
			if stored.asked() == first {
				close(reached)
				<-release
			}
		}
		result := make(chan volume.SegmentID)
		go func() {
			got, err := read(opened)
			if err != nil {
				t.Error(err)
			}
			result <- got
		}()
		<-reached // it has not read yet
		next := mustApply(t, opened, volume.Commit{PageCount: 300, Kept: 300, Segments: segmentsOf([]span{{270, 290, b}})})
		if next.top.loadedChildren()[1].leaf.Load() != nil {
			t.Fatalf("%s: the leaf is loaded", name)
		}
		stored.save(t, next, 1)
		close(release)
		if got := <-result; got != a {
			t.Errorf("%s: page 280 is in %s, want %s", name, got, a)
		}
		mustLookup(t, opened, 280, a)
		mustLookup(t, opened, 300, a)
		mustLookup(t, next, 280, b)
	}
}
