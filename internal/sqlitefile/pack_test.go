package sqlitefile_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graft/internal/sqlitefile"
)

// roundTrip packs pages, checks that they come out again, and gives how many bytes
// the streams have.
func roundTrip(t *testing.T, pages ...[]byte) (size int) {
	t.Helper()
	s := sqlitefile.Pack(pages)
	got, err := sqlitefile.Unpack(*s, len(pages), 4096)
	if err != nil || !slices.EqualFunc(got, pages, slices.Equal) {
		t.Fatalf("%d pages of %d come out, %v", len(got), len(pages), err)
	}
	for _, b := range s {
		size += len(b)
	}
	return size
}

// tableCell and indexCell are cells of interior pages.
func tableCell(child uint32, row ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, child), row...)
}

func indexCell(child uint32, key string) []byte {
	return append(tableCell(child, byte(len(key))), key...)
}

func TestPackedPagesComeOutAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	like := func(kind byte) []byte { return append([]byte{kind}, noise[1:]...) }
	junk := page(5, 0, 9, tableCell(3, 1), tableCell(4, 0x81, 0))
	copy(junk[100:], "what was here before")
	swapped := page(2, 0, 9, indexCell(3, "one"), indexCell(7, "two"))
	copy(swapped[12:16], []byte{swapped[14], swapped[15], swapped[12], swapped[13]})
	overlapping := page(5, 0, 9, tableCell(3, 1), tableCell(4, 2))
	copy(overlapping[12:14], overlapping[14:16])
	for name, p := range map[string][]byte{
		"a table":                  page(5, 0, 9, tableCell(3, 1), tableCell(300, 0x81, 2)),
		"an index":                 page(2, 0, 9, indexCell(3, "a"), indexCell(70000, "b")),
		"no cells":                 page(5, 0, 9),
		"a leaf":                   page(13, 0, 0, []byte{1, 2, 3}),
		"page 1":                   page(5, 100, 9, tableCell(3, 1)),
		"zeros":                    make([]byte, 4096),
		"bytes in gaps":            junk,
		"cells in another order":   swapped,
		"cells over one another":   overlapping,
		"a row of nine bytes":      page(5, 0, 9, tableCell(3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
		"a row below the one":      page(5, 0, 9, tableCell(3, 9), tableCell(4, 1)),
		"a row in too many bytes":  page(5, 0, 9, tableCell(3, 0x80, 1)),
		"a row of 57 bits":         page(5, 0, 9, tableCell(3, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0)),
		"a key longer than a page": page(2, 0, 9, tableCell(3, 0xff, 0xff, 0x7f)),
		"noise":                    noise, "like a table": like(5), "like an index": like(2),
	} {
		t.Run(name, func(t *testing.T) { roundTrip(t, p, p) })
	}
	roundTrip(t)
}

// A page of many rows takes some bytes for each.
func TestPackedPagesAreSmall(t *testing.T) {
	var cells [][]byte
	for i := range uint32(400) {
		cells = append(cells, tableCell(1000+3*i, 0x80|byte(i>>7+1), byte(i&0x7f)))
	}
	if n := roundTrip(t, page(5, 0, 9, cells...)); n > 400*3+1000 {
		t.Errorf("a page of 400 cells takes %d bytes", n)
	}
}

// All pages of a real database come out again.
func TestPackARealDatabase(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "chinook.sqlite"))
	if err != nil {
		t.Skip("no shared database here:", err)
	}
	var pages [][]byte
	for ; len(file) >= 4096; file = file[4096:] {
		pages = append(pages, file[:4096])
	}
	roundTrip(t, pages...)
}

func TestUnpackRefusesOtherBytes(t *testing.T) {
	good := sqlitefile.Pack([][]byte{page(5, 0, 9, tableCell(3, 1), tableCell(300, 2)), page(2, 0, 9, indexCell(3, "a")), make([]byte, 4096)})
	for stream := range good {
		for i := range len(good[stream]) + 1 {
			s := *good
			s[stream] = s[stream][:i]
			if _, err := sqlitefile.Unpack(s, 3, 4096); i < len(good[stream]) && err == nil {
				t.Errorf("stream %d cut off at %d of %d bytes is taken", stream, i, len(good[stream]))
			}
		}
		s := *good
		s[stream] = append(slices.Clone(s[stream]), 0)
		if _, err := sqlitefile.Unpack(s, 3, 4096); err == nil {
			t.Errorf("a byte more in stream %d is taken", stream)
		}
	}
	if _, err := sqlitefile.Unpack(*good, 2, 4096); err == nil {
		t.Error("two pages of three are taken")
	}
}

// FuzzPack gives any page to Pack, and any streams to Unpack: a page comes out again,
// and nothing panics.
func FuzzPack(f *testing.F) {
	f.Add(page(5, 0, 9, tableCell(3, 1)), []byte{1, 5, 0, 0, 0, 0, 0, 0}, 3)
	f.Add(page(2, 0, 9, indexCell(3, "key")), []byte{0}, 1)
	f.Fuzz(func(t *testing.T, b, streams []byte, cut int) {
		roundTrip(t, append(b, make([]byte, 4096)...)[:4096])
		var s sqlitefile.Streams
		for i := range s {
			n := min(max(cut, 0), len(streams))
			s[i], streams = streams[:n], streams[n:]
		}
		s[len(s)-1] = streams
		pages, err := sqlitefile.Unpack(s, 2, 4096)
		if err == nil && (len(pages) != 2 || len(pages[0]) != 4096) {
			t.Errorf("%d pages", len(pages))
		}
	})
}
