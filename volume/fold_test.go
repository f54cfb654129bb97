package volume

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// history pushes commits of every shape into a map that stands for the bucket, as
// a pusher would, and keeps what each page must read as.
type history struct {
	bucket map[string][]byte
	pages  map[PageIdx]uint64 // seeds of the contents
	seed   uint64
	ids    byte // drawn so far; what is drawn at random may be equal

	volume    VolumeID
	lsn       LSN
	count     PageCount
	parent    Hash
	ancestors []Origin

	index      PageTable   // after the newest commit
	checkpoint *Checkpoint // the one that the next commit names, unless it makes one
	ref        CheckpointRef
	since      PageTable // what changed after it
	sinceKept  PageCount
}

// fork goes on in a Volume of its own.
func (h *history) fork() {
	h.ancestors = append([]Origin{{h.volume, h.lsn}}, h.ancestors...)
	h.volume, h.lsn = VolumeID(h.nextID(someVolume)), 0
}

// nextID gives an id like that one, and like no other.
func (h *history) nextID(id [gidSize]byte) [gidSize]byte {
	h.ids++
	id[15] = h.ids
	return id
}

// commit pushes one commit and gives it.
func (h *history) commit(t *rapid.T) Commit {
	c := Commit{
		Volume: h.volume, LSN: h.lsn.Next(), Parent: h.parent, PushID: PushID{1}, Time: time.UnixMilli(1),
		PageCount: PageCount(rapid.Uint32Range(1, 700).Draw(t, "page count")), Ancestors: h.ancestors,
	}
	c.Kept = PageCount(rapid.OneOf(rapid.Just(uint32(700)), rapid.Uint32Max(700)).Draw(t, "kept"))
	c.Kept = min(c.Kept, c.PageCount, h.count)
	maps.DeleteFunc(h.pages, func(p PageIdx, _ uint64) bool { return !c.Kept.Has(p) })
	frames, written := h.segments(t, &c)
	h.index = h.index.Truncated(c.Kept).With(written)
	h.sinceKept = min(h.sinceKept, c.Kept)
	embedded := Embedded{Frames: frames}
	footer := slices.ContainsFunc(c.Segments, func(s Segment) bool { return !s.Footer.IsZero() })
	if footer || rapid.IntRange(0, 3).Draw(t, "checkpoint") == 0 {
		embedded.Checkpoint = h.putCheckpoint(t, &c, len(frames))
	} else {
		c.Checkpoint, c.SinceKept = h.ref, h.sinceKept
		c.Since = without(h.since.Truncated(c.Kept), c.Pages())
		h.since = c.Since.With(written)
	}
	rec, err := EncodeEmbedding(c, embedded)
	if err != nil {
		t.Fatal(err)
	}
	h.bucket[CommitKey(c.Volume, c.LSN)] = rec.Bytes
	h.lsn, h.count, h.parent = c.LSN, c.PageCount, rec.Hash()
	return c
}

func without(table PageTable, pages PageSet) PageTable {
	var entries []PageAddress
	for p, a := range table.All() {
		if !pages.Contains(p) {
			entries = append(entries, PageAddress{p, a})
		}
	}
	return NewPageTable(entries)
}

// segments writes the changed pages of c to up to two Segments: inline, with its
// frame index in c, or with a footer. It gives the inline frames and where the
// pages lie.
func (h *history) segments(t *rapid.T, c *Commit) (frames []byte, written PageTable) {
	parts := make([][]PageEntry, 2)
	for _, p := range slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.Uint32Range(1, uint32(c.PageCount)), 0, 40, rapid.ID).Draw(t, "pages"))) {
		h.seed++
		h.pages[PageIdx(p)] = h.seed
		part := rapid.IntRange(0, 1).Draw(t, "segment")
		parts[part] = append(parts[part], PageEntry{PageIdx(p), textPage(h.seed)})
	}
	for _, entries := range parts {
		if len(entries) == 0 {
			continue
		}
		s, object := writeSegmentOf(t, SegmentID(h.nextID(someSegment)), entries)
		shape := rapid.IntRange(0, 2).Draw(t, "shape")
		index := s.Frames
		switch {
		case shape == 0 && frames == nil:
			s.Inline, frames = true, object[objectHeaderSize:]
		case shape == 1:
			b, err := EncodeRecord(KindFrameIndex, index.toProto())
			if err != nil {
				t.Fatal(err)
			}
			s.Frames, s.Footer = FrameIndex{}, Footer{int64(len(object)), int64(len(b)), HashOf(b)}
			object = append(object, b...)
		}
		if !s.Inline {
			h.bucket[s.ID.Key()] = object
		}
		c.Segments = append(c.Segments, s)
		// Where the frames lie, by the layouts that are documented.
		source, header := Source{Segment: s.ID}, int64(0)
		if s.Inline {
			source.Volume, source.LSN, header = c.Volume, c.LSN, 20-8
		}
		var at []PageAddress
		for _, e := range entries {
			i, _ := index.Find(e.Idx)
			f := index.Frame(i)
			at = append(at, PageAddress{e.Idx, &Address{source, f.Offset + header, f.Length}})
		}
		written = written.With(NewPageTable(at))
	}
	return frames, written
}

// putCheckpoint makes a checkpoint of c itself, which keeps the chunks of leaves
// that are as they were, and gives what is to be embedded in c.
func (h *history) putCheckpoint(t *rapid.T, c *Commit, frames int) (embedded []byte) {
	var kept []Chunk
	changed := map[LeafIdx]PageTable{}
	for n := range h.index.Leaves() {
		changed[n] = h.index.Leaf(n)
	}
	for _, ch := range h.chunks() {
		old, err := DecodeChunk(ch, h.bucket[ch.Object.Key()][ch.Offset:][:ch.Length])
		if err != nil {
			t.Fatal(err)
		}
		same := true
		for n := range ch.All() {
			same = same && equalTables(old.Leaf(n), changed[n])
		}
		if same {
			kept = append(kept, ch)
			maps.DeleteFunc(changed, func(n LeafIdx, _ PageTable) bool { return ch.Leaf <= n && n <= ch.last() })
		}
	}
	key := drawCheckpointKey(t, c.Volume, c.LSN)
	if rapid.Bool().Draw(t, "embedded") {
		key.Random = [8]byte{}
	}
	built, object, ref, err := BuildCheckpoint(Checkpoint{Key: key, PageCount: c.PageCount}, CheckpointAt(frames), kept, inOrder(changed))
	if err != nil {
		t.Fatal(err)
	}
	if key.Embedded() {
		embedded = object
	} else {
		h.bucket[ref.Key()] = object
	}
	h.checkpoint, h.ref, c.Checkpoint = built, ref, ref
	h.since, h.sinceKept, c.SinceKept = PageTable{}, c.PageCount, min(c.Kept, rapid.SampledFrom([]PageCount{0, c.Kept}).Draw(t, "kept since"))
	return embedded
}

// chunks are those of the last checkpoint.
func (h *history) chunks() []Chunk {
	if h.checkpoint == nil {
		return nil
	}
	return h.checkpoint.Chunks
}

// read gives the page index after a commit as a replica does that has nothing but
// the bucket.
func (h *history) read(t *rapid.T, v VolumeID, l LSN) (PageTable, Record) {
	rec, err := DecodeCommit(h.bucket[CommitKey(v, l)])
	if err == nil {
		err = embeddedError(rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &rec.Commit
	var index PageTable
	if !c.Checkpoint.IsZero() {
		cp, err := DecodeCheckpoint(c.Checkpoint, h.bucket[c.Checkpoint.Key()][c.Checkpoint.Offset:][:c.Checkpoint.Length])
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range cp.Chunks {
			leaf, err := DecodeChunk(ch, h.bucket[ch.Object.Key()][ch.Offset:][:ch.Length])
			if err != nil {
				t.Fatal(err)
			}
			index = index.With(leaf)
		}
	}
	own, ok := c.Own()
	switch {
	case c.OwnCheckpoint():
		for p, a := range own.All() {
			if got, has := index.At(p); !has || *got != *a {
				t.Fatalf("page %d at %+v in the checkpoint, %+v in its commit", p, got, a)
			}
		}
		return index, rec
	case !ok:
		t.Fatal("a commit with a footer has no checkpoint of its own")
	}
	return index.Truncated(c.SinceKept).With(c.Since).With(own), rec
}

// check reads every page by its address.
func (h *history) check(t *rapid.T, index PageTable, rec Record, pages map[PageIdx]uint64) {
	if index.Len() != len(pages) {
		t.Fatalf("index of %d pages, want %d", index.Len(), len(pages))
	}
	for p, a := range index.All() {
		object := h.bucket[a.Source.Key()]
		if a.Offset+a.Length > int64(len(object)) {
			t.Fatalf("page %d at %+v in an object of %d bytes", p, a, len(object))
		}
		b := object[a.Offset:][:a.Length]
		entries, err := DecodeFrameAt(a, b)
		if err != nil {
			t.Fatalf("page %d: %v", p, err)
		}
		i := slices.IndexFunc(entries, func(e PageEntry) bool { return e.Idx == p })
		if seed, ok := pages[p]; i < 0 || !ok || *entries[i].Page != *textPage(seed) {
			t.Fatalf("page %d is not in its frame, or another", p)
		}
		inline := rec.InlineFrame(a)
		if here := a.Source.Key() == CommitKey(rec.Commit.Volume, rec.Commit.LSN); here != (inline != nil) || here && !bytes.Equal(inline, b) {
			t.Fatalf("%d bytes of page %d at %+v lie in commit %d", len(inline), p, a, rec.Commit.LSN)
		}
	}
}

func TestCommitsGiveThePageIndexOfTheirFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{bucket: map[string][]byte{}, pages: map[PageIdx]uint64{}, volume: someVolume, parent: Hash{1}}
		type version struct {
			volume VolumeID
			lsn    LSN
			pages  map[PageIdx]uint64
		}
		var versions []version
		for range rapid.IntRange(1, 8).Draw(t, "commits") {
			if h.lsn > 0 && rapid.IntRange(0, 4).Draw(t, "fork") == 0 {
				h.fork()
			}
			c := h.commit(t)
			versions = append(versions, version{c.Volume, c.LSN, maps.Clone(h.pages)})
		}
		for _, v := range versions {
			index, rec := h.read(t, v.volume, v.lsn)
			h.check(t, index, rec, v.pages)
		}
	})
}

func TestSegmentTableGivesEveryPage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		s, object := writeSegment(t, entries)
		index := s.Frames
		s.Frames, s.Inline = FrameIndex{}, rapid.Bool().Draw(t, "inline")
		table := s.Table(index)
		if table.Len() != len(entries) {
			t.Fatalf("%d pages of %d", table.Len(), len(entries))
		}
		for _, e := range entries {
			a, ok := table.At(e.Idx)
			if !ok || a.Source != (Source{Segment: someSegment}) {
				t.Fatalf("page %d at %+v, %t", e.Idx, a, ok)
			}
			got, err := DecodeFrameAt(a, object[a.Offset:][:a.Length])
			if err != nil || !slices.ContainsFunc(got, func(g PageEntry) bool { return g.Idx == e.Idx && *g.Page == *e.Page }) {
				t.Fatalf("page %d is not at %+v, %v", e.Idx, a, err)
			}
		}
	})
}
