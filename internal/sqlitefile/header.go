// Package sqlitefile reads and writes the few fields of a SQLite database file
// that graft must know. The format is https://sqlite.org/fileformat.html; its
// numbers are big endian.
package sqlitefile

import (
	"bytes"
	"encoding/binary"
)

// HeaderSize is the size of the database header, at the start of page 1.
const HeaderSize = 100

var magic = []byte("SQLite format 3\x00")

// Offsets of fields of the header.
const (
	offPageSize  = 16
	offWrite     = 18 // 2: WAL
	offRead      = 19 // 2: WAL
	offReserved  = 20
	offCounter   = 24 // file change counter
	offPageCount = 28
	offCookie    = 40 // schema cookie: goes up with each change of the schema
	offValidFor  = 92 // the change counter for which offPageCount is valid
	offVersion   = 96 // of the library that wrote last
)

// Header is a view of the first bytes of a database, at least HeaderSize.
type Header []byte

// IsDatabase tells whether the bytes begin as a database does.
func (h Header) IsDatabase() bool { return len(h) >= HeaderSize && bytes.HasPrefix(h, magic) }

// PageSize is the size of its pages, in bytes.
func (h Header) PageSize() int {
	if n := int(binary.BigEndian.Uint16(h[offPageSize:])); n != 1 {
		return n
	}
	return 65536
}

// PageCount is the number of its pages, in units of its own page size.
func (h Header) PageCount() uint32 { return binary.BigEndian.Uint32(h[offPageCount:]) }

// PageCountValid tells whether who wrote last kept the page count.
func (h Header) PageCountValid() bool {
	return h.PageCount() > 0 && h.Counter() == binary.BigEndian.Uint32(h[offValidFor:])
}

// SetRollback lets a rollback journal serve the database.
func (h Header) SetRollback() { h[offWrite], h[offRead] = 1, 1 }

// IsWAL tells whether only WAL mode may read or write it.
func (h Header) IsWAL() bool { return h[offWrite] == 2 || h[offRead] == 2 }

// Reserved is the number of bytes at the end of each page that SQLite leaves to
// extensions.
func (h Header) Reserved() int { return int(h[offReserved]) }

// Counter is the file change counter.
func (h Header) Counter() uint32 { return binary.BigEndian.Uint32(h[offCounter:]) }

// SetCounter sets the change counter, and the page count valid for it.
func (h Header) SetCounter(n uint32) {
	binary.BigEndian.PutUint32(h[offCounter:], n)
	binary.BigEndian.PutUint32(h[offValidFor:], n)
}

// SetPageCount sets the number of pages.
func (h Header) SetPageCount(n uint32) { binary.BigEndian.PutUint32(h[offPageCount:], n) }

// Cookie is the schema cookie.
func (h Header) Cookie() uint32 { return binary.BigEndian.Uint32(h[offCookie:]) }

// SetCookie sets the schema cookie.
func (h Header) SetCookie(n uint32) { binary.BigEndian.PutUint32(h[offCookie:], n) }

// EqualButCounters tells whether two versions of page 1 differ at most in what
// SQLite changes with every commit.
func EqualButCounters(a, b []byte) bool {
	return bytes.Equal(a[:offCounter], b[:offCounter]) &&
		bytes.Equal(a[offPageCount:offValidFor], b[offPageCount:offValidFor]) &&
		bytes.Equal(a[HeaderSize:], b[HeaderSize:])
}

// OverlayCounter writes counter n over those bytes of p that hold it, where p
// stands at offset off of the file.
func OverlayCounter(p []byte, off int, n uint32) {
	overlay(p, off, offCounter, n)
	overlay(p, off, offValidFor, n)
}

// OverlayCookie writes schema cookie n in the same way.
func OverlayCookie(p []byte, off int, n uint32) { overlay(p, off, offCookie, n) }

func overlay(p []byte, off, field int, n uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	for i := range b {
		if at := field + i - off; at >= 0 && at < len(p) {
			p[at] = b[i]
		}
	}
}

// Field is a number of the header.
type Field struct {
	Name   string // as https://sqlite.org/fileformat.html has it, in snake case
	Offset int    // bytes
	Size   int    // bytes: 1, 2 or 4
}

// Fields are all numbers of the header, in the order of the file.
var Fields = []Field{
	{"page_size", offPageSize, 2}, // 1: 65536
	{"write_version", offWrite, 1},
	{"read_version", offRead, 1},
	{"reserved_bytes", offReserved, 1},
	{"max_payload_fraction", 21, 1},
	{"min_payload_fraction", 22, 1},
	{"leaf_payload_fraction", 23, 1},
	{"change_counter", offCounter, 4},
	{"page_count", offPageCount, 4},
	{"first_freelist_page", 32, 4},
	{"freelist_pages", 36, 4},
	{"schema_cookie", offCookie, 4},
	{"schema_format", 44, 4},
	{"default_cache_size", 48, 4},
	{"largest_root_page", 52, 4},
	{"text_encoding", 56, 4},
	{"user_version", 60, 4},
	{"incremental_vacuum", 64, 4},
	{"application_id", 68, 4},
	{"version_valid_for", offValidFor, 4},
	{"sqlite_version", offVersion, 4},
}

// Field reads a number.
func (h Header) Field(f Field) (n uint32) {
	for _, b := range h[f.Offset : f.Offset+f.Size] {
		n = n<<8 | uint32(b)
	}
	return n
}
