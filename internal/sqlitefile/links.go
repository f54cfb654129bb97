package sqlitefile

import (
	"encoding/binary"
	"unicode/utf16"
)

// Chain is overflow pages that a cell goes on in.
type Chain struct {
	First uint32 // page
	Pages int    // how many there are
}

// Overflows gives the chains of overflow pages of the cells of a B-tree page, of
// which so many bytes are reserved. first says that it is page 1. A page that is
// none of a B-tree has none; bytes that make no sense give pages that do not exist.
func Overflows(page []byte, first bool, reserved int) []Chain {
	b := btreeOf(page, first)
	header, child := 8, 0
	switch b.kind() {
	case interiorIndex:
		header, child = 12, 4
	case leafIndex, leafTable:
	default:
		return nil
	}
	var chains []Chain
	for _, off := range b.cells(header) {
		cell := page[off+child:]
		size, rest, ok := varint(cell)
		if ok && b.kind() == leafTable {
			_, rest, ok = varint(rest) // rowid
		}
		if !ok {
			continue
		}
		usable := len(page) - reserved
		local := localSize(size, usable, b.kind() == leafTable)
		if uint64(local) >= size || local+4 > len(rest) {
			continue
		}
		n := (size - uint64(local) + uint64(usable) - 5) / uint64(usable-4)
		chains = append(chains, Chain{binary.BigEndian.Uint32(rest[local:]), int(min(n, 1<<31-1))})
	}
	return chains
}

// localSize is how many bytes of a payload stand on the B-tree page itself, as
// https://sqlite.org/fileformat.html has it.
func localSize(size uint64, usable int, ofTable bool) int {
	most := (usable-12)*64/255 - 23
	if ofTable {
		most = usable - 35
	}
	if size <= uint64(most) {
		return int(size)
	}
	least := (usable-12)*32/255 - 23
	local := least + int((size-uint64(least))%uint64(usable-4))
	if local <= most {
		return local
	}
	return least
}

// NextOverflow gives the overflow page that follows one, or 0.
func NextOverflow(page []byte) uint32 { return binary.BigEndian.Uint32(page) }

// SchemaEntry is a table or an index of a schema.
type SchemaEntry struct {
	Name  string
	Table string // whose index it is, or Name
	Root  uint32 // page
}

// IsTable tells whether it is a table.
func (e SchemaEntry) IsTable() bool { return e.Name == e.Table }

// Encodings of text, as the header of a database has them.
const (
	utf16LE = 2
	utf16BE = 3
)

// Encoding is how texts of the database are stored.
func (h Header) Encoding() uint32 { return binary.BigEndian.Uint32(h[56:]) }

// SchemaEntries gives the tables and indexes with pages of their own that a leaf of
// sqlite_schema names, in order. first says that it is page 1. Those are left out
// whose names go on in overflow pages.
func SchemaEntries(page []byte, first bool, encoding uint32) []SchemaEntry {
	b := btreeOf(page, first)
	if b.kind() != leafTable {
		return nil
	}
	var entries []SchemaEntry
	for _, off := range b.cells(8) {
		texts, root, ok := schemaRow(page[off:])
		if !ok {
			continue
		}
		entries = append(entries, SchemaEntry{Name: decodeText(texts[1], encoding), Table: decodeText(texts[2], encoding), Root: root})
	}
	return entries
}

// decodeText reads a text that SQLite has stored.
func decodeText(b []byte, encoding uint32) string {
	var order binary.ByteOrder = binary.LittleEndian
	switch encoding {
	case utf16BE:
		order = binary.BigEndian
	case utf16LE:
	default:
		return string(b)
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
