package sqlitefile

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// header is the first page of a database, every field of which is known.
func header() Header {
	h := make(Header, 4096)
	copy(h, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(h[16:], 4096)
	h[18], h[19] = 1, 1
	h[20] = 12
	binary.BigEndian.PutUint32(h[24:], 0x01020304)
	binary.BigEndian.PutUint32(h[28:], 0x11121314)
	binary.BigEndian.PutUint32(h[92:], 0x01020304)
	binary.BigEndian.PutUint32(h[96:], 3050000)
	return h
}

func TestHeaderFields(t *testing.T) {
	h := header()
	if !h.IsDatabase() || h.PageSize() != 4096 || h.IsWAL() || h.Reserved() != 12 {
		t.Errorf("database %t, page size %d, WAL %t, reserved %d", h.IsDatabase(), h.PageSize(), h.IsWAL(), h.Reserved())
	}
	if h.Counter() != 0x01020304 || h.PageCount() != 0x11121314 || !h.PageCountValid() {
		t.Errorf("counter %x, %x pages, valid %t", h.Counter(), h.PageCount(), h.PageCountValid())
	}
}

func TestIsDatabaseLooksAtMagicAndLength(t *testing.T) {
	for name, h := range map[string]Header{
		"nothing":       nil,
		"zeros":         make(Header, 4096),
		"99 bytes":      header()[:99],
		"another magic": append(Header("SQLite format 4\x00"), header()[16:]...),
		"no zero byte":  append(Header("SQLite format 3 "), header()[16:]...),
	} {
		if h.IsDatabase() {
			t.Errorf("%s is a database", name)
		}
	}
	if !header()[:HeaderSize].IsDatabase() {
		t.Error("a header is no database")
	}
}

func TestPageSizeOneIs65536(t *testing.T) {
	for field, want := range map[uint16]int{512: 512, 1024: 1024, 32768: 32768, 1: 65536} {
		h := header()
		if binary.BigEndian.PutUint16(h[16:], field); h.PageSize() != want {
			t.Errorf("field %d is page size %d", field, h.PageSize())
		}
	}
}

func TestSetRollbackEndsWAL(t *testing.T) {
	h := header()
	h[18], h[19] = 2, 2
	if h.SetRollback(); h.IsWAL() || h[17] != header()[17] || h[20] != header()[20] {
		t.Errorf("the header has % x", h[16:21])
	}
}

func TestIsWALLooksAtBothVersions(t *testing.T) {
	for _, c := range []struct {
		write, read byte
		want        bool
	}{{1, 1, false}, {2, 2, true}, {2, 1, true}, {1, 2, true}} {
		h := header()
		if h[18], h[19] = c.write, c.read; h.IsWAL() != c.want {
			t.Errorf("versions %d and %d: WAL %t", c.write, c.read, h.IsWAL())
		}
	}
}

func TestPageCountIsValidForItsCounterAlone(t *testing.T) {
	h := header()
	if h[92]++; h.PageCountValid() {
		t.Error("valid for another counter")
	}
	if h.SetCounter(0xa1a2a3a4); !h.PageCountValid() || h.Counter() != 0xa1a2a3a4 {
		t.Errorf("counter %x, valid %t", h.Counter(), h.PageCountValid())
	}
	if binary.BigEndian.PutUint32(h[28:], 0); h.PageCountValid() {
		t.Error("no page is a valid count")
	}
}

// isCounter tells whether SQLite changes this byte with every commit.
func isCounter(i int) bool { return i >= 24 && i < 28 || i >= 92 && i < 100 }

func TestEqualButCountersIgnoresTheCountersAlone(t *testing.T) {
	a := header()
	for i := range a {
		b := slices.Clone(a)
		b[i] ^= 0x80
		if got := EqualButCounters(a, b); got != isCounter(i) {
			t.Errorf("byte %d differs: equal %t", i, got)
		}
	}
	if !EqualButCounters(a, slices.Clone(a)) {
		t.Error("is not equal to itself")
	}
}

func TestSetCounterChangesTheCountersAlone(t *testing.T) {
	before, h := header(), header()
	h.SetCounter(^before.Counter())
	for i := range h {
		if want := i >= 24 && i < 28 || i >= 92 && i < 96; (h[i] != before[i]) != want {
			t.Errorf("byte %d is %x, was %x", i, h[i], before[i])
		}
	}
}

func TestOverlayCounterAtEveryOffset(t *testing.T) {
	const counter = 0xa1a2a3a4
	whole := header()
	want := slices.Clone(whole)
	want.SetCounter(counter)
	for _, size := range []int{0, 1, 2, 3, 4, 5, 16, 68, 69, 72, 73, 100, 200} {
		for off := range 200 {
			p := slices.Clone(whole[off : off+size])
			if OverlayCounter(p, off, counter); !bytes.Equal(p, want[off:off+size]) {
				t.Errorf("%d bytes at offset %d: %x, want %x", size, off, p, want[off:off+size])
			}
		}
	}
	p := slices.Clone(whole)
	if OverlayCounter(p, 4096, counter); !bytes.Equal(p, whole) {
		t.Error("changes page 2")
	}
}
