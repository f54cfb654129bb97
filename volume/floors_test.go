package volume

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"graft/internal/graftpb"
)

// Whoever adds a repeated field says what its elements take.
func TestEveryRepeatedFieldHasAFloor(t *testing.T) {
	messages := graftpb.File_graft_proto.Messages()
	for i := range messages.Len() {
		d := messages.Get(i)
		repeated := 0
		for j := range d.Fields().Len() {
			f := d.Fields().Get(j)
			if f.Number() > maxField {
				t.Errorf("%s.%s has number %d", d.Name(), f.Name(), f.Number())
			}
			if !f.IsList() {
				continue
			}
			repeated++
			if floors[d.Name()][f.Number()] < 1 {
				t.Errorf("%s.%s has no floor", d.Name(), f.Name())
			}
		}
		if len(floors[d.Name()]) != repeated {
			t.Errorf("%s has %d floors and %d repeated fields", d.Name(), len(floors[d.Name()]), repeated)
		}
	}
}

// hostileRecord is a kind of record, with the largest payload that a reader of it
// takes.
type hostileRecord struct {
	kind   Kind
	m      proto.Message
	size   int
	decode func(b []byte) error
}

var hostileRecords = []hostileRecord{
	{KindCommit, &graftpb.Commit{}, MaxCommitSize - envelopeSize, func(b []byte) error { _, err := DecodeCommit(b); return err }},
	{KindCheckpoint, &graftpb.CheckpointRoot{}, 4 << 20, func(b []byte) error { _, err := DecodeCheckpoint(rootRef(b), b); return err }},
	{KindPageTable, &graftpb.PageTable{}, maxChunkRecord - envelopeSize, func(record []byte) error {
		b, err := compressChunk(record)
		if err != nil {
			return err
		}
		_, err = DecodeChunk(Chunk{Leaves: 1, Object: someKey, Length: int64(len(b)), Sum: HashOf(b), Pages: 1}, b)
		return err
	}},
	{KindWarmSet, &graftpb.WarmSet{}, MaxWarmSize - envelopeSize, func(b []byte) error {
		_, err := DecodeWarm(WarmKey{someVolume, 7, HashOf(b)}, b)
		return err
	}},
	{KindFrameIndex, &graftpb.FrameIndex{}, 4 << 20, func(b []byte) error {
		_, err := DecodeFooter(&Segment{Pages: PageSetOf(1), Footer: Footer{Length: int64(len(b)), Sum: HashOf(b)}}, b)
		return err
	}},
	{KindSegmentState, &graftpb.SegmentState{}, 4 << 20, func(b []byte) error { _, err := DecodeSegmentState(b); return err }},
	{KindLeaf, &graftpb.Leaf{}, 1 << 20, func(b []byte) error { _, err := DecodeLeaf(b); return err }},
	{KindGraft, &graftpb.Graft{}, 1 << 20, func(b []byte) error { _, err := DecodeGraftState(someVolume, b); return err }},
	{KindPin, &graftpb.Pin{}, 1 << 20, func(b []byte) error { return DecodeRecord(KindPin, b, new(graftpb.Pin)) }},
}

// hostileFields calls fn with a payload of at most size bytes for each way to fill it
// with a field of message d, or of one in it.
func hostileFields(d protoreflect.MessageDescriptor, size int, fn func(name string, payload []byte)) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		tag := func(kind protowire.Type) []byte { return protowire.AppendTag(nil, f.Number(), kind) }
		wrap := func(inner []byte) []byte { return protowire.AppendBytes(tag(protowire.BytesType), inner) }
		name := string(d.Name()) + "." + string(f.Name())
		fill := func(one []byte) []byte { return bytes.Repeat(one, size/len(one)) }
		switch {
		case f.Message() != nil:
			fn(name+" empty", fill(wrap(nil)))
			if f.IsList() {
				fn(name+" of nothing known", fill(wrap(padding(floors[d.Name()][f.Number()]-2))))
			}
			hostileFields(f.Message(), size-16, func(inner string, payload []byte) { fn(name+"/"+inner, wrap(payload)) })
		case f.IsList():
			fn(name, fill(append(tag(protowire.VarintType), 1)))
			fn(name+" packed", wrap(bytes.Repeat([]byte{1}, size-16)))
			fn(name+" packed one by one", fill(wrap([]byte{1})))
		case f.Kind() == protoreflect.BytesKind:
			fn(name, fill(wrap([]byte{1})))
		}
	}
	fn(string(d.Name())+" unknown", bytes.Repeat(padding(16), size/16))
}

// padding is an unknown field of n bytes.
func padding(n int) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 15, protowire.BytesType), make([]byte, n-2))
}

// maxGrowth is how many bytes a decoder may allocate for each byte of a record, and
// maxFixed how many besides.
const (
	maxGrowth = 16
	maxFixed  = 1 << 20
)

// checkAllocated has fn allocate no more than what so many bytes of input may cost.
func checkAllocated(t *testing.T, name string, input int, fn func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(maxGrowth*input+maxFixed) {
		t.Errorf("%s: %d bytes are allocated for %d, %d each", name, got, input, got/uint64(input))
	}
}

func TestAHostileRecordTakesLittleMemory(t *testing.T) {
	for _, h := range hostileRecords {
		hostileFields(h.m.ProtoReflect().Descriptor(), h.size, func(name string, payload []byte) {
			if len(payload) > h.size {
				t.Fatalf("%s: a payload of %d bytes", name, len(payload))
			}
			b := seal(h.kind, formatVersion, payload)
			checkAllocated(t, name, len(b), func() {
				if err := h.decode(b); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
					t.Errorf("%s: %v", name, err)
				}
			})
		})
	}
}

func TestAHostileRootOfTheLargestSizeTakesLittleMemory(t *testing.T) {
	b := seal(KindCheckpoint, formatVersion, bytes.Repeat([]byte{4<<3 | 2, 0}, (MaxCheckpointRoot-envelopeSize)/2)) // objects
	checkAllocated(t, "objects", len(b), func() {
		if _, err := DecodeCheckpoint(rootRef(b), b); !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
}

// The largest records that are right keep to the same bound.
func TestADenseCommitTakesLittleMemory(t *testing.T) {
	c := pushedCommit(t).Commit
	c.PageCount, c.Kept, c.SinceKept = 1<<20, 1<<20, 1<<20
	at := &Address{Source: Source{Segment: otherSegment}, Offset: 8, Length: 128}
	var since []PageAddress
	for p := PageIdx(8); p < 400_000; p++ {
		since = append(since, PageAddress{p, at})
	}
	pages := c
	pages.Since = NewPageTable(since)
	frames := c
	seg := Segment{ID: someSegment}
	for i := range PageIdx(20_000) {
		seg.Pages.Add(i*FramePages + 1)
		for j := range PageIdx(FramePages) {
			seg.Pages.Add(i*FramePages + j + 1)
		}
		seg.Frames.add(frameUnit, (i+1)*FramePages)
	}
	frames.Segments = []Segment{seg}
	for name, c := range map[string]Commit{"pages since": pages, "frames": frames} {
		rec, err := EncodeCommit(c)
		if err != nil {
			t.Fatal(err)
		}
		checkAllocated(t, name, len(rec.Bytes), func() {
			got, err := DecodeCommit(rec.Bytes)
			if err != nil || !equalCommits(got.Commit, c) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestARecordInPiecesIsCorrupt(t *testing.T) {
	for name, payload := range map[string][]byte{
		"a number twice":          {2 << 3, 5, 2 << 3, 5},
		"a message twice":         {10<<3 | 2, 0, 10<<3 | 2, 0},
		"numbers in two packs":    {9<<3 | 2, 1, 1, 9<<3 | 2, 1, 1},
		"numbers not packed":      {9 << 3, 1},
		"numbers in an empty one": {9<<3 | 2, 0, 9<<3 | 2, 0},
		"in a message":            {11<<3 | 2, 4, 6 << 3, 1, 6 << 3, 1},
	} {
		if err := DecodeRecord(KindCommit, seal(KindCommit, formatVersion, payload), new(graftpb.Commit)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACommitOfManySegmentsIsCorrupt(t *testing.T) {
	c := pushedCommit(t).Commit
	c.PageCount, c.PushID, c.Segments = 100, PushID{}, nil
	for i := range MaxSegments + 1 {
		id := someSegment
		id[15] = byte(i)
		c.Segments = append(c.Segments, Segment{ID: id, Pages: PageSetOf(PageIdx(i + 1))})
	}
	if _, err := EncodeCommit(c); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d segments: %v", len(c.Segments), err)
	}
	m := &graftpb.Commit{Volume: someVolume[:], Lsn: 1, PageCount: 100}
	for _, s := range c.Segments {
		sm, err := segmentToProto(&s)
		if err != nil {
			t.Fatal(err)
		}
		m.Segments = append(m.Segments, sm)
	}
	for len(m.Segments) < 20_000 {
		m.Segments = append(m.Segments, m.Segments[0])
	}
	b := sealMessage(t, KindCommit, m)
	checkAllocated(t, "segments", len(b), func() {
		if _, err := DecodeCommit(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d segments: %v", len(m.Segments), err)
		}
	})
	c.Segments = c.Segments[1:]
	if _, err := EncodeCommit(c); err != nil {
		t.Error(err)
	}
}
