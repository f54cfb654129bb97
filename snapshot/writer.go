package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"graft/volume"
	"graft/volume/store"
)

// maxStaged is how many pages a Writer keeps in memory; above it they are
// staged in the store, under a Segment that nothing refers to yet.
const maxStaged = 256

// errDiscarded is what a Writer answers after Discard.
var errDiscarded = errors.New("graft: writer was discarded")

// Writer stages pages over the newest Snapshot of a Graft and commits them. It
// reads its own writes. While it is open no other Writer of the Graft is, so
// Discard must follow in every case. It is not safe for concurrent use.
type Writer struct {
	base    *Reader                         // of the Snapshot that the Writer stands on
	segment volume.SegmentID                // drawn when the first page is staged
	release func()                          // ends the hold on segment, once pages were spilled
	staged  map[volume.PageIdx]*volume.Page // newest versions
	spilled volume.PageSet                  // pages stored under segment; staged is newer
	count   volume.PageCount
	kept    volume.PageCount // no page of the Snapshot above it shows through
	relaxed bool             // Commit does not wait for the disk
	done    bool
}

// newWriter gives a Writer that stands on what r reads, and closes r.
func newWriter(r *Reader) *Writer {
	w := &Writer{}
	w.rebase(r)
	return w
}

// rebase lets w stand on what r reads with nothing staged.
func (w *Writer) rebase(r *Reader) {
	if w.base != nil {
		r.onMiss, r.notesUsed = w.base.onMiss, w.base.notesUsed
		w.base.Close()
	}
	w.endHold()
	w.base = r
	w.segment = volume.SegmentID{}
	w.staged = make(map[volume.PageIdx]*volume.Page)
	w.spilled = volume.PageSet{}
	w.count, w.kept = r.PageCount(), r.PageCount()
}

// endHold lets pages that were spilled and are not referred to be swept.
func (w *Writer) endHold() {
	if w.release != nil {
		w.release()
		w.release = nil
	}
}

// PageCount is the number of pages with what is staged.
func (w *Writer) PageCount() volume.PageCount { return w.count }

// Base reads the Snapshot that the Writer stands on, without what is staged.
// The caller closes it.
func (w *Writer) Base() *Reader { return w.base.Clone() }

// BasePage gives page p without what is staged, as [Reader.Page] does.
func (w *Writer) BasePage(ctx context.Context, p volume.PageIdx) (*volume.Page, error) {
	return w.base.Page(ctx, p)
}

// OnMiss is [Reader.OnMiss] of what the Writer stands on, also after Commit.
func (w *Writer) OnMiss(fn func(volume.PageIdx)) { w.base.OnMiss(fn) }

// NoteUsed is [Reader.NoteUsed] of what the Writer stands on, also after Commit.
func (w *Writer) NoteUsed() { w.base.NoteUsed() }

// Snapshot is what the Writer stands on.
func (w *Writer) Snapshot() *Snapshot { return w.base.snap }

// Dirty tells whether anything is staged.
func (w *Writer) Dirty() bool {
	n := w.base.PageCount()
	return len(w.staged) > 0 || !w.spilled.IsEmpty() || w.count != n || w.kept != n
}

// Staged tells whether page p is staged.
func (w *Writer) Staged(p volume.PageIdx) bool {
	return w.staged[p] != nil || w.spilled.Contains(p)
}

// SetRelaxed says whether Commit may return before the commit is durable: a
// killed process loses nothing then, and a power cut this commit and those
// after it, up to the next one that is not relaxed. Writers begin not relaxed.
func (w *Writer) SetRelaxed(relaxed bool) { w.relaxed = relaxed }

// Page gives page p as staged, or else as [Reader.Page] does.
func (w *Writer) Page(ctx context.Context, p volume.PageIdx) (*volume.Page, error) {
	return w.pageIn(ctx, p, nil)
}

// ReadPage copies page p, as Page gives it, to dst. After an error dst is
// undefined.
func (w *Writer) ReadPage(ctx context.Context, p volume.PageIdx, dst *volume.Page) error {
	page, err := w.pageIn(ctx, p, dst)
	return copyTo(dst, page, err)
}

// pageIn is Page that gives the page in buf when the base does.
func (w *Writer) pageIn(ctx context.Context, p volume.PageIdx, buf *volume.Page) (*volume.Page, error) {
	if page, err := w.stagedPage(p); page != nil || err != nil {
		return page, err
	}
	switch {
	case !w.count.Has(p):
		return nil, outsideError(p, w.count)
	case !w.kept.Has(p):
		return &zeroPage, nil
	}
	return w.base.pageIn(ctx, p, buf)
}

func (w *Writer) stagedPage(p volume.PageIdx) (*volume.Page, error) {
	if page := w.staged[p]; page != nil || !w.spilled.Contains(p) {
		return page, nil
	}
	return w.base.head.store.StagedPage(w.segment, p)
}

// Write stages page p, which the Writer keeps: the caller must not change it
// afterwards. The page count grows to p.
func (w *Writer) Write(p volume.PageIdx, page *volume.Page) error {
	switch {
	case w.done:
		return errDiscarded
	case p.IsZero():
		return errors.New("graft: page indexes start at 1")
	}
	if w.segment.IsZero() {
		w.segment = volume.NewSegmentID()
	}
	w.staged[p] = page
	w.count = max(w.count, volume.PageCount(p))
	if len(w.staged) > maxStaged {
		return w.spill()
	}
	return nil
}

func (w *Writer) spill() error {
	if w.release == nil {
		w.release = w.base.head.store.Hold(w.segment)
	}
	if err := w.base.head.store.Stage(w.segment, w.stagedEntries()); err != nil {
		return err
	}
	for p := range w.staged {
		w.spilled.Add(p)
	}
	clear(w.staged)
	return nil
}

func (w *Writer) stagedEntries() []volume.PageEntry {
	entries := make([]volume.PageEntry, 0, len(w.staged))
	for p, page := range w.staged {
		entries = append(entries, volume.PageEntry{Idx: p, Page: page})
	}
	slices.SortFunc(entries, func(a, b volume.PageEntry) int { return cmp.Compare(a.Idx, b.Idx) })
	return entries
}

// SetPageCount cuts off every page above n, or grows the Volume by pages of
// zeros.
func (w *Writer) SetPageCount(n volume.PageCount) error {
	if w.done {
		return errDiscarded
	}
	w.count, w.kept = n, min(w.kept, n)
	for p := range w.staged {
		if !n.Has(p) {
			delete(w.staged, p)
		}
	}
	cut := w.spilled.Clone()
	w.spilled.Truncate(n)
	cut.RemoveSet(w.spilled)
	w.unstage(cut)
	return nil
}

// Commit makes what is staged the next LSN of the local Volume, durable unless
// the Writer is relaxed, and seen by every later Reader, and gives that LSN. The
// Writer then stands on the new Snapshot and may go on. Pages that are equal to what they replace are
// left out; when nothing is left there is no commit, and the LSN is zero.
// After an error nothing was committed, and what was staged still is.
//
// The commit is local: until it is pushed it may still lose against another
// machine's.
func (w *Writer) Commit(ctx context.Context) (volume.LSN, error) { return w.CommitCut(ctx, w.count) }

// CommitCut is SetPageCount(n) and Commit in one: after an error the page count
// is what it was, too.
func (w *Writer) CommitCut(ctx context.Context, n volume.PageCount) (volume.LSN, error) {
	if w.done {
		return 0, errDiscarded
	}
	if err := w.dropUnchanged(ctx); err != nil {
		return 0, err
	}
	entries := w.stagedEntries()
	if i := slices.IndexFunc(entries, func(e volume.PageEntry) bool { return !n.Has(e.Idx) }); i >= 0 {
		entries = entries[:i]
	}
	pages, cut := w.spilled.Clone(), w.spilled.Clone()
	pages.Truncate(n)
	cut.RemoveSet(pages)
	for _, e := range entries {
		pages.Add(e.Idx)
	}
	kept, lsn := min(w.kept, n), volume.LSN(0)
	next := w.base
	if !pages.IsEmpty() || n != w.base.PageCount() || kept != n {
		c := volume.Commit{PageCount: n, Kept: kept, Time: time.Now()}
		if !pages.IsEmpty() {
			c.Segments = []volume.Segment{{ID: w.segment, Pages: pages}}
		}
		var err error
		next, lsn, err = w.base.head.publish(ctx, c, store.Change{Segment: w.segment, Pages: entries, Relaxed: w.relaxed})
		if err != nil {
			return 0, fmt.Errorf("commit: %w", err)
		}
	}
	w.unstage(cut)
	if next == w.base {
		next = w.Base()
	}
	w.rebase(next)
	return lsn, nil
}

// unstage removes spilled pages that nothing will refer to. Space alone is at
// stake, so a failure is no error of the caller's.
func (w *Writer) unstage(pages volume.PageSet) {
	if pages.IsEmpty() {
		return
	}
	if err := w.base.head.store.Unstage(w.segment, pages); err != nil {
		w.base.head.log.Warn("remove staged pages", "segment", w.segment, "error", err)
	}
}

// dropUnchanged forgets staged pages that are equal to what they replace. It
// never fetches: a page that is not stored here counts as changed, and so does
// one that is damaged here.
func (w *Writer) dropUnchanged(ctx context.Context) error {
	var same volume.PageSet // of the spilled pages
	for p, page := range w.staged {
		unchanged, err := w.isUnchanged(ctx, p, page)
		switch {
		case err != nil:
			return err
		case unchanged && w.spilled.Contains(p):
			same.Add(p)
		case unchanged:
			delete(w.staged, p)
		}
	}
	if w.spilled.IsEmpty() {
		return nil
	}
	for p := range w.spilled.All() {
		if !w.kept.Has(p) {
			break // this and those behind it replace nothing
		}
		if w.staged[p] != nil {
			continue
		}
		page, err := w.stagedPage(p)
		if err != nil {
			return err
		}
		unchanged, err := w.isUnchanged(ctx, p, page)
		if err != nil {
			return err
		}
		if unchanged {
			same.Add(p)
		}
	}
	for p := range same.All() {
		delete(w.staged, p)
	}
	w.spilled.RemoveSet(same)
	w.unstage(same)
	return nil
}

// isUnchanged tells whether staged page p is equal to what it replaces.
func (w *Writer) isUnchanged(ctx context.Context, p volume.PageIdx, page *volume.Page) (bool, error) {
	if !w.kept.Has(p) {
		return false, nil
	}
	old, err := w.base.Local(ctx, p)
	if errors.Is(err, volume.ErrCorrupt) {
		return false, nil
	}
	return old != nil && (page == old || *page == *old), err
}

// Discard drops what is staged and lets the next Writer go on. It does nothing
// the second time, and nothing to what was committed.
func (w *Writer) Discard() {
	if w.done {
		return
	}
	w.done = true
	<-w.base.head.write
	w.unstage(w.spilled)
	w.endHold()
	w.base.Close()
	w.staged, w.spilled = nil, volume.PageSet{}
}
