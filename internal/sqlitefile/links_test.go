package sqlitefile_test

import (
	"encoding/binary"
	"reflect"
	"testing"

	"graft/internal/sqlitefile"
)

// varint writes a number as SQLite does, of up to 4 bytes.
func varint(n int) []byte {
	b := []byte{byte(n & 0x7f)}
	for n >>= 7; n > 0; n >>= 7 {
		b = append([]byte{byte(n&0x7f) | 0x80}, b...)
	}
	return b
}

// cellOf is a cell with a payload of size, of which local bytes stand in it, and an
// overflow page.
func cellOf(before []byte, size, local int, after []byte, next uint32) []byte {
	cell := append(append(append(before, varint(size)...), after...), make([]byte, local)...)
	return binary.BigEndian.AppendUint32(cell, next)
}

// The sizes are those of https://sqlite.org/fileformat.html, section 1.6.
func TestOverflows(t *testing.T) {
	child, rowid := []byte{0, 0, 0, 3}, []byte{1}
	for name, tt := range map[string]struct {
		page     []byte
		first    bool
		reserved int
		want     []sqlitefile.Chain
	}{
		"a table's row that just fits": {page(13, 0, 0, cellOf(nil, 4061, 4061, rowid, 0)[:4061+3]), false, 0, nil},
		"a table's row":                {page(13, 0, 0, cellOf(nil, 4062, 489, rowid, 7)), false, 0, []sqlitefile.Chain{{7, 1}}},
		"a table's row of much on it":  {page(13, 0, 0, cellOf(nil, 6000, 1908, rowid, 7)), false, 0, []sqlitefile.Chain{{7, 1}}},
		"a long row":                   {page(13, 0, 0, cellOf(nil, 100_000, 1792, rowid, 7)), false, 0, []sqlitefile.Chain{{7, 24}}},
		"a row on page 1":              {page(13, 100, 0, cellOf(nil, 4062, 489, rowid, 7)), true, 0, []sqlitefile.Chain{{7, 1}}},
		"reserved bytes":               {page(13, 0, 0, cellOf(nil, 4058, 485, rowid, 7)), false, 32, []sqlitefile.Chain{{7, 1}}},
		"an index's entry":             {page(10, 0, 0, cellOf(nil, 1003, 489, nil, 8)), false, 0, []sqlitefile.Chain{{8, 1}}},
		"one that just fits":           {page(10, 0, 0, cellOf(nil, 1002, 1002, nil, 8)), false, 0, nil},
		"an interior one":              {page(2, 0, 9, cellOf(child, 1003, 489, nil, 8)), false, 0, []sqlitefile.Chain{{8, 1}}},
		"interior page of a table":     {page(5, 0, 9, append(child, 1)), false, 0, nil},
	} {
		if got := sqlitefile.Overflows(tt.page, tt.first, tt.reserved); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestSchemaEntries(t *testing.T) {
	b := page(13, 100, 0, row([]byte{2}), row(nil))
	want := []sqlitefile.SchemaEntry{{Name: "t", Table: "t", Root: 2}}
	if got := sqlitefile.SchemaEntries(b, true, 1); !reflect.DeepEqual(got, want) || !got[0].IsTable() {
		t.Errorf("entries %+v, want %+v", got, want)
	}
}
