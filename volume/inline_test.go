package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"testing"
)

// inlineCommit is a small commit with an inline Segment of two frames, and those.
// It has everything else that a pushed commit can have.
func inlineCommit(tb testing.TB) (Commit, []byte) {
	tb.Helper()
	var pages []PageIdx
	for p := PageIdx(11); p <= 30; p++ {
		pages = append(pages, p)
	}
	seg, object := writeSegmentOf(tb, otherSegment, entriesOf(pages...))
	seg.Inline = true
	c := pushedCommit(tb).Commit
	c.PageCount, c.Kept, c.SinceKept = 40, 35, 20
	c.Segments = append(c.Segments, seg)
	c.Checkpoint, c.Since = refOf(otherVolume, 9), someTable().Truncated(35)
	c.Ancestors = []Origin{{otherVolume, 9}}
	return c, object[objectHeaderSize:]
}

func inlineRecord(tb testing.TB) Record {
	tb.Helper()
	c, frames := inlineCommit(tb)
	rec, err := EncodeEmbedding(c, Embedded{Frames: frames})
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

func TestInlineCommitIsAsDocumented(t *testing.T) {
	c, frames := inlineCommit(t)
	rec := inlineRecord(t)
	n := uint32(len(frames))
	want := append(binary.LittleEndian.AppendUint32([]byte("GRFTE\x01\x00\x00"), n), 0, 0, 0, 0)
	if !bytes.HasPrefix(rec.Bytes, want) || !bytes.Equal(rec.Bytes[20:20+n], frames) || !bytes.HasPrefix(rec.Bytes[20+n:], []byte("GRFTC\x01")) {
		t.Errorf("starts with %x, want %x", rec.Bytes[:20], want)
	}
	got, err := DecodeCommit(rec.Bytes)
	if err != nil || !equalCommits(got.Commit, c) || got.Hash() != HashOf(rec.Bytes) {
		t.Errorf("read back as\n%+v, %v, wrote\n%+v", got.Commit, err, c)
	}
}

func TestInlineCommitRefusesEveryDamage(t *testing.T) {
	good := inlineRecord(t).Bytes
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 0x11
		refused(t, b, "byte %d of %d flipped", i, len(good))
		refused(t, good[:i], "cut off at %d of %d bytes", i, len(good))
		refused(t, good[i+1:], "%d of %d bytes missing in front", i+1, len(good))
	}
	refused(t, append(slices.Clone(good), 0), "one byte too many")
}

// prefix gives a header of inline frames whose checksum is right.
func prefix(version, zero byte, n uint32) []byte {
	b := Embedded{}.prefix()
	b[5], b[7] = version, zero
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	return b
}

func TestDecodeCommitRefusesABadPrefix(t *testing.T) {
	_, frames := inlineCommit(t)
	_, record, err := cutEmbedded(inlineRecord(t).Bytes)
	if err != nil {
		t.Fatal(err)
	}
	n := uint32(len(frames))
	with := func(head []byte) []byte { return slices.Concat(head, frames, record) }
	if _, err := DecodeCommit(with(prefix(1, 0, n))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"version 2":            {with(prefix(2, 0, n)), ErrVersion},
		"version 0":            {with(prefix(0, 0, n)), ErrVersion},
		"not zero":             {with(prefix(1, 1, n)), ErrCorrupt},
		"one byte less":        {with(prefix(1, 0, n-1)), ErrCorrupt},
		"one byte more":        {with(prefix(1, 0, n+1)), ErrCorrupt},
		"4 GB":                 {with(prefix(1, 0, math.MaxUint32)), ErrCorrupt},
		"over the limit":       {append(prefix(1, 0, MaxInline+1), make([]byte, 2*MaxInline)...), ErrCorrupt},
		"no frames":            {append(prefix(1, 0, 0), record...), ErrCorrupt},
		"no prefix":            {record, ErrCorrupt},
		"two prefixes":         {with(append(prefix(1, 0, n), prefix(1, 0, n)...)), ErrCorrupt},
		"no record":            {append(prefix(1, 0, n), frames...), ErrCorrupt},
		"frames of nothing":    {append(Embedded{Frames: frames}.prefix(), pushedCommit(t).Bytes...), ErrCorrupt},
		"no frames of nothing": {append(prefix(1, 0, 0), pushedCommit(t).Bytes...), ErrCorrupt},
		"a checkpoint more":    {append(Embedded{frames, []byte("root")}.prefix(), record...), ErrCorrupt},
		"a damaged frame":      {append(Embedded{Frames: append(frames[:n-1:n-1], frames[n-1]+1)}.prefix(), record...), ErrCorrupt},
	} {
		if _, err := DecodeCommit(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEncodeEmbeddingRefusesOtherFrames(t *testing.T) {
	c, frames := inlineCommit(t)
	damaged := slices.Clone(frames)
	damaged[len(damaged)-1] ^= 1
	for name, frames := range map[string][]byte{
		"none": nil, "no bytes": {}, "a byte less": frames[1:], "a byte more": append(slices.Clone(frames), 0), "damaged": damaged,
	} {
		if rec, err := EncodeEmbedding(c, Embedded{Frames: frames}); !errors.Is(err, ErrCorrupt) || rec.Bytes != nil {
			t.Errorf("%s: %d bytes, %v", name, len(rec.Bytes), err)
		}
	}
	if rec, err := EncodeEmbedding(pushedCommit(t).Commit, Embedded{Frames: frames}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("frames of no segment: %d bytes, %v", len(rec.Bytes), err)
	}
	if rec, err := EncodeEmbedding(pushedCommit(t).Commit, Embedded{Frames: []byte{}}); err != nil || !bytes.Equal(rec.Bytes, pushedCommit(t).Bytes) {
		t.Errorf("no frames of no segment: %x, %v", rec.Bytes, err)
	}
}

func TestOwnGivesEveryPageOfTheCommit(t *testing.T) {
	rec := inlineRecord(t)
	own, ok := rec.Commit.Own()
	if pages := rec.Commit.Pages(); !ok || own.Len() != pages.Len() {
		t.Fatalf("addresses of %d pages of %d, %t", own.Len(), pages.Len(), ok)
	}
	for p, a := range own.All() {
		b := rec.InlineFrame(a)
		if p < 11 { // in the Segment that is an object of its own
			if b != nil || a.Source.Key() != someSegment.Key() || a.Offset != objectHeaderSize {
				t.Fatalf("page %d lies at %+v; %d bytes inline", p, a, len(b))
			}
			continue
		}
		got, err := DecodeFrameAt(a, b)
		if err != nil || a.Source.Key() != CommitKey(someVolume, 5) {
			t.Fatalf("page %d at %+v, %v", p, a, err)
		}
		if want := (p-11)/FramePages*FramePages + 11; got[0].Idx != want || *got[p-want].Page != *textPage(uint64(p)) {
			t.Fatalf("the frame of page %d begins with page %d", p, got[0].Idx)
		}
	}
	first, _ := own.At(11)
	last, _ := own.At(29)
	if again, _ := own.At(30); first == last || again != last {
		t.Error("the pages of a frame do not share its address")
	}
	setFooter(&rec.Commit, refOf(someVolume, 5))
	if own, ok := rec.Commit.Own(); ok || own.Len() != 0 {
		t.Errorf("a commit with a footer gives %d pages, %t", own.Len(), ok)
	}
	if own, ok := (&Commit{}).Own(); !ok || own.Len() != 0 {
		t.Errorf("a commit without pages gives %d pages, %t", own.Len(), ok)
	}
}

func TestInlineFrameGivesNothingElse(t *testing.T) {
	rec := inlineRecord(t)
	own, _ := rec.Commit.Own()
	good, _ := own.At(20)
	if _, err := DecodeFrameAt(good, rec.InlineFrame(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Address){
		"another LSN":         func(a *Address) { a.Source.LSN++ },
		"another volume":      func(a *Address) { a.Source.Volume = otherVolume },
		"a segment's object":  func(a *Address) { a.Source = Source{Segment: a.Source.Segment} },
		"a byte past the end": func(a *Address) { a.Offset = int64(len(rec.Bytes)) - a.Length + 1 },
		"a negative offset":   func(a *Address) { a.Offset = -1 },
		"a negative length":   func(a *Address) { a.Length = -1 },
		"the highest offset":  func(a *Address) { a.Offset = math.MaxInt64 },
		"the highest length":  func(a *Address) { a.Length = math.MaxInt64 },
	} {
		a := *good
		change(&a)
		if b := rec.InlineFrame(&a); b != nil {
			t.Errorf("%s: %d bytes", name, len(b))
		}
	}
}

// embeddingCommit is a commit with an inline Segment and a checkpoint of its own,
// of two chunks, in its object.
func embeddingCommit(tb testing.TB) (Commit, Embedded) {
	tb.Helper()
	c, frames := inlineCommit(tb)
	c.PageCount, c.Kept, c.SinceKept, c.Since = 2000, 2000, 2000, PageTable{}
	own, _ := c.Own()
	_, object, ref, err := BuildCheckpoint(Checkpoint{
		Key: CheckpointKey{Volume: c.Volume, LSN: c.LSN}, PageCount: c.PageCount, Bundle: []BundledPage{{PageEntry{11, textPage(11)}, otherSegment}},
	}, CheckpointAt(len(frames)), nil, inOrder(map[LeafIdx]PageTable{0: own, 5: tableOfPages(5*LeafPages + 1)}))
	if err != nil {
		tb.Fatal(err)
	}
	c.Checkpoint = ref
	return c, Embedded{frames, object}
}

func TestAnEmbeddedCheckpointIsReadFromItsCommit(t *testing.T) {
	c, e := embeddingCommit(t)
	rec, err := EncodeEmbedding(c, e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeCommit(rec.Bytes)
	if err != nil || !equalCommits(got.Commit, c) || embeddedError(got) != nil {
		t.Fatalf("read back as\n%+v, %v, wrote\n%+v", got.Commit, err, c)
	}
	ref := got.Commit.Checkpoint
	if ref.Key() != CommitKey(c.Volume, c.LSN) || !ref.Embedded() {
		t.Errorf("the checkpoint lies in %s", ref.Key())
	}
	cp, err := DecodeCheckpoint(ref, rec.Bytes[ref.Offset:][:ref.Length])
	if err != nil || len(cp.Chunks) != 2 {
		t.Fatalf("%+v, %v", cp, err)
	}
	for _, ch := range cp.Chunks {
		if table, err := DecodeChunk(ch, rec.Bytes[ch.Offset:][:ch.Length]); err != nil || ch.Object.Key() != ref.Key() || table.Len() != ch.Pages {
			t.Errorf("chunk %+v: %d pages, %v", ch, table.Len(), err)
		}
	}
}

func TestAnEmbeddedCheckpointIsVerified(t *testing.T) {
	c, e := embeddingCommit(t)
	rec, err := EncodeEmbedding(c, e)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rec.Bytes {
		b := slices.Clone(rec.Bytes)
		b[i] ^= 1
		got, err := DecodeCommit(b)
		if err == nil {
			err = embeddedError(got)
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("byte %d of %d flipped: %v", i, len(b), err)
		}
	}
	for name, change := range map[string]func(*Commit, *Embedded){
		"none":               func(_ *Commit, e *Embedded) { e.Checkpoint = nil },
		"a byte more":        func(_ *Commit, e *Embedded) { e.Checkpoint = append(e.Checkpoint, 0) },
		"a byte less":        func(_ *Commit, e *Embedded) { e.Checkpoint = e.Checkpoint[1:] },
		"another root":       func(c *Commit, _ *Embedded) { c.Checkpoint.Sum[0]++ },
		"a root in front":    func(c *Commit, _ *Embedded) { c.Checkpoint.Offset = 8 },
		"a long root":        func(c *Commit, e *Embedded) { c.Checkpoint.Length = int64(len(e.Checkpoint)) + 1 },
		"of a commit before": func(c *Commit, _ *Embedded) { c.Checkpoint.LSN-- },
		"of its own object":  func(c *Commit, _ *Embedded) { c.Checkpoint.Random[0] = 1 },
	} {
		c, e := embeddingCommit(t)
		change(&c, &e)
		if rec, err := EncodeEmbedding(c, e); !errors.Is(err, ErrCorrupt) || rec.Bytes != nil {
			t.Errorf("%s: %d bytes, %v", name, len(rec.Bytes), err)
		}
	}
}

// embeddedError is what the checkpoint that is embedded in a record fails with.
func embeddedError(rec Record) error {
	_, err := rec.Embedded()
	return err
}
