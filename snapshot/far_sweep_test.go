package snapshot

import (
	"context"
	"errors"
	"testing"

	"graft/volume"
	"graft/volume/store"
)

// Of a leaf that is not here nobody knows what is live: everything is.
func TestASweepKeepsThePagesOfAbsentLeaves(t *testing.T) {
	g, want := far(t)
	g.source.bring()
	r := g.head.Reader()
	var refs []store.PageRef
	for _, ref := range places(t, r) { // what is fetched is stored, as package sync does
		page, err := r.Page(t.Context(), ref.Idx)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.store.Stage(ref.Segment, []volume.PageEntry{{Idx: ref.Idx, Page: page}}); err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	r.Close()
	orphan := volume.NewSegmentID()
	if err := g.store.Stage(orphan, []volume.PageEntry{{Idx: 300, Page: page(9, 300)}, {Idx: 5000, Page: page(9, 5000)}}); err != nil {
		t.Fatal(err)
	}
	g.source.forget()
	reopenStill(t, g)
	g.update(t, func(w *Writer) { write(t, w, 300, 300, 1) })
	want.set(300, 300, 1)
	flush(t, g)
	g.source.offline(t, func() { sweep(t, g) })
	checkUnloaded(t, g)
	checkPlaces(t, g, refs, true)
	checkPlaces(t, g, []store.PageRef{{Segment: orphan, Idx: 300}}, true)
	checkPlaces(t, g, []store.PageRef{{Segment: orphan, Idx: 5000}}, false)
	want.check(t, g.head.Reader())

	g.source.bring() // now it is known
	reopenStill(t, g)
	g.source.offline(t, func() { sweep(t, g) })
	checkUnloaded(t, g)
	checkPlaces(t, g, refs, true) // the base has page 300 still
	checkPlaces(t, g, []store.PageRef{{Segment: orphan, Idx: 300}}, false)
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("pages %v are gone", asked)
	}
	want.check(t, g.head.Reader())
}

// checkCached tells whether the objects that a Point needs are cached.
func checkCached(t *testing.T, g *graft, at Point, want bool) {
	t.Helper()
	if _, err := g.store.Object(volume.HashOf(objectOf(at))); (err == nil) != want || err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what is loaded for %s: %v, want it there: %t", at, err, want)
	}
}

func TestASweepKeepsWhatThePointsInUseAreLoadedFrom(t *testing.T) {
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 600, 1) })
	adopt(t, g)
	remote := g.head.State().Remote
	at := func(l volume.LSN) Point { return Point{remote, l} }
	for l := volume.LSN(2); l <= 8; l++ {
		g.putRemote(t, l, volume.Commit{PageCount: 600, Kept: 600, Segments: pages(10, 20)}, uint64(l))
	}
	for l := volume.LSN(1); l <= 8; l++ {
		if err := g.store.PutObjects(map[volume.Hash][]byte{volume.HashOf(objectOf(at(l))): objectOf(at(l))}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string, used ...volume.LSN) {
		t.Helper()
		g.source.offline(t, func() { sweep(t, g) })
		for l := volume.LSN(1); l <= 8; l++ {
			in := false
			for _, u := range used {
				in = in || u == l
			}
			checkCached(t, g, at(l), in)
			if _, err := g.store.Commit(remote, l); (err == nil) != in {
				t.Errorf("%s: commit %d: %v, want it there: %t", name, l, err, in)
			}
		}
	}
	advance(t, g, 2)
	f := fork(t, g, "fork")
	advance(t, g, 3)
	r := g.head.Reader()
	reset(t, g, 5) // opens it anew
	deleted := fork(t, g, "deleted")
	old := deleted.head.Reader()
	deleteGraft(t, deleted, "deleted")
	reset(t, g, 7)
	advance(t, g, 8) // its leaves are of 7
	want := contentOf(600, 1, 600, 1).set(10, 20, 8)

	check("all", 2, 3, 5, 7, 8)
	deleteGraft(t, f, "fork")
	check("no fork", 3, 5, 7, 8)
	r.Close()
	check("no reader", 5, 7, 8)
	contentOf(600, 1, 600, 1).set(10, 20, 5).check(t, old)
	old.Close()
	check("no reader of a deleted graft", 7, 8)
	want.check(t, g.head.Reader())
	crashStill(t, g)
	check("opened anew", 8)
	want.check(t, g.head.Reader())
}

func TestASweepKeepsTheParentOfAForkThatWasPushed(t *testing.T) {
	g := newGraft(t)
	still(g)
	for range 2 {
		g.update(t, func(w *Writer) { write(t, w, 1, 6, 1) })
		g.update(t, func(w *Writer) { write(t, w, 1, 6, 2) })
		adopt(t, g)
	}
	parent := Point{g.head.State().Remote, 2}
	if err := g.store.PutObjects(map[volume.Hash][]byte{volume.HashOf(objectOf(parent)): objectOf(parent)}); err != nil {
		t.Fatal(err)
	}
	f := fork(t, g, "fork")
	f.update(t, func(w *Writer) { write(t, w, 1, 3, 3) })
	adopt(t, f)
	deleteGraft(t, g, "main")
	f.reopen(t)
	g.store, g.heads = f.store, f.heads
	for range 2 {
		sweep(t, f)
	}
	for l := volume.LSN(1); l <= 2; l++ {
		if _, err := f.store.Commit(parent.Volume, l); (err == nil) != (l == 2) {
			t.Errorf("commit %d of the parent: %v", l, err)
		}
	}
	checkCached(t, f, parent, true)
	contentOf(6, 1, 3, 3).set(4, 6, 2).check(t, f.head.Reader())
}

// A base that was opened anew has no leaf that is stored.
func TestAJumpWritesNoLeaf(t *testing.T) {
	g, want := far(t)
	saveNow(t, g)
	for l := volume.LSN(3); l <= 3+maxAdvance; l++ {
		g.putRemote(t, l, volume.Commit{PageCount: 810, Kept: 810, Segments: pages(3, 3)}, uint64(l))
	}
	advance(t, g, 3+maxAdvance)
	h := g.head
	changed, err := h.changedLeaves(t.Context(), &h.mu.state, h.mu.base, h.mu.snap.root)
	if err != nil || len(changed) > 0 {
		t.Errorf("leaves %v changed, %v", changed, err)
	}
	want.set(3, 3, 3+maxAdvance).check(t, g.head.Reader())
}

// A few commits keep what is loaded; many, or commits that are not all here,
// begin anew.
func TestAdvanceKeepsWhatIsLoaded(t *testing.T) {
	for name, tt := range map[string]struct {
		commits volume.LSN
		missing volume.LSN
		want    bool
	}{
		"a few":           {maxAdvance, 0, true},
		"too many":        {maxAdvance + 1, 0, false},
		"with a gap":      {3, 2, false},
		"without a start": {3, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			still(g)
			g.putRemote(t, 1, volume.Commit{PageCount: 600, Segments: pages(1, 600)}, 1)
			advance(t, g, 1)
			create(t, g)
			g.source.forget()
			reopenStill(t, g)
			want := contentOf(600, 1, 600, 1)
			if _, err := g.head.Reader().snap.root.Leaf(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			for l := volume.LSN(2); l <= 1+tt.commits; l++ {
				p := volume.PageIdx(300 + l)
				g.putRemote(t, l, volume.Commit{PageCount: 600, Kept: 600, Segments: pages(p, p)}, 2)
				want.set(p, p, 2)
			}
			to := 1 + tt.commits
			if _, err := g.remote().Root(t.Context(), Point{g.head.State().Remote, to}); err != nil { // the source knows it
				t.Fatal(err)
			}
			if tt.missing > 0 {
				swept(t, g, g.head.State().Remote, 1+tt.missing)
			}
			g.source.offline(t, func() { advance(t, g, to) })
			if got := loadedLeaves(g.head.mu.base) > 0; got != tt.want {
				t.Errorf("what was loaded is kept: %t", got)
			}
			if loadedLeaves(g.head.mu.base) > 1 {
				t.Error("something was loaded")
			}
			if st := g.head.State(); st.SyncPoint.Remote != to || st.Snapshot.Point().LSN != to {
				t.Errorf("sync point %+v, point %s", st.SyncPoint, st.Snapshot.Point())
			}
			want.check(t, g.head.Reader())
			crashStill(t, g)
			want.check(t, g.head.Reader())
		})
	}
}

// swept removes a commit from the log of a remote Volume, and those before.
func swept(t *testing.T, g *graft, v volume.VolumeID, l volume.LSN) {
	t.Helper()
	live := store.Live{Pages: store.NewPageRefSet(), Unknown: new(store.LeafSet), Remotes: map[volume.VolumeID]store.RemoteLog{v: {From: l + 1}}}
	for n := range volume.LeafIdx(10) {
		live.Unknown.Add(n)
	}
	st := g.head.State()
	live.Locals = map[volume.VolumeID]volume.LSN{st.Local: 0}
	if _, err := g.store.Sweep(t.Context(), func(context.Context) (store.Live, error) { return live, nil }); err != nil {
		t.Fatal(err)
	}
}
