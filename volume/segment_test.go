package volume

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawEntries draws sparse pages, ascending, that compress well or not at all.
func drawEntries(t *rapid.T) []PageEntry {
	var entries []PageEntry
	var p PageIdx
	for range rapid.IntRange(1, 40).Draw(t, "pages") {
		p += PageIdx(rapid.OneOf(rapid.Just(uint32(1)), rapid.Uint32Range(1, 1<<26)).Draw(t, "gap"))
		seed := rapid.Uint64Max(3).Draw(t, "content")
		page := textPage(seed)
		if seed == 3 {
			page = randomPage(uint64(p))
		}
		entries = append(entries, PageEntry{p, page})
	}
	return entries
}

func writeSegment(tb rapid.TB, entries []PageEntry) (Segment, []byte) {
	tb.Helper()
	return writeSegmentOf(tb, someSegment, entries)
}

func writeSegmentOf(tb rapid.TB, id SegmentID, entries []PageEntry) (Segment, []byte) {
	tb.Helper()
	var buf bytes.Buffer
	sw := NewSegmentWriter(&buf, id)
	for _, e := range entries {
		if err := sw.Add(e.Idx, e.Page); err != nil {
			tb.Fatal(err)
		}
	}
	seg, err := sw.Close()
	if err != nil {
		tb.Fatal(err)
	}
	return seg, buf.Bytes()
}

// readSegment decodes every frame of an object.
func readSegment(tb rapid.TB, seg *Segment, x FrameIndex, object []byte) []PageEntry {
	tb.Helper()
	var entries []PageEntry
	for i := range x.Len() {
		f := x.Frame(i)
		got, err := DecodeFrame(seg, f, object[f.Offset:f.Offset+f.Length])
		if err != nil {
			tb.Fatalf("frame %d: %v", i, err)
		}
		entries = append(entries, got...)
	}
	return entries
}

func TestSegmentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		seg, object := writeSegment(t, entries)
		if !seg.Footer.IsZero() || seg.ID != someSegment || seg.Pages.Len() != len(entries) {
			t.Fatalf("%+v", seg)
		}
		if want := []byte("GRFTD\x01\x00\x00"); !bytes.HasPrefix(object, want) || seg.Frames.Size() != int64(len(object)) {
			t.Fatalf("object of %d bytes starts with %q; the index ends at %d", len(object), object[:8], seg.Frames.Size())
		}
		if want := (len(entries) + FramePages - 1) / FramePages; seg.Frames.Len() != want {
			t.Fatalf("%d pages in %d frames, want %d", len(entries), seg.Frames.Len(), want)
		}
		if !equalEntries(readSegment(t, &seg, seg.Frames, object), entries) {
			t.Fatal("the pages read back are not those written")
		}
		for _, e := range entries {
			i, ok := seg.Frames.Find(e.Idx)
			if !ok {
				t.Fatalf("page %d is in no frame", e.Idx)
			}
			f := seg.Frames.Frame(i)
			got, err := DecodeFrame(&seg, f, object[f.Offset:][:f.Length])
			if err != nil || !slices.ContainsFunc(got, func(g PageEntry) bool { return g.Idx == e.Idx && *g.Page == *e.Page }) {
				t.Fatalf("page %d is not in frame %d, %v", e.Idx, i, err)
			}
		}
		again, object2 := writeSegment(t, entries)
		if !bytes.Equal(object, object2) || !equalSegments(seg, again) {
			t.Fatal("the same pages give other bytes")
		}
	})
}

func TestDecodeFrameRefusesAnotherFrame(t *testing.T) {
	var entries []PageEntry
	for p := PageIdx(1); p <= 48; p++ {
		entries = append(entries, PageEntry{p, textPage(1)})
	}
	seg, object := writeSegment(t, entries)
	for i := range seg.Frames.Len() {
		for j := range seg.Frames.Len() {
			f, other := seg.Frames.Frame(i), seg.Frames.Frame(j)
			b := object[other.Offset:][:other.Length]
			if _, err := DecodeFrame(&seg, f, b); (err == nil) != (i == j) || err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("bytes of frame %d as frame %d: %v", j, i, err)
			}
			f.Length = other.Length // the pages alone tell
			if _, err := DecodeFrame(&seg, f, b); (err == nil) != (i == j) || err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("frame %d in the place of frame %d: %v", j, i, err)
			}
		}
	}
}

func TestSegmentWriterRefusesPagesOutOfOrder(t *testing.T) {
	sw := NewSegmentWriter(io.Discard, someSegment)
	if err := sw.Add(0, new(Page)); err == nil {
		t.Error("takes page 0")
	}
	if err := sw.Add(5, new(Page)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []PageIdx{5, 4} {
		if err := sw.Add(p, new(Page)); err == nil {
			t.Errorf("takes page %d after page 5", p)
		}
	}
	if seg, err := sw.Close(); err != nil || !seg.Pages.Equal(PageSetOf(5)) {
		t.Errorf("holds %v, %v", slices.Collect(seg.Pages.All()), err)
	}
	if _, err := NewSegmentWriter(io.Discard, someSegment).Close(); err == nil {
		t.Error("makes a segment without a page")
	}
}

var errFull = errors.New("full")

// fullWriter takes n bytes.
type fullWriter struct{ n int }

func (w *fullWriter) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestSegmentWriterGivesTheErrorOfItsWriter(t *testing.T) {
	_, object := writeSegment(t, entriesOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17))
	for n := 0; n < len(object); n += 13 {
		sw := NewSegmentWriter(&fullWriter{n}, someSegment)
		var err error
		for p := PageIdx(1); p <= 17 && err == nil; p++ {
			err = sw.Add(p, textPage(uint64(p)))
		}
		if err == nil {
			_, err = sw.Close()
		}
		if !errors.Is(err, errFull) {
			t.Fatalf("writer of %d bytes of %d: %v", n, len(object), err)
		}
	}
}

// largeSegment has an index that does not fit into a commit.
func largeSegment(t *testing.T) (Segment, []byte, int) {
	t.Helper()
	const pages = 40_000
	var entries []PageEntry
	page := textPage(1)
	for p := PageIdx(1); p <= pages; p++ {
		entries = append(entries, PageEntry{2 * p, page})
	}
	seg, object := writeSegment(t, entries)
	return seg, object, pages
}

func TestLargeFrameIndexIsAFooter(t *testing.T) {
	seg, object, pages := largeSegment(t)
	if seg.Footer.IsZero() || seg.Frames.Len() != 0 || seg.Footer.Length <= MaxInlineIndex {
		t.Fatalf("%d pages: footer %+v, %d frames", pages, seg.Footer, seg.Frames.Len())
	}
	if end := seg.Footer.Offset + seg.Footer.Length; end != int64(len(object)) {
		t.Fatalf("footer ends at %d of %d bytes", end, len(object))
	}
	b := object[seg.Footer.Offset:]
	x, err := DecodeFooter(&seg, b)
	if err != nil || x.Len() != (pages+FramePages-1)/FramePages || x.Size() != seg.Footer.Offset {
		t.Fatalf("%d frames of %d bytes, %v", x.Len(), x.Size(), err)
	}
	got := readSegment(t, &seg, x, object)
	if len(got) != pages {
		t.Fatalf("%d pages read back of %d", len(got), pages)
	}
	for i, e := range got {
		if e.Idx != PageIdx(2*(i+1)) || *e.Page != *textPage(1) {
			t.Fatalf("entry %d is page %d", i, e.Idx)
		}
	}
	c := pushedCommit(t).Commit
	c.PageCount, c.Segments, c.Checkpoint = PageCount(2*pages), []Segment{seg}, refOf(c.Volume, c.LSN)
	rec, err := EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := DecodeCommit(rec.Bytes); err != nil || !equalSegments(back.Commit.Segments[0], seg) {
		t.Fatalf("commit reads back as %+v, %v", back.Commit.Segments, err)
	}
	if len(rec.Bytes) > MaxInlineIndex {
		t.Errorf("commit of %d bytes", len(rec.Bytes))
	}
}

func TestDecodeFooterRefusesDamage(t *testing.T) {
	seg, object, _ := largeSegment(t)
	good := object[seg.Footer.Offset:]
	for i := 0; i < len(good); i += 101 {
		b := slices.Clone(good)
		b[i] ^= 1
		if _, err := DecodeFooter(&seg, b); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d of %d flipped: %v", i, len(b), err)
		}
		if _, err := DecodeFooter(&seg, good[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut off at %d of %d bytes: %v", i, len(b), err)
		}
	}
	named := func(b []byte) *Segment { // a Segment whose footer is b, by its hash
		s := seg
		s.Footer = Footer{Offset: seg.Footer.Offset, Length: int64(len(b)), Sum: HashOf(b)}
		return &s
	}
	newer := seal(KindFrameIndex, 2, good[envelopeSize:])
	if _, err := DecodeFooter(named(newer), newer); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
	payload := slices.Clone(good[envelopeSize:])
	payload[len(payload)-1] ^= 1
	other := seal(KindFrameIndex, formatVersion, payload)
	if _, err := DecodeFooter(named(other), other); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFooter(&seg, other); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another footer of the same length: %v", err)
	}
	commit := pushedCommit(t).Bytes
	if _, err := DecodeFooter(named(commit), commit); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a commit in its place: %v", err)
	}
	larger := seg
	larger.Pages = seg.Pages.Clone()
	larger.Pages.Add(90_000)
	if _, err := DecodeFooter(&larger, good); !errors.Is(err, ErrCorrupt) {
		t.Errorf("footer of another segment: %v", err)
	}
}
