package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"graft/internal/sqlitefile"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// ErrNoTable is returned when a database has no table or index of that name.
var ErrNoTable = errors.New("graft: no such table")

// Coverage is how much of some B-trees of a Snapshot is here.
type Coverage struct {
	Pages   int   // that belong to them, as far as is known here
	Missing int   // of these
	Bytes   int64 // of the frames to fetch for the missing ones whose place is known here

	// Whole tells that these are all pages. A page that is missing may lead to
	// others of which nobody knows here.
	Whole bool
}

// walker goes through B-trees of a Snapshot, level by level. Without fetch it makes
// no request, and does not come further than what is here.
type walker struct {
	r        *Remote
	x        *index // nil: nothing of the Snapshot is in a bucket
	from     *snapshot.Reader
	hold     *store.FetchedHold // takes each page, or nil
	fetch    bool
	reserved int

	seen    volume.PageSet
	frames  *frameWants // of missing pages
	got     Coverage
	fetched int // pages
}

// newWalker gives a walker over what from reads.
func (r *Remote) newWalker(from *snapshot.Reader, hold *store.FetchedHold, fetch bool) (*walker, error) {
	w := &walker{r: r, from: from, hold: hold, fetch: fetch, frames: newFrameWants(), got: Coverage{Whole: true}}
	if at := from.Snapshot().Point(); !at.IsZero() {
		x, err := r.indexOf(at, r.store.Commit)
		if err != nil {
			return nil, err
		}
		w.x = x
	}
	return w, nil
}

// coverage gives what was found.
func (w *walker) coverage() Coverage {
	w.got.Bytes = 0
	for _, f := range w.frames.list {
		w.got.Bytes += f.frame.Length
	}
	return w.got
}

// schema goes through sqlite_schema and gives its tables and indexes.
func (w *walker) schema(ctx context.Context) ([]sqlitefile.SchemaEntry, error) {
	if w.from.PageCount() == 0 {
		return nil, nil
	}
	var entries []sqlitefile.SchemaEntry
	encoding := uint32(0)
	err := w.trees(ctx, []volume.PageIdx{1}, func(p volume.PageIdx, page *volume.Page) error {
		if p == 1 {
			h := sqlitefile.Header(page[:])
			if !h.IsDatabase() {
				return errors.New("graft: page 1 is not that of a SQLite database")
			}
			w.reserved, encoding = h.Reserved(), h.Encoding()
		}
		entries = append(entries, sqlitefile.SchemaEntries(page[:], p == 1, encoding)...)
		return nil
	})
	return entries, err
}

// table goes through a table and its indexes, or through one index.
func (w *walker) table(ctx context.Context, name string) error {
	entries, err := w.schema(ctx)
	if err != nil {
		return err
	}
	roots := rootsOf(entries, name)
	if len(roots) == 0 {
		if !w.got.Whole {
			return nil // it may be on a page that is not here
		}
		return fmt.Errorf("%w: %q", ErrNoTable, name)
	}
	return w.trees(ctx, roots, nil)
}

// rootsOf gives the roots of a table and its indexes, or that of one index.
func rootsOf(entries []sqlitefile.SchemaEntry, name string) (roots []volume.PageIdx) {
	for _, e := range entries {
		if strings.EqualFold(e.Table, name) || strings.EqualFold(e.Name, name) {
			roots = append(roots, volume.PageIdx(e.Root))
		}
	}
	return roots
}

// trees goes through B-trees with their overflow pages. visit, if there is one, gets
// each page of the trees themselves that is here.
func (w *walker) trees(ctx context.Context, roots []volume.PageIdx, visit func(volume.PageIdx, *volume.Page) error) error {
	level, chains := roots, []chain(nil)
	for len(level) > 0 || len(chains) > 0 {
		var below []volume.PageIdx
		var next []chain
		for part := range slices.Chunk(level, walkPages) {
			pages, err := w.take(ctx, part, nil)
			if err != nil {
				return err
			}
			for _, p := range part {
				page := pages[p]
				if page == nil {
					continue
				}
				if visit != nil {
					if err := visit(p, page); err != nil {
						return err
					}
				}
				for _, child := range sqlitefile.Children(page[:], p == 1) {
					below = append(below, volume.PageIdx(child))
				}
				for _, c := range sqlitefile.Overflows(page[:], p == 1, w.reserved) {
					next = append(next, chain{volume.PageIdx(c.First), c.Pages})
				}
			}
		}
		for part := range slices.Chunk(chains, walkPages) {
			pages, err := w.take(ctx, nil, part)
			if err != nil {
				return err
			}
			for _, c := range part {
				if page := pages[c.first]; page != nil && c.pages > 1 {
					next = append(next, chain{volume.PageIdx(sqlitefile.NextOverflow(page[:])), c.pages - 1})
				}
			}
		}
		level, chains = below, next
	}
	return nil
}

// walkPages is how many pages a walk has in memory at once.
const walkPages = 1024

// chain is overflow pages that are still to be gone through.
type chain struct {
	first volume.PageIdx
	pages int
}

// take counts pages that were not met before, has them fetched if need be, and gives
// those that are here.
func (w *walker) take(ctx context.Context, level []volume.PageIdx, chains []chain) (map[volume.PageIdx]*volume.Page, error) {
	var fresh []volume.PageIdx
	note := func(p volume.PageIdx) {
		if w.from.PageCount().Has(p) && !w.seen.Contains(p) {
			w.seen.Add(p)
			fresh = append(fresh, p)
		}
	}
	for _, p := range level {
		note(p)
	}
	for _, c := range chains {
		note(c.first)
	}
	if err := w.place(ctx, fresh); err != nil {
		return nil, err
	}
	pages := make(map[volume.PageIdx]*volume.Page, len(fresh))
	var missing []volume.PageIdx
	for _, p := range fresh {
		page, err := w.from.Local(ctx, p)
		if err != nil {
			return nil, err
		}
		if page == nil {
			missing = append(missing, p)
		}
		pages[p] = page
	}
	w.got.Pages += len(fresh)
	if w.fetch {
		return pages, w.get(ctx, missing, chains, pages)
	}
	w.got.Missing += len(missing)
	w.got.Whole = w.got.Whole && len(missing) == 0
	return pages, w.want(ctx, missing)
}

// place has the parts of the page index here that lead to pages, and holds these.
func (w *walker) place(ctx context.Context, pages []volume.PageIdx) error {
	if w.x == nil {
		return nil
	}
	if w.fetch {
		if err := w.x.loadChunks(ctx, leavesOf(pages)); err != nil {
			return err
		}
	}
	if w.hold == nil {
		return nil
	}
	for _, p := range pages {
		a, _, err := w.x.addressHere(ctx, p)
		if errors.Is(err, snapshot.ErrAbsent) || err == nil && a == nil {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := w.hold.Add(a.Source.Segment, p); err != nil {
			return err
		}
	}
	return w.hold.Fits()
}

// want notes the frames of missing pages, as far as they are known here.
func (w *walker) want(ctx context.Context, missing []volume.PageIdx) error {
	if w.x == nil {
		return nil
	}
	for _, p := range missing {
		a, _, err := w.x.addressHere(ctx, p)
		if err != nil && !errors.Is(err, snapshot.ErrAbsent) {
			return err
		}
		if err == nil && a != nil {
			w.frames.add(a, p)
		}
	}
	return nil
}

// get fetches missing pages, and for each chain of overflow pages those behind the
// first, where it should go on.
func (w *walker) get(ctx context.Context, missing []volume.PageIdx, chains []chain, pages map[volume.PageIdx]*volume.Page) error {
	if len(missing) == 0 {
		return nil
	}
	ahead := append([]volume.PageIdx(nil), missing...)
	for _, c := range chains {
		for i := range min(c.pages, maxChain) {
			if p := c.first + volume.PageIdx(i); i > 0 && pages[c.first] == nil && w.from.PageCount().Has(p) {
				ahead = append(ahead, p)
			}
		}
	}
	if err := w.from.Prefetch(ctx, ahead); err != nil {
		return err
	}
	for _, p := range missing {
		page, err := w.from.Page(ctx, p)
		if err != nil {
			return err
		}
		pages[p] = page
	}
	w.fetched += len(missing)
	return nil
}

// maxChain is how many pages of an overflow chain are fetched at once.
const maxChain = 1024
