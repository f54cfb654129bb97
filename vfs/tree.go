package vfs

import (
	"context"
	"math"
	"slices"

	"graft"
	"graft/internal/sqlitefile"
)

// tree is the interior pages of B-trees that are known of a Snapshot. It makes no
// request.
type tree struct {
	f        *file
	path     []graft.PageIdx
	interior map[graft.PageIdx]*interior // nil: it is not here, or none
}

// interior is an interior page.
type interior struct {
	idx      graft.PageIdx
	page     *graft.Page
	children []uint32
	ofTable  bool
}

func treeOf(f *file, path []graft.PageIdx) *tree {
	return &tree{f, path, make(map[graft.PageIdx]*interior)}
}

// page gives a page if it is here.
func (t *tree) page(p graft.PageIdx) *graft.Page {
	page, err := t.f.reader.Local(context.Background(), p)
	if err != nil {
		return nil
	}
	return page
}

// at gives interior page p if it is one and here.
func (t *tree) at(p graft.PageIdx) *interior {
	if n, ok := t.interior[p]; ok {
		return n
	}
	var n *interior
	if page := t.page(p); p != 0 && page != nil {
		if children := sqlitefile.Children(page[:], p == 1); len(children) > 0 {
			_, ofTable := sqlitefile.ChildOfRow(page[:], p == 1, 0)
			n = &interior{p, page, children, ofTable}
		}
	}
	t.interior[p] = n
	return n
}

// parent gives the interior page of the path that p is a child of, and which.
func (t *tree) parent(p graft.PageIdx) (*interior, int) {
	for _, q := range t.path {
		if n := t.at(q); n != nil {
			if i := slices.Index(n.children, uint32(p)); i >= 0 {
				return n, i
			}
		}
	}
	return nil, 0
}

// top gives the highest interior page of the path above n.
func (t *tree) top(n *interior) *interior {
	for range pathLength {
		above, _ := t.parent(n.idx)
		if above == nil {
			break
		}
		n = above
	}
	return n
}

// step gives the page beside child at of n in key order, of the level of that child,
// as far as it is known, or 0.
func (t *tree) step(n *interior, at, by int) graft.PageIdx {
	at += by
	if at >= 0 && at < len(n.children) {
		return graft.PageIdx(n.children[at])
	}
	above, i := t.parent(n.idx)
	if above == nil || i+by < 0 || i+by >= len(above.children) {
		return 0
	}
	beside := t.at(graft.PageIdx(above.children[i+by]))
	switch {
	case beside == nil:
		return 0
	case by > 0:
		return graft.PageIdx(beside.children[0])
	}
	return graft.PageIdx(beside.children[len(beside.children)-1])
}

// before gives the place ahead of all children of n, of who goes through them by 1 or
// -1.
func (n *interior) before(by int) int {
	if by < 0 {
		return len(n.children)
	}
	return -1
}

// behind gives up to n pages behind child at of an interior page, in key order, or
// against it if by is -1. An interior page that is not here ends them, and is one of
// them.
func (t *tree) behind(node *interior, at, by, n int) []graft.PageIdx {
	var pages []graft.PageIdx
	for len(pages) < n {
		for at += by; at >= 0 && at < len(node.children) && len(pages) < n; at += by {
			pages = append(pages, graft.PageIdx(node.children[at]))
		}
		if len(pages) == n {
			break
		}
		above, i := t.parent(node.idx)
		if above == nil || i+by < 0 || i+by >= len(above.children) {
			break
		}
		next := graft.PageIdx(above.children[i+by])
		beside := t.at(next)
		if beside == nil {
			return append(pages, next)
		}
		node, at = beside, beside.before(by)
		t.path = append([]graft.PageIdx{next}, t.path...)
	}
	return pages
}

// rows gives between which rows of a table those below child at of n lie: above low,
// up to high, as far as the pages above are known.
func (t *tree) rows(n *interior, at int) (low, high int64, ok bool) {
	low, high, ok = sqlitefile.RowsOfChild(n.page[:], n.idx == 1, at)
	for range pathLength {
		if !ok || low != math.MinInt64 && high != math.MaxInt64 {
			break
		}
		above, i := t.parent(n.idx)
		if above == nil {
			break
		}
		from, to, known := sqlitefile.RowsOfChild(above.page[:], above.idx == 1, i)
		low, high, ok = max(low, from), min(high, to), known
		n = above
	}
	return low, high, ok
}

// leafOfRow gives the page below top that leads to a row: the leaf, or the first
// interior page on the way that is not here.
func (t *tree) leafOfRow(top *interior, row int64) graft.PageIdx {
	for n := top; ; {
		i, ok := sqlitefile.ChildOfRow(n.page[:], n.idx == 1, row)
		if !ok || i >= len(n.children) {
			return 0
		}
		child := graft.PageIdx(n.children[i])
		below := t.at(child)
		if below == nil {
			return child
		}
		n = below
	}
}
