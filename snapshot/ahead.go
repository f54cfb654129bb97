package snapshot

import (
	"context"
	"sync"

	"graft/volume"
)

const (
	// aheadAfter is how many pages are asked for in order before those behind
	// them are read with the next: as many as came in order, up to aheadPages.
	aheadAfter = 4
	// aheadPages is how many pages are read at once, at most.
	aheadPages = 64
	// aheadGap is how many pages may be left out of the order: a scan of a
	// B-tree meets an interior page now and then.
	aheadGap = 3
)

// readAhead reads pages that are stored here together with one that a Reader is
// asked for, when it goes through them in order: see store.ReadRun. It fetches
// nothing. What it read and nobody asked for is forgotten with the Reader, so that
// a scan leaves the page cache alone.
//
// Whoever asks reads, and no goroutine beside it: two processors are often one core,
// and to hand pages over cost what it saved.
type readAhead struct {
	mu struct {
		sync.Mutex
		last   volume.PageIdx // that was asked for
		run    int            // pages that were asked for in order
		busy   bool           // somebody reads
		newest *stretch       // that was read, or nil
		closed bool
	}
}

// stretch is pages side by side that were read together.
type stretch struct {
	first volume.PageIdx
	count int
	read  uint64 // bit i tells that pages[i] was read
	pages [aheadPages]volume.Page
}

// stretches are used again and again: new memory for each page of a scan costs as
// much as to copy it.
var stretches = sync.Pool{New: func() any { return new(stretch) }}

// covers tells whether page p was looked for with s, which may be nil.
func (s *stretch) covers(p volume.PageIdx) bool {
	return s != nil && p >= s.first && p < s.first+volume.PageIdx(s.count)
}

// copyPage gives a copy of page p of s, which may be nil, in buf if that is not nil.
// It gives nil where s has not read it.
func (s *stretch) copyPage(p volume.PageIdx, buf *volume.Page) *volume.Page {
	if !s.covers(p) || s.read>>(p-s.first)&1 == 0 {
		return nil
	}
	if buf == nil {
		buf = new(volume.Page)
	}
	*buf = s.pages[p-s.first]
	return buf
}

// readAhead gives page p, in buf if that is not nil, when it was read with others,
// or is now: else nil.
func (r *Reader) readAhead(ctx context.Context, p volume.PageIdx, buf *volume.Page) *volume.Page {
	page, next := r.ahead.take(p, buf)
	if next == nil {
		return page
	}
	r.readStretch(ctx, next)
	return r.ahead.put(next, p, buf)
}

// take notes that page p was asked for, and gives it, in buf if that is not nil,
// when it was read before. Where others are to be read with it, it gives the stretch
// for them, which the caller hands to put.
func (a *readAhead) take(p volume.PageIdx, buf *volume.Page) (page *volume.Page, next *stretch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	page = a.mu.newest.copyPage(p, buf)
	switch {
	case p > a.mu.last && p <= a.mu.last+aheadGap:
		a.mu.run++
	case page == nil:
		a.mu.run = 0
	}
	a.mu.last = p
	if a.mu.run < aheadAfter || a.mu.newest.covers(p) || a.mu.busy || a.mu.closed {
		return page, nil
	}
	if next = a.mu.newest; next == nil {
		next = stretches.Get().(*stretch)
	}
	next.first, next.count, next.read = p, min(a.mu.run, aheadPages), 0
	a.mu.newest, a.mu.busy = nil, true
	return nil, next
}

// put takes a stretch that was read and gives page p of it, as take does.
func (a *readAhead) put(s *stretch, p volume.PageIdx, buf *volume.Page) *volume.Page {
	a.mu.Lock()
	defer a.mu.Unlock()
	page := s.copyPage(p, buf)
	a.mu.newest, a.mu.busy = s, false
	if s.read == 0 { // all is in memory
		a.mu.run = 0
	}
	if a.mu.closed {
		a.forgetLocked()
	}
	return page
}

// close gives up what was read.
func (a *readAhead) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.closed = true
	a.forgetLocked()
}

func (a *readAhead) forgetLocked() {
	if a.mu.newest != nil {
		stretches.Put(a.mu.newest)
		a.mu.newest = nil
	}
}

// readStretch reads the pages of s as far as they are stored here. What cannot be
// read is left out: who asks for it meets the error.
func (r *Reader) readStretch(ctx context.Context, s *stretch) {
	end := min(s.first+volume.PageIdx(s.count), volume.PageIdx(r.PageCount())+1)
	for p := s.first; p < end; {
		id, next := r.sameSegment(ctx, p, end)
		if at := p - s.first; !id.IsZero() {
			s.read |= r.head.store.ReadRun(id, p, s.pages[at:next-s.first]) << at
		}
		p = next
	}
}

// sameSegment gives the Segment of page p and the first page from there on, end at
// most, that is of another. It is zero for pages that were never written, and for
// those that nobody knows of here.
func (r *Reader) sameSegment(ctx context.Context, p, end volume.PageIdx) (id volume.SegmentID, next volume.PageIdx) {
	for next = p; next < end; next++ {
		other, err := r.snap.root.lookupHere(ctx, next)
		if err != nil {
			return id, max(next, p+1)
		}
		if next > p && other != id {
			break
		}
		id = other
	}
	return id, next
}
