package sqlitefile_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"graft/internal/sqlitefile"
)

// entry is a cell of an index of one text and the row.
func entry(text string, row ...byte) []byte {
	record := append([]byte{3, byte(13 + 2*len(text)), byte(len(row))}, text...)
	record = append(record, row...)
	return append([]byte{byte(len(record))}, record...)
}

func TestIndexEntries(t *testing.T) {
	one := []byte{5, 3, 15, 9, 'x', 0} // serial type 9 is the integer 1
	b := page(10, 0, 0, entry("a", 7), entry("a", 1, 0), entry("b", 0xff), one[:6])
	got := sqlitefile.IndexEntries(b)
	var rows []int64
	for _, e := range got {
		rows = append(rows, e.Row)
	}
	if want := []int64{7, 256, -1, 1}; !slices.Equal(rows, want) {
		t.Fatalf("rows %v, want %v", rows, want)
	}
	if got[0].First != got[1].First || got[1].First == got[2].First {
		t.Errorf("first columns of %+v", got)
	}
	if sqlitefile.IndexEntries(page(13, 0, 0, entry("a", 7))) != nil {
		t.Error("a leaf of a table has entries")
	}
}

func TestChildOfRow(t *testing.T) {
	cell := func(key byte) []byte { return append(binary.BigEndian.AppendUint32(nil, 9), key) }
	b := page(5, 0, 9, cell(10), cell(20))
	for row, want := range map[int64]int{-5: 0, 10: 0, 11: 1, 20: 1, 21: 2} {
		if got, ok := sqlitefile.ChildOfRow(b, false, row); got != want || !ok {
			t.Errorf("row %d: child %d, %t; want %d", row, got, ok, want)
		}
	}
	if _, ok := sqlitefile.ChildOfRow(page(2, 0, 9, cell(10)), false, 1); ok {
		t.Error("an interior page of an index leads to rows")
	}
}

func TestRowsOfChild(t *testing.T) {
	cell := func(key byte) []byte { return append(binary.BigEndian.AppendUint32(nil, 9), key) }
	b := page(5, 0, 9, cell(10), cell(20))
	for i, want := range [][2]int64{{math.MinInt64, 10}, {10, 20}, {20, math.MaxInt64}} {
		if low, high, ok := sqlitefile.RowsOfChild(b, false, i); low != want[0] || high != want[1] || !ok {
			t.Errorf("child %d has rows above %d, up to %d, %t; want %v", i, low, high, ok, want)
		}
	}
	if low, high, ok := sqlitefile.RowsOfChild(page(5, 0, 9), false, 0); low != math.MinInt64 || high != math.MaxInt64 || !ok {
		t.Errorf("the only child has rows above %d, up to %d, %t", low, high, ok)
	}
	for name, got := range map[string]func() (int64, int64, bool){
		"a child more": func() (int64, int64, bool) { return sqlitefile.RowsOfChild(b, false, 3) },
		"child -1":     func() (int64, int64, bool) { return sqlitefile.RowsOfChild(b, false, -1) },
		"an index":     func() (int64, int64, bool) { return sqlitefile.RowsOfChild(page(2, 0, 9, cell(10)), false, 0) },
	} {
		if low, high, ok := got(); ok {
			t.Errorf("%s has rows above %d, up to %d", name, low, high)
		}
	}
}

// FuzzKeys reads pages that make no sense.
func FuzzKeys(f *testing.F) {
	f.Add(page(10, 0, 0, entry("a", 7), entry("b", 1, 0)))
	f.Add(page(5, 0, 9, []byte{0, 0, 0, 1, 5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := make([]byte, 4096)
		copy(whole, b)
		entries := sqlitefile.IndexEntries(whole)
		if len(entries) > len(whole)/2 {
			t.Errorf("%d entries", len(entries))
		}
		children := sqlitefile.Children(whole, false)
		if i, ok := sqlitefile.ChildOfRow(whole, false, 3); ok && i >= len(children) {
			t.Errorf("child %d of %d", i, len(children))
		}
		for i := range children {
			if low, high, ok := sqlitefile.RowsOfChild(whole, false, i); ok && low == math.MinInt64 && i > 0 && high == math.MaxInt64 && i < len(children)-1 {
				t.Errorf("child %d of %d has no bound", i, len(children))
			}
		}
	})
}
