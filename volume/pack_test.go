package volume

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// packOf writes pages 3 and 4 of one Segment and 9 of another as a pack.
func packOf(t *testing.T) (object []byte, table PageTable) {
	t.Helper()
	var b bytes.Buffer
	pw := NewPackWriter(&b, somePack)
	err := errors.Join(
		pw.Add(someSegment, []PageEntry{{3, pageFilledWith(3)}, {4, pageFilledWith(4)}}),
		pw.Add(otherSegment, []PageEntry{{9, pageFilledWith(9)}}))
	if err != nil {
		t.Fatal(err)
	}
	if table, err = pw.Close(); err != nil || pw.off != int64(b.Len()) {
		t.Fatalf("%d bytes of %d, %v", pw.off, b.Len(), err)
	}
	return b.Bytes(), table
}

func pageFilledWith(b byte) *Page { return (*Page)(bytes.Repeat([]byte{b}, PageSize)) }

func TestAPackHasFramesOfTheirOwnSegments(t *testing.T) {
	object, table := packOf(t)
	if again, _ := packOf(t); !bytes.Equal(again, object) {
		t.Error("equal frames give other bytes")
	}
	want := map[PageIdx]SegmentID{3: someSegment, 4: someSegment, 9: otherSegment}
	end := int64(objectHeaderSize)
	for p, a := range table.All() {
		if a.Source != (Source{Segment: want[p], Pack: somePack}) || a.Source.Key() != somePack.Key() || a.validate() != nil {
			t.Errorf("page %d lies in %+v", p, a.Source)
		}
		entries, err := DecodeFrameAt(a, object[a.Offset:][:a.Length])
		i := slices.IndexFunc(entries, func(e PageEntry) bool { return e.Idx == p })
		if err != nil || i < 0 || *entries[i].Page != *pageFilledWith(byte(p)) {
			t.Errorf("page %d: %v", p, err)
		}
		alien := *a
		alien.Source.Segment = SegmentID{segmentPrefix, 7: segmentPrefix, 15: 7}
		if _, err := DecodeFrameAt(&alien, object[a.Offset:][:a.Length]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("page %d as one of another segment: %v", p, err)
		}
		end = max(end, a.Offset+a.Length)
	}
	if table.Len() != len(want) || end != int64(len(object)) || string(object[:8]) != "GRFTM\x01\x00\x00" {
		t.Errorf("%d pages in %d of %d bytes, which begin with %q", table.Len(), end, len(object), object[:8])
	}
}

func TestAPackRefusesWhatCannotBe(t *testing.T) {
	page := new(Page)
	for name, add := range map[string]func(*PackWriter) error{
		"no page":            func(pw *PackWriter) error { return pw.Add(someSegment, nil) },
		"page 0":             func(pw *PackWriter) error { return pw.Add(someSegment, []PageEntry{{0, page}}) },
		"a page twice":       func(pw *PackWriter) error { return pw.Add(someSegment, []PageEntry{{3, page}, {3, page}}) },
		"too many pages":     func(pw *PackWriter) error { return pw.Add(someSegment, []PageEntry{{3, page}, {4, page}, {5, page}}) },
		"itself":             func(pw *PackWriter) error { return pw.Add(somePack, []PageEntry{{3, page}}) },
		"nothing at its end": func(pw *PackWriter) error { _, err := pw.Close(); return err },
		"a failing writer":   func(pw *PackWriter) error { pw.w = failing{}; return pw.Add(someSegment, []PageEntry{{3, page}}) },
	} {
		if err := add(NewPackWriter(new(bytes.Buffer), somePack)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("failing") }
