package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"graft/internal/meter"
	"graft/volume"
	"graft/volume/store"
)

// ErrReaderClosed is returned by a Reader after Close.
var ErrReaderClosed = errors.New("graft: reader is closed")

// zeroPage is every page that was never written.
var zeroPage volume.Page

// Reader reads the pages of one Snapshot. It is safe for concurrent use and
// takes no lock. The pages of its Snapshot stay in the store until Close.
type Reader struct {
	head   *Head
	snap   *Snapshot
	closed atomic.Bool
	ahead  readAhead
	onMiss func(volume.PageIdx)
	pages  meter.Pages // that were read; the store's count has them from Close on

	notesUsed bool
}

// OnMiss has fn called with each page that is going to be fetched, before that:
// fn may know which others will be asked for, and Prefetch them. It is called
// before the Reader is used.
func (r *Reader) OnMiss(fn func(volume.PageIdx)) { r.onMiss = fn }

// Prefetch fetches those of the given pages that are not stored here, neighbours
// together and several requests at a time. A Page that wants one of them meanwhile
// waits for it.
func (r *Reader) Prefetch(ctx context.Context, pages []volume.PageIdx) error {
	if r.closed.Load() {
		return ErrReaderClosed
	}
	return r.head.heads.remote.Prefetch(ctx, r.snap.base, r.snap.root, pages)
}

// Close lets the store give up the pages of the Snapshot. It does nothing the
// second time. Pages that were read stay valid.
func (r *Reader) Close() {
	if !r.closed.Swap(true) {
		r.ahead.close()
		r.head.heads.pages.AddPages(&r.pages)
		r.head.unpin(r.snap)
	}
}

// Clone gives another Reader of the same Snapshot. The caller closes it.
func (r *Reader) Clone() *Reader { return r.head.pin(r.snap) }

// Snapshot is what the Reader reads.
func (r *Reader) Snapshot() *Snapshot { return r.snap }

// PageCount is the number of pages of the Snapshot.
func (r *Reader) PageCount() volume.PageCount { return r.snap.PageCount() }

// SameContent tells whether both read the same content of one Graft. Snapshots
// of different Grafts, and of one Graft after its Tag moved, count as different.
// It works after Close, too.
func (r *Reader) SameContent(o *Reader) bool {
	return r.head == o.head && r.snap.version == o.snap.version
}

// SameGraft tells whether both read the same Graft, of whatever content.
func (r *Reader) SameGraft(o *Reader) bool { return r.head == o.head }

// Page gives page p, which is shared and must not be changed. A page that was
// never written is zeros. A page that is not stored here is fetched, and so is one
// that the bucket has and that is damaged here; ctx bounds that. A page outside the page count is an error, and so is one that the
// Snapshot names and that cannot be had: ErrCorrupt when it should be here.
func (r *Reader) Page(ctx context.Context, p volume.PageIdx) (*volume.Page, error) {
	return r.pageIn(ctx, p, nil)
}

// ReadPage copies page p, as Page gives it, to dst. A page that nobody keeps in
// memory costs none. After an error dst is undefined.
func (r *Reader) ReadPage(ctx context.Context, p volume.PageIdx, dst *volume.Page) error {
	page, err := r.pageIn(ctx, p, dst)
	return copyTo(dst, page, err)
}

// copyTo copies page to dst, unless it is there or err is not nil.
func copyTo(dst, page *volume.Page, err error) error {
	if err == nil && page != dst {
		*dst = *page
	}
	return err
}

// pageIn is Page that gives the page in buf when the store does.
func (r *Reader) pageIn(ctx context.Context, p volume.PageIdx, buf *volume.Page) (*volume.Page, error) {
	if r.closed.Load() {
		return nil, ErrReaderClosed
	}
	if r.notesUsed {
		r.head.used.note(p)
	}
	if page := r.readAhead(ctx, p, buf); page != nil {
		r.count(ctx, meter.Local)
		return page, nil
	}
	id, err := r.snap.root.Lookup(ctx, p)
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		return &zeroPage, nil
	}
	page, cached, err := r.head.store.PageIn(id, p, buf)
	switch {
	case err == nil && cached:
		r.count(ctx, meter.Cached)
		return page, nil
	case err == nil:
		r.count(ctx, meter.Local)
		return page, nil
	case errors.Is(err, volume.ErrCorrupt):
		return r.mend(ctx, id, p, err)
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	if r.onMiss != nil {
		r.onMiss(p)
	}
	page, err = r.head.heads.remote.Page(ctx, r.snap.base, id, p)
	if err != nil {
		return nil, fmt.Errorf("read page %d: %w", p, err)
	}
	r.count(ctx, meter.Fetched)
	return page, nil
}

// mend gives page p of Segment id, whose copy here is damaged, as the bucket has it.
// What was fetched takes the place of the copy, so that this is said once. A page
// that the bucket has not keeps the damage.
func (r *Reader) mend(ctx context.Context, id volume.SegmentID, p volume.PageIdx, damage error) (*volume.Page, error) {
	page, err := r.head.heads.remote.Page(ctx, r.snap.base, id, p)
	if err != nil {
		return nil, fmt.Errorf("read page %d: %w; and as the bucket has it: %w", p, damage, err)
	}
	r.head.log.Warn("page was damaged in the local store and is fetched again", "segment", id, "page", p, "error", damage)
	r.count(ctx, meter.Fetched)
	return page, nil
}

// count notes where a page came from, for the statement and for the Reader.
func (r *Reader) count(ctx context.Context, from meter.Origin) {
	meter.Of(ctx).Page(from)
	r.pages.Page(from)
}

// Local gives page p if that takes no request, or nil.
func (r *Reader) Local(ctx context.Context, p volume.PageIdx) (*volume.Page, error) {
	if !r.PageCount().Has(p) {
		return nil, nil
	}
	id, err := r.snap.root.lookupHere(ctx, p)
	if errors.Is(err, ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		return &zeroPage, nil
	}
	page, err := r.head.store.Page(id, p)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return page, err
}

// Presence says how much of a Snapshot is stored here.
type Presence struct {
	Present volume.PageCount // written pages that are stored here
	Written volume.PageCount // written pages in all, as far as is known here

	// Unknown is pages whose part of the page index is not here: nobody knows
	// here which of them were written. They are in neither of the others.
	Unknown volume.PageCount
}

// Presence counts the pages of the Snapshot that are stored here. It makes no
// request, and reads keys alone, one for each page.
func (r *Reader) Presence(ctx context.Context) (Presence, error) {
	if r.closed.Load() {
		return Presence{}, ErrReaderClosed
	}
	return r.head.presence(ctx, r.snap.root)
}
