package sqlitefile

import "encoding/binary"

// Types of B-tree pages, in their first byte.
const (
	interiorIndex = 2
	interiorTable = 5
	leafIndex     = 10
	leafTable     = 13
)

// btree is a view of a B-tree page.
type btree struct {
	page  []byte
	start int // of the page's header: HeaderSize on page 1
}

func btreeOf(page []byte, first bool) btree {
	if first {
		return btree{page, HeaderSize}
	}
	return btree{page, 0}
}

func (b btree) kind() byte { return b.page[b.start] }

// cells gives the offsets of the cells, as far as they lie within the page.
func (b btree) cells(header int) []int {
	n := int(binary.BigEndian.Uint16(b.page[b.start+3:]))
	var offsets []int
	for i := range n {
		at := b.start + header + 2*i
		if at+2 > len(b.page) {
			break
		}
		if off := int(binary.BigEndian.Uint16(b.page[at:])); off >= b.start+header && off+4 <= len(b.page) {
			offsets = append(offsets, off)
		}
	}
	return offsets
}

// Children gives the pages below an interior page of a B-tree, in key order; any
// other page has none. first says that it is page 1, which begins with the header
// of the database. Bytes that make no sense give pages that do not exist.
func Children(page []byte, first bool) []uint32 {
	b := btreeOf(page, first)
	if k := b.kind(); k != interiorIndex && k != interiorTable {
		return nil
	}
	var children []uint32
	for _, off := range b.cells(12) {
		children = append(children, binary.BigEndian.Uint32(page[off:]))
	}
	return append(children, binary.BigEndian.Uint32(page[b.start+8:]))
}

// SchemaRoots gives the root pages that the schema on page 1 names, tables and
// indexes, in their order there, as far as it lies on that page alone.
func SchemaRoots(page []byte) []uint32 {
	b := btreeOf(page, true)
	if b.kind() != leafTable {
		return nil
	}
	var roots []uint32
	for _, off := range b.cells(8) {
		if _, root, ok := schemaRow(page[off:]); ok {
			roots = append(roots, root)
		}
	}
	return roots
}

// schemaRow reads the first four columns of a row of sqlite_schema: type, name and
// tbl_name, as they are stored, and rootpage.
func schemaRow(cell []byte) (texts [3][]byte, root uint32, ok bool) {
	_, cell, ok = varint(cell) // size of the payload
	if ok {
		_, cell, ok = varint(cell) // rowid
	}
	size, rest, ok2 := varint(cell)
	if !ok || !ok2 || size > uint64(len(cell)) {
		return texts, 0, false
	}
	body := cell[size:]
	for i := range texts {
		var serial uint64
		if serial, rest, ok = varint(rest); !ok || serial < 12 || (serial-12)/2 > uint64(len(body)) {
			return texts, 0, false
		}
		texts[i], body = body[:(serial-12)/2], body[(serial-12)/2:]
	}
	serial, _, ok := varint(rest)
	if !ok || serial < 1 || serial > 4 || uint64(len(body)) < serial {
		return texts, 0, false // views and triggers have none
	}
	for _, c := range body[:serial] {
		root = root<<8 | uint32(c)
	}
	return texts, root, root > 1
}

// varint reads a SQLite varint of up to nine bytes.
func varint(b []byte) (v uint64, rest []byte, ok bool) {
	for i := range min(9, len(b)) {
		if i == 8 {
			return v<<8 | uint64(b[i]), b[9:], true
		}
		if v = v<<7 | uint64(b[i]&0x7f); b[i] < 0x80 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}
