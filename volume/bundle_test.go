package volume

import (
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBundleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bundle := drawBundle(t, 1<<32-1)
		b := encodeBundle(bundle)
		got, err := decodeBundle(b, 1<<32-1)
		if err != nil || !equalBundles(got, bundle) {
			t.Fatalf("%d pages of %d come out, %v", len(got), len(bundle), err)
		}
		last := PageCount(bundle[len(bundle)-1].Idx)
		if got, err := decodeBundle(b, last-1); !errors.Is(err, ErrCorrupt) || got != nil {
			t.Fatalf("page %d is bundled in a checkpoint of one page less, %v", last, err)
		}
	})
	if b := encodeBundle(nil); b != nil {
		t.Errorf("no pages take %d bytes", len(b))
	}
}

// plainPart is a part of two pages before it is compressed.
func plainPart(tb testing.TB) []byte {
	tb.Helper()
	b := encodePart([]BundledPage{{PageEntry{1, textPage(1)}, someSegment}, {PageEntry{7, textPage(7)}, otherSegment}})
	plain, err := decompress(b, maxPartPlain)
	if err != nil {
		tb.Fatal(err)
	}
	return plain
}

func TestDecodePartRefusesWhatCannotBe(t *testing.T) {
	good := plainPart(t)
	if got, err := decodePart(compress(good), 7); err != nil || len(got) != 2 {
		t.Fatalf("%d pages, %v", len(got), err)
	}
	for i := range good {
		if got, err := decodePart(compress(good[:i]), 7); !errors.Is(err, ErrCorrupt) || got != nil {
			t.Fatalf("cut off at %d of %d bytes: %v", i, len(good), err)
		}
	}
	const where = 2 + 2*gidSize // gap and segment of each page
	for name, change := range map[string]func(b []byte) []byte{
		"a byte more":         func(b []byte) []byte { return append(b, 0) },
		"no pages":            func(b []byte) []byte { b[0] = 0; return b },
		"no segments":         func(b []byte) []byte { b[1] = 0; return b },
		"more segments":       func(b []byte) []byte { b[1] = 3; return b },
		"no segment":          func(b []byte) []byte { b[2] = 0; return b },
		"a segment twice":     func(b []byte) []byte { copy(b[2+gidSize:], b[2:2+gidSize]); return b },
		"page 0":              func(b []byte) []byte { b[where] = 0; return b },
		"a page twice":        func(b []byte) []byte { b[where+2] = 0; return b },
		"a page past the end": func(b []byte) []byte { b[where+2] = 7; return b },
		"segments swapped":    func(b []byte) []byte { b[where+1] = 1; return b },
		"a segment unused":    func(b []byte) []byte { b[where+3] = 0; return b },
		"a segment too high":  func(b []byte) []byte { b[where+3] = 2; return b },
		"a longer stream":     func(b []byte) []byte { b[where+4]++; return b },
		"a shorter stream":    func(b []byte) []byte { b[where+4]--; return b },
		"a stream of 2^63": func(b []byte) []byte {
			return slices.Concat(b[:where+4], binary.AppendUvarint(nil, 1<<63), b[where+5:])
		},
	} {
		if got, err := decodePart(compress(change(slices.Clone(good))), 7); !errors.Is(err, ErrCorrupt) || got != nil {
			t.Errorf("%s: %d pages, %v", name, len(got), err)
		}
	}
}

// TestDecodePartBoundsItsMemory has many pages of zeros in few bytes.
func TestDecodePartBoundsItsMemory(t *testing.T) {
	for _, n := range []int{bundlePart + 1, 100 * bundlePart} {
		head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n)), 1)
		b := compress(slices.Concat(head, someSegment[:], make([]byte, n*PageSize)))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := decodePart(b, 1<<32-1)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrCorrupt) || got != nil {
			t.Errorf("%d pages: %v", n, err)
		}
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(8*maxPartPlain); got > most {
			t.Errorf("%d pages in %d bytes take %d bytes, more than %d", n, len(b), got, most)
		}
	}
}

func TestDecodeBundleRefusesParts(t *testing.T) {
	pages := make([]BundledPage, 2*bundlePart+1)
	for i := range pages {
		pages[i] = BundledPage{PageEntry{PageIdx(i + 1), textPage(uint64(i))}, someSegment}
	}
	part := func(pages []BundledPage) []byte {
		b := encodePart(pages)
		return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
	}
	first, second, third := part(pages[:bundlePart]), part(pages[bundlePart:2*bundlePart]), part(pages[2*bundlePart:])
	if got, err := decodeBundle(slices.Concat(first, second, third), 1000); err != nil || !equalBundles(got, pages) {
		t.Fatalf("%d pages, %v", len(got), err)
	}
	for name, b := range map[string][]byte{
		"swapped":     slices.Concat(second, first, third),
		"twice":       slices.Concat(first, first),
		"half full":   slices.Concat(part(pages[:bundlePart/2]), second),
		"too full":    part(pages[:bundlePart+1]),
		"cut off":     slices.Concat(first, second[:len(second)-1]),
		"a byte more": slices.Concat(first, second, []byte{0}),
		"very long":   binary.AppendUvarint(nil, 1<<63),
		"nothing":     {0},
	} {
		if got, err := decodeBundle(b, 1000); !errors.Is(err, ErrCorrupt) || got != nil {
			t.Errorf("%s: %d pages, %v", name, len(got), err)
		}
	}
	many := slices.Repeat(first, maxBundle/bundlePart+1)
	if _, err := decodeBundle(many, 1000); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "17 parts or more") {
		t.Errorf("too many parts, none of which is to be decoded: %v", err)
	}
}

func FuzzDecodeBundle(f *testing.F) {
	f.Add(plainPart(f))
	f.Fuzz(func(t *testing.T, plain []byte) {
		if got, err := decodeBundle(plain, 1<<20); err != nil && (!errors.Is(err, ErrCorrupt) || got != nil) {
			t.Fatalf("%d pages and another error: %v", len(got), err)
		}
		part := compress(plain)
		bundle, err := decodeBundle(append(binary.AppendUvarint(nil, uint64(len(part))), part...), 1<<20)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || bundle != nil {
				t.Fatalf("%d pages and another error: %v", len(bundle), err)
			}
			return
		}
		b := encodeBundle(bundle)
		if again, err := decodeBundle(b, 1<<20); err != nil || !equalBundles(again, bundle) {
			t.Fatalf("%d pages come out again of %d, %v", len(again), len(bundle), err)
		}
	})
}
