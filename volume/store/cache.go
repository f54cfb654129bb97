package store

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"graft/volume"
)

// pageCache keeps pages that were read or committed. What is stored under a
// PageRef never changes, so nothing is ever invalidated. Its policy, W-TinyLFU,
// keeps what is used often from being driven out by a scan.
//
// To put a page into it costs a third of reading one. So once it is full a page
// that was read has to be read again, not long after, to get in: how likely that
// is goes with how often it is read. Of as many pages as fit, read at random,
// every fifth reading lets one in.
type pageCache struct {
	pages *otter.Cache[PageRef, *volume.Page]
	room  atomic.Int64 // pages that may still be put without being asked for twice

	seed maphash.Seed
	seen []atomic.Uint64 // hashes of pages that were read once
}

// seenShare is how many pages the cache has for each that was read once and is
// remembered.
const seenShare = 4

func newPageCache(size int64) (*pageCache, error) {
	pages := max(size/volume.PageSize, 16)
	c, err := otter.New(&otter.Options[PageRef, *volume.Page]{
		MaximumSize: int(pages),
		Executor:    func(fn func()) { fn() }, // no goroutine of its own
	})
	if err != nil {
		return nil, fmt.Errorf("make page cache: %w", err)
	}
	cache := &pageCache{pages: c, seed: maphash.MakeSeed(), seen: make([]atomic.Uint64, pages/seenShare)}
	cache.room.Store(pages)
	return cache, nil
}

func (c *pageCache) get(ref PageRef) (*volume.Page, bool) { return c.pages.GetIfPresent(ref) }

// has tells whether a page is in the cache, which is no use of it.
func (c *pageCache) has(ref PageRef) bool {
	_, ok := c.pages.GetEntryQuietly(ref)
	return ok
}

// fill keeps a copy of a page while no other has to go for it.
func (c *pageCache) fill(ref PageRef, page *volume.Page) {
	if c.room.Load() > 0 {
		c.put(ref, volume.CopyPage(page[:]))
	}
}

// put keeps a page that will be read soon.
func (c *pageCache) put(ref PageRef, page *volume.Page) {
	c.room.Add(-1)
	c.pages.Set(ref, page)
}

// wants tells whether a page that was read is worth keeping.
func (c *pageCache) wants(ref PageRef) bool {
	if c.room.Load() > 0 {
		return true
	}
	sum := maphash.Comparable(c.seed, ref)
	return c.seen[sum%uint64(len(c.seen))].Swap(sum) == sum
}

// drop gives up the place of a page that nobody will ask for soon.
func (c *pageCache) drop(ref PageRef) {
	if _, was := c.pages.Invalidate(ref); was {
		c.room.Add(1)
	}
}
