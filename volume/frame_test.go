package volume

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"
	"pgregory.net/rapid"
)

// entriesOf gives a page for each index, whose content tells the index.
func entriesOf(pages ...PageIdx) []PageEntry {
	var entries []PageEntry
	for _, p := range pages {
		entries = append(entries, PageEntry{p, textPage(uint64(p))})
	}
	return entries
}

// rawFrame is a Frame before compression.
func rawFrame(entries []PageEntry) []byte {
	var raw []byte
	for _, e := range entries {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(e.Idx))
	}
	for _, e := range entries {
		raw = append(raw, e.Page[:]...)
	}
	return raw
}

// lz4Block compresses raw.
func lz4Block(tb rapid.TB, raw []byte) []byte {
	tb.Helper()
	b := make([]byte, lz4.CompressBlockBound(len(raw)))
	n, err := lz4.CompressBlock(raw, b, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b[:n]
}

// framed gives a block as a frame, and the Frame that names it.
func framed(block []byte, first, last PageIdx) (Frame, []byte) {
	b := appendSealed(someSegment, slices.Clone(block), 0)
	return Frame{Offset: 8, Length: int64(len(b)), First: first, Last: last}, b
}

// block compresses raw and gives the Frame that names it rightly.
func block(tb rapid.TB, raw []byte, first, last PageIdx) (Frame, []byte) {
	tb.Helper()
	return framed(lz4Block(tb, raw), first, last)
}

func equalEntries(a, b []PageEntry) bool {
	return slices.EqualFunc(a, b, func(a, b PageEntry) bool { return a.Idx == b.Idx && *a.Page == *b.Page })
}

func TestDecodeFrameGivesTheDocumentedPages(t *testing.T) {
	seg := Segment{ID: someSegment, Pages: PageSetOf(2, 3, 5, 9, 20)}
	want := entriesOf(3, 5, 9)
	f, b := block(t, rawFrame(want), 3, 9)
	got, err := DecodeFrame(&seg, f, b)
	if err != nil || !equalEntries(got, want) {
		t.Errorf("%d pages, %v", len(got), err)
	}
}

func TestDecodeFrameRefusesWhatTheSegmentDoesNotHold(t *testing.T) {
	seg := Segment{ID: someSegment}
	for p := PageIdx(2); p <= 60; p += 2 {
		seg.Pages.Add(p)
	}
	many := entriesOf(2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34)
	for _, c := range []struct {
		name        string
		raw         []byte
		first, last PageIdx
	}{
		{"a page that is not in the segment", rawFrame(entriesOf(4, 5, 6)), 4, 6},
		{"a page before the frame", rawFrame(entriesOf(2, 4, 6)), 4, 6},
		{"a page after the frame", rawFrame(entriesOf(4, 6, 8)), 4, 6},
		{"page 0", rawFrame(entriesOf(0, 4)), 1, 4},
		{"descending pages", rawFrame(entriesOf(6, 4)), 4, 6},
		{"a page twice", rawFrame(entriesOf(4, 4, 6)), 4, 6},
		{"an end too early", rawFrame(entriesOf(4, 6)), 4, 8},
		{"17 pages", rawFrame(many), 1, 34},
		{"a byte too many", append(rawFrame(entriesOf(4, 6)), 0), 4, 6},
		{"a byte too few", rawFrame(entriesOf(4, 6))[:2*frameEntrySize-1], 4, 6},
		{"text", []byte("this is no frame, but long enough to be a block of LZ4"), 4, 6},
	} {
		f, b := block(t, c.raw, c.first, c.last)
		if got, err := DecodeFrame(&seg, f, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d pages, %v", c.name, len(got), err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "an empty block": {0}, "no LZ4": []byte("\xff\xff\xff\xff\xff"),
	} {
		f, b := framed(b, 4, 6)
		if got, err := DecodeFrame(&seg, f, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d pages, %v", name, len(got), err)
		}
	}
}

// Whatever a block's length, its frame is of whole units, and gives the block back.
// Another number of zeros is refused, though it has a seal.
func TestFramesAreOfWholeUnits(t *testing.T) {
	for n := range 3 * frameUnit {
		want := []byte(strings.Repeat("x", n))
		b := appendSealed(someSegment, slices.Clone(want), 0)
		got, err := unsealed(someSegment, b)
		if err != nil || !slices.Equal(got, want) || len(b)%frameUnit != 0 || len(b) < n+1+sealSize || len(b) > n+sealSize+frameUnit {
			t.Fatalf("a block of %d bytes in a frame of %d gives %d, %v", n, len(b), len(got), err)
		}
		for _, zeros := range []byte{frameUnit, byte(len(b) - sealSize), 255} {
			b := slices.Clone(b)
			b[len(b)-sealSize-1] = zeros
			s := sealOf(someSegment, b[:len(b)-sealSize])
			copy(b[len(b)-sealSize:], s[:])
			if got, err := unsealed(someSegment, b); err == nil {
				t.Fatalf("%d zeros in a frame of %d bytes give a block of %d", zeros, len(b), len(got))
			}
		}
	}
}

func TestAFrameIsOfItsSegmentAlone(t *testing.T) {
	seg := Segment{ID: someSegment, Pages: PageSetOf(4, 6)}
	f, b := block(t, rawFrame(entriesOf(4, 6)), 4, 6)
	if _, err := DecodeFrame(&seg, f, b); err != nil {
		t.Fatal(err)
	}
	seg.ID = otherSegment
	if got, err := DecodeFrame(&seg, f, b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the frame of another segment: %d pages, %v", len(got), err)
	}
}

func TestDecodeFrameRefusesEveryDamage(t *testing.T) {
	seg := Segment{ID: someSegment, Pages: PageSetOf(1, 2)}
	f, good := block(t, rawFrame(entriesOf(1, 2)), 1, 2)
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 0x10
		if _, err := DecodeFrame(&seg, f, b); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d of %d flipped: %v", i, len(b), err)
		}
		if _, err := DecodeFrame(&seg, f, good[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut off at %d of %d bytes: %v", i, len(b), err)
		}
	}
	if _, err := DecodeFrame(&seg, f, append(slices.Clone(good), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("one byte too many: %v", err)
	}
}

func TestFrameIndexFindsTheFrameOfEachPage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pages := drawPageSet(t)
		x := drawFrames(t, pages)
		want, size, prev := 0, int64(objectHeaderSize), PageIdx(0)
		for i := range x.Len() {
			f := x.Frame(i)
			if f.Offset != size || f.First != prev+1 || f.Last < f.First {
				t.Fatalf("frame %d is %+v; the one before ends at byte %d, page %d", i, f, size, prev)
			}
			size, prev = size+f.Length, f.Last
		}
		if x.Size() != size || prev != pages.Max() {
			t.Fatalf("index of %d bytes up to page %d, want %d and %d", x.Size(), prev, size, pages.Max())
		}
		for p := range pages.All() {
			for p > x.Frame(want).Last {
				want++
			}
			if got, ok := x.Find(p); got != want || !ok {
				t.Fatalf("page %d is in frame %d, %t; want %d", p, got, ok, want)
			}
		}
		if _, ok := x.Find(pages.Max() + 1); pages.Max()+1 != 0 && ok {
			t.Fatal("finds a page after the last")
		}
		if _, ok := (FrameIndex{}).Find(1); ok {
			t.Fatal("finds a page in no frame")
		}
	})
}

func FuzzDecodeFrame(f *testing.F) {
	add := func(pages ...PageIdx) {
		var s PageSet
		for _, p := range pages {
			s.Add(p)
		}
		fr, _ := block(f, rawFrame(entriesOf(pages...)), 1, s.Max())
		f.Add(lz4Block(f, rawFrame(entriesOf(pages...))), encodePageSet(f, s), uint32(fr.First), uint32(fr.Last))
	}
	add(1)
	add(3, 4, 9)
	add(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	f.Fuzz(func(t *testing.T, b, pages []byte, first, last uint32) {
		set, err := ParsePageSet(pages)
		if err != nil || first == 0 {
			return
		}
		seg := Segment{ID: someSegment, Pages: set}
		fr, b := framed(b, PageIdx(first), PageIdx(last))
		entries, err := DecodeFrame(&seg, fr, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || entries != nil {
				t.Fatalf("%d pages and another error: %v", len(entries), err)
			}
			return
		}
		if len(entries) == 0 || len(entries) > maxFramePages || len(entries)*PageSize > 256*len(b)+PageSize {
			t.Fatalf("%d pages from %d bytes", len(entries), len(b))
		}
		prev := fr.First - 1
		for _, e := range entries {
			if e.Idx <= prev || e.Idx > fr.Last || !set.Contains(e.Idx) {
				t.Fatalf("page %d after page %d, in frame %d to %d", e.Idx, prev, fr.First, fr.Last)
			}
			prev = e.Idx
		}
		if want := set.CountIn(fr.First, fr.Last); len(entries) != want {
			t.Fatalf("%d pages of the %d from %d to %d", len(entries), want, fr.First, fr.Last)
		}
		again, b2 := block(t, rawFrame(entries), fr.First, fr.Last)
		if back, err := DecodeFrame(&seg, again, b2); err != nil || !equalEntries(back, entries) {
			t.Fatalf("reads back as %d pages of %d, %v", len(back), len(entries), err)
		}
	})
}

func TestDecodeFrameRefusesAMissingPage(t *testing.T) {
	seg := Segment{ID: someSegment, Pages: PageSetOf(4, 6, 8)}
	f, b := block(t, rawFrame(entriesOf(4, 8)), 4, 8)
	if got, err := DecodeFrame(&seg, f, b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a frame without page 6 of the segment: %d pages, %v", len(got), err)
	}
}
