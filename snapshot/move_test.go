package snapshot

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

// adopt pushes everything, as far as the Head is concerned.
func adopt(t rapid.TB, g *graft) {
	t.Helper()
	p, aliases := g.rollup(t)
	adoptIt(t, g, p, aliases)
}

// adoptIt is adopt of a push that was made before.
func adoptIt(t rapid.TB, g *graft, p volume.Pending, aliases []volume.Alias) {
	t.Helper()
	if err := g.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	if err := g.head.Adopt(context.Background(), p, aliases); err != nil {
		t.Fatal(err)
	}
}

func advance(t rapid.TB, g *graft, to volume.LSN) {
	t.Helper()
	if err := g.head.Advance(context.Background(), to); err != nil {
		t.Fatal(err)
	}
}

func TestPendingIsStored(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 2, 1) })
	p, aliases := g.rollup(t)
	if err := g.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := g.head.State().Pending
		if got == nil || got.Local != 1 || !bytes.Equal(got.Record.Bytes, p.Record.Bytes) {
			t.Fatalf("pending %+v", got)
		}
		g.reopen(t)
	}
	g.update(t, func(w *Writer) { write(t, w, 1, 2, 2) })
	if g.head.State().Pending == nil {
		t.Error("a commit clears what is pending")
	}
	if err := g.head.SetPending(nil, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := g.head.State().Pending; got != nil {
			t.Errorf("pending %+v", got)
		}
		g.reopen(t)
	}
}

func TestAdoptChangesNoContent(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
	g.update(t, func(w *Writer) { setPageCount(t, w, 100); write(t, w, 280, 290, 2) })
	want := contentOf(290, 1, 100, 1).set(280, 290, 2)
	old := g.head.Reader()
	adopt(t, g)
	state := g.head.State()
	if state.SyncPoint != (volume.SyncPoint{Remote: 1, Local: 2}) || state.Pending != nil || !state.Unpushed().IsZero() {
		t.Errorf("state %+v", state)
	}
	if !g.head.Reader().SameContent(old) {
		t.Error("the content version changed")
	}
	want.check(t, g.head.Reader())
	want.check(t, old)
	w, err := g.head.TryWriter(old)
	if err != nil {
		t.Fatalf("a reader from before: %v", err)
	}
	w.Discard()
	g.reopen(t)
	want.check(t, g.head.Reader()) // by aliases now
	if got, err := g.head.RemotePresence(context.Background()); err != nil || got != (Presence{Present: 111, Written: 111}) {
		t.Errorf("presence %+v, %v", got, err)
	}
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("adopted pages were fetched: %v", asked)
	}
}

func TestAdoptLeavesAnOpenWriterAlone(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 3, 1) })
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 2, 2, 2)
	adopt(t, g) // does not wait for the writer
	want := contentOf(3, 1, 3, 1).set(2, 2, 2)
	want.check(t, w)
	if lsn := commit(t, w); lsn != 2 {
		t.Errorf("LSN %d", lsn)
	}
	if got := g.head.State(); got.Unpushed() != (volume.LSNRange{First: 2, Last: 2}) {
		t.Errorf("unpushed %s", got.Unpushed())
	}
	want.check(t, g.head.Reader())
	g.reopen(t)
	want.check(t, g.head.Reader())
}

func TestAdvanceChangesContent(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 10, 1) })
	adopt(t, g)
	before := contentOf(10, 1, 10, 1)
	g.putRemote(t, 2, volume.Commit{PageCount: 12, Kept: 10, Segments: pages(3, 4)}, 2)
	g.putRemote(t, 3, volume.Commit{PageCount: 11, Kept: 5, Segments: pages(4, 4)}, 3)
	before.check(t, g.head.Reader()) // a fetch moves nothing

	old := g.head.Reader()
	advance(t, g, 3)
	after := contentOf(11, 1, 2, 1).set(3, 3, 2).set(4, 4, 3).set(5, 5, 1)
	if g.head.Reader().SameContent(old) {
		t.Error("the content version did not change")
	}
	if _, err := g.head.TryWriter(old); !errors.Is(err, ErrStale) {
		t.Fatalf("a reader from before: %v", err)
	}
	before.check(t, old)
	after.check(t, g.head.Reader())
	if got := g.head.State().SyncPoint; got != (volume.SyncPoint{Remote: 3, Local: 1}) {
		t.Errorf("sync point %+v", got)
	}
	now := g.head.Reader()
	for _, to := range []volume.LSN{3, 2, 0} {
		if advance(t, g, to); !g.head.Reader().SameContent(now) {
			t.Errorf("going to LSN %d changed the content version", to)
		}
	}
	g.reopen(t)
	after.check(t, g.head.Reader())
	if lsn := g.update(t, func(w *Writer) { write(t, w, 1, 1, 4) }); lsn != 2 {
		t.Errorf("LSN %d", lsn)
	}
	g.reopen(t)
	after.set(1, 1, 4).check(t, g.head.Reader())
}

func TestAdvanceOverLocalCommitsIsDiverged(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 3, 1) })
	adopt(t, g)
	g.putRemote(t, 2, volume.Commit{PageCount: 3, Kept: 3, Segments: pages(2, 2)}, 2)

	w := g.writer(t)
	write(t, w, 3, 3, 3)
	result := make(chan error)
	go func() { result <- g.head.Advance(context.Background(), 2) }() // waits for the writer
	commit(t, w)
	before := g.head.State()
	w.Discard()
	if err := <-result; !errors.Is(err, ErrDiverged) {
		t.Errorf("advance: %v", err)
	}
	after := g.head.State()
	if after.SyncPoint != before.SyncPoint || after.Snapshot != before.Snapshot || g.head.Busy() {
		t.Errorf("it changed something: %+v", after)
	}
	contentOf(3, 1, 2, 1).set(3, 3, 3).check(t, g.head.Reader())
}

func TestFailedAdvanceChangesNothing(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 3, 1) })
	adopt(t, g)
	g.putRemote(t, 2, volume.Commit{PageCount: 9, Kept: 3}, 2)
	before := g.head.State()
	if err := g.head.Advance(context.Background(), 3); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("to a commit that is not here: %v", err)
	}
	w := g.writer(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.head.Advance(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("while a writer is open: %v", err)
	}
	w.Discard()
	if after := g.head.State(); after.SyncPoint != before.SyncPoint || after.Snapshot != before.Snapshot || g.head.Busy() {
		t.Errorf("it changed something: %+v", after)
	}
	g.reopen(t)
	contentOf(3, 1, 3, 1).check(t, g.head.Reader())
}

func TestAdvanceKeepsNoWriterWaitingForASync(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 1) })
	ctx, cancel := context.WithCancel(context.Background())
	unlock, err := g.head.LockSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.head.TryAdvance(context.Background(), 1); !errors.Is(err, ErrBusy) {
		t.Errorf("beside a sync: %v, want ErrBusy", err)
	}
	result := make(chan error)
	go func() { result <- g.head.Advance(ctx, 1) }()
	for range 100 { // whenever the other looks, the lock comes free again
		w, err := g.head.Writer(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.head.TryAdvance(context.Background(), 1); !errors.Is(err, ErrBusy) {
			t.Errorf("beside a writer: %v, want ErrBusy", err)
		}
		w.Discard()
	}
	cancel()
	if err := <-result; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	unlock()
	if err := g.head.TryAdvance(context.Background(), 0); err != nil {
		t.Error(err)
	}
}

// A move from outside does not pass an open Writer, although nothing syncs.
func TestTryAdvancePassesNoWriter(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 1) })
	adopt(t, g)
	g.putRemote(t, 2, volume.Commit{PageCount: 1, Kept: 1, Segments: pages(1, 1)}, 2)
	before := g.head.State()
	w := g.writer(t)
	if err := g.head.TryAdvance(context.Background(), 2); !errors.Is(err, ErrBusy) {
		t.Errorf("beside a writer: %v, want ErrBusy", err)
	}
	if after := g.head.State(); after.SyncPoint != before.SyncPoint || after.Snapshot != before.Snapshot {
		t.Errorf("beside a writer it moved to %+v", after.SyncPoint)
	}
	w.Discard()
	if err := g.head.TryAdvance(context.Background(), 2); err != nil || g.head.State().SyncPoint.Remote != 2 {
		t.Errorf("%v, at %+v", err, g.head.State().SyncPoint)
	}
}
