package volume

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Parts that several encoders encode, in whatever order, make the object that pages do
// one by one.
func TestPartsMakeTheSameObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		seg, object := writeSegment(t, entries)

		size := FramePages * rapid.IntRange(1, 5).Draw(t, "frames of a part")
		chunks := slices.Collect(slices.Chunk(entries, size))
		parts := make([]Part, len(chunks))
		encoders := []*FrameEncoder{NewFrameEncoder(someSegment), NewFrameEncoder(someSegment)}
		for _, i := range rapid.Permutation(indexesOf(chunks)).Draw(t, "order") {
			// A part may have been another before.
			for _, pages := range [][]PageEntry{entriesOf(3, 90), chunks[i]} {
				if err := encoders[i%2].Encode(&parts[i], pages); err != nil {
					t.Fatal(err)
				}
			}
		}
		var got bytes.Buffer
		sw := NewSegmentWriter(&got, someSegment)
		for i := range parts {
			if err := sw.AddPart(&parts[i]); err != nil {
				t.Fatal(err)
			}
		}
		again, err := sw.Close()
		if err != nil || !equalSegments(again, seg) || !bytes.Equal(got.Bytes(), object) {
			t.Fatalf("another object, or %v", err)
		}
	})
}

func indexesOf[T any](all []T) []int {
	var indexes []int
	for i := range all {
		indexes = append(indexes, i)
	}
	return indexes
}

func TestSegmentWriterRefusesPartsOutOfOrder(t *testing.T) {
	part := func(pages ...PageIdx) *Part {
		var p Part
		if err := NewFrameEncoder(someSegment).Encode(&p, entriesOf(pages...)); err != nil {
			t.Fatal(err)
		}
		return &p
	}
	var object bytes.Buffer
	sw := NewSegmentWriter(&object, someSegment)
	if err := sw.AddPart(part(3, 4)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []*Part{part(4, 5), part(0), part(6, 5)} {
		if err := sw.AddPart(bad); err == nil {
			t.Errorf("takes pages %v after page 4", bad.pages)
		}
	}
	if err := sw.Add(7, textPage(7)); err != nil {
		t.Fatal(err)
	}
	if err := sw.AddPart(part(8, 9)); err == nil {
		t.Error("takes a part after half a frame")
	}
	seg, err := sw.Close()
	if err != nil || !seg.Pages.Equal(PageSetOf(3, 4, 7)) {
		t.Fatalf("holds %v, %v", slices.Collect(seg.Pages.All()), err)
	}
	if got := readSegment(t, &seg, seg.Frames, object.Bytes()); !equalEntries(got, entriesOf(3, 4, 7)) {
		t.Error("pages that were refused are in the object")
	}
}
