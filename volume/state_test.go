package volume

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

func TestGraftStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := GraftState{
			Local:  drawVolumeID(t),
			Remote: drawVolumeID(t),
			SyncPoint: SyncPoint{
				Remote: LSN(rapid.Uint64().Draw(t, "remote")),
				Local:  LSN(rapid.Uint64().Draw(t, "local")),
			},
		}
		if rapid.Bool().Draw(t, "pending") {
			rec, err := EncodeEmbedding(drawCommit(t))
			if err != nil {
				t.Fatal(err)
			}
			g.Remote = rec.Commit.Volume
			g.Pending = &Pending{Record: rec, Local: LSN(rapid.Uint64().Draw(t, "pending local"))}
		}
		if rapid.Bool().Draw(t, "fork") {
			g.Parent, g.ParentLSN = drawVolumeID(t), LSN(rapid.Uint64Min(1).Draw(t, "parent LSN"))
		}
		if rapid.Bool().Draw(t, "base") {
			g.Base = drawHash(t)
		}
		b, err := EncodeGraftState(g)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeGraftState(g.Local, b)
		if err != nil || !equalGraftStates(got, g) {
			t.Fatalf("read back as\n%+v, %v, wrote\n%+v", got, err, g)
		}
	})
}

func TestSegmentStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := SegmentState{
			Volume:  drawVolumeID(t),
			LSN:     LSN(rapid.Uint64().Draw(t, "LSN")),
			Segment: drawSegment(t, drawPageSet(t), true, true),
		}
		if s.Segment.Frames.Len() == 0 && rapid.Bool().Draw(t, "footer was read") {
			s.Segment.Frames = drawFrames(t, s.Segment.Pages)
		}
		s.Segment.Inline = rapid.Bool().Draw(t, "inline")
		for range rapid.IntRange(0, 3).Draw(t, "aliases") {
			s.Aliases = append(s.Aliases, Alias{Segment: drawSegmentID(t), Pages: drawPageSet(t)})
		}
		b, err := EncodeSegmentState(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeSegmentState(b)
		if err != nil || !equalSegmentStates(got, s) {
			t.Fatalf("read back as\n%+v, %v, wrote\n%+v", got, err, s)
		}
	})
}

func someGraftState(tb testing.TB) GraftState {
	return GraftState{
		Local: otherVolume, Remote: someVolume, SyncPoint: SyncPoint{Remote: 4, Local: 9},
		Pending: &Pending{Record: pushedCommit(tb), Local: 11},
		Parent:  otherVolume, ParentLSN: 3, Base: HashOf([]byte("a commit")),
	}
}

func someSegmentState(tb testing.TB) SegmentState {
	return SegmentState{
		Volume: otherVolume, LSN: 5, Segment: pushedCommit(tb).Commit.Segments[0],
		Aliases: []Alias{{Segment: otherSegment, Pages: PageSetOf(1, 7)}},
	}
}

func TestStatesRefuseEveryDamage(t *testing.T) {
	graft, err := EncodeGraftState(someGraftState(t))
	if err != nil {
		t.Fatal(err)
	}
	segment, err := EncodeSegmentState(someSegmentState(t))
	if err != nil {
		t.Fatal(err)
	}
	applied, err := EncodeApplied(Applied{Sequence: 300, Clean: true})
	if err != nil {
		t.Fatal(err)
	}
	index, err := EncodeIndex(someIndex)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := EncodeLeaf(someLeaf())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		good   []byte
		decode func([]byte) error
	}{
		"applied": {applied, func(b []byte) error { _, err := DecodeApplied(b); return err }},
		"index":   {index, func(b []byte) error { _, err := DecodeIndex(b); return err }},
		"leaf":    {leaf, func(b []byte) error { _, err := DecodeLeaf(b); return err }},
		"graft":   {graft, func(b []byte) error { _, err := DecodeGraftState(otherVolume, b); return err }},
		"segment": {segment, func(b []byte) error { _, err := DecodeSegmentState(b); return err }},
	} {
		if err := c.decode(c.good); err != nil {
			t.Fatal(err)
		}
		for i := range c.good {
			b := slices.Clone(c.good)
			b[i] ^= 0x41
			if err := c.decode(b); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Errorf("%s: byte %d of %d flipped: %v", name, i, len(b), err)
			}
			if err := c.decode(c.good[:i]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: cut off at %d of %d bytes: %v", name, i, len(b), err)
			}
		}
		if err := c.decode(seal(Kind(c.good[4]), 2, c.good[envelopeSize:])); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: version 2: %v", name, err)
		}
	}
	if _, err := DecodeSegmentState(graft); !errors.Is(err, ErrCorrupt) {
		t.Errorf("graft as segment: %v", err)
	}
	if _, err := DecodeGraftState(someVolume, segment); !errors.Is(err, ErrCorrupt) {
		t.Errorf("segment as graft: %v", err)
	}
}

func TestDecodeGraftStateRefusesWhatCannotBe(t *testing.T) {
	for name, m := range map[string]*graftpb.Graft{
		"no remote":            {},
		"remote of a segment":  {Remote: someSegment[:]},
		"pending without one":  {Remote: otherVolume[:], Pending: &graftpb.Pending{Local: 1}},
		"pending of old bytes": {Remote: otherVolume[:], Pending: &graftpb.Pending{Record: []byte("GRFT")}},
		"parent without LSN":   {Remote: otherVolume[:], Parent: someVolume[:]},
		"LSN without parent":   {Remote: otherVolume[:], ParentLsn: 1},
		"parent of a segment":  {Remote: otherVolume[:], Parent: someSegment[:], ParentLsn: 1},
		"short base":           {Remote: otherVolume[:], Base: make([]byte, 31)},
		"short parent":         {Remote: otherVolume[:], Parent: someVolume[:15], ParentLsn: 1},
	} {
		if g, err := DecodeGraftState(someVolume, sealMessage(t, KindGraft, m)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
	newer := commitMessage(t, pushedCommit(t))
	newer.Features = []uint32{7}
	m := &graftpb.Graft{Remote: otherVolume[:], Pending: &graftpb.Pending{Record: sealMessage(t, KindCommit, newer)}}
	if g, err := DecodeGraftState(someVolume, sealMessage(t, KindGraft, m)); !errors.Is(err, ErrVersion) {
		t.Errorf("pending of a newer version: %+v, %v", g, err)
	}
}

func TestEncodeGraftStateRefusesHalfAParent(t *testing.T) {
	for _, g := range []GraftState{{Remote: someVolume, Parent: otherVolume}, {Remote: someVolume, ParentLSN: 1}} {
		if b, err := EncodeGraftState(g); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%+v: %x, %v", g, b, err)
		}
	}
}

func TestAppliedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Applied{
			Sequence: rapid.Uint64().Draw(t, "sequence"),
			Clean:    rapid.Bool().Draw(t, "clean"),
			Garbage:  rapid.Uint64().Draw(t, "garbage"),
		}
		b, err := EncodeApplied(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeApplied(b); err != nil || got != a {
			t.Fatalf("read back as %+v, %v, wrote %+v", got, err, a)
		}
	})
}

func TestDecodeSegmentStateRefusesWhatCannotBe(t *testing.T) {
	segment := func() *graftpb.Segment { return commitMessage(t, pushedCommit(t)).Segments[0] }
	noFrames := segment()
	noFrames.Frames = &graftpb.FrameIndex{}
	for name, m := range map[string]*graftpb.SegmentState{
		"nothing":           {},
		"no volume":         {Lsn: 1, Segment: segment()},
		"no segment":        {Volume: someVolume[:], Lsn: 1},
		"segment of no id":  {Volume: someVolume[:], Segment: &graftpb.Segment{}},
		"frames of nothing": {Volume: someVolume[:], Segment: noFrames},
		"alias of no id":    {Volume: someVolume[:], Segment: segment(), Aliases: []*graftpb.Alias{{}}},
		"damaged alias":     {Volume: someVolume[:], Segment: segment(), Aliases: []*graftpb.Alias{{Segment: otherSegment[:], Pages: []byte{1}}}},
	} {
		if s, err := DecodeSegmentState(sealMessage(t, KindSegmentState, m)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func FuzzDecodeGraftState(f *testing.F) {
	for _, g := range []GraftState{someGraftState(f), {Remote: otherVolume}} {
		b, err := EncodeGraftState(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[envelopeSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := DecodeGraftState(someVolume, payload); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("another error: %v", err)
		}
		g, err := DecodeGraftState(someVolume, seal(KindGraft, formatVersion, payload))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		b, err := EncodeGraftState(g)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeGraftState(someVolume, b); err != nil || !equalGraftStates(back, g) {
			t.Fatalf("read back as\n%+v, %v, wrote\n%+v", back, err, g)
		}
	})
}

func FuzzDecodeSegmentState(f *testing.F) {
	b, err := EncodeSegmentState(someSegmentState(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[envelopeSize:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := DecodeSegmentState(payload); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("another error: %v", err)
		}
		s, err := DecodeSegmentState(seal(KindSegmentState, formatVersion, payload))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		if n := s.Segment.Frames.Len(); n*len(Hash{}) > len(payload) {
			t.Fatalf("%d frames from %d bytes", n, len(payload))
		}
		b, err := EncodeSegmentState(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeSegmentState(b); err != nil || !equalSegmentStates(back, s) {
			t.Fatalf("read back as\n%+v, %v, wrote\n%+v", back, err, s)
		}
	})
}

func FuzzDecodeApplied(f *testing.F) {
	for _, clean := range []bool{false, true} {
		b, err := EncodeApplied(Applied{Sequence: 300, Clean: clean, Garbage: 7})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[envelopeSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := DecodeApplied(seal(KindApplied, formatVersion, payload))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		b, err := EncodeApplied(a)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeApplied(b); err != nil || back != a {
			t.Fatalf("read back as %+v, %v, wrote %+v", back, err, a)
		}
	})
}
