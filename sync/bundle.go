package sync

import (
	"cmp"
	"context"
	"slices"

	"graft/internal/sqlitefile"
	"graft/snapshot"
	"graft/volume"
)

const (
	// A checkpoint bundles pages of about one part in bundleShare of its Volume, and
	// of minBundle to maxBundle bytes, compressed (docs/adr/0021).
	bundleShare = 1500
	minBundle   = 64 << 10
	maxBundle   = 768 << 10

	// What a page takes in a bundle, about: one that is interior to a table, and
	// another.
	tableBytes = 575
	otherBytes = 2400
)

// bundler chooses the pages that a reader of SQLite wants first, as far as they are
// stored here: page 1 and the roots of all B-trees, then the pages on the way to
// the leaves of tables, then of indexes, level by level, small ones before large
// ones. What cannot be read is left out: it is a help, and nothing more.
type bundler struct {
	r *snapshot.Reader
	// segment says which remote Segment the newest version of a page is of.
	segment func(volume.PageIdx) (volume.SegmentID, bool)
	room    int // bytes
	chosen  []volume.BundledPage
}

// level is the pages of a B-tree that are so many steps from its leaves.
type level struct {
	ofTable bool
	height  int // 1: their children are leaves
	pages   []uint32
}

// bundle gives the pages that the checkpoint of a Snapshot bundles, which r reads.
func bundle(ctx context.Context, r *snapshot.Reader, segment func(volume.PageIdx) (volume.SegmentID, bool)) []volume.BundledPage {
	size := int64(r.PageCount()) * volume.PageSize
	b := &bundler{r: r, segment: segment, room: int(min(max(size/bundleShare, minBundle), maxBundle))}
	first := b.page(ctx, 1)
	if first == nil || !sqlitefile.Header(first[:]).IsDatabase() {
		return nil
	}
	b.take(1, first, otherBytes)
	var tables, indexes []level
	for _, root := range append([]uint32{1}, sqlitefile.SchemaRoots(first[:])...) {
		switch l, ok := b.root(ctx, root); {
		case ok && l.ofTable:
			tables = append(tables, l)
		case ok:
			indexes = append(indexes, l)
		}
	}
	tables, indexes = b.takeLevels(ctx, tables), b.takeLevels(ctx, indexes) // the roots
	for _, levels := range [][]level{tables, indexes} {
		for len(levels) > 0 {
			levels = b.takeLevels(ctx, levels)
		}
	}
	slices.SortFunc(b.chosen, func(a, b volume.BundledPage) int { return cmp.Compare(a.Idx, b.Idx) })
	return b.chosen
}

// page gives a page if it is here.
func (b *bundler) page(ctx context.Context, n uint32) *volume.Page {
	if !b.r.PageCount().Has(volume.PageIdx(n)) {
		return nil
	}
	page, err := b.r.Local(ctx, volume.PageIdx(n))
	if err != nil {
		return nil
	}
	return page
}

// take bundles a page that takes about so many bytes.
func (b *bundler) take(n uint32, page *volume.Page, bytes int) {
	if id, ok := b.segment(volume.PageIdx(n)); ok && b.room >= bytes {
		b.chosen = append(b.chosen, volume.BundledPage{PageEntry: volume.PageEntry{Idx: volume.PageIdx(n), Page: page}, Segment: id})
	}
	b.room -= bytes
}

// takeLevels bundles the pages of some levels, the small ones first, and gives those
// below.
func (b *bundler) takeLevels(ctx context.Context, levels []level) (below []level) {
	slices.SortStableFunc(levels, func(a, b level) int { return cmp.Compare(len(a.pages), len(b.pages)) })
	for _, l := range levels {
		if next := b.takeLevel(ctx, l); next.height > 0 && len(next.pages) > 0 {
			below = append(below, next)
		}
	}
	return below
}

// maxHeight is more than B-trees of SQLite have.
const maxHeight = 20

// root gives the level of the root of a B-tree, unless that is a leaf.
func (b *bundler) root(ctx context.Context, n uint32) (l level, ok bool) {
	l = level{pages: []uint32{n}}
	for ; l.height < maxHeight; l.height++ {
		page := b.page(ctx, n)
		if page == nil {
			return l, false
		}
		children := sqlitefile.Children(page[:], n == 1)
		if len(children) == 0 {
			return l, l.height > 0
		}
		if l.height == 0 {
			_, l.ofTable = sqlitefile.ChildOfRow(page[:], n == 1, 0)
		}
		n = children[0]
	}
	return l, false
}

// takeLevel bundles the pages of a level and gives the one below, which is of height
// zero when that has leaves.
func (b *bundler) takeLevel(ctx context.Context, l level) level {
	below := level{ofTable: l.ofTable, height: l.height - 1}
	bytes := otherBytes
	if l.ofTable {
		bytes = tableBytes
	}
	for _, n := range l.pages {
		if b.room < bytes {
			break
		}
		page := b.page(ctx, n)
		if page == nil {
			continue
		}
		if n != 1 {
			b.take(n, page, bytes)
		}
		below.pages = append(below.pages, sqlitefile.Children(page[:], n == 1)...)
	}
	return below
}
