package snapshot

import (
	"context"
	"errors"
	"testing"

	"graft/volume"
	"graft/volume/store"
)

func TestWriterReadsItsOwnWrites(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 4, 1) })
	before := contentOf(4, 1, 4, 1)
	after := contentOf(8, 1, 4, 1).set(2, 2, 2).set(8, 8, 2)

	old := g.head.Reader()
	w := g.writer(t)
	defer w.Discard()
	if w.Dirty() || w.Staged(2) {
		t.Error("a new writer is dirty")
	}
	write(t, w, 2, 2, 9)
	write(t, w, 2, 2, 2)
	write(t, w, 8, 8, 2)
	after.check(t, w)
	if !w.Dirty() || !w.Staged(2) || w.Staged(3) {
		t.Error("what is staged is wrong")
	}
	checkBase(t, w, before)
	before.check(t, g.head.Reader())
	if lsn := commit(t, w); lsn != 2 {
		t.Errorf("LSN %d", lsn)
	}
	after.check(t, g.head.Reader())
	after.check(t, w)
	before.check(t, old)
	g.reopen(t)
	after.check(t, g.head.Reader())
}

func TestShrinkThenGrowReadsZeros(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 600, 1) })
	want := contentOf(700, 1, 300, 1).set(303, 303, 2)
	g.update(t, func(w *Writer) {
		write(t, w, 310, 310, 9) // is cut off again
		setPageCount(t, w, 300)
		contentOf(300, 1, 300, 1).check(t, w)
		setPageCount(t, w, 700)
		contentOf(700, 1, 300, 1).check(t, w)
		write(t, w, 303, 303, 2)
		want.check(t, w)
	})
	want.check(t, g.head.Reader())
	g.reopen(t)
	want.check(t, g.head.Reader())

	// Over several commits, and without any page.
	if lsn := g.update(t, func(w *Writer) { setPageCount(t, w, 200) }); lsn != 3 {
		t.Errorf("LSN %d", lsn)
	}
	g.update(t, func(w *Writer) { setPageCount(t, w, 650) })
	contentOf(650, 1, 200, 1).check(t, g.head.Reader())
	// To the same count within one transaction.
	g.update(t, func(w *Writer) { setPageCount(t, w, 0); setPageCount(t, w, 650) })
	want = content{count: 650}
	want.check(t, g.head.Reader())
	g.reopen(t)
	want.check(t, g.head.Reader())
}

// A page that was cut off is zeros, so that one which is equal to the page from
// before the cut is a change.
func TestPageThatWasCutOffAndWrittenAgainIsKept(t *testing.T) {
	const last = 2*maxStaged + 5
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, last, 1) })
	want := contentOf(last, 1, 5, 1).set(7, last, 1)
	g.update(t, func(w *Writer) {
		setPageCount(t, w, 5)
		write(t, w, 7, last, 1)
	})
	want.check(t, g.head.Reader())
	g.reopen(t)
	want.check(t, g.head.Reader())
}

func TestWriterSpillsBeyondItsMemory(t *testing.T) {
	const last = 3*maxStaged + 10
	g := newGraft(t)
	want := contentOf(last, 1, last, 1).set(1, 50, 2).set(400, 420, 3)
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 1, last, 1)
	if w.spilled.Len() < 2*maxStaged || len(w.staged) > maxStaged {
		t.Errorf("%d pages are spilled, %d in memory", w.spilled.Len(), len(w.staged))
	}
	write(t, w, 1, 50, 2)
	write(t, w, 400, 420, 9)
	write(t, w, 400, 420, 3)
	want.check(t, w)
	if !w.Staged(1) || !w.Staged(200) || w.Staged(last+1) {
		t.Error("what is staged is wrong")
	}
	(content{}).check(t, g.head.Reader())
	if lsn := commit(t, w); lsn != 1 {
		t.Errorf("LSN %d", lsn)
	}
	want.check(t, w)
	want.check(t, g.head.Reader())
	g.reopen(t)
	want.check(t, g.head.Reader())
}

// A commit compares what is staged with what it replaces: spilled pages that replace
// nothing are not read back. Here that is told by one that is gone.
func TestNewSpilledPagesAreNotReadBack(t *testing.T) {
	const last = 2 * maxStaged
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 10, 1) })
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 1, last, 2)
	if !w.spilled.Contains(11) {
		t.Fatal("page 11 is not spilled")
	}
	w.unstage(volume.PageSetOf(11))
	if lsn := commit(t, w); lsn != 2 {
		t.Errorf("LSN %d", lsn)
	}
}

func TestSpilledPagesThatAreCutOffAreGone(t *testing.T) {
	const last = 3 * maxStaged
	g := newGraft(t)
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 1, last, 1)
	segment := w.segment
	setPageCount(t, w, 100)
	setPageCount(t, w, last)
	checkStored(t, g.store, segment, 101, last, false)
	want := contentOf(last, 1, 100, 1).set(200, 200, 2)
	write(t, w, 200, 200, 2)
	want.check(t, w)
	commit(t, w)
	g.reopen(t)
	want.check(t, g.head.Reader())
}

func checkStored(t *testing.T, st *store.Store, id volume.SegmentID, first, last volume.PageIdx, want bool) {
	t.Helper()
	for p := first; p <= last; p++ {
		if got, err := st.HasPage(id, p); got != want || err != nil {
			t.Fatalf("page %d is stored: %t, %v", p, got, err)
		}
	}
}

// lastPages is what the newest local commit changed.
func lastPages(t *testing.T, g *graft) volume.PageSet {
	t.Helper()
	state := g.head.State()
	rec, err := g.store.Commit(state.Local, state.LocalHead)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Commit.Pages()
}

func TestEqualPagesMakeNoCommit(t *testing.T) {
	const last = 2*maxStaged + 5
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, last, 1); setPageCount(t, w, last+10) })
	for name, change := range map[string]func(w *Writer){
		"nothing":               func(*Writer) {},
		"an equal page":         func(w *Writer) { write(t, w, 3, 3, 1) },
		"there and back":        func(w *Writer) { write(t, w, 3, 3, 2); write(t, w, 3, 3, 1) },
		"all pages, spilled":    func(w *Writer) { write(t, w, 1, last, 1) },
		"spilled and back":      func(w *Writer) { write(t, w, 1, last, 2); write(t, w, 1, last, 1) },
		"zeros for no page":     func(w *Writer) { write(t, w, last+1, last+10, 0) },
		"the same page count":   func(w *Writer) { setPageCount(t, w, last+10) },
		"grown and shrunk back": func(w *Writer) { setPageCount(t, w, last+20); setPageCount(t, w, last+10) },
		"a page cut off again":  func(w *Writer) { write(t, w, last+15, last+15, 1); setPageCount(t, w, last+10) },
	} {
		t.Run(name, func(t *testing.T) {
			before := g.head.State()
			w := g.writer(t)
			defer w.Discard()
			change(w)
			segment := w.segment
			if lsn := commit(t, w); lsn != 0 {
				t.Errorf("LSN %d changes %v", lsn, lastPages(t, g).Len())
			}
			if w.Dirty() {
				t.Error("the writer is dirty still")
			}
			if after := g.head.State(); after.LocalHead != before.LocalHead || after.Snapshot.Version() != before.Snapshot.Version() {
				t.Errorf("head moved from %v to %v", before.LocalHead, after.LocalHead)
			}
			checkStored(t, g.store, segment, 1, last, false)
		})
	}
	contentOf(last+10, 1, last, 1).check(t, g.head.Reader())
}

func TestEqualPagesAreLeftOut(t *testing.T) {
	const last = 2*maxStaged + 5
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, last, 1) })
	want := contentOf(last, 1, last, 1).set(7, 7, 2).set(last, last, 2)
	g.update(t, func(w *Writer) {
		write(t, w, 1, last-1, 1)
		write(t, w, 7, 7, 2)
		write(t, w, last, last, 2)
	})
	if got := lastPages(t, g); !got.Equal(volume.PageSetOf(7, last)) {
		t.Errorf("the commit has %d pages", got.Len())
	}
	want.check(t, g.head.Reader())
	g.reopen(t)
	want.check(t, g.head.Reader())
}

func TestWriterGoesOnAfterCommit(t *testing.T) {
	g := newGraft(t)
	w := g.writer(t)
	defer w.Discard()
	want := contentOf(3, 1, 3, 1)
	for i := volume.LSN(1); i <= 3; i++ {
		write(t, w, 1, 3, uint64(i))
		if lsn := commit(t, w); lsn != i {
			t.Errorf("LSN %d, want %d", lsn, i)
		}
		want.set(1, 3, uint64(i)).check(t, w)
		checkBase(t, w, want)
		if w.Dirty() || w.Snapshot() != g.head.State().Snapshot {
			t.Error("the writer does not stand on the newest snapshot")
		}
		if lsn := commit(t, w); lsn != 0 {
			t.Errorf("LSN %d of nothing", lsn)
		}
	}
	write(t, w, 1, 1, 9)
	w.Discard()
	want.check(t, g.head.Reader())
}

func TestDiscardRemovesWhatIsStaged(t *testing.T) {
	const last = 2*maxStaged + 5
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 2, 1) })
	w := g.writer(t)
	write(t, w, 1, last, 2)
	segment := w.segment
	checkStored(t, g.store, segment, 1, maxStaged, true)
	if !g.head.Busy() {
		t.Error("is not busy")
	}
	for range 2 {
		w.Discard()
	}
	if g.head.Busy() {
		t.Error("is busy still")
	}
	checkStored(t, g.store, segment, 1, last, false)
	contentOf(2, 1, 2, 1).check(t, g.head.Reader())
	for name, err := range map[string]error{
		"Write":        w.Write(1, page(1, 1)),
		"SetPageCount": w.SetPageCount(9),
		"Commit":       func() error { _, err := w.Commit(context.Background()); return err }(),
	} {
		if !errors.Is(err, errDiscarded) {
			t.Errorf("%s after Discard: %v", name, err)
		}
	}
	next := g.writer(t) // the second Discard gave nothing free
	defer next.Discard()
	if w.Discard(); !g.head.Busy() {
		t.Error("a late Discard ends another writer")
	}
}

func TestFailedCommitKeepsWhatIsStaged(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 2, 1) })
	before := g.head.State()
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 5, 6, 2)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	if lsn, err := w.Commit(context.Background()); lsn != 0 || !errors.Is(err, store.ErrClosed) {
		t.Errorf("LSN %d, %v", lsn, err)
	}
	if after := g.head.State(); after.LocalHead != before.LocalHead || after.Snapshot != before.Snapshot {
		t.Error("the head moved")
	}
	if got, err := w.Page(context.Background(), 6); err != nil || *got != *page(2, 6) || !w.Dirty() || w.PageCount() != 6 {
		t.Errorf("what was staged is lost: %v", err)
	}
}

func TestWriterRefusesPageZero(t *testing.T) {
	g := newGraft(t)
	w := g.writer(t)
	defer w.Discard()
	if err := w.Write(0, page(1, 0)); err == nil || w.Dirty() {
		t.Errorf("page 0: %v", err)
	}
	if _, err := w.Page(context.Background(), 1); err == nil {
		t.Error("reads a page above the page count")
	}
}

func TestWriterPageAboveItsCountIsAnError(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 10, 1) })
	w := g.writer(t)
	defer w.Discard()
	setPageCount(t, w, 5)
	if got, err := w.Page(context.Background(), 7); err == nil {
		t.Errorf("page 7 of 5 starts with % x", got[:8])
	}
}

func TestFailedCommitCutLeavesTheWriterAsItWas(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 10, 1) })
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 9, 12, 2)
	ctx, head := context.Background(), w.Snapshot()
	real := w.base.head.store
	closed, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	w.base.head.store = closed
	if _, err := w.CommitCut(ctx, 5); !errors.Is(err, store.ErrClosed) {
		t.Fatalf("commit: %v, want ErrClosed", err)
	}
	w.base.head.store = real
	if w.PageCount() != 12 || w.Snapshot() != head {
		t.Fatalf("the writer has %d pages over another snapshot", w.PageCount())
	}
	for p := volume.PageIdx(1); p <= 12; p++ {
		page, err := w.Page(ctx, p)
		if err != nil || page[0] == 0 {
			t.Errorf("page %d starts with %x, %v", p, page[0], err)
		}
	}
	if _, err := w.CommitCut(ctx, 11); err != nil || w.PageCount() != 11 {
		t.Errorf("the second try: %d pages, %v", w.PageCount(), err)
	}
}

func checkBase(t *testing.T, w *Writer, want content) {
	t.Helper()
	base := w.Base()
	defer base.Close()
	want.check(t, base)
}
