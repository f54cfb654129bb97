package snapshot

import (
	"context"
	"errors"
	"testing"

	"graft/volume"
	"graft/volume/store"
)

func reset(t *testing.T, g *graft, to volume.LSN) {
	t.Helper()
	if err := g.head.Reset(context.Background(), to, g.head.State().LocalHead); err != nil {
		t.Fatal(err)
	}
}

// diverged is a Graft that has commits which are not pushed, and is behind by two.
func diverged(t *testing.T) *graft {
	t.Helper()
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 600, 1) })
	adopt(t, g)
	g.putRemote(t, 2, volume.Commit{PageCount: 600, Kept: 300, Segments: pages(10, 20)}, 2)
	g.putRemote(t, 3, volume.Commit{PageCount: 610, Kept: 600, Segments: pages(20, 30)}, 3)
	g.update(t, func(w *Writer) { write(t, w, 5, 500, 8) })
	g.update(t, func(w *Writer) { write(t, w, 700, 700, 9) })
	return g
}

func contentAt(to volume.LSN) content {
	c := contentOf(600, 1, 600, 1)
	if to > 1 {
		c.truncate(300)
		c.set(10, 20, 2)
		c.count = 600
	}
	if to > 2 {
		c.set(20, 30, 3)
		c.count = 610
	}
	if to == 0 {
		return contentOf(0, 1, 0, 0)
	}
	return c
}

func TestResetShowsTheRemoteVolume(t *testing.T) {
	for to := range volume.LSN(4) {
		g := diverged(t)
		old := g.head.Reader()
		wantOld := contentOf(700, 1, 600, 1).set(5, 500, 8).set(700, 700, 9)
		given := places(t, old)
		g.source.forget()
		g.source.offline(t, func() { reset(t, g, to) })
		st := g.head.State()
		if st.SyncPoint != (volume.SyncPoint{Remote: to, Local: 3}) || !st.Unpushed().IsZero() || st.LocalHead != 3 {
			t.Errorf("to %d: state %+v", to, st)
		}
		if g.head.Reader().SameContent(old) {
			t.Errorf("to %d: the content version did not change", to)
		}
		if _, err := g.head.TryWriter(old); !errors.Is(err, ErrStale) {
			t.Errorf("to %d: a reader from before: %v", to, err)
		}
		want := contentAt(to)
		want.check(t, g.head.Reader())
		sweep(t, g)
		g.source.bring()
		wantOld.check(t, old)
		old.Close()
		saveAndSweep(t, g)
		for _, ref := range given {
			now, err := g.head.Reader().snap.root.Lookup(t.Context(), min(ref.Idx, volume.PageIdx(want.count)))
			if has, hasErr := g.store.HasPage(ref.Segment, ref.Idx); has && want.count > 0 && err == nil && now != ref.Segment || hasErr != nil {
				t.Fatalf("to %d: page %d of segment %s is kept, %v", to, ref.Idx, ref.Segment, hasErr)
			}
		}
		for _, again := range []func(*testing.T, *graft){func(t *testing.T, g *graft) { crashStill(t, g) }, reopenStill} {
			again(t, g)
			want.check(t, g.head.Reader())
		}
		if lsn := g.update(t, func(w *Writer) { write(t, w, 2, 2, 4) }); lsn != 4 {
			t.Errorf("to %d: LSN %d", to, lsn)
		}
		want.set(2, 2, 4)
		want.count = max(want.count, 2)
		reopenStill(t, g)
		want.check(t, g.head.Reader())
	}
}

// It goes back and forth over an index that was saved, with commits in between.
func TestResetBackAndForth(t *testing.T) {
	g := diverged(t)
	for i, to := range []volume.LSN{2, 3, 1, 3, 2, 2} {
		reset(t, g, to)
		want := contentAt(to)
		want.check(t, g.head.Reader())
		p := volume.PageIdx(40 + i)
		g.update(t, func(w *Writer) { write(t, w, p, p+300, uint64(20+i)) })
		want.set(p, p+300, uint64(20+i))
		switch i % 3 {
		case 0:
			saveNow(t, g)
		case 1:
			saveHalf(t, g, func(n volume.LeafIdx) bool { return n == 0 })
		}
		crashStill(t, g)
		want.check(t, g.head.Reader())
	}
}

func TestResetThatIsRefusedChangesNothing(t *testing.T) {
	g := diverged(t)
	want := contentOf(700, 1, 600, 1).set(5, 500, 8).set(700, 700, 9)
	before := g.head.State()
	check := func(name string, err, wantErr error) {
		t.Helper()
		if !errors.Is(err, wantErr) {
			t.Errorf("%s: %v, want %v", name, err, wantErr)
		}
		after := g.head.State()
		if after.SyncPoint != before.SyncPoint || after.Snapshot != before.Snapshot || g.head.Busy() || len(g.head.sync) > 0 {
			t.Errorf("%s: it changed something: %+v", name, after)
		}
	}
	check("one commit more", g.head.Reset(t.Context(), 3, 2), ErrStale)
	check("a commit that is not here", g.head.Reset(t.Context(), 9, 3), store.ErrNotFound)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	w := g.writer(t)
	err := g.head.Reset(cancelled, 3, 3)
	w.Discard()
	check("beside a writer", err, context.Canceled)
	unlock, err := g.head.LockSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = g.head.Reset(cancelled, 3, 3)
	unlock()
	check("beside a sync", err, context.Canceled)

	p, aliases := g.rollup(t)
	if err := g.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	check("a push in doubt", g.head.Reset(t.Context(), 3, 3), ErrPending)
	if err := g.head.SetPending(nil, nil); err != nil {
		t.Fatal(err)
	}
	want.check(t, g.head.Reader())
	reopenStill(t, g)
	want.check(t, g.head.Reader())
	deleteGraft(t, g, "main")
	if err := g.head.Reset(t.Context(), 3, 3); !errors.Is(err, ErrDeleted) {
		t.Errorf("deleted: %v", err)
	}
}

func TestResetToWhereItIsChangesNothing(t *testing.T) {
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 6, 1) })
	adopt(t, g)
	r := g.head.Reader()
	reset(t, g, 1)
	if !g.head.Reader().SameContent(r) {
		t.Error("the content version changed")
	}
	unborn := g.heads.New("other")
	if err := unborn.Reset(t.Context(), 0, 0); err != nil || !unborn.State().Unborn {
		t.Errorf("of what is not there: %v", err)
	}
}

// A sweep beside a reset to an older commit leaves that in the log.
func TestResetBesideASweep(t *testing.T) {
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 600, 1) })
	adopt(t, g)
	g.putRemote(t, 2, volume.Commit{PageCount: 600, Kept: 300, Segments: pages(10, 20)}, 2)
	advance(t, g, 2)
	_, err := g.store.Sweep(t.Context(), func(ctx context.Context) (store.Live, error) {
		live, err := g.heads.mark(ctx)
		reset(t, g, 1)
		return live, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.store.Commit(g.head.State().Remote, 1); err != nil {
		t.Errorf("its commit: %v", err)
	}
	crashStill(t, g)
	contentAt(1).check(t, g.head.Reader())
}
