package sqlitefile_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"graft/internal/sqlitefile"
)

// page makes a B-tree page of a type whose cells begin with the given bytes.
func page(kind byte, start int, right uint32, cells ...[]byte) []byte {
	b := make([]byte, 4096)
	b[start] = kind
	binary.BigEndian.PutUint16(b[start+3:], uint16(len(cells)))
	header := 8
	if kind < 8 {
		header = 12
		binary.BigEndian.PutUint32(b[start+8:], right)
	}
	end := len(b)
	for i, c := range cells {
		end -= len(c)
		copy(b[end:], c)
		binary.BigEndian.PutUint16(b[start+header+2*i:], uint16(end))
	}
	return b
}

func TestChildren(t *testing.T) {
	cell := func(child uint32) []byte { return append(binary.BigEndian.AppendUint32(nil, child), 1) }
	for name, tt := range map[string]struct {
		page  []byte
		first bool
		want  []uint32
	}{
		"interior table":     {page(5, 0, 9, cell(3), cell(300)), false, []uint32{3, 300, 9}},
		"interior index":     {page(2, 0, 9, cell(70000)), false, []uint32{70000, 9}},
		"page 1":             {page(5, 100, 4, cell(2)), true, []uint32{2, 4}},
		"leaf":               {page(13, 0, 0, cell(3)), false, nil},
		"no page of a btree": {make([]byte, 4096), false, nil},
	} {
		if got := sqlitefile.Children(tt.page, tt.first); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// row is a row of sqlite_schema: sizes of its texts, and the root page.
func row(root []byte) []byte {
	record := []byte{6, 13 + 2*5, 13 + 2*1, 13 + 2*1, byte(len(root)), 13 + 2*2}
	record = append(record, "tablett"...)
	record = append(append(record, root...), "sq"...)
	return append([]byte{byte(len(record)), 1}, record...)
}

func TestSchemaRoots(t *testing.T) {
	b := page(13, 100, 0, row([]byte{2}), row([]byte{1, 0}), row(nil), row([]byte{1, 2, 3}))
	if got, want := sqlitefile.SchemaRoots(b), []uint32{2, 256, 0x10203}; !slices.Equal(got, want) {
		t.Errorf("roots %v, want %v", got, want)
	}
	if got := sqlitefile.SchemaRoots(page(5, 100, 7)); got != nil {
		t.Errorf("a schema of several pages has roots %v here", got)
	}
}

// FuzzBTree gives any bytes to what reads pages: it must not panic, nor find more
// pages than fit.
func FuzzBTree(f *testing.F) {
	f.Add(page(5, 0, 9, []byte{0, 0, 0, 3, 1}), false)
	f.Add(page(13, 100, 0, row([]byte{2})), true)
	f.Fuzz(func(t *testing.T, b []byte, first bool) {
		b = append(b, make([]byte, 4096)...)[:4096]
		if n := len(sqlitefile.Children(b, first)); n > 4096/2 {
			t.Errorf("%d children", n)
		}
		if n := len(sqlitefile.SchemaRoots(b)); n > 4096/2 {
			t.Errorf("%d roots", n)
		}
		if n := len(sqlitefile.SchemaEntries(b, first, 2)); n > 4096/2 {
			t.Errorf("%d entries of a schema", n)
		}
		if n := len(sqlitefile.Overflows(b, first, int(b[99]))); n > 4096/2 {
			t.Errorf("%d chains", n)
		}
	})
}
