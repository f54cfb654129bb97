package store

import (
	"fmt"

	"github.com/maypok86/otter/v2"

	"graft/volume"
)

// pageCache keeps pages that were read or committed. What is stored under a
// PageRef never changes, so nothing is ever invalidated. Its policy, W-TinyLFU,
// keeps what is used often from being driven out by a scan.
type pageCache struct {
	pages *otter.Cache[PageRef, *volume.Page]
}

func newPageCache(size int64) (*pageCache, error) {
	c, err := otter.New(&otter.Options[PageRef, *volume.Page]{
		MaximumSize: int(max(size/volume.PageSize, 16)),
		Executor:    func(fn func()) { fn() }, // no goroutine of its own
	})
	if err != nil {
		return nil, fmt.Errorf("make page cache: %w", err)
	}
	return &pageCache{c}, nil
}

func (c *pageCache) get(ref PageRef) (*volume.Page, bool) { return c.pages.GetIfPresent(ref) }

func (c *pageCache) put(ref PageRef, page *volume.Page) { c.pages.Set(ref, page) }

// drop gives up the place of a page that nobody will ask for soon.
func (c *pageCache) drop(ref PageRef) { c.pages.Invalidate(ref) }
