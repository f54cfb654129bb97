package snapshot

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestTryWriterDoesNotWait(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 2, 1) })
	old := g.head.Reader()

	w, err := g.head.TryWriter(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.head.TryWriter(old); !errors.Is(err, ErrBusy) {
		t.Fatalf("while a writer is open: %v", err)
	}
	write(t, w, 1, 1, 2)
	commit(t, w)
	w.Discard()

	if _, err := g.head.TryWriter(old); !errors.Is(err, ErrStale) {
		t.Fatalf("over an old snapshot: %v", err)
	}
	if g.head.Busy() {
		t.Fatal("a failed TryWriter holds the lock")
	}
	fresh := g.head.Reader()
	if fresh.SameContent(old) || !fresh.SameContent(g.head.Reader()) {
		t.Error("SameContent is wrong")
	}
	w, err = g.head.TryWriter(fresh)
	if err != nil {
		t.Fatal(err)
	}
	contentOf(2, 1, 1, 2).set(2, 2, 1).check(t, w)
	w.Discard()

	other := g.heads.New("other")
	if _, err := g.head.TryWriter(other.Reader()); !errors.Is(err, ErrStale) {
		t.Errorf("over a snapshot of another graft: %v", err)
	}
	if other.Reader().SameContent(g.head.Reader()) {
		t.Error("two grafts have the same content")
	}
}

func TestContextLeavesTheQueueOfWriters(t *testing.T) {
	g := newGraft(t)
	w := g.writer(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	result := make(chan error)
	go func() {
		_, err := g.head.Writer(ctx)
		result <- err
	}()
	cancel(cause)
	if err := <-result; !errors.Is(err, cause) {
		t.Errorf("waiting writer: %v", err)
	}
	w.Discard()
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 1) }) // it left nothing behind
}

func TestLocksAreTakenInTurn(t *testing.T) {
	for name, lock := range map[string]func(*Head, context.Context) (func(), error){
		"write": (*Head).LockWrite,
		"sync":  (*Head).LockSync,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testLocksInTurn(t, lock) })
		})
	}
}

func testLocksInTurn(t *testing.T, lock func(*Head, context.Context) (func(), error)) {
	h := NewHeads(quiet).New("main")
	unlock, err := lock(h, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var order []int // guarded by the lock
	leave, cancel := context.WithCancel(context.Background())
	for i := range 6 {
		ctx := context.Background()
		if i == 3 {
			ctx = leave
		}
		go func() {
			unlock, err := lock(h, ctx)
			if (err != nil) != (i == 3) {
				t.Errorf("number %d: %v", i, err)
			}
			if err == nil {
				order = append(order, i)
				unlock()
			}
		}()
		synctest.Wait() // it is in the queue
	}
	cancel()
	synctest.Wait()
	unlock()
	synctest.Wait()
	if want := []int{0, 1, 2, 4, 5}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

func TestWriteAndSyncLocksAreTwo(t *testing.T) {
	h := NewHeads(quiet).New("main")
	unlockSync, err := h.LockSync(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	unlockWrite, err := h.LockWrite(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !h.Busy() {
		t.Error("is not busy")
	}
	unlockWrite()
	if h.Busy() {
		t.Error("the sync lock counts as a writer")
	}
	unlockSync()
}
