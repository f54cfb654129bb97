package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// ErrQuota is returned by what has to keep more pages that the bucket has than the
// quota has room for.
var ErrQuota = errors.New("graft: the cache quota is too small")

// metaFetched marks the key of a page that was stored by StageFetched, as Badger's
// user meta. No other key is ever deleted by an eviction.
const metaFetched byte = 1

// fetched is what the store knows of the pages that the bucket has, those that
// StageFetched stored and those of an alias, when it has a quota for them. It tells
// apart parts of them alone: the partPages pages of
// a Segment that lie together, and whatever else has the same hash. When a part was
// used is known since the store was opened.
type fetched struct {
	quota int64        // pages; zero: any number
	count atomic.Int64 // pages that are stored, at most; from none, until they are counted
	due   atomic.Int64 // the count above which Evict has something to do

	opened uint64 // Badger's version when the store was opened

	seed  maphash.Seed
	clock atomic.Uint32   // goes up with each StageFetched and each alias
	used  []atomic.Uint32 // by part: the clock when it was used last

	evicting sync.Mutex // held by Evict, taken before mu

	mu struct { // taken before writing; held while pages are evicted
		sync.Mutex
		holds map[*FetchedHold]struct{}
	}
}

const (
	partPages = 64
	minParts  = 1 << 16 // two parts of a small quota hardly ever share a hash
	maxParts  = 1 << 20
	// evictShare is which share of the quota is free after an eviction.
	evictShare = 8
)

// setQuota gives f its quota, in bytes, before anybody uses it.
func (f *fetched) setQuota(size int64) {
	if size <= 0 {
		return
	}
	f.quota = max(size/volume.PageSize, 1)
	f.seed = maphash.MakeSeed()
	f.used = make([]atomic.Uint32, min(max(f.quota/16, minParts), maxParts))
	f.mu.holds = make(map[*FetchedHold]struct{})
}

// part gives the part of a page.
func (f *fetched) part(ref PageRef) int {
	ref.Idx /= partPages
	return int(maphash.Comparable(f.seed, ref) % uint64(len(f.used)))
}

// touch notes that a page is used.
func (f *fetched) touch(ref PageRef) {
	if f.quota == 0 {
		return
	}
	used := &f.used[f.part(ref)]
	if now := f.clock.Load(); used.Load() != now {
		used.Store(now)
	}
}

// StageFetched is Stage for pages of remote Segments that were read from the bucket,
// which has them for ever: Evict may remove them. Those of many Segments take no more
// transactions than those of one.
func (s *Store) StageFetched(pages map[volume.SegmentID][]volume.PageEntry) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	return s.stageFetched(pages)
}

// stageFetched is StageFetched by who holds the store open.
func (s *Store) stageFetched(all segmentPages) error {
	f := &s.fetched
	f.clock.Add(1)
	for id, pages := range all {
		for _, p := range pages {
			f.touch(PageRef{id, p.Idx})
		}
	}
	err := s.stage(all, metaFetched)
	// Not before: an eviction that does not see them would take them for counted.
	f.count.Add(int64(all.len()))
	if err == nil && s.NeedsEvict() {
		s.opts.OverQuota()
	}
	return err
}

// NeedsEvict tells whether there may be more pages that the bucket has than the quota.
// It is false until the first page is fetched, or pushed: what lies in the store is
// evicted only by who has seen that the bucket is there.
func (s *Store) NeedsEvict() bool {
	return s.fetched.quota > 0 && s.fetched.count.Load() > s.fetched.due.Load()
}

// Evicted is what an eviction did.
type Evicted struct {
	Left    int // pages that the bucket has, too, and that are left
	Removed int
}

// Evict removes pages that the bucket has, fetched or pushed, when they are more than
// the quota, until an eighth of it is free: the least recently used ones, as far as
// that is known, but none that is held. Reads, commits and fetches go on; what is
// fetched meanwhile is not seen.
// A second one waits for the first. What a Sweep beside it removes counts as left.
// Without a quota it does nothing.
func (s *Store) Evict(ctx context.Context) (Evicted, error) {
	f := &s.fetched
	if f.quota == 0 {
		return Evicted{}, nil
	}
	f.evicting.Lock()
	defer f.evicting.Unlock()
	before := f.count.Load()
	e := evictor{store: s, pages: make([]int32, len(f.used))}
	err := e.findPushed()
	if err == nil {
		err = e.each(ctx, e.add)
	}
	if err != nil {
		return Evicted{}, fmt.Errorf("count pages that may be evicted: %w", err)
	}
	if int64(e.total) > f.quota {
		e.choose(e.total - int(f.quota-f.quota/evictShare))
		err = e.each(ctx, e.gather)
		err = errors.Join(err, e.delete(), e.unalias())
	}
	left := e.total - e.removed
	f.count.Add(int64(left) - before)
	f.due.Store(f.quota)
	if free := f.quota / evictShare; int64(e.total) > f.quota && int64(left) > f.quota-free {
		f.due.Store(max(int64(left)+free, f.quota)) // they are held: nothing to do until there are some more
	}
	s.ReplacedUnseen(e.removed)
	if err != nil {
		err = fmt.Errorf("evict: %w", err)
	}
	return Evicted{left, e.removed}, err
}

// evictor is an eviction that runs.
type evictor struct {
	store   *Store
	pushed  map[volume.SegmentID][]pushed // by local Segment, oldest remote one first
	total   int                           // pages that the bucket has
	pages   []int32                       // by part: how many may go; below zero: they go
	dead    []PageRef                     // that were fetched
	dropped map[volume.SegmentID]*droppedPages
	removed int
}

// cachedPage is a page that is stored here and that the bucket has.
type cachedPage struct {
	stored  PageRef
	version uint64             // Badger's
	remotes []volume.SegmentID // whose it is if it was pushed, newest first; nil: it was fetched
}

// partOf gives the part of a page: if several Segments have it, by the newest.
func (f *fetched) partOf(p cachedPage) int {
	if len(p.remotes) > 0 {
		return f.part(PageRef{p.remotes[0], p.stored.Idx})
	}
	return f.part(p.stored)
}

// holdsLocked tells whether a page is held, under any name.
func (f *fetched) holdsLocked(p cachedPage) bool {
	for h := range f.mu.holds {
		if p.version <= h.old {
			return true
		}
	}
	if len(p.remotes) == 0 {
		return f.isHeldLocked(p.stored)
	}
	return slices.ContainsFunc(p.remotes, func(id volume.SegmentID) bool { return f.isHeldLocked(PageRef{id, p.stored.Idx}) })
}

// each calls fn with each page that is stored and that the bucket has.
func (e *evictor) each(ctx context.Context, fn func(cachedPage) error) error {
	return e.store.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix, o.PrefetchValues = []byte{spacePage}, false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			ref, ok := parseKeyPage(it.Item().Key())
			if !ok {
				continue
			}
			p := cachedPage{stored: ref, version: it.Item().Version()}
			if it.Item().UserMeta() != metaFetched {
				if p.remotes = e.remotesOf(ref); len(p.remotes) == 0 {
					continue // nobody else has it
				}
			}
			if err := fn(p); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		return nil
	})
}

// add counts a page.
func (e *evictor) add(p cachedPage) error {
	f := &e.store.fetched
	e.total++
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.holdsLocked(p) {
		e.pages[f.partOf(p)]++
	}
	return nil
}

// choose has parts go, those first that were not used for longest, until n pages
// go.
func (e *evictor) choose(n int) {
	type aged struct {
		part int
		used uint32
	}
	var parts []aged
	for i, pages := range e.pages {
		if pages > 0 {
			parts = append(parts, aged{i, e.store.fetched.used[i].Load()})
		}
	}
	slices.SortFunc(parts, func(a, b aged) int { return cmp.Or(cmp.Compare(a.used, b.used), cmp.Compare(a.part, b.part)) })
	for _, a := range parts {
		if n <= 0 {
			break
		}
		n -= int(e.pages[a.part])
		e.pages[a.part] = -1
	}
}

// gather has a page of a part that goes evicted, some time before delete or unalias
// ends.
func (e *evictor) gather(p cachedPage) error {
	f := &e.store.fetched
	if e.pages[f.partOf(p)] >= 0 {
		return nil
	}
	f.mu.Lock()
	held := f.holdsLocked(p)
	f.mu.Unlock()
	switch {
	case held:
		return nil
	case len(p.remotes) > 0:
		e.drop(p)
		return nil
	}
	e.dead = append(e.dead, p.stored)
	if len(e.dead) < sweepBatch {
		return nil
	}
	return e.delete()
}

// delete deletes what is gathered of fetched pages, but for what is held by now.
func (e *evictor) delete() error {
	f := &e.store.fetched
	f.mu.Lock()
	defer f.mu.Unlock()
	e.dead = slices.DeleteFunc(e.dead, f.isHeldLocked)
	if len(e.dead) == 0 {
		return nil
	}
	err := e.store.batch("evict from", func(wb *writeBatch) error {
		for _, ref := range e.dead {
			if err := wb.Delete(keyPage(ref.Segment, ref.Idx)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		e.removed += len(e.dead)
	}
	e.dead = e.dead[:0]
	return err
}

// FetchedHold keeps pages that the bucket has from being evicted. It is not safe for concurrent
// use.
type FetchedHold struct {
	store *Store
	pages *PageRefSet // guarded by fetched.mu
	need  int64       // pages that are held, but for old ones
	old   uint64      // Badger's version up to which every page is held
}

// HoldFetched gives a hold of no pages, which the caller releases. What has landed by
// now is stored first, but ctx bounds that.
func (s *Store) HoldFetched(ctx context.Context) *FetchedHold {
	s.AwaitLanded(ctx)
	h := &FetchedHold{store: s, pages: NewPageRefSet()}
	if f := &s.fetched; f.quota > 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.mu.holds[h] = struct{}{}
	}
	return h
}

// HoldOld is HoldFetched of all pages that were stored before the store was opened.
func (s *Store) HoldOld(ctx context.Context) *FetchedHold {
	h := s.HoldFetched(ctx)
	s.fetched.mu.Lock()
	defer s.fetched.mu.Unlock()
	h.old = s.fetched.opened
	return h
}

// Add holds page p of Segment id, whether it is stored here or will be, and tells
// whether it is.
func (h *FetchedHold) Add(id volume.SegmentID, p volume.PageIdx) (has bool, err error) {
	f := &h.store.fetched
	if f.quota == 0 {
		return h.store.stores(id, p)
	}
	ref := PageRef{id, p}
	f.mu.Lock()
	held := h.pages.Contains(ref)
	h.pages.Add(ref)
	f.mu.Unlock()
	f.touch(ref)
	if !held {
		h.need++
	}
	return h.store.stores(id, p)
}

// Fits returns ErrQuota when the quota has no room for what is held.
func (h *FetchedHold) Fits() error {
	if quota := h.store.fetched.quota; quota > 0 && h.need > quota {
		return fmt.Errorf("%w: %d bytes of pages are to be kept, and it has %d", ErrQuota, h.need*volume.PageSize, quota*volume.PageSize)
	}
	return nil
}

// Release gives up the hold.
func (h *FetchedHold) Release() {
	f := &h.store.fetched
	if f.quota == 0 {
		return
	}
	f.mu.Lock()
	delete(f.mu.holds, h)
	f.mu.Unlock()
	f.due.Store(min(f.due.Load(), f.quota))
	if h.store.NeedsEvict() {
		h.store.opts.OverQuota()
	}
}

func (f *fetched) isHeldLocked(ref PageRef) bool {
	for h := range f.mu.holds {
		if h.pages.Contains(ref) {
			return true
		}
	}
	return false
}
