package vfs

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"graft"
	"graft/internal/meter"
	"graft/internal/sqlitefile"
)

const (
	// firstWindow is how many pages are fetched ahead when a scan is seen, and
	// each time twice as many, up to maxWindow.
	firstWindow = 16
	maxWindow   = 1024
	// firstRows is how many entries of an index, on either side of the one that
	// a row was looked for by, have their rows fetched ahead, as far as these lie
	// within nearRows pages of it, or in one more place if those are fewer than
	// fewRows. Once the direction is known, wayRows are, and each time twice as
	// many, up to maxRows.
	firstRows = 12
	nearRows  = 32
	fewRows   = 4
	wayRows   = 4
	maxRows   = 64
	// maxRange is how many pages in order are fetched ahead at once, of those that
	// a table shares with others. minShare is its share of them, one in so many.
	maxRange = 4096
	minShare = 4
	// pathLength is how many interior pages are remembered.
	pathLength = 16
)

// guide foresees which pages SQLite will ask for, from the B-trees that it goes
// through, and has those fetched that are not here. When a page of a table or an
// index is beside the one before it in key order, those that follow that way are
// fetched, more each time. When a row is looked for that an entry of an index names, those of the
// entries around it are.
//
// It guesses: what it fetches is never waited for by who does not ask for it, and
// given up when the statement or the transaction ends. It takes half of the budget of a statement at
// most. SQLite calls it one call at a time.
type guide struct {
	running sync.WaitGroup
	cancels []context.CancelFunc // of what was fetched for the open transaction

	path  [pathLength]graft.PageIdx // interior pages that were read, newest first
	leafs [2]graft.PageIdx          // leaf read last, of an index and of a table
	index graft.PageIdx             // leaf of an index read last
	rows  []int                     // entries of it, one of which led to a row last
	way   int                       // how many more were fetched ahead then
	last  graft.PageIdx             // page read last
	asked map[graft.PageIdx]*batch  // fetched ahead in this transaction

	// The scan under way, of the leaves of tables and of indexes.
	by      int // 1 in key order, -1 against it, 0 before the first
	window  int
	trigger graft.PageIdx // when it is read, the next window is fetched
	edge    graft.PageIdx // last page of the window

	// A scan whose pages lie in order among others fetches these too, up to
	// rangeEdge, or down to it, and so does a value that takes pages in order. It
	// goes on when a leaf or a page of a value is read from rangeAt on.
	rangeAt, rangeEdge graft.PageIdx
}

// batch is pages that are fetched ahead together.
type batch struct {
	ended <-chan struct{} // closed when it is done, or is given up
	done  atomic.Bool     // set before that unless it is given up
}

// isAsked tells whether page p is fetched ahead, or was, and not given up.
func (g *guide) isAsked(p graft.PageIdx) bool {
	b := g.asked[p]
	if b == nil || b.done.Load() {
		return b != nil
	}
	select {
	case <-b.ended:
		return b.done.Load()
	default:
		return true
	}
}

// read notes a page that SQLite has read.
func (g *guide) read(f *file, p graft.PageIdx, page []byte) {
	switch sqlitefile.KindOf(page) {
	case sqlitefile.Interior:
		if g.path[0] != p {
			g.remember(p)
		}
	case sqlitefile.LeafOfIndex:
		g.leafs[0] = p
		if g.index != p {
			g.index, g.rows, g.way = p, nil, 0
		}
		g.inRange(f, p)
	case sqlitefile.LeafOfTable:
		g.leafs[1] = p
		g.inRange(f, p)
	default:
		g.inRange(f, p)
	}
	g.last = p
	if p == g.trigger && p != 0 {
		g.trigger = 0
		g.goOn(f, g.edge)
	}
}

// remember puts an interior page at the front of the path.
func (g *guide) remember(p graft.PageIdx) {
	i := slices.Index(g.path[:], p)
	if i < 0 {
		i = len(g.path) - 1
	}
	copy(g.path[1:i+1], g.path[:i])
	g.path[0] = p
}

// missed foresees what follows page p, which is going to be fetched.
func (g *guide) missed(f *file, p graft.PageIdx) {
	if g.isAsked(p) {
		return // it is on its way
	}
	t := treeOf(f, g.path[:])
	parent, at := t.parent(p)
	if parent == nil {
		if g.last != 0 && p == g.last+1 { // a value of many pages, most likely
			g.by, g.window, g.rangeEdge = 1, firstWindow, p
			g.extend(f)
		}
		return
	}
	if g.missedRow(f, t, parent, at, p) {
		return
	}
	from, by := g.cameFrom(t, parent, at)
	if by == 0 {
		return
	}
	way := by * (int(p) - int(g.rangeEdge))
	if by != g.by || p != g.edge && from != g.edge && (way < 0 || way > maxRange) {
		g.window = 0 // another scan
	}
	g.by = by
	g.goOn(f, p)
}

// cameFrom gives the neighbour of child at of an interior page that was read last, and
// which way a scan goes that came from there. It is 0 if none was.
func (g *guide) cameFrom(t *tree, parent *interior, at int) (from graft.PageIdx, by int) {
	first := cmp.Or(g.by, 1)
	for _, by := range []int{first, -first} {
		if from := t.step(parent, at, -by); from != 0 && slices.Contains(g.leafs[:], from) {
			return from, by
		}
	}
	return 0, 0
}

// goOn fetches the window of leaves behind p.
func (g *guide) goOn(f *file, p graft.PageIdx) {
	g.window = min(max(2*g.window, firstWindow), maxWindow)
	t := treeOf(f, g.path[:])
	parent, at := t.parent(p)
	if below := t.at(p); below != nil {
		parent, at = below, below.before(g.by)
	}
	if parent == nil {
		return
	}
	pages := t.behind(parent, at, g.by, g.window)
	if len(pages) == 0 {
		return
	}
	if inOrder(p, pages, g.by) {
		g.trigger, g.edge, g.rangeEdge = 0, p, p
		g.extend(f)
		return
	}
	g.trigger, g.edge = pages[len(pages)/2], pages[len(pages)-1]
	g.fetch(f, pages)
}

// inOrder tells whether pages follow p in ascending order, or descending if by is -1,
// and are many of those that lie between.
func inOrder(p graft.PageIdx, pages []graft.PageIdx, by int) bool {
	order := func(a, b graft.PageIdx) int { return by * cmp.Compare(a, b) }
	last := pages[len(pages)-1]
	return slices.IsSortedFunc(pages, order) && order(p, pages[0]) < 0 && distance(int(last), int(p)) <= minShare*len(pages)
}

// inRange lets the range go on that leaf p is in.
func (g *guide) inRange(f *file, p graft.PageIdx) {
	if g.by*(int(p)-int(g.rangeAt)) >= 0 && g.by*(int(g.rangeEdge)-int(p)) >= 0 && g.rangeAt != 0 {
		g.window = min(2*g.window, maxRange)
		g.extend(f)
	}
}

// extend fetches the next window of pages behind the edge of the range.
func (g *guide) extend(f *file) {
	first := int(g.rangeEdge) + g.by
	last := min(max(int(g.rangeEdge)+g.by*g.window, 1), int(f.reader.PageCount()))
	g.rangeAt = graft.PageIdx(first)
	if g.by*(last-first) < 0 {
		return // rangeAt is beyond rangeEdge: there is no more
	}
	pages := make([]graft.PageIdx, 0, g.window)
	for p := first; g.by*(last-p) >= 0; p += g.by {
		pages = append(pages, graft.PageIdx(p))
	}
	g.rangeEdge = graft.PageIdx(last)
	g.fetch(f, pages)
}

// missedRow fetches the rows of the entries around the one that led to page p, which
// is child at of parent, if an entry of the index did.
func (g *guide) missedRow(f *file, t *tree, parent *interior, at int, p graft.PageIdx) bool {
	if g.index == 0 || !parent.ofTable {
		return false
	}
	leaf := t.page(g.index)
	if leaf == nil {
		return false
	}
	low, high, ok := t.rows(parent, at)
	entries := sqlitefile.IndexEntries(leaf[:])
	var rows []int
	for i, e := range entries {
		if ok && low < e.Row && e.Row <= high {
			rows = append(rows, i)
		}
	}
	if len(rows) == 0 {
		return false
	}
	top := t.top(parent)
	found, direction := g.follow(entries, rows)
	g.rows = rows
	first, last := found-firstRows, found+firstRows
	if direction != 0 {
		g.way = min(max(2*g.way, wayRows), maxRows)
	}
	switch {
	case direction > 0:
		first, last = found, found+g.way
	case direction < 0:
		first, last = found-g.way, found
	}
	var pages []graft.PageIdx // those of the nearest entries first
	for step := range maxRows + 1 {
		for _, i := range []int{found - step, found + step} {
			// An entry with another value is of another range.
			if i < max(first, 0) || i > min(last, len(entries)-1) || entries[i].First != entries[found].First {
				continue
			}
			if q := t.leafOfRow(top, entries[i].Row); q != 0 {
				pages = append(pages, q)
			}
		}
	}
	if direction == 0 {
		pages = nearest(pages, p)
	}
	g.fetch(f, slices.DeleteFunc(pages, func(q graft.PageIdx) bool { return q == p }))
	return true
}

// follow tells which of the entries that may have led to a page it was, and in which
// direction from the last one, or 0 if that is not sure.
func (g *guide) follow(entries []sqlitefile.IndexEntry, rows []int) (found, direction int) {
	found = rows[0]
	pairs := 0
	for _, i := range rows {
		for _, last := range g.rows {
			if entries[i].First != entries[last].First {
				continue
			}
			step := cmp.Compare(i, last)
			if pairs++; pairs == 1 {
				found, direction = i, step
			} else if direction != step {
				direction = 0
			}
		}
	}
	return found, direction
}

// nearest gives those of pages that lie near p, and near the first other one if those
// are few.
func nearest(pages []graft.PageIdx, p graft.PageIdx) []graft.PageIdx {
	far := func(q graft.PageIdx) bool { return distance(int(q), int(p)) > nearRows }
	i := slices.IndexFunc(pages, far)
	near := slices.DeleteFunc(slices.Clone(pages), far)
	if i < 0 || len(near) >= fewRows {
		return near
	}
	second := pages[i]
	return append(near, slices.DeleteFunc(pages, func(q graft.PageIdx) bool { return !far(q) || distance(int(q), int(second)) > nearRows })...)
}

func distance(a, b int) int { return max(a-b, b-a) }

// fetch has pages fetched that were not asked for yet.
func (g *guide) fetch(f *file, pages []graft.PageIdx) {
	pages = slices.DeleteFunc(pages, g.isAsked)
	if len(pages) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(meter.Speculate(f.context()))
	g.cancels = append(g.cancels, cancel)
	meter.Of(ctx).Ahead.Add(cancel)
	b := &batch{ended: ctx.Done()}
	if g.asked == nil {
		g.asked = make(map[graft.PageIdx]*batch)
	}
	for _, p := range pages {
		g.asked[p] = b
	}
	r := f.reader.Clone()
	g.running.Go(func() {
		defer r.Close()
		defer cancel()
		_ = r.Prefetch(ctx, pages) // who asks for a page meets the error
		b.done.Store(ctx.Err() == nil)
	})
}

// end gives up what is fetched ahead: the transaction is over.
func (g *guide) end() {
	for _, cancel := range g.cancels {
		cancel()
	}
	g.running.Wait()
	*g = guide{path: g.path} // SQLite may have these in its cache
}
