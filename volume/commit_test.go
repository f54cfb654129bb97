package volume

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

func TestCommitRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, embedded := drawCommit(t)
		rec, err := EncodeEmbedding(c, embedded)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeCommit(rec.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !equalCommits(got.Commit, c) || !equalCommits(rec.Commit, c) {
			t.Fatalf("read back as\n%+v, wrote\n%+v", got.Commit, c)
		}
		if got.Hash() != HashOf(rec.Bytes) {
			t.Fatal("hash is not that of the bytes")
		}
		again, err := EncodeEmbedding(got.Commit, embedded)
		if err != nil || !bytes.Equal(again.Bytes, rec.Bytes) {
			t.Fatalf("encodes again as\n%x, before\n%x, %v", again.Bytes, rec.Bytes, err)
		}
	})
}

func TestCommitPagesIsTheUnionAndItsOwn(t *testing.T) {
	c := Commit{Segments: []Segment{
		{ID: someSegment, Pages: PageSetOf(1, 2, 3)},
		{ID: otherSegment, Pages: PageSetOf(9)},
	}}
	pages := c.Pages()
	if !pages.Equal(PageSetOf(1, 2, 3, 9)) {
		t.Errorf("pages %v", slices.Collect(pages.All()))
	}
	pages.Add(50)
	pages.Remove(1)
	if !c.Pages().Equal(PageSetOf(1, 2, 3, 9)) {
		t.Errorf("a change of the set changes the commit: %v", slices.Collect(c.Pages().All()))
	}
	if empty := (&Commit{}); !empty.Pages().IsEmpty() {
		t.Error("an empty commit has pages")
	}
}

func TestCommitValidateHoldsItsInvariants(t *testing.T) {
	for name, breakIt := range map[string]func(*Commit){
		"no volume":              func(c *Commit) { c.Volume = VolumeID{} },
		"LSN 0":                  func(c *Commit) { c.LSN = 0 },
		"kept above page count":  func(c *Commit) { c.Kept = c.PageCount + 1 },
		"pushed without parent":  func(c *Commit) { c.Parent = Hash{} },
		"page above page count":  func(c *Commit) { c.PageCount, c.Kept = 6, 0 },
		"segment without id":     func(c *Commit) { c.Segments[0].ID = SegmentID{} },
		"segment without pages":  func(c *Commit) { c.Segments[0].Pages = PageSet{} },
		"a page in two segments": func(c *Commit) { addSegment(c, 2) },
		"fork without parent":    func(c *Commit) { c.LSN, c.Parent, c.Ancestors = 1, Hash{}, []Origin{{otherVolume, 3}} },
		"no frame index":         func(c *Commit) { c.Segments[0].Frames = FrameIndex{} },
		"a frame index and a footer": func(c *Commit) {
			c.Checkpoint, c.Segments[0].Footer = refOf(c.Volume, c.LSN), someFooter
		},
		"footer and no checkpoint":    func(c *Commit) { setFooter(c, CheckpointRef{}) },
		"footer and one before":       func(c *Commit) { setFooter(c, refOf(c.Volume, c.LSN-1)) },
		"footer and another volume's": func(c *Commit) { setFooter(c, refOf(otherVolume, c.LSN)) },
		"inline without frames": func(c *Commit) {
			setFooter(c, refOf(c.Volume, c.LSN))
			c.Segments[0].Inline = true
		},
		"inline and not pushed": func(c *Commit) { c.PushID, c.Segments[0].Inline = PushID{}, true },
		"two inline segments": func(c *Commit) {
			addSegment(c, 8)
			c.Segments[0].Inline, c.Segments[1].Inline = true, true
		},
		"inline frames of too many bytes": func(c *Commit) {
			addSegment(c, 8)
			c.Segments[1].Frames = FrameIndex{}
			c.Segments[1].Frames.add(MaxInline+frameUnit, 8)
			c.Segments[1].Inline = true
		},
		"kept since above kept":  func(c *Commit) { c.SinceKept = c.Kept + 1 },
		"a later checkpoint":     func(c *Commit) { c.Checkpoint = refOf(c.Volume, c.LSN+1) },
		"since above kept":       func(c *Commit) { c.PageCount, c.Since = 20, tableOfPages(3, 9) },
		"since its own page":     func(c *Commit) { c.Since = tableOfPages(3, 7) },
		"since its second own":   func(c *Commit) { addSegment(c, 8); c.Since = tableOfPages(8) },
		"since its own index":    func(c *Commit) { c.Checkpoint, c.Since = refOf(c.Volume, c.LSN), tableOfPages(3) },
		"since descends":         func(c *Commit) { c.Since = tableOfPages(4, 3) },
		"since twice":            func(c *Commit) { c.Since = tableOfPages(3, 3) },
		"since page 0":           func(c *Commit) { c.Since = tableOfPages(0) },
		"since in no frame":      func(c *Commit) { c.Since = NewPageTable([]PageAddress{{Idx: 3}}) },
		"since in no segment":    func(c *Commit) { c.Since = tableAt(Address{Offset: 8, Length: 128}) },
		"since of no volume":     func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment, LSN: 3}, 8, 128}) },
		"since of no LSN":        func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment, Volume: someVolume}, 8, 128}) },
		"since of two objects":   func(c *Commit) { c.Since = tableAt(Address{Source{someSegment, someVolume, 3, otherSegment}, 8, 128}) },
		"since of its own pack":  func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment, Pack: someSegment}, 8, 128}) },
		"since of no bytes":      func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment}, 8, 0}) },
		"since of half a unit":   func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment}, 8, 96}) },
		"since of a long frame":  func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment}, 8, 1 << 20}) },
		"since before the start": func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment}, -1, 128}) },
		"since beyond any file":  func(c *Commit) { c.Since = tableAt(Address{Source{Segment: someSegment}, 1<<62 + 1, 128}) },
		"ancestor of no volume":  func(c *Commit) { c.Ancestors = []Origin{{otherVolume, 3}, {VolumeID{}, 3}} },
		"ancestor of no LSN":     func(c *Commit) { c.Ancestors = []Origin{{otherVolume, 0}} },
		"checkpoint of no LSN":   func(c *Commit) { c.Checkpoint = refOf(otherVolume, 0) },
		"checkpoint, no volume":  func(c *Commit) { c.Checkpoint = refOf(VolumeID{}, 3) },
		"root of no bytes":       func(c *Commit) { c.Checkpoint = refOf(c.Volume, 3); c.Checkpoint.Length = 0 },
		"root of too many bytes": func(c *Commit) { c.Checkpoint = refOf(c.Volume, 3); c.Checkpoint.Length = MaxCheckpointRoot + 1 },
		"root before the start":  func(c *Commit) { c.Checkpoint = refOf(c.Volume, 3); c.Checkpoint.Offset = -1 },
		"local with a checkpoint": func(c *Commit) {
			c.PushID, c.Checkpoint = PushID{}, refOf(c.Volume, 3)
		},
		"local with half a checkpoint": func(c *Commit) { c.PushID, c.Checkpoint.Length = PushID{}, 1 },
		"local with pages since":       func(c *Commit) { c.PushID, c.Since = PushID{}, tableOfPages(3) },
		"local that kept since":        func(c *Commit) { c.PushID, c.SinceKept = PushID{}, 1 },
		"local with a pack":            func(c *Commit) { c.PushID, c.Pack = PushID{}, otherSegment },
		"local with an ancestor":       func(c *Commit) { c.PushID, c.Ancestors = PushID{}, []Origin{{otherVolume, 3}} },
	} {
		c := pushedCommit(t).Commit
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		breakIt(&c)
		if err := c.Validate(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Validate gives %v", name, err)
		}
		if rec, err := EncodeCommit(c); !errors.Is(err, ErrCorrupt) || rec.Bytes != nil {
			t.Errorf("%s: EncodeCommit gives %d bytes, %v", name, len(rec.Bytes), err)
		}
	}
	for name, change := range map[string]func(*Commit){
		"first LSN needs no parent":    func(c *Commit) { c.LSN, c.Parent = 1, Hash{} },
		"local commit needs no parent": func(c *Commit) { c.PushID, c.Parent = PushID{}, Hash{} },
		"empty volume":                 func(c *Commit) { c.PageCount, c.Kept, c.Segments = 0, 0, nil },
		"everything kept":              func(c *Commit) { c.Kept = c.PageCount },
		"footer and own checkpoint":    func(c *Commit) { setFooter(c, refOf(c.Volume, c.LSN)) },
		"checkpoint of the parent":     func(c *Commit) { c.Checkpoint, c.Since = refOf(c.Volume, c.LSN-1), tableOfPages(3, 8) },
		"another volume's, any LSN":    func(c *Commit) { c.Checkpoint, c.Since = refOf(otherVolume, c.LSN), tableOfPages(3) },
		"since and no checkpoint":      func(c *Commit) { c.Since, c.SinceKept = tableOfPages(3, 8), c.Kept },
		"fork at LSN 1":                func(c *Commit) { c.LSN, c.Ancestors = 1, []Origin{{otherVolume, 3}} },
		"two segments":                 func(c *Commit) { addSegment(c, 8) },
	} {
		c := pushedCommit(t).Commit
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// refOf names some checkpoint of commit l of v.
func refOf(v VolumeID, l LSN) CheckpointRef {
	return CheckpointRef{CheckpointKey: CheckpointKey{Volume: v, LSN: l, Random: [8]byte{7}}, Offset: 8, Length: 90, Sum: HashOf([]byte("root"))}
}

var someFooter = Footer{Offset: 8, Length: 9, Sum: HashOf(nil)}

func setFooter(c *Commit, ref CheckpointRef) {
	c.Checkpoint, c.Segments[0].Frames, c.Segments[0].Footer = ref, FrameIndex{}, someFooter
}

// addSegment adds a Segment of one page in one frame.
func addSegment(c *Commit, p PageIdx) {
	s := Segment{ID: otherSegment, Pages: PageSetOf(p)}
	s.Frames.add(64, p)
	c.Segments = append(c.Segments, s)
}

// tableOfPages gives a table of these pages, all in one frame.
func tableOfPages(pages ...PageIdx) PageTable {
	a := &Address{Source{Segment: otherSegment}, 8, 128}
	var entries []PageAddress
	for _, p := range pages {
		entries = append(entries, PageAddress{p, a})
	}
	return NewPageTable(entries)
}

// tableAt gives a table of page 3.
func tableAt(a Address) PageTable { return NewPageTable([]PageAddress{{3, &a}}) }

func TestDecodeCommitRefusesWhatBreaksAnInvariant(t *testing.T) {
	for name, breakIt := range map[string]func(*graftpb.Commit){
		"no volume":              func(m *graftpb.Commit) { m.Volume = nil },
		"volume of another kind": func(m *graftpb.Commit) { m.Volume = someSegment[:] },
		"short volume":           func(m *graftpb.Commit) { m.Volume = m.Volume[:15] },
		"LSN 0":                  func(m *graftpb.Commit) { m.Lsn = 0 },
		"kept above page count":  func(m *graftpb.Commit) { m.Kept = m.PageCount + 1 },
		"page above page count":  func(m *graftpb.Commit) { m.PageCount, m.Kept = 6, 0 },
		"pushed without parent":  func(m *graftpb.Commit) { m.ParentHash = nil },
		"zero parent at LSN 1":   func(m *graftpb.Commit) { m.Lsn, m.ParentHash = 1, make([]byte, 32) },
		"push id of zeros":       func(m *graftpb.Commit) { m.PushId = make([]byte, 16) },
		"empty checkpoint":       func(m *graftpb.Commit) { m.Checkpoint = &graftpb.Checkpoint{} },
		"checkpoint, no root":    func(m *graftpb.Commit) { m.Checkpoint = &graftpb.Checkpoint{Lsn: 3, Random: make([]byte, 8)} },
		"checkpoint of 9 random": func(m *graftpb.Commit) { m.Checkpoint = refMessage(); m.Checkpoint.Random = make([]byte, 9) },
		"checkpoint of a segment": func(m *graftpb.Commit) {
			m.Checkpoint = refMessage()
			m.Checkpoint.Volume = someSegment[:]
		},
		"checkpoint names home":  func(m *graftpb.Commit) { m.Checkpoint = refMessage(); m.Checkpoint.Volume = m.Volume },
		"root beyond any file":   func(m *graftpb.Commit) { m.Checkpoint = refMessage(); m.Checkpoint.Offset = 1<<62 + 1 },
		"root of a short hash":   func(m *graftpb.Commit) { m.Checkpoint = refMessage(); m.Checkpoint.Sha256 = make([]byte, 31) },
		"root of 4 GB":           func(m *graftpb.Commit) { m.Checkpoint = refMessage(); m.Checkpoint.Length = 1<<32 - 1 },
		"later checkpoint":       func(m *graftpb.Commit) { m.Checkpoint = refMessage(); m.Checkpoint.Lsn = 6 },
		"empty since":            func(m *graftpb.Commit) { m.Since = &graftpb.PageTable{} },
		"since its own page":     func(m *graftpb.Commit) { m.Since = tableOfPages(7).toProto(someVolume) },
		"kept since above kept":  func(m *graftpb.Commit) { m.SinceKept = m.Kept + 1 },
		"half a pack":            func(m *graftpb.Commit) { m.Pack = otherSegment[:8] },
		"pack of a volume":       func(m *graftpb.Commit) { m.Pack = otherVolume[:] },
		"empty ancestor":         func(m *graftpb.Commit) { m.Ancestors = []*graftpb.Origin{{}} },
		"ancestor of no LSN":     func(m *graftpb.Commit) { m.Ancestors = []*graftpb.Origin{{Volume: otherVolume[:]}} },
		"ancestor of a segment":  func(m *graftpb.Commit) { m.Ancestors = []*graftpb.Origin{{Volume: someSegment[:], Lsn: 1}} },
		"inline and no frames":   func(m *graftpb.Commit) { m.Segments[0].Inline = true },
		"zero parent":            func(m *graftpb.Commit) { m.ParentHash = make([]byte, 32) },
		"short parent":           func(m *graftpb.Commit) { m.ParentHash = m.ParentHash[:31] },
		"long parent":            func(m *graftpb.Commit) { m.ParentHash = append(m.ParentHash, 0) },
		"short push id":          func(m *graftpb.Commit) { m.PushId = m.PushId[:15] },
		"long push id":           func(m *graftpb.Commit) { m.PushId = append(m.PushId, 0) },
		"segment without id":     func(m *graftpb.Commit) { m.Segments[0].Id = nil },
		"segment id of a volume": func(m *graftpb.Commit) { m.Segments[0].Id = someVolume[:] },
		"segment without pages":  func(m *graftpb.Commit) { m.Segments[0].Pages = nil },
		"damaged pages":          func(m *graftpb.Commit) { m.Segments[0].Pages = []byte("pages") },
		"the same segment twice": func(m *graftpb.Commit) { m.Segments = append(m.Segments, m.Segments[0]) },
		"empty segment":          func(m *graftpb.Commit) { m.Segments = append(m.Segments, &graftpb.Segment{}) },
		"frames without a frame": func(m *graftpb.Commit) { m.Segments[0].Frames = &graftpb.FrameIndex{} },
		"more last pages":        func(m *graftpb.Commit) { x := m.Segments[0].Frames; x.LastPage = append(x.LastPage, 8) },
		"more lengths":           func(m *graftpb.Commit) { x := m.Segments[0].Frames; x.Length = append(x.Length, 80) },
		"short hashes":           func(m *graftpb.Commit) { x := m.Segments[0].Frames; x.Sha256 = x.Sha256[:31] },
		"frame of no bytes":      func(m *graftpb.Commit) { m.Segments[0].Frames.Length[0] = 0 },
		"frame of 4 GB":          func(m *graftpb.Commit) { m.Segments[0].Frames.Length[0] = 1<<32 - 1 },
		"frame of 1 GB":          func(m *graftpb.Commit) { m.Segments[0].Frames.Length[0] = 1 << 30 },
		"frame ends between":     func(m *graftpb.Commit) { m.Segments[0].Frames.LastPage[0] = 5 },
		"frame ends before":      func(m *graftpb.Commit) { m.Segments[0].Frames.LastPage[0] = 2 },
		"frames do not ascend":   func(m *graftpb.Commit) { twoFrames(m.Segments[0].Frames, 7, 2) },
		"frames end at one page": func(m *graftpb.Commit) { twoFrames(m.Segments[0].Frames, 7, 7) },
		"footer for more pages": func(m *graftpb.Commit) {
			m.PageCount, m.Segments[0].Footer = 100, footerMessage(8, 10, 32)
			var s PageSet
			for p := PageIdx(1); p <= 100; p++ {
				s.Add(p)
			}
			m.Segments[0].Pages, m.Segments[0].Frames = encodePageSet(t, s), nil
		},
		"footer of no bytes":     func(m *graftpb.Commit) { m.Segments[0].Footer = footerMessage(8, 0, 32) },
		"footer without hash":    func(m *graftpb.Commit) { m.Segments[0].Footer = footerMessage(8, 1, 0) },
		"footer of short hash":   func(m *graftpb.Commit) { m.Segments[0].Footer = footerMessage(8, 1, 31) },
		"footer beyond any file": func(m *graftpb.Commit) { m.Segments[0].Footer = footerMessage(1<<63, 1, 32) },
	} {
		m := commitMessage(t, pushedCommit(t))
		breakIt(m)
		if rec, err := DecodeCommit(sealMessage(t, KindCommit, m)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, rec.Commit, err)
		}
	}
}

// refMessage is a good checkpoint of LSN 3.
func refMessage() *graftpb.Checkpoint { return checkpointRefToProto(refOf(someVolume, 3), someVolume) }

func twoFrames(x *graftpb.FrameIndex, first, second uint32) {
	x.Length, x.LastPage = []uint32{10, 10}, []uint32{first, second}
}

func footerMessage(offset uint64, length uint32, hash int) *graftpb.Footer {
	return &graftpb.Footer{Offset: offset, Length: length, Sha256: bytes.Repeat([]byte{1}, hash)}
}

func TestDecodeCommitRefusesEveryDamage(t *testing.T) {
	good := pushedCommit(t).Bytes
	if _, err := DecodeCommit(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for _, flip := range []byte{1, 0x80, 0xff} {
			b := slices.Clone(good)
			b[i] ^= flip
			refused(t, b, "byte %d of %d flipped by %#x", i, len(good), flip)
		}
		refused(t, good[:i], "cut off at %d of %d bytes", i, len(good))
	}
	refused(t, append(slices.Clone(good), 0), "one byte too many")
}

func refused(t *testing.T, b []byte, format string, args ...any) {
	t.Helper()
	if _, err := DecodeCommit(b); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
		t.Errorf(format+": %v", append(args, err)...)
	}
}

func TestDecodeCommitRefusesTheUnknown(t *testing.T) {
	rec := pushedCommit(t)
	if _, err := DecodeCommit(seal(KindCommit, 2, rec.Bytes[envelopeSize:])); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
	m := commitMessage(t, rec)
	m.Features = []uint32{1}
	m.Volume = nil // what an unknown feature means to the rest is not known
	if _, err := DecodeCommit(sealMessage(t, KindCommit, m)); !errors.Is(err, ErrVersion) {
		t.Errorf("feature 1: %v", err)
	}
}

// fullSet gives a set of pages that takes n full containers, of 8 KiB each, and the
// page count for it.
func fullSet(n PageIdx) (pages PageSet, count PageCount) {
	for p := PageIdx(1); p < n<<16; p += 8 {
		pages.Add(p)
	}
	return pages, PageCount(n << 16)
}

func TestCommitSizeIsBounded(t *testing.T) {
	c := Commit{Volume: someVolume, LSN: 1, Time: time.Now()}
	over, count := fullSet(MaxPageSets/(8<<10) + 1)
	c.PageCount, c.Segments = count, []Segment{{ID: someSegment, Pages: over}}
	if rec, err := EncodeCommit(c); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record of %d bytes, %v", len(rec.Bytes), err)
	}
	if _, err := DecodeCommit(make([]byte, MaxCommitSize+1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record over the limit: %v", err)
	}
}

// What a local commit can be can be pushed.
func TestAPushHasRoomBesideItsPageSets(t *testing.T) {
	full, count := fullSet(MaxPageSets/(8<<10) - 1)
	for room := MaxPageSets - full.EncodedSize(); room >= 2; room = MaxPageSets - full.EncodedSize() {
		for range max(1, room/4) { // each takes two bytes, and few of them more
			count += 2
			full.Add(PageIdx(count))
		}
	}
	c := Commit{Volume: someVolume, LSN: 1 << 40, PageCount: count, Kept: count, Time: time.Now()}
	c.Segments = []Segment{{ID: someSegment, Pages: full}}
	if _, err := EncodeCommit(c); err != nil {
		t.Fatal(err)
	}
	c.Parent, c.PushID, c.SinceKept = HashOf(nil), NewPushID(), count
	c.Segments[0].Footer = Footer{Offset: 1 << 40, Length: 1 << 30, Sum: HashOf(nil)}
	c.Checkpoint = CheckpointRef{CheckpointKey: NewCheckpointKey(c.Volume, c.LSN), Offset: 1 << 40, Length: 1 << 20, Sum: HashOf(nil)}
	for range 1000 {
		c.Ancestors = append(c.Ancestors, Origin{NewVolumeID(), 1 << 40})
	}
	rec, err := EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeCommit(rec.Bytes); err != nil || !got.Commit.Segments[0].Pages.Equal(full) {
		t.Errorf("read back: %v", err)
	}
}

func TestPushIDIsDrawnEachTime(t *testing.T) {
	a, b := NewPushID(), NewPushID()
	if a == b || a.IsZero() || !(PushID{}).IsZero() {
		t.Errorf("%s and %s", a, b)
	}
	if got, want := (PushID{0xab}).String(), "ab000000000000000000000000000000"; got != want {
		t.Errorf("text %s, want %s", got, want)
	}
}

func FuzzDecodeCommit(f *testing.F) {
	add := func(c Commit, e Embedded) {
		rec, err := EncodeEmbedding(c, e)
		if err != nil {
			f.Fatal(err)
		}
		_, record, err := cutEmbedded(rec.Bytes)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.Frames, e.Checkpoint, record[envelopeSize:])
	}
	pushed := pushedCommit(f).Commit
	add(pushed, Embedded{})
	local := pushed
	local.PushID, local.Parent, local.Segments = PushID{}, Hash{}, []Segment{{ID: someSegment, Pages: PageSetOf(3)}}
	add(local, Embedded{})
	packing := pushed
	packing.Pack, packing.Since = somePack, tableAt(Address{Source{Segment: otherSegment, Pack: somePack}, 8, 128})
	add(packing, Embedded{})
	footer := pushed
	footer.Segments = slices.Clone(pushed.Segments)
	setFooter(&footer, refOf(pushed.Volume, pushed.LSN))
	add(footer, Embedded{})
	c, frames := inlineCommit(f)
	add(c, Embedded{Frames: frames})
	add(embeddingCommit(f))
	f.Fuzz(func(t *testing.T, frames, checkpoint, payload []byte) {
		object, e := seal(KindCommit, formatVersion, payload), Embedded{frames, checkpoint}
		if e.size() > 0 {
			object = append(e.prefix(), object...)
		}
		for _, b := range [][]byte{frames, payload, object} {
			if _, err := DecodeCommit(b); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("another error: %v", err)
			}
		}
		rec, err := DecodeCommit(object)
		if err != nil {
			return
		}
		if err := rec.Commit.Validate(); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		if err := embeddedError(rec); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("another error: %v", err)
		}
		again, err := EncodeEmbedding(rec.Commit, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeCommit(again.Bytes); err != nil || !equalCommits(back.Commit, rec.Commit) {
			t.Fatalf("read back as\n%+v, %v, wrote\n%+v", back.Commit, err, rec.Commit)
		}
		// Page sets alone have more than one encoding.
		var was, is graftpb.Commit
		known(t, payload, &was)
		for i, s := range rec.Commit.Segments {
			was.Segments[i].Pages = encodePageSet(t, s.Pages)
		}
		_, record, err := cutEmbedded(again.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		known(t, record[envelopeSize:], &is)
		if !proto.Equal(&was, &is) {
			t.Fatalf("encodes again as\n%v, was\n%v", &is, &was)
		}
		if own, ok := rec.Commit.Own(); ok && own.Len() != rec.Commit.Pages().Len() {
			t.Fatalf("addresses of %d pages of %d", own.Len(), rec.Commit.Pages().Len())
		}
	})
}

// known reads the fields of a message that graft knows.
func known(tb testing.TB, payload []byte, m proto.Message) {
	tb.Helper()
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(payload, m); err != nil {
		tb.Fatal(err)
	}
}

func TestDecodeCommitRefusesAFrameOfMorePages(t *testing.T) {
	m := commitMessage(t, pushedCommit(t))
	var s PageSet
	for p := PageIdx(1); p <= 17; p++ {
		s.Add(p)
	}
	m.PageCount, m.Segments[0].Pages = 17, encodePageSet(t, s)
	m.Segments[0].Frames.LastPage[0] = 17
	if rec, err := DecodeCommit(sealMessage(t, KindCommit, m)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("one frame of 17 pages: %+v, %v", rec.Commit, err)
	}
}
