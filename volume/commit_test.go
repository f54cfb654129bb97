package volume

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

func TestCommitRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCommit(t)
		rec, err := EncodeCommit(c)
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
		again, err := EncodeCommit(got.Commit)
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
		"a page in two segments": func(c *Commit) { c.Segments = append(c.Segments, Segment{ID: otherSegment, Pages: PageSetOf(2)}) },
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
	} {
		c := pushedCommit(t).Commit
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeCommitRefusesWhatBreaksAnInvariant(t *testing.T) {
	for name, breakIt := range map[string]func(*graftpb.Commit){
		"no volume":              func(m *graftpb.Commit) { m.Volume = nil },
		"volume of another kind": func(m *graftpb.Commit) { m.Volume = someSegment[:] },
		"short volume":           func(m *graftpb.Commit) { m.Volume = m.Volume[:15] },
		"LSN 0":                  func(m *graftpb.Commit) { m.Lsn = 0 },
		"kept above page count":  func(m *graftpb.Commit) { m.Kept = m.PageCount + 1 },
		"page above page count":  func(m *graftpb.Commit) { m.PageCount, m.Kept = 6, 0 },
		"pushed without parent":  func(m *graftpb.Commit) { m.ParentHash = nil },
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
		"more lengths":           func(m *graftpb.Commit) { x := m.Segments[0].Frames; x.Length = append(x.Length, 8) },
		"short hashes":           func(m *graftpb.Commit) { x := m.Segments[0].Frames; x.Sha256 = x.Sha256[:31] },
		"frame of no bytes":      func(m *graftpb.Commit) { m.Segments[0].Frames.Length[0] = 0 },
		"frame of 1 GB":          func(m *graftpb.Commit) { m.Segments[0].Frames.Length[0] = 1 << 30 },
		"frame ends between":     func(m *graftpb.Commit) { m.Segments[0].Frames.LastPage[0] = 5 },
		"frame ends before":      func(m *graftpb.Commit) { m.Segments[0].Frames.LastPage[0] = 2 },
		"frames do not ascend":   func(m *graftpb.Commit) { twoFrames(m.Segments[0].Frames, 7, 2) },
		"frames end at one page": func(m *graftpb.Commit) { twoFrames(m.Segments[0].Frames, 7, 7) },
		"footer for more pages": func(m *graftpb.Commit) {
			m.PageCount, m.Segments[0].Footer = 100, footerMessage(8, 100, 32)
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

func twoFrames(x *graftpb.FrameIndex, first, second uint32) {
	x.Length, x.LastPage = []uint32{10, 10}, []uint32{first, second}
	x.Sha256 = append(x.Sha256, x.Sha256...)
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

func TestCommitSizeIsBounded(t *testing.T) {
	c := Commit{Volume: someVolume, LSN: 1, PageCount: 1 << 30, Time: time.Now()}
	var pages PageSet
	for p := PageIdx(1); p < 70<<16; p += 1 << 3 { // bitmaps of 8 KiB, more than 32 of them
		pages.Add(p)
	}
	c.Segments = []Segment{{ID: someSegment, Pages: pages}}
	if rec, err := EncodeCommit(c); err == nil {
		t.Errorf("a record of %d bytes", len(rec.Bytes))
	}
	if _, err := DecodeCommit(make([]byte, MaxCommitSize+1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a record over the limit: %v", err)
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
	rec := pushedCommit(f)
	f.Add(rec.Bytes[envelopeSize:])
	local := rec.Commit
	local.PushID, local.Parent, local.Segments = PushID{}, Hash{}, []Segment{{ID: someSegment, Pages: PageSetOf(3)}}
	footer := rec.Commit
	footer.Segments = []Segment{{ID: someSegment, Pages: PageSetOf(3), Footer: Footer{Offset: 8, Length: 9, Sum: HashOf(nil)}}}
	for _, c := range []Commit{local, footer} {
		rec, err := EncodeCommit(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(rec.Bytes[envelopeSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := DecodeCommit(payload); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("another error: %v", err)
		}
		rec, err := DecodeCommit(seal(KindCommit, formatVersion, payload))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		if err := rec.Commit.Validate(); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		again, err := EncodeCommit(rec.Commit)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeCommit(again.Bytes)
		if err != nil || !equalCommits(back.Commit, rec.Commit) {
			t.Fatalf("read back as\n%+v, %v, wrote\n%+v", back.Commit, err, rec.Commit)
		}
	})
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
