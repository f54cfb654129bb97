package volume

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

// pageIdxGen draws indexes that meet: few small ones, those around the borders
// of Roaring's containers, the highest.
var pageIdxGen = rapid.OneOf(
	rapid.Uint32Range(1, 40),
	rapid.Uint32Range(65530, 65545),
	rapid.Uint32Range(1<<32-20, 1<<32-1),
	rapid.Uint32Range(1, 1<<32-1),
)

func drawPageIdx(t *rapid.T) PageIdx { return PageIdx(pageIdxGen.Draw(t, "page")) }

// drawPageSet draws a set that is not empty, of runs and of single pages.
func drawPageSet(t *rapid.T) PageSet {
	var s PageSet
	for range rapid.IntRange(1, 6).Draw(t, "runs") {
		first, n := drawPageIdx(t), rapid.IntRange(1, 30).Draw(t, "run length")
		for i := range n {
			if p := first + PageIdx(i); p >= first {
				s.Add(p)
			}
		}
	}
	return s
}

// drawFrames draws an index that may be that of a Segment with these pages.
func drawFrames(t *rapid.T, pages PageSet) FrameIndex {
	x := FrameIndex{seals: drawHash(t)}
	n := 0
	for p := range pages.All() {
		if n++; n == FramePages || p == pages.Max() {
			n = 0
			x.add(frameUnit*rapid.Int64Range(1, maxFrameSize/frameUnit).Draw(t, "length"), p)
		}
	}
	return x
}

func drawHash(t *rapid.T) Hash {
	return HashOf([]byte{rapid.Byte().Draw(t, "hashed")})
}

func drawSegmentID(t *rapid.T) SegmentID { return SegmentID(drawGID(t, segmentPrefix)) }

func drawVolumeID(t *rapid.T) VolumeID { return VolumeID(drawGID(t, volumePrefix)) }

func drawGID(t *rapid.T, prefix byte) (id [gidSize]byte) {
	binary.BigEndian.PutUint64(id[8:], rapid.Uint64().Draw(t, "random bits"))
	putMillis(&id, prefix, rapid.Int64Range(0, 1<<48-1).Draw(t, "milliseconds"))
	return id
}

// drawSegment draws what a commit says of a Segment with these pages: nothing
// more in a local commit, else its frames or, where it may, a footer.
func drawSegment(t *rapid.T, pages PageSet, pushed, footer bool) Segment {
	s := Segment{ID: drawSegmentID(t), Pages: pages}
	switch {
	case !pushed:
	case footer && rapid.Bool().Draw(t, "footer"):
		s.Footer = Footer{Offset: rapid.Int64Range(8, 1<<40).Draw(t, "offset"), Length: rapid.Int64Range(int64(1+32*pages.Len()), 1<<31).Draw(t, "length"), Sum: drawHash(t)}
	default:
		s.Frames = drawFrames(t, pages)
	}
	return s
}

// drawInlineSegment draws an inline Segment with these pages, and its frames.
func drawInlineSegment(t *rapid.T, pages PageSet) (Segment, []byte) {
	var buf bytes.Buffer
	sw := NewSegmentWriter(&buf, drawSegmentID(t))
	page := textPage(rapid.Uint64Max(9).Draw(t, "content"))
	for p := range pages.All() {
		if err := sw.Add(p, page); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sw.Close()
	if err != nil {
		t.Fatal(err)
	}
	s.Inline = true
	return s, buf.Bytes()[objectHeaderSize:]
}

// drawPageTable draws where these pages lie, as a record of Volume home names it:
// few frames of few objects, where equal addresses need not be one.
func drawPageTable(t *rapid.T, pages PageSet, home VolumeID) PageTable {
	sources, pack := []Source{{Segment: drawSegmentID(t)}}, drawSegmentID(t)
	for range rapid.IntRange(0, 3).Draw(t, "sources") {
		s := Source{Segment: drawSegmentID(t)}
		if rapid.Bool().Draw(t, "inline source") {
			s.Volume, s.LSN = home, LSN(rapid.Uint64Min(1).Draw(t, "LSN of source"))
			if rapid.Bool().Draw(t, "of another volume") {
				s.Volume = drawVolumeID(t)
			}
		} else if s.Segment != pack && rapid.Bool().Draw(t, "packed source") {
			s.Pack = pack
		}
		sources = append(sources, s)
	}
	frames := make([]Address, rapid.IntRange(1, 6).Draw(t, "frames"))
	for i := range frames {
		frames[i] = Address{
			Source: rapid.SampledFrom(sources).Draw(t, "source"),
			Offset: rapid.OneOf(rapid.Int64Range(8, 9), rapid.Int64Range(0, 1<<62)).Draw(t, "offset"),
			Length: frameUnit * rapid.OneOf(rapid.Int64Range(1, 2), rapid.Int64Range(1, int64(maxFrameLength)/frameUnit)).Draw(t, "length"),
		}
	}
	var entries []PageAddress
	for p := range pages.All() {
		a := rapid.SampledFrom(frames).Draw(t, "frame")
		entries = append(entries, PageAddress{p, &a})
	}
	return NewPageTable(entries)
}

func drawCheckpointKey(t *rapid.T, v VolumeID, l LSN) CheckpointKey {
	return CheckpointKey{Volume: v, LSN: l, Random: [8]byte{rapid.ByteMin(1).Draw(t, "random")}}
}

// drawCheckpointRef draws what commit c names: nothing, a checkpoint of its own or
// of an earlier commit, or another Volume's, of any LSN.
func drawCheckpointRef(t *rapid.T, c *Commit) CheckpointRef {
	v, l := c.Volume, c.LSN
	switch rapid.IntRange(0, 3).Draw(t, "checkpoint") {
	case 0:
		return CheckpointRef{}
	case 1:
	case 2:
		l = LSN(rapid.Uint64Range(1, uint64(c.LSN)).Draw(t, "checkpoint LSN"))
	case 3:
		v = drawVolumeID(t)
		l = LSN(rapid.OneOf(rapid.Just(uint64(c.LSN)), rapid.Uint64Min(1)).Draw(t, "checkpoint LSN"))
	}
	return CheckpointRef{
		CheckpointKey: drawCheckpointKey(t, v, l),
		Offset:        rapid.Int64Range(8, 1<<62).Draw(t, "root offset"),
		Length:        rapid.Int64Range(1, MaxCheckpointRoot).Draw(t, "root length"),
		Sum:           drawHash(t),
	}
}

// drawCommit draws a valid Commit, local or pushed, and what is embedded in it.
func drawCommit(t *rapid.T) (Commit, Embedded) {
	c := Commit{
		Volume: drawVolumeID(t),
		LSN:    LSN(rapid.Uint64Min(1).Draw(t, "LSN")),
		Time:   time.UnixMilli(rapid.Int64().Draw(t, "time")),
	}
	pushed := rapid.Bool().Draw(t, "pushed")
	if pushed {
		c.Parent, c.PushID = drawHash(t), PushID{rapid.ByteMin(1).Draw(t, "push id")}
		c.Checkpoint = drawCheckpointRef(t, &c)
		if rapid.Bool().Draw(t, "packs") {
			c.Pack = drawSegmentID(t)
		}
		for range rapid.IntRange(0, 2).Draw(t, "ancestors") {
			c.Ancestors = append(c.Ancestors, Origin{drawVolumeID(t), LSN(rapid.Uint64Min(1).Draw(t, "ancestor LSN"))})
		}
	}
	frames := drawSegments(t, &c)
	c.PageCount = PageCount(rapid.Uint32Min(uint32(c.Pages().Max())).Draw(t, "page count"))
	c.Kept = PageCount(rapid.Uint32Max(uint32(c.PageCount)).Draw(t, "kept"))
	if pushed {
		c.SinceKept = PageCount(rapid.Uint32Max(uint32(c.Kept)).Draw(t, "kept since"))
	}
	if pushed && !c.OwnCheckpoint() && rapid.Bool().Draw(t, "since") {
		since := drawPageSet(t)
		since.RemoveSet(c.Pages())
		since.Truncate(c.Kept)
		c.Since = drawPageTable(t, since, c.Volume)
	}
	e := Embedded{Frames: frames}
	if c.OwnCheckpoint() && rapid.Bool().Draw(t, "embedded") {
		e.Checkpoint = rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "checkpoint")
		root := rapid.IntRange(0, len(e.Checkpoint)-1).Draw(t, "root")
		ref := &c.Checkpoint
		ref.Random, ref.Offset, ref.Length, ref.Sum = [8]byte{}, CheckpointAt(len(frames))+int64(root), int64(len(e.Checkpoint)-root), HashOf(e.Checkpoint[root:])
	}
	return c, e
}

// drawSegments draws up to three Segments of c and gives the frames of the inline
// one.
func drawSegments(t *rapid.T, c *Commit) (frames []byte) {
	parts := make([]PageSet, rapid.IntRange(0, 3).Draw(t, "segments"))
	if len(parts) > 0 {
		for p := range drawPageSet(t).All() {
			parts[rapid.IntRange(0, len(parts)-1).Draw(t, "segment of page")].Add(p)
		}
	}
	for _, pages := range parts {
		var s Segment
		switch {
		case pages.IsEmpty():
			continue
		case !c.PushID.IsZero() && frames == nil && rapid.Bool().Draw(t, "inline"):
			s, frames = drawInlineSegment(t, pages)
		default:
			s = drawSegment(t, pages, !c.PushID.IsZero(), c.OwnCheckpoint())
		}
		c.Segments = append(c.Segments, s)
	}
	return frames
}

func equalCommits(a, b Commit) bool {
	return slices.EqualFunc(a.Segments, b.Segments, equalSegments) &&
		a.Volume == b.Volume && a.LSN == b.LSN && a.PageCount == b.PageCount && a.Kept == b.Kept &&
		a.Parent == b.Parent && a.PushID == b.PushID && a.Time.Equal(b.Time) &&
		a.Checkpoint == b.Checkpoint && equalTables(a.Since, b.Since) && a.SinceKept == b.SinceKept && slices.Equal(a.Ancestors, b.Ancestors)
}

func equalTables(a, b PageTable) bool {
	return slices.EqualFunc(a.entries, b.entries, func(a, b PageAddress) bool { return a.Idx == b.Idx && *a.Frame == *b.Frame })
}

func equalSegments(a, b Segment) bool {
	return a.ID == b.ID && a.Pages.Equal(b.Pages) && a.Footer == b.Footer && a.Inline == b.Inline && a.Frames.Equal(b.Frames)
}

func equalSegmentStates(a, b SegmentState) bool {
	if a.Volume != b.Volume || a.LSN != b.LSN || !equalSegments(a.Segment, b.Segment) || len(a.Aliases) != len(b.Aliases) {
		return false
	}
	for i := range a.Aliases {
		if a.Aliases[i].Segment != b.Aliases[i].Segment || !a.Aliases[i].Pages.Equal(b.Aliases[i].Pages) {
			return false
		}
	}
	return true
}

func equalGraftStates(a, b GraftState) bool {
	if a.Local != b.Local || a.Remote != b.Remote || a.SyncPoint != b.SyncPoint || a.Parent != b.Parent || a.ParentLSN != b.ParentLSN || a.Base != b.Base || (a.Pending == nil) != (b.Pending == nil) {
		return false
	}
	return a.Pending == nil || a.Pending.Local == b.Pending.Local && bytes.Equal(a.Pending.Record.Bytes, b.Pending.Record.Bytes) &&
		equalCommits(a.Pending.Record.Commit, b.Pending.Record.Commit)
}

// seal puts a payload into an envelope whose checksum is right.
func seal(kind Kind, version byte, payload []byte) []byte {
	b := make([]byte, envelopeSize, envelopeSize+len(payload))
	copy(b, magic)
	b[4], b[5] = byte(kind), version
	binary.LittleEndian.PutUint32(b[8:], uint32(len(payload)))
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[12:], envelopeChecksum(b))
	return b
}

// sealMessage gives the record of a message that no encoder would write.
func sealMessage(tb testing.TB, kind Kind, m proto.Message) []byte {
	tb.Helper()
	payload, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return seal(kind, formatVersion, payload)
}

func encodePageSet(tb rapid.TB, s PageSet) []byte {
	tb.Helper()
	b, err := s.AppendBinary(nil)
	if n := s.EncodedSize(); n != len(b) {
		tb.Fatalf("set of %d bytes says %d", len(b), n)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// someID and its like are fixed, so that tables read the same each time.
var (
	someVolume   = VolumeID{volumePrefix, 0, 0, 0, 0, 0, 1, volumePrefix, 1}
	otherVolume  = VolumeID{volumePrefix, 0, 0, 0, 0, 0, 2, volumePrefix, 2}
	someSegment  = SegmentID{segmentPrefix, 0, 0, 0, 0, 0, 1, segmentPrefix, 1}
	otherSegment = SegmentID{segmentPrefix, 0, 0, 0, 0, 0, 2, segmentPrefix, 2}
)

// pushedCommit is a small record of a pushed commit with one frame.
func pushedCommit(tb testing.TB) Record {
	tb.Helper()
	pages := PageSetOf(1, 2, 7)
	x := FrameIndex{seals: HashOf([]byte("seals"))}
	x.add(320, 7)
	rec, err := EncodeCommit(Commit{
		Volume: someVolume, LSN: 5, PageCount: 9, Kept: 8, Parent: HashOf([]byte("parent")), PushID: PushID{1},
		Time:     time.UnixMilli(1700000000000),
		Segments: []Segment{{ID: someSegment, Pages: pages, Frames: x}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

// commitMessage is the message in a record.
func commitMessage(tb testing.TB, rec Record) *graftpb.Commit {
	tb.Helper()
	var m graftpb.Commit
	if err := DecodeRecord(KindCommit, rec.Bytes, &m); err != nil {
		tb.Fatal(err)
	}
	return &m
}

// textPage is a page that compresses well, randomPage one that does not. Equal
// seeds give equal pages.
func textPage(seed uint64) *Page {
	var p Page
	for i := range p {
		p[i] = byte(seed) + byte(i/512)
	}
	binary.LittleEndian.PutUint64(p[100:], seed)
	return &p
}

func randomPage(seed uint64) *Page {
	var p Page
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < PageSize; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], r.Uint64())
	}
	return &p
}
