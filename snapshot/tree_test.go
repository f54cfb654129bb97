package snapshot

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
)

// savedLeaves is a LeafSource. What is saved into it overwrites what it gave
// before, as bytes on a disk would.
type savedLeaves struct {
	mu     sync.Mutex
	leaves map[volume.LeafIdx]*volume.Leaf
	calls  atomic.Int64
	fail   atomic.Pointer[failure]
	before func() // is called first, if set
}

// failure has call number at fail.
type failure struct {
	at  int64
	err error
}

func (s *savedLeaves) call() error {
	n := s.calls.Add(1)
	if s.before != nil {
		s.before()
	}
	if f := s.fail.Load(); f != nil && n == f.at {
		return f.err
	}
	return nil
}

func (s *savedLeaves) Leaf(_ context.Context, n volume.LeafIdx) (*volume.Leaf, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaves[n] == nil {
		return nil, nil
	}
	l := *s.leaves[n]
	return &l, nil
}

func (s *savedLeaves) NextLeaf(_ context.Context, n volume.LeafIdx) (volume.LeafIdx, bool, error) {
	if err := s.call(); err != nil {
		return 0, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, ok := volume.LeafIdx(0), false
	for m := range s.leaves {
		if m >= n && (!ok || m < next) {
			next, ok = m, true
		}
	}
	return next, ok, nil
}

func (s *savedLeaves) asked() int64 { return s.calls.Load() }

// save overwrites leaves with those of r.
func (s *savedLeaves) save(t rapid.TB, r *Root, leaves ...volume.LeafIdx) {
	t.Helper()
	for _, n := range leaves {
		l, err := r.Leaf(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		s.put(n, l)
	}
}

func (s *savedLeaves) put(n volume.LeafIdx, l *volume.Leaf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l == nil {
		delete(s.leaves, n)
		return
	}
	s.leaves[n] = l
}

// savedRoot gives what save makes of a whole Root.
func savedRoot(t rapid.TB, r *Root) *savedLeaves {
	t.Helper()
	s := &savedLeaves{leaves: make(map[volume.LeafIdx]*volume.Leaf)}
	s.save(t, r, diffOf(t, &Root{}, r)...)
	return s
}

// openStored gives a Root all of whose leaves are stored in place.
func openStored(count volume.PageCount, source LeafSource) *Root {
	return OpenRootOver(&Root{}, count, source)
}

// rootStore keeps the Roots of a Graft as the store does: of the newest Snapshot
// the leaves that are not the base's, each over its older version.
type rootStore struct {
	base, newest           *Root // as stored
	baseModel, newestModel rootModel
	leaves                 *savedLeaves
	fixed                  *fixedLeaves // of the base that was opened last

	roots  []*Root // every one since it was opened
	models []rootModel
}

func newRootStore() *rootStore {
	return &rootStore{
		base: &Root{}, newest: &Root{}, fixed: &fixedLeaves{},
		leaves: &savedLeaves{leaves: make(map[volume.LeafIdx]*volume.Leaf)},
	}
}

// save overwrites in place: a leaf of the newest Root where that or the base
// changed, for elsewhere it is still what is stored, or still the base's. What is
// overwritten is settled before.
func (s *rootStore) save(t rapid.TB, base, newest *Root) {
	t.Helper()
	changed := append(diffOf(t, s.base, base), diffOf(t, s.newest, newest)...)
	for _, n := range changed {
		if err := s.newest.settle(context.Background(), n); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range changed {
		l, err := newest.Leaf(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case SameLeaf(base, newest, n):
			s.leaves.put(n, nil)
		case l == nil:
			s.leaves.put(n, new(volume.Leaf))
		default:
			s.leaves.put(n, l)
		}
	}
	s.base, s.newest = base, newest
	s.roots = append(s.roots, base, newest)
	s.models = append(s.models, s.baseModel, s.newestModel)
}

// apply is mustApply that asks no remote for anything.
func (s *rootStore) apply(t rapid.TB, r *Root, c volume.Commit) *Root {
	t.Helper()
	asked := s.fixed.asked()
	next := mustApply(t, r, c)
	if n := s.fixed.asked() - asked; n > 0 {
		t.Fatalf("a commit asks for %d leaves", n)
	}
	return next
}

// step does one of what happens to a Graft.
func (s *rootStore) step(t *rapid.T) {
	switch rapid.SampledFrom([]string{"commit", "commit", "adopt", "advance", "reset", "switch", "reopen", "reopen"}).Draw(t, "step") {
	case "commit":
		c := drawDense(t, s.newestModel.count)
		s.newestModel = s.newestModel.apply(c)
		s.save(t, s.base, s.apply(t, s.newest, c))
	case "adopt":
		c := drawDense(t, s.baseModel.count)
		s.baseModel = s.baseModel.apply(c)
		s.save(t, s.apply(t, s.base, c), s.newest)
	case "advance":
		c := drawDense(t, s.baseModel.count)
		s.baseModel = s.baseModel.apply(c)
		s.newestModel = s.baseModel
		base := s.apply(t, s.base, c)
		s.save(t, base, base)
	case "reset":
		if i := s.draw(t); i >= 0 {
			s.newestModel = s.models[i]
			s.save(t, s.base, s.roots[i])
		}
	case "switch":
		if i := s.draw(t); i >= 0 {
			s.baseModel = s.models[i]
			s.save(t, s.roots[i], s.newest)
		}
	case "reopen":
		s.fixed = drawFixed(t, s.baseModel)
		s.base = OpenRoot(s.baseModel.count, s.fixed)
		s.newest = OpenRootOver(s.base, s.newestModel.count, s.leaves)
		s.roots, s.models = []*Root{s.base, s.newest}, []rootModel{s.baseModel, s.newestModel}
	}
}

// draw gives the number of some Root, or -1 when there is none.
func (s *rootStore) draw(t *rapid.T) int {
	return rapid.IntRange(min(0, len(s.roots)-1), len(s.roots)-1).Draw(t, "root")
}

// look reads a page of some Root, so that parts of all of them are loaded.
func (s *rootStore) look(t *rapid.T) {
	i := s.draw(t)
	if i < 0 {
		return
	}
	s.models[i].checkPage(t, s.roots[i], volume.PageIdx(nodeGen.Draw(t, "page")))
	if err := s.roots[i].check(); err != nil {
		t.Fatal(err)
	}
}

// Old Roots are read after what they were opened from was overwritten.
func TestOpenedRootsBehaveAsMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newRootStore()
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			s.step(t)
			for range rapid.IntRange(0, 2).Draw(t, "looks") {
				s.look(t)
			}
		}
		for i := range s.roots {
			s.models[i].check(t, s.roots[i])
		}
	})
}

// fullRoot gives a Root of count pages of one Segment.
func fullRoot(t rapid.TB, count volume.PageCount) (*Root, volume.SegmentID) {
	t.Helper()
	id := volume.NewSegmentID()
	return mustApply(t, &Root{}, volume.Commit{PageCount: count, Segments: segmentsOf([]span{{1, volume.PageIdx(count), id}})}), id
}

// written gives the written pages of r.
func written(t rapid.TB, r *Root) map[volume.PageIdx]volume.SegmentID {
	t.Helper()
	pages := make(map[volume.PageIdx]volume.SegmentID)
	err := r.Each(context.Background(), func(p volume.PageIdx, id volume.SegmentID) error {
		pages[p] = id
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func mustLookup(t rapid.TB, r *Root, p volume.PageIdx, want volume.SegmentID) {
	t.Helper()
	if got, err := r.Lookup(context.Background(), p); got != want || err != nil {
		t.Errorf("page %d is in %s, %v, want %s", p, got, err, want)
	}
}

func TestRootLoadsALeafOnceForAllThatShareIt(t *testing.T) {
	full, id := fullRoot(t, 70*volume.LeafPages)
	saved := savedRoot(t, full)
	opened := openStored(full.count, saved)
	if saved.asked() != 0 {
		t.Errorf("%d loads to open", saved.asked())
	}
	other := volume.NewSegmentID()
	next := mustApply(t, opened, volume.Commit{PageCount: full.count, Kept: full.count, Segments: segmentsOf([]span{{1, 1, other}})})
	mustLookup(t, next, 300, id) // not loaded by Apply
	asked := saved.asked()
	saved.put(0, nil)
	saved.put(1, nil)
	mustLookup(t, opened, 1, id)
	mustLookup(t, opened, 300, id)
	mustLookup(t, next, 300, id)
	mustLookup(t, next, 1, other)
	if saved.asked() != asked {
		t.Errorf("%d loads of what is loaded", saved.asked()-asked)
	}
	mustLookup(t, opened, 600, id)
	if saved.asked() != asked+1 {
		t.Errorf("%d loads of one leaf", saved.asked()-asked)
	}
}

func TestRootApplyLoadsWhatItDrops(t *testing.T) {
	const count = 70 * volume.LeafPages
	full, id := fullRoot(t, count)
	for _, kept := range []volume.PageCount{0, 1, volume.LeafPages, volume.LeafPages + 1, fanout * volume.LeafPages, count - 1} {
		saved := savedRoot(t, full)
		opened := openStored(count, saved)
		next := mustApply(t, opened, volume.Commit{PageCount: count, Kept: kept})
		for _, n := range diffOf(t, opened, next) {
			saved.put(n, nil)
		}
		for p := volume.PageIdx(1); p <= count; p += 100 {
			mustLookup(t, opened, p, id)
		}
		if err := next.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestRootKeepsTheFirstOfTwoLoads(t *testing.T) {
	for _, blocked := range []int64{1, 2, 3} { // a node, its child by NextLeaf again, a leaf
		full, id := fullRoot(t, 70*volume.LeafPages)
		saved := savedRoot(t, full)
		opened := openStored(full.count, saved)
		reached, release := make(chan struct{}), make(chan struct{})
		saved.before = func() {
			if saved.asked() == blocked {
				close(reached)
				<-release
			}
		}
		result := make(chan volume.SegmentID)
		go func() {
			got, _ := opened.Lookup(context.Background(), 5)
			result <- got
		}()
		<-reached // it has not read yet
		saved.before = nil
		other := volume.NewSegmentID()
		next := mustApply(t, opened, volume.Commit{PageCount: full.count, Segments: segmentsOf([]span{{5, 5, other}})})
		for _, n := range diffOf(t, opened, next) {
			saved.save(t, next, n)
		}
		close(release)
		if got := <-result; got != id {
			t.Errorf("call %d: page 5 is in %s, want %s", blocked, got, id)
		}
		mustLookup(t, opened, 5, id)
		mustLookup(t, opened, 6, id)
		mustLookup(t, next, 5, other)
		mustLookup(t, next, 6, volume.SegmentID{})
	}
}

func TestRootDoesNotRememberAFailedLoad(t *testing.T) {
	const count = 70 * volume.LeafPages
	full, _ := fullRoot(t, count)
	want := rootModel{count, written(t, full)}
	broken := errors.New("broken disk")
	ctx := context.Background()
	for name, do := range map[string]func(r, other *Root) error{
		"lookup": func(r, _ *Root) error { _, err := r.Lookup(ctx, 300); return err },
		"leaf":   func(r, _ *Root) error { _, err := r.Leaf(ctx, 69); return err },
		"diff":   func(r, o *Root) error { return Diff(ctx, r, o, func(volume.LeafIdx) error { return nil }) },
		"each": func(r, _ *Root) error {
			return r.Each(ctx, func(volume.PageIdx, volume.SegmentID) error { return nil })
		},
		"apply": func(r, _ *Root) error {
			next, err := r.Apply(ctx, &volume.Commit{PageCount: count, Kept: count / 2, Segments: segmentsOf([]span{{5, 5, volume.NewSegmentID()}})})
			if (next == nil) != (err != nil) {
				t.Errorf("root %p and %v", next, err)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			saved, over := savedRoot(t, full), savedRoot(t, full)
			for _, source := range []*savedLeaves{saved, over} {
				for i := int64(1); ; i++ {
					source.calls.Store(0)
					source.fail.Store(&failure{i, broken})
					r := OpenRootOver(openStored(count, saved), count, over)
					err := do(r, full)
					if source.asked() < i {
						if err != nil {
							t.Error(err)
						}
						break
					}
					if !errors.Is(err, broken) {
						t.Errorf("call %d: %v", i, err)
					}
					if err := do(r, full); err != nil { // the disk is mended
						t.Errorf("after call %d: %v", i, err)
					}
					want.checkEach(t, r)
					if err := r.check(); err != nil {
						t.Error(err)
					}
				}
				source.fail.Store(nil)
			}
		})
	}
}

func TestRootLeavesOutStoredPagesAboveTheCount(t *testing.T) {
	full, id := fullRoot(t, 300)
	opened := openStored(299, savedRoot(t, full))
	mustLookup(t, opened, 299, id)
	if err := opened.check(); err != nil {
		t.Error(err)
	}
	grown := mustApply(t, opened, volume.Commit{PageCount: 300, Kept: 299})
	mustLookup(t, grown, 299, id)
	mustLookup(t, grown, 300, volume.SegmentID{})
}

// A crash may leave any of the stored leaves newer than the page count that they
// are opened with. Then the commits since are applied to them once more.
func TestRootOfNewerLeavesIsMendedByApplyingAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, model := &Root{}, rootModel{}
		step := func(r *Root, m rootModel) (*Root, rootModel, volume.Commit) {
			c := drawSparse(t, m.count)
			return mustApply(t, r, c), m.apply(c), c
		}
		for range rapid.IntRange(0, 3).Draw(t, "commits that are saved") {
			old, model, _ = step(old, model)
		}
		saved := savedRoot(t, old)
		newest, want := old, model
		var since []volume.Commit
		for range rapid.IntRange(1, 3).Draw(t, "commits since") {
			var c volume.Commit
			newest, want, c = step(newest, want)
			since = append(since, c)
		}
		for _, n := range diffOf(t, old, newest) {
			if rapid.Bool().Draw(t, "is saved") {
				saved.save(t, newest, n)
			}
		}
		opened := openStored(old.count, saved)
		for _, c := range since {
			opened = mustApply(t, opened, c)
			if err := opened.check(); err != nil {
				t.Fatal(err)
			}
		}
		want.check(t, opened)
	})
}

func TestRootOverABaseSharesWithIt(t *testing.T) {
	const count = 3*fanout*volume.LeafPages - 10
	full, id := fullRoot(t, count)
	other := volume.NewSegmentID()
	changed := mustApply(t, full, volume.Commit{PageCount: count, Kept: count, Segments: segmentsOf([]span{{300, 300, other}})})
	over := &savedLeaves{leaves: make(map[volume.LeafIdx]*volume.Leaf)}
	over.save(t, changed, 1)
	for _, tt := range []struct {
		count volume.PageCount
		want  []volume.LeafIdx
	}{
		{count, []volume.LeafIdx{1}},
		{count + 1000, []volume.LeafIdx{1}},
		{count - 1, []volume.LeafIdx{1, 191}},
		{count - 200, []volume.LeafIdx{1, 191}},
		{190 * volume.LeafPages, []volume.LeafIdx{1, 190, 191}},
	} {
		base := OpenRoot(count, fixedOf(t, full))
		newest := OpenRootOver(base, tt.count, over)
		if got := diffOf(t, base, newest); !slices.Equal(got, tt.want) {
			t.Errorf("%d pages: leaves %v differ, want %v", tt.count, got, tt.want)
		}
		mustLookup(t, newest, 300, other)
		mustLookup(t, base, 300, id)
		for _, p := range []volume.PageIdx{1, 600, 64*256 + 1, volume.PageIdx(min(tt.count, count))} {
			mustLookup(t, newest, p, id)
		}
		if err := newest.Each(context.Background(), func(volume.PageIdx, volume.SegmentID) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := newest.check(); err != nil {
			t.Error(err)
		}
	}
}

// Readers of old Roots meet commits that overwrite what those are loaded from.
func TestRootsAreReadWhileLeavesAreOverwritten(t *testing.T) {
	const count = 100 * volume.LeafPages
	full, id := fullRoot(t, count)
	saved := savedRoot(t, full)
	opened := openStored(count, saved)
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			for i := range 4000 {
				p := volume.PageIdx((i*7919+reader*31)%count + 1)
				if got, err := opened.Lookup(context.Background(), p); got != id || err != nil {
					t.Errorf("page %d is in %s, %v", p, got, err)
					return
				}
			}
		})
	}
	r := opened
	for i := range 400 {
		p := volume.PageIdx((i*104729)%count + 1)
		c := volume.Commit{PageCount: count, Kept: volume.PageCount(count - i), Segments: segmentsOf([]span{{p, p, volume.NewSegmentID()}})}
		next := mustApply(t, r, c)
		for _, n := range diffOf(t, r, next) {
			saved.save(t, next, n)
		}
		r = next
	}
	wg.Wait()
	if err := r.check(); err != nil {
		t.Error(err)
	}
}
