package sqlitefile

import (
	"encoding/binary"
	"math"
)

// The pages of this file stand in for pages that are not known, where SQLite is to go
// on reading. They are valid, of one tree with the pages around them, and have
// nothing of the pages that they stand for but what those pages tell.

// sparseRows is how many rows a leaf has that may have more than there is room for.
const sparseRows = 64

// EmptyTree makes page, but for the reserved bytes at its end, the only page of a table
// or an index without entries.
func EmptyTree(page []byte, ofTable bool, reserved int) {
	clear(page)
	page[0] = leafIndex
	if ofTable {
		page[0] = leafTable
	}
	binary.BigEndian.PutUint16(page[5:], uint16(len(page)-reserved)) // where cells begin
}

// LeafOfRows makes page a leaf of a table that has rows above low, up to high, all
// NULL: SQLite takes columns that are left out for that, or for their default. It has
// each of these rows if there is room for them.
func LeafOfRows(page []byte, low, high int64, reserved int) {
	EmptyTree(page, true, reserved)
	const some = 1000 // more than there is room for
	switch {
	case low >= high:
		return
	case low == math.MinInt64:
		low = min(0, high-1) // most tables begin with row 1
	}
	last := high
	if high == math.MaxInt64 { // the last leaf: nobody knows its rows
		last = low + min(some, high-low)
	}
	n, step := uint64(last)-uint64(low), uint64(1)
	longest := max(len(rowCell(low+1)), len(rowCell(last)))
	room := uint64(len(page)-reserved-8) / uint64(2+longest)
	switch {
	case n > room && last < high:
		n = room
	case n > room:
		n, step = sparseRows, n/sparseRows
	}
	for i := range n {
		row := low + int64((i+1)*step)
		if step > 1 && i == n-1 {
			row = high
		}
		addCell(page, rowCell(row))
	}
}

// rowCell is a row whose one column is NULL.
func rowCell(row int64) []byte {
	record := []byte{2, 0} // the size of the header, and a type
	return append(appendVarint([]byte{byte(len(record))}, uint64(row)), record...)
}

// LeafOfEntries makes page the leaf of an index that is child i of the Children of
// an interior page. Its entries are all as one that is beside it there. It is false where
// there is none.
func LeafOfEntries(page, interior []byte, i, reserved int) bool {
	b := btreeOf(interior, false)
	offsets := b.cells(12)
	if b.kind() != interiorIndex || len(offsets) == 0 || i < 0 {
		return false
	}
	cell := interior[offsets[min(i, len(offsets)-1)]+4:]
	size, rest, ok := varint(cell)
	usable := len(page) - reserved
	length := len(cell) - len(rest) + localSize(size, usable, false)
	if uint64(localSize(size, usable, false)) < size {
		length += 4 // it goes on in overflow pages
	}
	if !ok || length > len(cell) {
		return false
	}
	EmptyTree(page, false, reserved)
	for range max((usable-8)*2/3/(length+2), 1) {
		addCell(page, cell[:length])
	}
	return true
}

// OverflowOfItself makes page, which has number p, an overflow page that leads to
// itself, so that there is no value that it is too short for.
func OverflowOfItself(page []byte, p uint32) {
	clear(page)
	binary.BigEndian.PutUint32(page, p)
}

// addCell adds a cell behind those that a leaf has. There is room for it.
func addCell(page, cell []byte) {
	n := int(binary.BigEndian.Uint16(page[3:]))
	size := max(len(cell), 4) // the least that SQLite allots
	at := int(binary.BigEndian.Uint16(page[5:])) - size
	copy(page[at:], cell)
	binary.BigEndian.PutUint16(page[8+2*n:], uint16(at))
	binary.BigEndian.PutUint16(page[3:], uint16(n+1))
	binary.BigEndian.PutUint16(page[5:], uint16(at))
}
