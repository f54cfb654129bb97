package sqlitefile_test

import (
	"encoding/binary"
	"math"
	"testing"

	"graft/internal/sqlitefile"
)

// cellsOf gives the cells of a leaf, which must lie behind their pointers and before
// the reserved bytes.
func cellsOf(t *testing.T, b []byte, kind byte, reserved int) (cells [][]byte) {
	t.Helper()
	n, end := int(binary.BigEndian.Uint16(b[3:])), len(b)-reserved
	if start := int(binary.BigEndian.Uint16(b[5:])); b[0] != kind || start < 8+2*n || start > end {
		t.Fatalf("a page of type %d: %d cells from byte %d on", b[0], n, start)
	}
	for i := range n {
		at := int(binary.BigEndian.Uint16(b[8+2*i:]))
		cells = append(cells, b[at:end])
		end = at
	}
	return cells
}

func TestLeafOfRows(t *testing.T) {
	for name, tt := range map[string]struct {
		low, high   int64
		rows        int
		first, last int64
	}{
		"few":          {10, 20, 10, 11, 20},
		"one":          {math.MaxInt64 - 2, math.MaxInt64 - 1, 1, math.MaxInt64 - 1, math.MaxInt64 - 1},
		"none":         {7, 7, 0, 0, 0},
		"many":         {1 << 20, 1 << 30, 64, 1<<20 + (1<<30-1<<20)/64, 1 << 30},
		"the first":    {math.MinInt64, 30, 30, 1, 30},
		"negative":     {math.MinInt64, -30, 1, -30, -30},
		"around zero":  {-300, 300, 64, -291, 300},
		"the last":     {1000, math.MaxInt64, 582, 1001, 1582},
		"the very end": {math.MaxInt64 - 5, math.MaxInt64, 5, math.MaxInt64 - 4, math.MaxInt64},
		"all":          {math.MinInt64, math.MaxInt64, 582, 1, 582},
	} {
		b := make([]byte, 4096)
		sqlitefile.LeafOfRows(b, tt.low, tt.high, 8)
		cells := cellsOf(t, b, 13, 8)
		if len(cells) != tt.rows {
			t.Errorf("%s: %d rows, want %d", name, len(cells), tt.rows)
			continue
		}
		last := tt.low
		for i, c := range cells {
			row, rest := rowid(c[1:])
			if row <= last && tt.low != math.MinInt64 || row > tt.high || c[0] != 2 || rest[0] != 2 || rest[1] != 0 {
				t.Fatalf("%s: row %d after %d has % x", name, row, last, rest[:2])
			}
			if last = row; i == 0 && row != tt.first || i == len(cells)-1 && row != tt.last {
				t.Errorf("%s: row %d has number %d", name, row, i)
			}
		}
	}
}

// rowid reads a varint of up to nine bytes.
func rowid(b []byte) (int64, []byte) {
	v := uint64(0)
	for i := range 8 {
		if v = v<<7 | uint64(b[i]&0x7f); b[i] < 0x80 {
			return int64(v), b[i+1:]
		}
	}
	return int64(v<<8 | uint64(b[8])), b[9:]
}

func TestLeafOfEntries(t *testing.T) {
	child := []byte{0, 0, 0, 3}
	small, large := entry("abc", 7), cellOf(nil, 1003, 489, nil, 8)
	parent := page(2, 0, 9, append(child[:4:4], small...), append(child[:4:4], large...))
	for i, want := range map[int][]byte{0: small, 1: large, 2: large} {
		b := make([]byte, 4096)
		if !sqlitefile.LeafOfEntries(b, parent, i, 0) {
			t.Fatalf("child %d has none", i)
		}
		cells := cellsOf(t, b, 10, 0)
		if len(cells) < 2 {
			t.Errorf("child %d has %d entries", i, len(cells))
		}
		for _, c := range cells {
			if string(c[:len(want)]) != string(want) {
				t.Fatalf("child %d has an entry % x, want % x", i, c[:len(want)], want)
			}
		}
	}
	for name, interior := range map[string][]byte{
		"of a table": page(5, 0, 9, []byte{0, 0, 0, 3, 1, 1, 1}),
		"empty":      page(2, 0, 9),
		"cut off":    page(2, 0, 9, child),
		"too long":   page(2, 0, 9, []byte{0, 0, 0, 3, 0x70}),
	} {
		if sqlitefile.LeafOfEntries(make([]byte, 4096), interior, 0, 0) {
			t.Errorf("an interior page %s", name)
		}
	}
}
