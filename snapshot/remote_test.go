package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

var errOffline = errors.New("offline")

// fakeSource is a bucket. Pages are put into it; the page indexes of remote
// Volumes it makes from their logs. It stores nothing in the local store.
type fakeSource struct {
	mu struct {
		sync.Mutex
		pages map[pageKey]*volume.Page
		asked []pageKey
		err   error // what it answers to requests, if set
		roots map[Point]*fakeRoot

		lazy   bool             // leaves are not here before they are fetched
		here   map[leafKey]bool // those that are
		leaves []leafKey        // that were fetched since the last call of fetched
	}
}

type pageKey struct {
	id volume.SegmentID
	p  volume.PageIdx
}

type leafKey struct {
	at Point
	n  volume.LeafIdx
}

// fakeRoot is the page index of a remote Volume at a Point.
type fakeRoot struct {
	f    *fakeSource
	at   Point
	root *Root
	last volume.PageSet // pages of the commit itself
	rec  volume.Record
}

// fakeRemote is the bucket seen from one local store.
type fakeRemote struct {
	*fakeSource
	store *store.Store
}

func (fakeRemote) Prefetch(context.Context, Point, *Root, []volume.PageIdx) error { return nil }

func (g *graft) remote() Remote { return fakeRemote{g.source, g.store} }

func (f fakeRemote) Page(ctx context.Context, at Point, id volume.SegmentID, p volume.PageIdx) (*volume.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.asked = append(f.mu.asked, pageKey{id, p})
	if f.mu.err != nil {
		return nil, f.mu.err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, err := f.rootLocked(at)
	if err != nil {
		return nil, err
	}
	if got, err := r.root.Lookup(ctx, p); got != id || err != nil {
		return nil, fmt.Errorf("%s has page %d in segment %s, not %s: %w", at, p, got, id, err)
	}
	if page := f.mu.pages[pageKey{id, p}]; page != nil {
		return page, nil
	}
	return nil, fmt.Errorf("%w: no page %d of segment %s", volume.ErrCorrupt, p, id)
}

func (f fakeRemote) Root(_ context.Context, at Point) (*Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.store.Commit(at.Volume, at.LSN); errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("root at %s: %w", at, err)
	}
	r, err := f.rootLocked(at)
	if err != nil {
		return nil, err
	}
	return OpenRoot(r.root.PageCount(), r), nil
}

// objectOf stands for what the page index at a Point is loaded from.
func objectOf(at Point) []byte { return []byte("page index of " + at.String()) }

func (f fakeRemote) ObjectsOf(volume.Record, func(volume.Hash)) error { return nil }

func (f fakeRemote) Objects(at Point, fn func(volume.Hash)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(volume.HashOf(objectOf(at)))
	_, err := f.rootLocked(at) // before the log goes that it is made from
	return err
}

func (f fakeRemote) rootLocked(at Point) (*fakeRoot, error) {
	if at.LSN == 0 {
		return f.rootOfParentLocked(at.Volume)
	}
	if r := f.mu.roots[at]; r != nil {
		return r, nil
	}
	rec, err := f.store.Commit(at.Volume, at.LSN)
	if err != nil {
		return nil, fmt.Errorf("root at %s: %w", at, err)
	}
	parent, err := f.rootLocked(Point{at.Volume, at.LSN - 1})
	if err != nil {
		return nil, err
	}
	root, err := parent.root.Apply(context.Background(), &rec.Commit)
	if err != nil {
		return nil, err
	}
	r := &fakeRoot{f: f.fakeSource, at: at, root: root, last: rec.Commit.Pages(), rec: rec}
	if f.mu.roots == nil {
		f.mu.roots = make(map[Point]*fakeRoot)
	}
	f.mu.roots[at] = r
	return r, nil
}

// rootOfParentLocked gives what a remote Volume begins with.
func (f fakeRemote) rootOfParentLocked(v volume.VolumeID) (*fakeRoot, error) {
	grafts, err := f.store.Grafts()
	for _, g := range grafts {
		if g.Remote == v && !g.Parent.IsZero() {
			return f.rootLocked(Point{g.Parent, g.ParentLSN})
		}
	}
	return &fakeRoot{root: &Root{}}, err
}

func (r *fakeRoot) Segment(ctx context.Context, p volume.PageIdx, _ bool) (volume.SegmentID, bool, error) {
	if !r.last.Contains(p) {
		return volume.SegmentID{}, false, nil
	}
	id, err := r.root.Lookup(ctx, p)
	return id, true, err
}

// NextLeaf knows when all leaves are here, or one is: then so is what lists them.
func (r *fakeRoot) NextLeaf(ctx context.Context, n volume.LeafIdx) (next volume.LeafIdx, ok bool, err error) {
	r.f.mu.Lock()
	known := !r.f.mu.lazy
	for key := range r.f.mu.here {
		known = known || key.at == r.at
	}
	r.f.mu.Unlock()
	if !known {
		return 0, false, ErrAbsent
	}
	err = r.root.Each(ctx, func(p volume.PageIdx, _ volume.SegmentID) error {
		if at := volume.LeafOf(p); !ok && at >= n {
			next, ok = at, true
		}
		return nil
	})
	return next, ok, err
}

func (r *fakeRoot) Leaf(ctx context.Context, n volume.LeafIdx, fetch bool) (*volume.Leaf, error) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if key := (leafKey{r.at, n}); r.f.mu.lazy && !r.f.mu.here[key] {
		if !fetch {
			return nil, ErrAbsent
		}
		r.f.mu.leaves = append(r.f.mu.leaves, key)
		if r.f.mu.err != nil {
			return nil, r.f.mu.err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r.f.mu.here[key] = true
	}
	return r.root.Leaf(ctx, n)
}

func (f *fakeSource) has(ref store.PageRef) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.pages[pageKey{ref.Segment, ref.Idx}] != nil
}

func (f *fakeSource) put(id volume.SegmentID, p volume.PageIdx, page *volume.Page) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.pages == nil {
		f.mu.pages = make(map[pageKey]*volume.Page)
	}
	f.mu.pages[pageKey{id, p}] = page
}

// putAgain stores a commit that was swept.
func (f *fakeSource) putAgain(t rapid.TB, st *store.Store, at Point) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := st.Apply(store.Change{Commits: []volume.Record{f.mu.roots[at].rec}}); err != nil {
		t.Fatal(err)
	}
}

func (f *fakeSource) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.err = err
}

// forget has leaves be fetched before they are read, those too that were.
func (f *fakeSource) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.lazy, f.mu.here = true, make(map[leafKey]bool)
}

// bring has all leaves be here.
func (f *fakeSource) bring() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.lazy = false
}

// asked gives the pages that were asked for since the last call.
func (f *fakeSource) asked() []pageKey {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.mu.asked
	f.mu.asked = nil
	return asked
}

// fetched gives the numbers of the leaves that were fetched since the last call,
// or were to be.
func (f *fakeSource) fetched() (numbers []volume.LeafIdx) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range f.mu.leaves {
		numbers = append(numbers, key.n)
	}
	f.mu.leaves = nil
	return numbers
}

// offline does what must make no request.
func (f *fakeSource) offline(t rapid.TB, do func()) {
	t.Helper()
	f.asked()
	f.fetched()
	f.fail(errOffline)
	defer f.fail(nil)
	do()
	if pages, leaves := f.asked(), f.fetched(); len(pages)+len(leaves) > 0 {
		t.Fatalf("asked for pages %v and leaves %v", pages, leaves)
	}
}
