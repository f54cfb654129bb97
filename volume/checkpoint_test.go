package volume

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

func TestCheckpointKeysSortNewestFirst(t *testing.T) {
	k := CheckpointKey{Volume: someVolume, LSN: 5, Random: [8]byte{1, 0xab}}
	if want := "volumes/" + someVolume.String() + "/checkpoints/fffffffffffffffa-01ab000000000000"; k.Key() != want {
		t.Errorf("key %s, want %s", k.Key(), want)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := drawCheckpointKey(t, someVolume, LSN(rapid.Uint64().Draw(t, "LSN")))
		b := drawCheckpointKey(t, someVolume, LSN(rapid.Uint64().Draw(t, "LSN")))
		if (a.LSN > b.LSN) != (a.Key() < b.Key()) && a.LSN != b.LSN || (a == b) != (a.Key() == b.Key()) {
			t.Fatalf("%s and %s", a.Key(), b.Key())
		}
	})
	if a, b := NewCheckpointKey(someVolume, 5), NewCheckpointKey(someVolume, 5); a == b || a.IsZero() || a.LSN != 5 || !(CheckpointKey{}).IsZero() {
		t.Errorf("draws %s and %s", a.Key(), b.Key())
	}
}

// drawLeafTable draws a table of pages of leaf n, all within the page count.
func drawLeafTable(t *rapid.T, n LeafIdx, count PageCount, home VolumeID) PageTable {
	pages := PageSetOf(PageIdx(n)*LeafPages + 1)
	for _, i := range rapid.SliceOfN(rapid.Uint32Max(LeafPages-1), 0, 20).Draw(t, "pages of leaf") {
		pages.Add(PageIdx(n)*LeafPages + 1 + PageIdx(i))
	}
	pages.Truncate(count)
	return drawPageTable(t, pages, home)
}

func drawBundle(t *rapid.T, count PageCount) []BundledPage {
	pages := drawPageSet(t)
	pages.Truncate(count)
	var bundle []BundledPage
	for p := range pages.All() {
		id := rapid.SampledFrom([]SegmentID{someSegment, otherSegment}).Draw(t, "segment")
		bundle = append(bundle, BundledPage{PageEntry{p, textPage(uint64(p))}, id})
	}
	return bundle
}

func equalBundles(a, b []BundledPage) bool {
	return slices.EqualFunc(a, b, func(a, b BundledPage) bool {
		return a.Idx == b.Idx && a.Segment == b.Segment && *a.Page == *b.Page
	})
}

func inOrder(leaves map[LeafIdx]PageTable) iter.Seq2[LeafIdx, PageTable] {
	return func(yield func(LeafIdx, PageTable) bool) {
		for _, n := range slices.Sorted(maps.Keys(leaves)) {
			if !yield(n, leaves[n]) {
				return
			}
		}
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Checkpoint{
			Key:       drawCheckpointKey(t, drawVolumeID(t), LSN(rapid.Uint64Min(1).Draw(t, "LSN"))),
			PageCount: PageCount(rapid.OneOf(rapid.Uint32Range(1, 2000), rapid.Uint32Min(1)).Draw(t, "page count")),
		}
		changed := map[LeafIdx]PageTable{}
		var kept []Chunk
		for _, n := range rapid.SliceOfNDistinct(rapid.Uint32Max(uint32(LeafOf(PageIdx(c.PageCount)))), 0, 6, rapid.ID).Draw(t, "leaves") {
			n := LeafIdx(n)
			if rapid.Bool().Draw(t, "changed") {
				changed[n] = drawLeafTable(t, n, c.PageCount, c.Key.Volume)
				continue
			}
			old := CheckpointKey{c.Key.Volume, LSN(rapid.Uint64Range(1, 3).Draw(t, "old LSN")), [8]byte{0xff}}
			if rapid.Bool().Draw(t, "ancestor's") {
				old.Volume = drawVolumeID(t)
			}
			pages := min(LeafPages, int64(c.PageCount)-int64(n)*LeafPages)
			kept = append(kept, Chunk{
				n, 1, old, rapid.Int64Range(8, 1<<62).Draw(t, "offset"), rapid.Int64Range(1, MaxChunkSize).Draw(t, "length"),
				drawHash(t), int(rapid.Int64Range(1, pages).Draw(t, "pages")),
			})
		}
		if rapid.Bool().Draw(t, "bundle") {
			c.Bundle = drawBundle(t, c.PageCount)
		}
		built, object, ref, err := BuildCheckpoint(c, 0, kept, inOrder(changed))
		if err != nil {
			t.Fatal(err)
		}
		checkObject(t, object, ref)
		got, err := DecodeCheckpoint(ref, object[ref.Offset:][:ref.Length])
		if err != nil {
			t.Fatal(err)
		}
		if got.Key != c.Key || got.PageCount != c.PageCount || !slices.Equal(got.Chunks, built.Chunks) || !equalBundles(got.Bundle, c.Bundle) {
			t.Fatalf("read back as\n%+v, built\n%+v", got, built)
		}
		checkChunks(t, got, object, kept, changed)
		for _, b := range c.Bundle {
			if p, ok := got.Bundled(b.Idx); !ok || p.Idx != b.Idx || *p.Page != *b.Page || p.Segment != b.Segment {
				t.Fatalf("bundled page %d is page %d of %s, %t", b.Idx, p.Idx, p.Segment, ok)
			}
		}
		if _, ok := got.Bundled(0); ok {
			t.Fatal("page 0 is bundled")
		}
	})
}

func checkObject(t *rapid.T, object []byte, ref CheckpointRef) {
	t.Helper()
	if !bytes.HasPrefix(object, []byte("GRFTH\x01\x00\x00")) || ref.Offset+ref.Length != int64(len(object)) || ref.validate() != nil {
		t.Fatalf("object of %d bytes starts with %q; its root is %+v", len(object), object[:8], ref)
	}
}

// checkChunks reports whether got has the chunks that were kept, and has the
// changed leaves in its own object.
func checkChunks(t *rapid.T, got *Checkpoint, object []byte, kept []Chunk, changed map[LeafIdx]PageTable) {
	t.Helper()
	if len(got.Chunks) > len(kept)+len(changed) || !slices.IsSortedFunc(got.Chunks, func(a, b Chunk) int { return int(a.Leaf) - int(b.Leaf) }) {
		t.Fatalf("%d chunks of %d leaves kept and %d changed", len(got.Chunks), len(kept), len(changed))
	}
	for _, want := range kept {
		if ch := got.Chunk(want.Leaf); ch == nil || *ch != want {
			t.Fatalf("chunk %+v, want %+v", ch, want)
		}
		if changed[want.Leaf].Len() > 0 {
			t.Fatal("a leaf is kept and changed")
		}
	}
	for n, want := range changed {
		ch := got.Chunk(n)
		if ch == nil || ch.Object != got.Key {
			t.Fatalf("leaf %d is in chunk %+v", n, ch)
		}
		table, err := DecodeChunk(*ch, object[ch.Offset:][:ch.Length])
		if err != nil || !equalTables(table.Leaf(n), want) {
			t.Fatalf("leaf %d has %d pages of %d, %v", n, table.Leaf(n).Len(), want.Len(), err)
		}
	}
	if ch := got.Chunk(1<<24 - 1); ch != nil && ch.Leaf != 1<<24-1 {
		t.Fatalf("the highest leaf is in chunk %+v", ch)
	}
}

var someKey = CheckpointKey{Volume: someVolume, LSN: 9, Random: [8]byte{1}}

func oneLeaf(n LeafIdx, t PageTable) iter.Seq2[LeafIdx, PageTable] {
	return inOrder(map[LeafIdx]PageTable{n: t})
}

func oldChunk(n LeafIdx, pages int) Chunk {
	return Chunk{Leaf: n, Leaves: 1, Object: CheckpointKey{Volume: someVolume, LSN: 3, Random: [8]byte{3}}, Offset: 8, Length: 99, Pages: pages}
}

func TestBuildCheckpointRefusesWhatCannotBeRead(t *testing.T) {
	page := func(p PageIdx) []BundledPage { return []BundledPage{{PageEntry{p, new(Page)}, someSegment}} }
	many := make([]BundledPage, maxBundle+1)
	for i := range many {
		many[i] = page(PageIdx(i + 1))[0]
	}
	no := inOrder(nil)
	for name, c := range map[string]struct {
		count   PageCount
		kept    []Chunk
		changed iter.Seq2[LeafIdx, PageTable]
		bundle  []BundledPage
	}{
		"a leaf kept and changed": {300, []Chunk{oldChunk(0, 5)}, oneLeaf(0, tableOfPages(3)), nil},
		"a leaf kept twice":       {300, []Chunk{oldChunk(0, 5), oldChunk(0, 5)}, no, nil},
		"a leaf past the end":     {256, []Chunk{oldChunk(1, 5)}, no, nil},
		"pages past the end":      {260, []Chunk{oldChunk(1, 5)}, no, nil},
		"a kept leaf of no pages": {300, []Chunk{oldChunk(0, 0)}, no, nil},
		"a chunk of no leaves":    {300, []Chunk{{Object: someKey, Length: 99, Pages: 1}}, no, nil},
		"pages of half a leaf":    {300, []Chunk{{Leaves: 2, Object: someKey, Length: 99, Pages: 1}}, no, nil},
		"leaves past the end":     {256, []Chunk{{Leaves: 2, Object: someKey, Length: 99, Pages: 2}}, no, nil},
		"a kept leaf of no bytes": {300, []Chunk{{Leaf: 0, Leaves: 1, Object: someKey, Pages: 1}}, no, nil},
		"a page past the end":     {200, nil, oneLeaf(0, tableOfPages(3, 201)), nil},
		"a page of another leaf":  {900, nil, oneLeaf(0, tableOfPages(3, 257)), nil},
		"pages out of order":      {900, nil, oneLeaf(0, tableOfPages(4, 3)), nil},
		"a frame of no bytes":     {900, nil, oneLeaf(0, tableAt(Address{Source: Source{Segment: someSegment}, Length: 0})), nil},
		"a bundled page past it":  {200, nil, no, page(201)},
		"bundled page 0":          {200, nil, no, page(0)},
		"a bundle out of order":   {200, nil, no, append(page(3), page(2)...)},
		"a bundle too large":      {1 << 20, nil, no, many},
		"a bundle of no segment":  {200, nil, no, []BundledPage{{PageEntry: page(1)[0].PageEntry}}},
	} {
		got, object, ref, err := BuildCheckpoint(Checkpoint{Key: someKey, PageCount: c.count, Bundle: c.bundle}, 0, c.kept, c.changed)
		if !errors.Is(err, ErrCorrupt) || got != nil || object != nil || ref != (CheckpointRef{}) {
			t.Errorf("%s: %d bytes, %v", name, len(object), err)
		}
	}
	for name, c := range map[string]struct {
		kept    []Chunk
		changed iter.Seq2[LeafIdx, PageTable]
		bundle  []BundledPage
		want    int
	}{
		"nothing":               {nil, no, nil, 0},
		"a leaf without pages":  {[]Chunk{oldChunk(1, 4)}, oneLeaf(0, PageTable{}), nil, 1},
		"pages up to the end":   {[]Chunk{oldChunk(1, 4)}, oneLeaf(0, tableOfPages(3)), page(260), 2},
		"as many as it bundles": {nil, no, many[:260], 0},
	} {
		got, _, _, err := BuildCheckpoint(Checkpoint{Key: someKey, PageCount: 260, Bundle: c.bundle}, 0, c.kept, c.changed)
		if err != nil || len(got.Chunks) != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// someCheckpoint has a chunk of its own, two in older objects, and two bundled
// pages.
func someCheckpoint(tb testing.TB) (*Checkpoint, []byte, CheckpointRef) {
	tb.Helper()
	ancestor := oldChunk(3, 256)
	ancestor.Object.Volume = otherVolume
	c, object, ref, err := BuildCheckpoint(Checkpoint{Key: someKey, PageCount: 1024, Bundle: []BundledPage{
		{PageEntry{1, textPage(1)}, someSegment}, {PageEntry{7, textPage(7)}, otherSegment},
	}}, 0, []Chunk{oldChunk(1, 4), ancestor}, oneLeaf(0, someTable()))
	if err != nil {
		tb.Fatal(err)
	}
	return c, object, ref
}

func checkpointMessage(tb testing.TB) *graftpb.CheckpointRoot {
	tb.Helper()
	_, object, ref := someCheckpoint(tb)
	var m graftpb.CheckpointRoot
	if err := DecodeRecord(KindCheckpoint, object[ref.Offset:], &m); err != nil {
		tb.Fatal(err)
	}
	return &m
}

// rootRef names b rightly as the root of someKey.
func rootRef(b []byte) CheckpointRef {
	return CheckpointRef{CheckpointKey: someKey, Offset: 8, Length: int64(len(b)), Sum: HashOf(b)}
}

func TestDecodeCheckpointRefusesDamage(t *testing.T) {
	_, object, ref := someCheckpoint(t)
	good := object[ref.Offset:]
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1
		if c, err := DecodeCheckpoint(ref, b); !errors.Is(err, ErrCorrupt) || c != nil {
			t.Fatalf("byte %d of %d flipped: %v", i, len(b), err)
		}
		if c, err := DecodeCheckpoint(ref, good[:i]); !errors.Is(err, ErrCorrupt) || c != nil {
			t.Fatalf("cut off at %d of %d bytes: %v", i, len(b), err)
		}
	}
	for name, change := range map[string]func(*CheckpointRef){
		"another volume": func(r *CheckpointRef) { r.Volume = otherVolume },
		"another LSN":    func(r *CheckpointRef) { r.LSN++ },
		"another length": func(r *CheckpointRef) { r.Length++ },
		"another hash":   func(r *CheckpointRef) { r.Sum[0]++ },
	} {
		r := ref
		change(&r)
		if c, err := DecodeCheckpoint(r, good); !errors.Is(err, ErrCorrupt) || c != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := seal(KindCheckpoint, 2, good[envelopeSize:])
	if _, err := DecodeCheckpoint(rootRef(newer), newer); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
	chunk := object[8:ref.Offset]
	if _, err := DecodeCheckpoint(rootRef(chunk), chunk); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a chunk in its place: %v", err)
	}
	m := checkpointMessage(t)
	m.Features, m.Volume = []uint32{1}, nil
	b := sealMessage(t, KindCheckpoint, m)
	if _, err := DecodeCheckpoint(rootRef(b), b); !errors.Is(err, ErrVersion) {
		t.Errorf("feature 1: %v", err)
	}
}

func TestDecodeCheckpointRefusesWhatCannotBe(t *testing.T) {
	for name, breakIt := range map[string]func(*graftpb.CheckpointRoot){
		"no volume":              func(m *graftpb.CheckpointRoot) { m.Volume = nil },
		"a chunk more":           func(m *graftpb.CheckpointRoot) { m.ChunkGap = append(m.ChunkGap, 0) },
		"an object more":         func(m *graftpb.CheckpointRoot) { m.ChunkObject = append(m.ChunkObject, 0) },
		"an offset more":         func(m *graftpb.CheckpointRoot) { m.ChunkOffset = append(m.ChunkOffset, 8) },
		"a length more":          func(m *graftpb.CheckpointRoot) { m.ChunkLength = append(m.ChunkLength, 8) },
		"a count more":           func(m *graftpb.CheckpointRoot) { m.ChunkPages = append(m.ChunkPages, 8) },
		"a count of leaves more": func(m *graftpb.CheckpointRoot) { m.ChunkLeaves = append(m.ChunkLeaves, 1) },
		"a chunk of no leaves":   func(m *graftpb.CheckpointRoot) { m.ChunkLeaves[0] = 0 },
		"a leaf in two chunks":   func(m *graftpb.CheckpointRoot) { m.ChunkLeaves[2] = 2 },
		"2^32-1 leaves":          func(m *graftpb.CheckpointRoot) { m.ChunkLeaves[2], m.ChunkPages[2] = 1<<32-1, 1<<32-1 },
		"a short hash":           func(m *graftpb.CheckpointRoot) { m.ChunkSha256 = m.ChunkSha256[1:] },
		"fewer pages":            func(m *graftpb.CheckpointRoot) { m.PageCount = 1023 },
		"a leaf past the end":    func(m *graftpb.CheckpointRoot) { m.ChunkGap[2]++ },
		"the highest gaps":       func(m *graftpb.CheckpointRoot) { m.ChunkGap[1], m.ChunkGap[2] = 1<<32-1, 1<<32-1 },
		"a gap of 2^32 pages":    func(m *graftpb.CheckpointRoot) { m.ChunkGap[2] = 1 << 24 },
		"an object too high":     func(m *graftpb.CheckpointRoot) { m.ChunkObject[2] = 3 },
		"object 2^32-1":          func(m *graftpb.CheckpointRoot) { m.ChunkObject[2] = 1<<32 - 1 },
		"an object less":         func(m *graftpb.CheckpointRoot) { m.Objects = m.Objects[:1] },
		"an object unused":       func(m *graftpb.CheckpointRoot) { m.ChunkObject[2] = 1 },
		"objects swapped":        func(m *graftpb.CheckpointRoot) { m.ChunkObject[1], m.ChunkObject[2] = 2, 1 },
		"an object twice":        func(m *graftpb.CheckpointRoot) { m.Objects[1] = m.Objects[0] },
		"its own object":         func(m *graftpb.CheckpointRoot) { m.Objects[0] = checkpointKeyToProto(someKey, someVolume) },
		"an object of no LSN":    func(m *graftpb.CheckpointRoot) { m.Objects[0].Lsn = 0 },
		"an object of 7 random":  func(m *graftpb.CheckpointRoot) { m.Objects[0].Random = m.Objects[0].Random[:7] },
		"an object of no random": func(m *graftpb.CheckpointRoot) { m.Objects[0].Random = make([]byte, 8) },
		"an object of a segment": func(m *graftpb.CheckpointRoot) { m.Objects[0].Volume = someSegment[:] },
		"its volume by name":     func(m *graftpb.CheckpointRoot) { m.Objects[0].Volume = someVolume[:] },
		"an object's offset":     func(m *graftpb.CheckpointRoot) { m.Objects[0].Offset = 8 },
		"an object's length":     func(m *graftpb.CheckpointRoot) { m.Objects[0].Length = 8 },
		"an object's hash":       func(m *graftpb.CheckpointRoot) { m.Objects[0].Sha256 = []byte{1} },
		"a chunk of no bytes":    func(m *graftpb.CheckpointRoot) { m.ChunkLength[0] = 0 },
		"a chunk of 64 KiB more": func(m *graftpb.CheckpointRoot) { m.ChunkLength[0] = MaxChunkSize + 1 },
		"a chunk of 4 GB":        func(m *graftpb.CheckpointRoot) { m.ChunkLength[0] = 1<<32 - 1 },
		"beyond any file":        func(m *graftpb.CheckpointRoot) { m.ChunkOffset[0] = 1<<62 + 1 },
		"a chunk of no pages":    func(m *graftpb.CheckpointRoot) { m.ChunkPages[0] = 0 },
		"a chunk of 257 pages":   func(m *graftpb.CheckpointRoot) { m.ChunkPages[0] = LeafPages + 1 },
		"a bundle cut off":       func(m *graftpb.CheckpointRoot) { m.Bundle = m.Bundle[:len(m.Bundle)-1] },
		"a bundle of no stream":  func(m *graftpb.CheckpointRoot) { m.Bundle = []byte("text") },
	} {
		m := checkpointMessage(t)
		breakIt(m)
		b := sealMessage(t, KindCheckpoint, m)
		if c, err := DecodeCheckpoint(rootRef(b), b); !errors.Is(err, ErrCorrupt) || c != nil {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// someChunk is the first chunk of someCheckpoint with its record.
func someChunk(tb testing.TB) (Chunk, []byte) {
	tb.Helper()
	c, object, ref := someCheckpoint(tb)
	return c.Chunks[0], object[8:ref.Offset]
}

func TestDecodeChunkRefusesDamage(t *testing.T) {
	ch, good := someChunk(t)
	if table, err := DecodeChunk(ch, good); err != nil || !equalTables(table, someTable()) {
		t.Fatalf("%d pages, %v", table.Len(), err)
	}
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1
		if _, err := DecodeChunk(ch, b); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d of %d flipped: %v", i, len(b), err)
		}
		if _, err := DecodeChunk(ch, good[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut off at %d of %d bytes: %v", i, len(b), err)
		}
	}
	for name, change := range map[string]func(*Chunk){
		"another leaf":   func(c *Chunk) { c.Leaf++ },
		"the last leaf":  func(c *Chunk) { c.Leaf = 1<<32 - 1 },
		"a page more":    func(c *Chunk) { c.Pages++ },
		"a page less":    func(c *Chunk) { c.Pages-- },
		"another hash":   func(c *Chunk) { c.Sum[0]++ },
		"another length": func(c *Chunk) { c.Length++ },
		"another home":   func(c *Chunk) { c.Object.Volume = otherVolume }, // which the record names
	} {
		c := ch
		change(&c)
		if table, err := DecodeChunk(c, good); !errors.Is(err, ErrCorrupt) || table.Len() != 0 {
			t.Errorf("%s: %d pages, %v", name, table.Len(), err)
		}
	}
	named := func(b []byte) Chunk {
		c := ch
		c.Length, c.Sum = int64(len(b)), HashOf(b)
		return c
	}
	payload := chunkPayload(t, good)
	newer := compress(seal(KindPageTable, 2, payload))
	if _, err := DecodeChunk(named(newer), newer); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
	large := compress(seal(KindPageTable, formatVersion, append(slices.Clone(payload), unknownField(maxChunkRecord)...)))
	if _, err := DecodeChunk(named(large), large); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record of more than %d bytes in %d: %v", maxChunkRecord, len(large), err)
	}
	small := compress(seal(KindPageTable, formatVersion, append(slices.Clone(payload), unknownField(60<<10)...)))
	if _, err := DecodeChunk(named(small), small); err != nil {
		t.Errorf("an unknown field in %d bytes: %v", len(small), err)
	}
	plain := seal(KindPageTable, formatVersion, payload)
	if _, err := DecodeChunk(named(plain), plain); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record that is not compressed: %v", err)
	}
	empty := compress(seal(KindPageTable, formatVersion, nil))
	none := named(empty)
	none.Pages = 0
	if _, err := DecodeChunk(none, empty); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no pages: %v", err)
	}
}

// chunkPayload is the payload of the record in a chunk.
func chunkPayload(tb testing.TB, chunk []byte) []byte {
	tb.Helper()
	record, err := decompress(chunk, maxChunkRecord)
	if err != nil {
		tb.Fatal(err)
	}
	return record[envelopeSize:]
}

// unknownField is a field of n bytes that no message of graft has.
func unknownField(n int) []byte {
	var m graftpb.Pending // its field 1 takes bytes
	m.Record = make([]byte, n)
	b, err := proto.Marshal(&m)
	if err != nil {
		panic(err)
	}
	return append([]byte{0xfa, 0x3f}, b[1:]...) // field 1023
}

func TestTheLargestChunkIsWithinTheLimit(t *testing.T) {
	const leaf = 1<<24 - 2 // the last of 256 pages
	var entries []PageAddress
	for i := range PageIdx(LeafPages) {
		v, s := otherVolume, someSegment
		v[9], s[9] = byte(i), byte(i)
		entries = append(entries, PageAddress{leaf*LeafPages + 1 + i, &Address{
			Source{Segment: s, Volume: v, LSN: 1<<64 - 1}, 1 << 62, int64(maxFrameLength),
		}})
	}
	c, object, ref, err := BuildCheckpoint(Checkpoint{Key: someKey, PageCount: 1<<32 - 1}, 0, nil, oneLeaf(leaf, NewPageTable(entries)))
	if err != nil {
		t.Fatal(err)
	}
	table, err := DecodeChunk(c.Chunks[0], object[8:ref.Offset])
	if err != nil || !equalTables(table, NewPageTable(entries)) {
		t.Errorf("%d pages of %d in %d bytes, %v", table.Len(), len(entries), c.Chunks[0].Length, err)
	}
}

func FuzzDecodeChunk(f *testing.F) {
	_, b := someChunk(f)
	f.Add(chunkPayload(f, b), uint32(0), 1)
	b, err := EncodeChunk(otherVolume, tableOfPages(257, 300, 513))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(chunkPayload(f, b), uint32(1), 2)
	f.Fuzz(func(t *testing.T, payload []byte, leaf uint32, leaves int) {
		var m graftpb.PageTable
		if len(payload)+envelopeSize > maxChunkRecord || proto.Unmarshal(payload, &m) != nil || leaves < 0 || leaves > len(m.PageGap) {
			return
		}
		b := compress(seal(KindPageTable, formatVersion, payload))
		ch := Chunk{Leaf: LeafIdx(leaf), Leaves: leaves, Object: someKey, Length: int64(len(b)), Sum: HashOf(b), Pages: len(m.PageGap)}
		table, err := DecodeChunk(ch, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || table.Len() != 0 {
				t.Fatalf("%d pages and another error: %v", table.Len(), err)
			}
			return
		}
		if table.Len() == 0 || table.Len() > leaves*LeafPages {
			t.Fatalf("%d pages of %d leaves", table.Len(), leaves)
		}
		again, err := EncodeChunk(someVolume, table)
		if err != nil {
			t.Fatal(err)
		}
		var is graftpb.PageTable
		known(t, payload, &m)
		known(t, chunkPayload(t, again), &is)
		if !proto.Equal(&m, &is) {
			t.Fatalf("encodes again as\n%v, was\n%v", &is, &m)
		}
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	_, object, ref := someCheckpoint(f)
	f.Add(object[ref.Offset+envelopeSize:])
	b, err := encodeCheckpoint(&Checkpoint{Key: someKey})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[envelopeSize:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := seal(KindCheckpoint, formatVersion, payload)
		c, err := DecodeCheckpoint(rootRef(b), b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) || c != nil {
				t.Fatalf("%+v and another error: %v", c, err)
			}
			return
		}
		if len(c.Chunks)*len(Hash{}) > len(payload) || len(c.Bundle) > maxBundle {
			t.Fatalf("%d chunks, %d bundled pages from %d bytes", len(c.Chunks), len(c.Bundle), len(payload))
		}
		again, err := encodeCheckpoint(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeCheckpoint(rootRef(again), again)
		if err != nil || !slices.Equal(back.Chunks, c.Chunks) || !equalBundles(back.Bundle, c.Bundle) {
			t.Fatalf("read back as\n%+v, %v, wrote\n%+v", back, err, c)
		}
		// Compression alone has more than one result.
		var was, is graftpb.CheckpointRoot
		known(t, payload, &was)
		known(t, again[envelopeSize:], &is)
		was.Bundle, is.Bundle = nil, nil
		if !proto.Equal(&was, &is) {
			t.Fatalf("encodes again as\n%v, was\n%v", &is, &was)
		}
	})
}

func TestCheckpointRootHoldsATebibyte(t *testing.T) {
	chunks := make([]Chunk, MaxCheckpointRoot/40)
	for i := range chunks {
		chunks[i] = oldChunk(LeafIdx(i), LeafPages)
		chunks[i].Offset = 1 << 40
	}
	if b, err := encodeCheckpoint(&Checkpoint{Key: someKey, PageCount: 1<<32 - 1, Chunks: chunks}); err == nil {
		t.Errorf("a root of %d bytes", len(b))
	}
	const tebibyte = PageCount(1 << 40 / PageSize)
	b, err := encodeCheckpoint(&Checkpoint{Key: someKey, PageCount: tebibyte, Chunks: chunks[:tebibyte/LeafPages]})
	if err != nil || len(b) > MaxCheckpointRoot {
		t.Errorf("a root of %d bytes: %v", len(b), err)
	}
}

// TestChunksPackLeaves has the index of an import in a few chunks of some bytes for
// each leaf, and that of pages which all lie by themselves in chunks of bounded size.
func TestChunksPackLeaves(t *testing.T) {
	const pages = 40_000
	id, other := someSegment, otherSegment
	imported, scattered := map[LeafIdx]PageTable{}, map[LeafIdx]PageTable{}
	var frame *Address
	offset := int64(objectHeaderSize)
	for p := PageIdx(1); p <= pages; p++ {
		if (p-1)%FramePages == 0 {
			frame = &Address{Source{Segment: id}, offset, int64(140+p*7919%16) * frameUnit}
			offset += frame.Length
		}
		n := LeafOf(p)
		imported[n] = imported[n].With(NewPageTable([]PageAddress{{p, frame}}))
		other[15] = byte(p)
		alone := &Address{Source{Segment: other, Volume: otherVolume, LSN: LSN(p)}, 16, 1024}
		scattered[n] = scattered[n].With(NewPageTable([]PageAddress{{p, alone}}))
	}
	for name, c := range map[string]struct {
		leaves       map[LeafIdx]PageTable
		chunks, size int // at most
	}{
		"imported": {imported, 12, 160 * 100}, "scattered": {scattered, 160, 160 * maxChunkRecord},
	} {
		cp, object, ref, err := BuildCheckpoint(Checkpoint{Key: someKey, PageCount: pages}, 0, nil, inOrder(c.leaves))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(cp.Chunks) > c.chunks || ref.Offset > int64(c.size) {
			t.Errorf("%s: %d chunks in %d bytes", name, len(cp.Chunks), ref.Offset)
		}
		t.Logf("%s: %d chunks in %d bytes", name, len(cp.Chunks), ref.Offset)
		leaf := LeafIdx(0)
		for _, ch := range cp.Chunks {
			table, err := DecodeChunk(ch, object[ch.Offset:][:ch.Length])
			if err != nil || ch.Leaf != leaf {
				t.Fatalf("%s: chunk of leaf %d, want %d, %v", name, ch.Leaf, leaf, err)
			}
			for n := range ch.All() {
				if !equalTables(table.Leaf(n), c.leaves[n]) || cp.Chunk(n).Leaf != ch.Leaf {
					t.Fatalf("%s: leaf %d is otherwise", name, n)
				}
				leaf = n + 1
			}
		}
		if leaf != LeafOf(pages)+1 || cp.Chunk(leaf) != nil {
			t.Errorf("%s: chunks up to leaf %d", name, leaf)
		}
	}
}
