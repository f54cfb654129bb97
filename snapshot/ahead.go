package snapshot

import (
	"context"
	"sync"

	"graft/volume"
)

const (
	// aheadAfter is how many pages are asked for in order before those behind
	// them are read ahead.
	aheadAfter = 4
	// aheadPages is how many pages are read ahead at once.
	aheadPages = 32
	// aheadGap is how many pages may be left out of the order: a scan of a
	// B-tree meets an interior page now and then.
	aheadGap = 3
)

// readAhead reads pages that are stored here before a Reader that goes through
// them in order asks for them. It fetches nothing. What it read and nobody asked
// for is forgotten with the Reader, so that a scan leaves the page cache alone.
type readAhead struct {
	running sync.WaitGroup // the goroutine that reads; Close waits for it

	mu struct {
		sync.Mutex
		last   volume.PageIdx                  // that was asked for
		run    int                             // pages that were asked for in order
		upTo   volume.PageIdx                  // pages up to it were read, or are being read
		busy   bool                            // a goroutine reads
		pages  map[volume.PageIdx]*volume.Page // read, and not asked for yet
		closed bool
	}
}

// take notes that r, whose readAhead it is, was asked for page p, and gives that
// if it was read ahead. If it is time for them, r reads the next pages in the
// background.
func (a *readAhead) take(p volume.PageIdx, r *Reader) *volume.Page {
	a.mu.Lock()
	defer a.mu.Unlock()
	page := a.mu.pages[p]
	if page != nil {
		delete(a.mu.pages, p)
	}
	if p <= a.mu.last || p > a.mu.last+aheadGap {
		if page == nil {
			a.mu.run = 0
		}
	} else {
		a.mu.run++
	}
	a.mu.last = p
	if a.mu.run < aheadAfter || a.mu.busy || a.mu.closed {
		return page
	}
	if a.mu.upTo < p || a.mu.upTo > p+2*aheadPages { // of another place
		a.mu.upTo = p
		clear(a.mu.pages)
	}
	last := min(a.mu.upTo+aheadPages, volume.PageIdx(r.PageCount()))
	if a.mu.upTo > p+aheadPages/2 || last == a.mu.upTo {
		return page
	}
	first := a.mu.upTo + 1
	a.mu.upTo, a.mu.busy = last, true
	a.forgetBelow(p)
	a.running.Go(func() { r.readPages(first, last) })
	return page
}

// forgetBelow gives up pages that the order has left behind. The caller holds
// the lock.
func (a *readAhead) forgetBelow(p volume.PageIdx) {
	for q := range a.mu.pages {
		if q < p {
			delete(a.mu.pages, q)
		}
	}
}

func (a *readAhead) put(p volume.PageIdx, page *volume.Page) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.pages == nil {
		a.mu.pages = make(map[volume.PageIdx]*volume.Page, 2*aheadPages)
	}
	if p > a.mu.last {
		a.mu.pages[p] = page
	}
}

func (a *readAhead) done() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.busy = false
}

// close ends the reading and waits for it.
func (a *readAhead) close() {
	a.mu.Lock()
	a.mu.closed = true
	a.mu.Unlock()
	a.running.Wait()
}

// readPages reads pages ahead, as far as they are stored here. An error ends it:
// who asks for the page meets it again.
func (r *Reader) readPages(first, last volume.PageIdx) {
	defer r.ahead.done()
	for p := first; p <= last && !r.closed.Load(); p++ {
		page, err := r.Local(context.Background(), p)
		if err != nil || page == nil {
			return
		}
		r.ahead.put(p, page)
	}
}
