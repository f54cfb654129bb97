package vfs

import (
	"errors"
	"slices"
	"time"

	"graft"
	"graft/internal/sqlitefile"
)

// dryRun is a run of a query that makes no request. So that SQLite does not give up at
// the first page that is missing, it is given another in its place, which has
// nothing of that page but what the pages around it tell: the rows of a table without
// their columns, entries of an index like the one beside it, a value of zeros.
//
// Invariants:
//  1. What stands in for a page goes to SQLite's own cache of this connection and
//     nowhere else, and that is dropped before the next transaction ([file.dropCache]).
//  2. In a transaction in which one may, nothing is written ([file.Lock]), and
//     SQLite reads no schema: nothing stands in for pages of sqlite_schema.
type dryRun struct {
	roots    map[graft.PageIdx]bool        // of the tables, true, and indexes that the query opens
	reserved int                           // bytes of each page
	interior map[graft.PageIdx]*graft.Page // of these, as far as SQLite read them
	parents  map[graft.PageIdx]graft.PageIdx

	pretends bool          // others stand in for missing pages
	pretence time.Duration // from the first of these on, until stop is called
	stop     func()
	late     *time.Timer // that waits, or nil

	missing []graft.PageIdx // that SQLite asked for, each once
	asked   map[graft.PageIdx]bool
	failure error // of a page that is not missing
}

// maxPretence is how long a dry run goes on after the first page that was missing. It
// may be endless: a query that looks for what is not in the page that stands in.
const maxPretence = 10 * time.Second

func newDryRun(stop func()) *dryRun {
	return &dryRun{
		pretence: maxPretence,
		stop:     stop,
		roots:    make(map[graft.PageIdx]bool),
		interior: make(map[graft.PageIdx]*graft.Page),
		parents:  make(map[graft.PageIdx]graft.PageIdx),
		asked:    make(map[graft.PageIdx]bool),
	}
}

// read notes a whole page that SQLite has read.
func (d *dryRun) read(p graft.PageIdx, page []byte) {
	if d == nil || !d.pretends || p == 1 || !d.ofTree(p) || sqlitefile.KindOf(page) != sqlitefile.Interior {
		return
	}
	d.interior[p] = (*graft.Page)(slices.Clone(page))
	for _, child := range sqlitefile.Children(page, false) {
		d.parents[graft.PageIdx(child)] = p
	}
}

// ofTree tells whether p is a page of a B-tree that the query opens, as far as is known.
func (d *dryRun) ofTree(p graft.PageIdx) bool {
	_, root := d.roots[p]
	return root || d.parents[p] != 0
}

// instead notes that page p could not be read, and gives what stands in for it, or nil.
func (d *dryRun) instead(p graft.PageIdx, err error) *graft.Page {
	if d == nil {
		return nil
	}
	if !errors.Is(err, graft.ErrBudget) {
		d.failure = err
		return nil
	}
	if !d.asked[p] {
		d.asked[p] = true
		d.missing = append(d.missing, p)
	}
	if !d.pretends || p == 1 {
		return nil
	}
	if d.late == nil {
		d.late = time.AfterFunc(d.pretence, d.stop)
	}
	page := new(graft.Page)
	if !d.fill(page[:], p) {
		return nil
	}
	return page
}

// fill makes page what stands in for page p.
func (d *dryRun) fill(page []byte, p graft.PageIdx) bool {
	if isTable, root := d.roots[p]; root {
		sqlitefile.EmptyTree(page, isTable, d.reserved)
		return true
	}
	parent := d.parents[p]
	if parent == 0 {
		sqlitefile.OverflowOfItself(page, uint32(p))
		return true
	}
	above := d.interior[parent]
	at := slices.Index(sqlitefile.Children(above[:], false), uint32(p))
	low, high, ofTable := sqlitefile.RowsOfChild(above[:], false, at)
	if !ofTable {
		return sqlitefile.LeafOfEntries(page, above[:], at, d.reserved)
	}
	for range pathLength { // a damaged tree may lead to itself
		child := parent
		if parent = d.parents[child]; parent == 0 {
			break
		}
		above = d.interior[parent]
		at = slices.Index(sqlitefile.Children(above[:], false), uint32(child))
		from, to, _ := sqlitefile.RowsOfChild(above[:], false, at)
		low, high = max(low, from), min(high, to)
	}
	sqlitefile.LeafOfRows(page, low, high, d.reserved)
	return true
}

// dropCache has SQLite forget all pages before its next transaction. None is open.
func (f *file) dropCache() {
	f.highest++
	f.counter, f.first = f.highest, nil
}
