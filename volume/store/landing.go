package store

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"graft/volume"
)

// landing holds what was read from the bucket and is not in Badger yet. Reads find it
// here, so that nobody waits for the disk who waits for a page. A goroutine stores it,
// as much at a time as there is, and ends when there is no more.
//
// The bucket has all of it: what a crash takes away, or cannot be stored, is fetched
// again.
type landing struct {
	inUse  atomic.Bool // it is not empty: reads need not take the lock otherwise
	storer sync.WaitGroup

	mu struct {
		sync.RWMutex
		pages   map[PageRef]*volume.Page
		queue   []landed
		objects map[volume.Hash][]byte
		size    int           // of objects, in bytes
		storer  bool          // runs
		moved   chan struct{} // closed when something was stored; nil: nobody waits
		landed  uint64        // pages and objects so far
		stored  uint64        // of these, or given up
	}
}

// landed is a page of the queue.
type landed struct {
	segment volume.SegmentID
	volume.PageEntry
}

const (
	// maxLanding is how many pages are there before the next ones wait.
	maxLanding = 4096
	// landBatch is how many of them are stored together.
	landBatch = 1024
	// maxLandingObjects is how many bytes of objects are there, but for the last one.
	maxLandingObjects = 8 << 20
)

// Land is StageFetched of one Segment that does not wait for the disk: reads find the pages at once,
// and they are stored soon. When there are too many that are not yet, it waits, but no
// longer than ctx. Close stores what is left.
func (s *Store) Land(ctx context.Context, id volume.SegmentID, pages []volume.PageEntry) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	if err := s.poison.err(); err != nil {
		return err
	}
	l := &s.landing
	l.await(ctx, func() bool { return len(l.mu.pages) < maxLanding })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.pages == nil {
		l.mu.pages = make(map[PageRef]*volume.Page)
	}
	for _, p := range pages {
		ref := PageRef{id, p.Idx}
		if l.mu.pages[ref] == nil {
			l.mu.pages[ref] = p.Page
			l.mu.queue = append(l.mu.queue, landed{id, p})
			l.mu.landed++
		}
	}
	s.startStorerLocked()
	return nil
}

// LandObjects is PutObjects that does not wait for the disk, as Land does not. When
// there are too many that are not stored yet, it does.
func (s *Store) LandObjects(objects map[volume.Hash][]byte) error {
	if err := checkObjects(objects); err != nil {
		return err
	}
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	if err := s.poison.err(); err != nil {
		return err
	}
	if !s.landing.takeObjects(s, objects) {
		return s.putObjects(objects)
	}
	return nil
}

// takeObjects takes objects, if it has room for any.
func (l *landing) takeObjects(s *Store, objects map[volume.Hash][]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.size >= maxLandingObjects {
		return false
	}
	if l.mu.objects == nil {
		l.mu.objects = make(map[volume.Hash][]byte)
	}
	for sum, b := range objects {
		if l.mu.objects[sum] == nil {
			l.mu.objects[sum] = b
			l.mu.size += len(b)
			l.mu.landed++
		}
	}
	s.startStorerLocked()
	return true
}

// startStorerLocked lets what has landed be read and stored. The caller holds the lock
// of the landing, and the store open.
func (s *Store) startStorerLocked() {
	l := &s.landing
	if len(l.mu.queue)+len(l.mu.objects) == 0 {
		return
	}
	l.inUse.Store(true)
	if !l.mu.storer {
		l.mu.storer = true
		l.storer.Go(s.storeLanded)
	}
}

// AwaitLanded waits until what has landed by now is stored, or given up, but no longer
// than ctx.
func (s *Store) AwaitLanded(ctx context.Context) {
	l := &s.landing
	l.mu.RLock()
	landed := l.mu.landed
	l.mu.RUnlock()
	l.await(ctx, func() bool { return l.mu.stored >= landed })
}

// await waits until enough is true, which is called with the lock held, but no longer
// than ctx.
func (l *landing) await(ctx context.Context, enough func() bool) {
	for ctx.Err() == nil {
		l.mu.Lock()
		if enough() {
			l.mu.Unlock()
			return
		}
		if l.mu.moved == nil {
			l.mu.moved = make(chan struct{})
		}
		moved := l.mu.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// get gives a page that has landed and is not stored yet, or nil.
func (l *landing) get(ref PageRef) *volume.Page {
	if !l.inUse.Load() {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.pages[ref]
}

// object gives an object that has landed and is not stored yet, or nil.
func (l *landing) object(sum volume.Hash) []byte {
	if !l.inUse.Load() {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.objects[sum]
}

// storeLanded stores what has landed until there is no more. What cannot be stored was
// right, whatever the disk.
func (s *Store) storeLanded() {
	for {
		objects, batch := s.landing.next()
		if len(objects)+len(batch) == 0 {
			return
		}
		if len(objects) > 0 {
			if err := s.putObjects(objects); err != nil {
				s.log.Warn("keep fetched page index", "error", err)
			}
		}
		pages := make(segmentPages)
		for _, p := range batch {
			pages[p.segment] = append(pages[p.segment], p.PageEntry)
		}
		if len(batch) > 0 {
			if err := s.stageFetched(pages); err != nil {
				s.log.Warn("keep fetched pages", "pages", len(batch), "error", err)
			}
		}
		s.landing.forget(objects, batch)
	}
}

// next gives what is stored together next. When there is nothing, the storer ends.
func (l *landing) next() (map[volume.Hash][]byte, []landed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.mu.queue), landBatch)
	batch := l.mu.queue[:n:n]
	if l.mu.queue = l.mu.queue[n:]; n == 0 {
		l.mu.queue = nil
	}
	l.mu.storer = n+len(l.mu.objects) > 0
	return maps.Clone(l.mu.objects), batch
}

// forget leaves what was stored to Badger.
func (l *landing) forget(objects map[volume.Hash][]byte, batch []landed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range batch {
		delete(l.mu.pages, PageRef{p.segment, p.Idx})
	}
	for sum, b := range objects {
		delete(l.mu.objects, sum)
		l.mu.size -= len(b)
	}
	l.mu.stored += uint64(len(batch) + len(objects))
	if len(l.mu.pages) == 0 {
		l.mu.pages = nil // a map keeps its space
	}
	l.inUse.Store(len(l.mu.pages)+len(l.mu.objects) > 0)
	if l.mu.moved != nil {
		close(l.mu.moved)
		l.mu.moved = nil
	}
}
