package snapshot

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

// fork forks g. The fork stands on the same store, and is not closed.
func fork(t rapid.TB, g *graft, tag string) *graft {
	t.Helper()
	h, err := g.heads.Fork(context.Background(), g.head, tag)
	if err != nil {
		t.Fatal(err)
	}
	f := *g
	f.head = h
	return &f
}

// reopenBoth reopens g, or crashes it, and its fork.
func reopenBoth(t rapid.TB, reopen func(*graft, rapid.TB), g, f *graft) {
	t.Helper()
	reopen(g, t)
	f.store, f.heads = g.store, g.heads
	f.reopenHead(t)
}

// forkSources are Grafts of all kinds, all of 320 pages, with what they read as.
var forkSources = map[string]func(t *testing.T, g *graft) content{
	"never pushed": func(t *testing.T, g *graft) content {
		g.update(t, func(w *Writer) { write(t, w, 1, 320, 1) })
		g.update(t, func(w *Writer) { write(t, w, 7, 300, 2) })
		return contentOf(320, 1, 320, 1).set(7, 300, 2)
	},
	"pushed": func(t *testing.T, g *graft) content {
		g.update(t, func(w *Writer) { write(t, w, 1, 320, 1) })
		adopt(t, g)
		return contentOf(320, 1, 320, 1)
	},
	"pushed in part": func(t *testing.T, g *graft) content {
		g.update(t, func(w *Writer) { write(t, w, 1, 320, 1) })
		adopt(t, g)
		g.update(t, func(w *Writer) { write(t, w, 7, 300, 2) })
		g.update(t, func(w *Writer) { setPageCount(t, w, 310) })
		g.update(t, func(w *Writer) { setPageCount(t, w, 320) })
		return contentOf(320, 1, 310, 1).set(7, 300, 2)
	},
	"pulled": func(t *testing.T, g *graft) content {
		g.update(t, func(w *Writer) { write(t, w, 1, 320, 1) })
		adopt(t, g)
		g.putRemote(t, 2, volume.Commit{PageCount: 320, Kept: 320, Segments: pages(260, 270)}, 3)
		advance(t, g, 2)
		g.update(t, func(w *Writer) { write(t, w, 270, 280, 2) })
		return contentOf(320, 1, 320, 1).set(260, 269, 3).set(270, 280, 2)
	},
}

func TestAForkHasTheContentOfItsSource(t *testing.T) {
	for name, prepare := range forkSources {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			want := prepare(t, g)
			before := g.head.State()
			f := fork(t, g, "fork")
			want.check(t, f.head.Reader())
			st := f.head.State()
			if st.Local == before.Local || st.Remote == before.Remote {
				t.Error("the fork has a volume of its source")
			}
			if st.Unpushed().Len() != before.Unpushed().Len() || st.SyncPoint != (volume.SyncPoint{}) {
				t.Errorf("%d commits are unpushed after %+v, want %d", st.Unpushed().Len(), st.SyncPoint, before.Unpushed().Len())
			}
			if pushed := !before.SyncPoint.Remote.IsZero(); pushed && (st.Parent != before.Remote || st.ParentLSN != before.SyncPoint.Remote) || !pushed && !st.Parent.IsZero() {
				t.Errorf("the parent is LSN %d of %s", st.ParentLSN, st.Parent)
			}
			for _, again := range []func(*graft, rapid.TB){(*graft).crash, (*graft).reopen} {
				reopenBoth(t, again, g, f)
				want.check(t, f.head.Reader())
				want.check(t, g.head.Reader())
			}
		})
	}
}

func TestAForkAndItsSourceGoTheirOwnWays(t *testing.T) {
	for name, prepare := range forkSources {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			wantSource := prepare(t, g)
			f := fork(t, g, "fork")
			wantFork := wantSource.clone()

			overwrite(t, g, 300, 10)
			wantSource.set(1, 300, 12)
			sweep(t, g)
			wantFork.check(t, f.head.Reader())
			f.update(t, func(w *Writer) { write(t, w, 100, 319, 20) })
			wantFork.set(100, 319, 20)
			overwrite(t, g, 310, 30)
			wantSource.set(1, 310, 32)
			adopt(t, g)
			saveNow(t, g)
			for range 2 {
				sweep(t, g)
				wantFork.check(t, f.head.Reader())
				wantSource.check(t, g.head.Reader())
				reopenBoth(t, (*graft).reopen, g, f)
			}
			if asked := g.source.asked(); name != "pulled" && len(asked) != 0 {
				t.Errorf("asked the source for %v", asked)
			}
		})
	}
}

func TestAForkOutlivesItsSource(t *testing.T) {
	for name, prepare := range forkSources {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			want := prepare(t, g)
			f := fork(t, g, "fork")
			second := fork(t, f, "second")
			deleteGraft(t, g, "main")
			sweep(t, f)
			want.check(t, f.head.Reader())
			overwriteAll := func(f *graft) { overwrite(t, f, 320, 50) }
			overwriteAll(f)
			deleteGraft(t, f, "fork")
			for range 2 {
				sweep(t, second)
				want.check(t, second.head.Reader())
				second.reopen(t)
				g.store, g.heads = second.store, second.heads // the ones to close
			}
			refs := places(t, second.head.Reader())
			second.reopen(t) // the Reader is gone
			g.store, g.heads = second.store, second.heads
			overwriteAll(second)
			sweep(t, second)
			if second.head.State().Parent.IsZero() {
				checkPlaces(t, second, refs, false)
			}
		})
	}
}

// What keeps the pages of a fork is that its own log has the commits that were
// not pushed, whatever becomes of those of its source.
func TestAForkNeedsNoLogOfItsSource(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 320, 1) })
	adopt(t, g)
	g.update(t, func(w *Writer) { write(t, w, 7, 300, 2) })
	f := fork(t, g, "fork")
	state := g.head.State()
	damageLog(t, g, state.Local, 1, state.LocalHead)
	// A pending commit folds the log.
	p, aliases := f.rollup(t)
	if err := f.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	f.forget()
	f.reopenHead(t)
	contentOf(320, 1, 320, 1).set(7, 300, 2).check(t, f.head.Reader())
}

// The pages that a fork shares are in two pushes, and two aliases.
func TestAForkAndItsSourcePushTheSamePages(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
	want := contentOf(300, 1, 300, 1)
	f := fork(t, g, "fork")
	adopt(t, f)
	adopt(t, g)
	overwrite(t, g, 300, 10)
	adopt(t, g)
	sweep(t, g)
	want.check(t, f.head.Reader())
	f.update(t, func(w *Writer) { write(t, w, 5, 5, 4) })
	reopenBoth(t, (*graft).reopen, g, f)
	sweep(t, g)
	want.set(5, 5, 4).check(t, f.head.Reader())
	deleteGraft(t, g, "main")
	sweep(t, f)
	f.crash(t)
	g.store, g.heads = f.store, f.heads
	want.check(t, f.head.Reader())
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("asked the source for %v", asked)
	}
}

// hookLive opens g again with nothing in the background. The function that is put
// into hook is called once, when the journal is applied next.
func hookLive(t *testing.T, g *graft) (hook *atomic.Pointer[func()]) {
	t.Helper()
	g.close(t)
	hook = new(atomic.Pointer[func()])
	heads := NewHeads(quiet)
	st, err := store.Open(g.dir, store.Options{Live: func(v volume.VolumeID, ref store.PageRef) bool {
		if fn := hook.Swap(nil); fn != nil {
			(*fn)()
		}
		return heads.Live(v, ref)
	}})
	if err != nil {
		t.Fatal(err)
	}
	g.store, g.heads = st, heads
	heads.Start(st, g.remote())
	still(g)
	if state := g.head.State(); !state.Unborn {
		g.reopenHead(t)
	} else {
		g.head = heads.New("main")
	}
	return hook
}

// A fork begins with the Snapshot that was the newest, whatever is pushed and
// swept before it is there.
func TestAForkBesideAPushAndASweep(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	hook := hookLive(t, g)
	type result struct {
		head *Head
		err  error
	}
	forked, arrived, proceed := make(chan result), make(chan struct{}), make(chan struct{})
	_, err := g.store.Sweep(t.Context(), func(ctx context.Context) (store.Live, error) {
		g.update(t, func(w *Writer) { write(t, w, 2, 2, 2) })
		wait := func() { close(arrived); <-proceed }
		hook.Store(&wait)
		go func() {
			h, err := g.heads.Fork(context.Background(), g.head, "fork")
			forked <- result{h, err}
		}()
		<-arrived // Fork has its Snapshot, and flushes the store
		adopt(t, g)
		return g.heads.mark(ctx)
	})
	close(proceed)
	got := <-forked
	if err != nil || got.err != nil {
		t.Fatal(err, got.err)
	}
	contentOf(5, 1, 5, 1).set(2, 2, 2).check(t, got.head.Reader())
}

// asked is a context that ends when it has been asked so many times whether it has.
type asked struct {
	context.Context
	left atomic.Int64
	end  context.CancelFunc
}

func (a *asked) Err() error {
	if a.left.Add(-1) < 0 {
		a.end()
	}
	return a.Context.Err()
}

// Wherever a fork is cancelled, there is none, or it is whole.
func TestAForkEndsWithItsContext(t *testing.T) {
	g := newGraft(t)
	want := forkSources["pushed in part"](t, g)
	for n := int64(0); ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		a := &asked{Context: ctx, end: cancel}
		a.left.Store(n)
		h, err := g.heads.Fork(a, g.head, "fork")
		cancel()
		if err == nil {
			if n < 4 { // before the log, at each of its commits, and before the page index
				t.Errorf("it asked %d times", n)
			}
			want.check(t, h.Reader())
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := g.store.Tag("fork"); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("cancelled when it asked %d times: tag %v", n, err)
		}
	}
}

func TestAForkCopiesALogOfLargeCommits(t *testing.T) {
	g := newGraft(t)
	var pages volume.PageSet
	for p := volume.PageIdx(1); p < 115<<16; p += 8 {
		pages.Add(p)
	}
	src := State{GraftState: volume.GraftState{Local: volume.NewVolumeID()}, LocalHead: 6}
	for l := range src.LocalHead {
		c := volume.Commit{Volume: src.Local, LSN: l + 1, PageCount: 115 << 16, Segments: []volume.Segment{{ID: volume.NewSegmentID(), Pages: pages}}}
		rec, err := volume.EncodeCommit(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.store.Apply(store.Change{Commits: []volume.Record{rec}}); err != nil {
			t.Fatal(err)
		}
	}
	to := volume.NewVolumeID()
	if err := g.heads.copyLog(t.Context(), to, src); err != nil {
		t.Fatal(err)
	}
	if head, err := g.store.Head(to); err != nil || head != src.LocalHead {
		t.Errorf("copied up to %d of %d, %v", head, src.LocalHead, err)
	}
}
