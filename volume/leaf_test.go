package volume

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

// someLeaf has two Segments and pages of none.
func someLeaf() *Leaf {
	return &Leaf{1: otherSegment, 2: someSegment, 3: someSegment, 200: otherSegment}
}

func TestLeafRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := make([]SegmentID, rapid.IntRange(1, LeafPages).Draw(t, "segments"))
		for i := range ids[1:] {
			ids[i+1] = drawSegmentID(t)
		}
		var l Leaf
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, len(ids)-1), LeafPages, LeafPages).Draw(t, "refs") {
			l[i] = ids[n]
		}
		b, err := EncodeLeaf(&l)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeLeaf(b); err != nil || *got != l {
			t.Fatalf("read back as\n%v, %v, wrote\n%v", got, err, l)
		}
	})
}

func TestLeafOfAsManySegmentsAsPages(t *testing.T) {
	var l Leaf
	for i := range l {
		l[i] = NewSegmentID()
	}
	for _, l := range []*Leaf{&l, {}} {
		b, err := EncodeLeaf(l)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeLeaf(b); err != nil || *got != *l {
			t.Errorf("read back as %v, %v", got, err)
		}
	}
}

func TestEncodeLeafNumbersSegmentsByFirstUse(t *testing.T) {
	b, err := EncodeLeaf(someLeaf())
	if err != nil {
		t.Fatal(err)
	}
	refs := make([]uint32, LeafPages)
	refs[1], refs[2], refs[3], refs[200] = 1, 2, 2, 1
	want := sealMessage(t, KindLeaf, &graftpb.Leaf{Segments: slices.Concat(otherSegment[:], someSegment[:]), Refs: refs})
	if !bytes.Equal(b, want) {
		t.Errorf("got %x, want %x", b, want)
	}
	if b, err := EncodeLeaf(&Leaf{5: SegmentID(someVolume)}); err == nil {
		t.Errorf("a leaf with the id of a volume: %x", b)
	}
}

func TestDecodeLeafRefusesWhatCannotBe(t *testing.T) {
	refs := func(first ...uint32) []uint32 { return append(first, make([]uint32, LeafPages-len(first))...) }
	both := slices.Concat(someSegment[:], otherSegment[:])
	if l, err := DecodeLeaf(sealMessage(t, KindLeaf, &graftpb.Leaf{Segments: both, Refs: refs(1, 0, 2, 1)})); err != nil {
		t.Fatalf("a good leaf: %v, %v", l, err)
	}
	for name, m := range map[string]*graftpb.Leaf{
		"nothing":               {},
		"a ref too few":         {Segments: someSegment[:], Refs: refs(1)[:LeafPages-1]},
		"a ref too many":        {Segments: someSegment[:], Refs: append(refs(1), 0)},
		"half a segment":        {Segments: both[:24], Refs: refs(1)},
		"a byte too many":       {Segments: append(slices.Clone(both), 0), Refs: refs(1, 2)},
		"a volume":              {Segments: someVolume[:], Refs: refs(1)},
		"zeros":                 {Segments: make([]byte, gidSize), Refs: refs(1)},
		"a segment twice":       {Segments: slices.Concat(both, someSegment[:]), Refs: refs(1, 2, 3)},
		"a segment unused":      {Segments: both, Refs: refs(1)},
		"no segment":            {Refs: refs(1)},
		"a ref above":           {Segments: both, Refs: refs(1, 2, 3)},
		"the highest ref":       {Segments: both, Refs: refs(1, 2, 1<<32-1)},
		"segments out of order": {Segments: both, Refs: refs(2, 1)},
		"more than can be":      {Segments: make([]byte, (LeafPages+1)*gidSize), Refs: refs()},
	} {
		if l, err := DecodeLeaf(sealMessage(t, KindLeaf, m)); !errors.Is(err, ErrCorrupt) || l != nil {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

func TestLeafOfIsWhereAPageLies(t *testing.T) {
	for p, want := range map[PageIdx]LeafIdx{1: 0, LeafPages: 0, LeafPages + 1: 1, 2*LeafPages + 1: 2, 1<<32 - 1: 1<<24 - 1} {
		if got := LeafOf(p); got != want {
			t.Errorf("page %d is in leaf %d, want %d", p, got, want)
		}
	}
}

func TestLeafIdxParsesItsText(t *testing.T) {
	for _, n := range []LeafIdx{0, 7, 1<<24 - 1} {
		if got, err := ParseLeafIdx(n.String()); got != n || err != nil {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
	for _, text := range []string{"", "-1", "x", "1.5", "16777216", "4294967296"} {
		if n, err := ParseLeafIdx(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
}

func FuzzDecodeLeaf(f *testing.F) {
	for _, l := range []*Leaf{{}, someLeaf()} {
		b, err := EncodeLeaf(l)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[envelopeSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		sealed := seal(KindLeaf, formatVersion, payload)
		l, err := DecodeLeaf(sealed)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		b, err := EncodeLeaf(l)
		if err != nil {
			t.Fatal(err)
		}
		var m, again graftpb.Leaf
		if err := errors.Join(DecodeRecord(KindLeaf, sealed, &m), DecodeRecord(KindLeaf, b, &again)); err != nil {
			t.Fatal(err)
		}
		m.ProtoReflect().SetUnknown(nil)
		if !proto.Equal(&m, &again) {
			t.Fatalf("encodes again as\n%v, was\n%v", &again, &m)
		}
	})
}
