package sqlitefile

import (
	"encoding/binary"
	"math"
)

// Kind is what a page is to a B-tree, as far as its first byte tells. Pages that
// are no B-tree's may look like one.
type Kind int

const (
	Other Kind = iota
	Interior
	LeafOfIndex
	LeafOfTable
)

// KindOf tells what a page is that is not the first.
func KindOf(page []byte) Kind {
	switch page[0] {
	case interiorIndex, interiorTable:
		return Interior
	case leafIndex:
		return LeafOfIndex
	case leafTable:
		return LeafOfTable
	}
	return Other
}

// ChildOfRow gives which of the Children of an interior page of a table leads to
// a row. It is false for any other page.
func ChildOfRow(page []byte, first bool, row int64) (int, bool) {
	b := btreeOf(page, first)
	if b.kind() != interiorTable {
		return 0, false
	}
	offsets := b.cells(12)
	for i, off := range offsets {
		key, _, ok := varint(page[off+4:])
		if ok && row <= int64(key) {
			return i, true
		}
	}
	return len(offsets), true
}

// RowsOfChild gives between which rows those below child i of the Children of an
// interior page of a table lie: above low, up to high. The first and the last child
// have no bound on one side here. It is false for any other page.
func RowsOfChild(page []byte, first bool, i int) (low, high int64, ok bool) {
	b := btreeOf(page, first)
	offsets := b.cells(12)
	if b.kind() != interiorTable || i < 0 || i > len(offsets) {
		return 0, 0, false
	}
	low, high = math.MinInt64, math.MaxInt64
	if i > 0 {
		key, _, read := varint(page[offsets[i-1]+4:])
		low, ok = int64(key), read
	}
	if i < len(offsets) {
		key, _, read := varint(page[offsets[i]+4:])
		high, ok = int64(key), read && (i == 0 || ok)
	}
	return low, high, ok || len(offsets) == 0
}

// IndexEntry is an entry of an index.
type IndexEntry struct {
	First string // first column, as it is stored: equal strings are equal values
	Row   int64  // row of the table that it stands for
}

// IndexEntries gives the entries of a leaf of an index, in order. Those that go
// on in overflow pages are left out. In a table WITHOUT ROWID, which looks the
// same, the rows mean nothing.
func IndexEntries(page []byte) []IndexEntry {
	b := btreeOf(page, false)
	if b.kind() != leafIndex {
		return nil
	}
	var entries []IndexEntry
	for _, off := range b.cells(8) {
		if e, ok := indexEntry(page[off:]); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

func indexEntry(cell []byte) (e IndexEntry, ok bool) {
	size, record, ok := varint(cell)
	if !ok || size > uint64(len(record)) {
		return e, false
	}
	record = record[:size]
	header, rest, ok := varint(record)
	if !ok || header > size || header < uint64(len(record)-len(rest)) {
		return e, false
	}
	body := record[header:]
	types := rest[:header-uint64(len(record)-len(rest))]
	for column := 0; len(types) > 0; column++ {
		before := types
		var serial uint64
		if serial, types, ok = varint(types); !ok {
			return e, false
		}
		n := serialSize(serial)
		if n > uint64(len(body)) {
			return e, false
		}
		if column == 0 {
			e.First = string(before[:len(before)-len(types)]) + string(body[:n])
		}
		if len(types) == 0 { // the last column is the row
			e.Row, ok = integer(serial, body[:n])
			return e, ok && column > 0
		}
		body = body[n:]
	}
	return e, false
}

// serialSize is how many bytes a value of a serial type takes.
func serialSize(serial uint64) uint64 {
	switch {
	case serial <= 4:
		return serial
	case serial == 5:
		return 6
	case serial <= 7:
		return 8
	case serial < 12:
		return 0
	}
	return (serial - 12) / 2
}

// integer reads a value of a serial type that is an integer.
func integer(serial uint64, b []byte) (int64, bool) {
	switch {
	case serial == 8 || serial == 9:
		return int64(serial - 8), true
	case serial < 1 || serial > 6:
		return 0, false
	}
	var sign [8]byte
	if b[0] >= 0x80 {
		sign = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
	}
	copy(sign[8-len(b):], b)
	return int64(binary.BigEndian.Uint64(sign[:])), true
}
