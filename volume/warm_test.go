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

func TestWarmKeysSortNewestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() WarmKey {
			return WarmKey{someVolume, LSN(rapid.Uint64Min(1).Draw(t, "LSN")), drawHash(t)}
		}
		a, b := draw(), draw()
		if (a.LSN > b.LSN) != (a.Key() < b.Key()) && a.LSN != b.LSN || (a == b) != (a.Key() == b.Key()) {
			t.Fatalf("%s and %s", a.Key(), b.Key())
		}
		if back, err := ParseWarmKey(someVolume, a.Key()); err != nil || back != a {
			t.Fatalf("%s is read as %+v, %v", a.Key(), back, err)
		}
	})
	good := WarmKey{someVolume, 5, HashOf(nil)}.Key()
	for _, key := range []string{"", WarmPrefix(someVolume), good[1:], good + "0", good[:len(good)-2], WarmPrefix(someVolume) + "-", "x" + good,
		WarmKey{someVolume, 0, HashOf(nil)}.Key(), CommitKey(someVolume, 5)} {
		if k, err := ParseWarmKey(someVolume, key); err == nil {
			t.Errorf("%q is read as %+v", key, k)
		}
	}
}

func someWarm(t testing.TB) (*WarmSet, WarmKey, []byte) {
	t.Helper()
	s := &WarmSet{Volume: someVolume, LSN: 7, Objects: [][]byte{bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{2}, 30)}}
	for i := range 40 {
		id := someSegment
		if i%3 == 0 {
			id = otherSegment
		}
		s.Pages = append(s.Pages, BundledPage{PageEntry{PageIdx(10*i + 1), textPage(uint64(i))}, id})
	}
	key, b, err := EncodeWarm(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, key, b
}

func equalWarm(a, b *WarmSet) bool {
	return a.Volume == b.Volume && a.LSN == b.LSN && equalBundles(a.Pages, b.Pages) && slices.EqualFunc(a.Objects, b.Objects, bytes.Equal)
}

func TestWarmSetRoundTrip(t *testing.T) {
	s, key, b := someWarm(t)
	back, err := DecodeWarm(key, b)
	if err != nil || !equalWarm(s, back) {
		t.Fatalf("%+v, %v", back, err)
	}
	empty, b, err := EncodeWarm(&WarmSet{Volume: someVolume, LSN: 1})
	if err != nil {
		t.Fatal(err)
	}
	if back, err = DecodeWarm(empty, b); err != nil || len(back.Pages)+len(back.Objects) > 0 {
		t.Fatalf("%+v, %v", back, err)
	}
}

// Every byte is covered by the SHA-256 in the key, and by the checksum of the
// record, for who has no key.
func TestEveryDamagedByteOfAWarmSetIsFound(t *testing.T) {
	_, key, b := someWarm(t)
	for i := 0; i < len(b); i += 7 {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if _, err := DecodeWarm(key, bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
		named := key
		named.Sum = HashOf(bad)
		if _, err := DecodeWarm(named, bad); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("byte %d, in a key that fits: %v", i, err)
		}
	}
	if _, err := DecodeWarm(key, b[:len(b)-1]); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestDecodeWarmRefuses(t *testing.T) {
	for name, change := range map[string]func(m *graftpb.WarmSet){
		"another volume":       func(m *graftpb.WarmSet) { m.Volume = otherVolume[:] },
		"another LSN":          func(m *graftpb.WarmSet) { m.Lsn++ },
		"an object too long":   func(m *graftpb.WarmSet) { m.ObjectLength[1]++ },
		"bytes behind objects": func(m *graftpb.WarmSet) { m.ObjectLength[1]-- },
		"an empty object":      func(m *graftpb.WarmSet) { m.ObjectLength = append(m.ObjectLength, 0) },
		"a frame too long":     func(m *graftpb.WarmSet) { m.FrameLength[2] += 100000 },
		"bytes behind frames":  func(m *graftpb.WarmSet) { m.Frames = append(m.Frames, 1) },
		"frames that descend":  func(m *graftpb.WarmSet) { m.FrameLength[0] += m.FrameLength[1] },
		"a segment too few":    func(m *graftpb.WarmSet) { m.PageSegment = m.PageSegment[1:] },
		"a segment too many":   func(m *graftpb.WarmSet) { m.PageSegment = append(m.PageSegment, 0) },
		"a segment unknown":    func(m *graftpb.WarmSet) { m.PageSegment[3] = 2 },
		"a segment unused":     func(m *graftpb.WarmSet) { m.Segments = append(m.Segments, unusedSegment()...) },
		"a segment twice":      func(m *graftpb.WarmSet) { m.Segments = append(m.Segments, m.Segments[:gidSize]...) },
		"half a segment":       func(m *graftpb.WarmSet) { m.Segments = m.Segments[1:] },
		"no segments":          func(m *graftpb.WarmSet) { m.Segments = nil },
		"a frame twice": func(m *graftpb.WarmSet) {
			m.FrameLength[1] = m.FrameLength[0]
			m.Frames = slices.Concat(m.Frames[:m.FrameLength[0]], m.Frames)
		},
		"a frame that is no LZ4": func(m *graftpb.WarmSet) { m.Frames[0] ^= 0xff },
	} {
		_, _, b := someWarm(t)
		var m graftpb.WarmSet
		if err := DecodeRecord(KindWarmSet, b, &m); err != nil {
			t.Fatal(err)
		}
		change(&m)
		b, err := EncodeRecord(KindWarmSet, &m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeWarm(WarmKey{someVolume, 7, HashOf(b)}, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := EncodeRecord(KindWarmSet, &graftpb.WarmSet{Volume: someVolume[:], Lsn: 7, Features: []uint32{3}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeWarm(WarmKey{someVolume, 7, HashOf(b)}, b); !errors.Is(err, ErrVersion) {
		t.Errorf("an unknown feature: %v", err)
	}
}

// unusedSegment gives a SegmentID that nobody has.
func unusedSegment() []byte { id := NewSegmentID(); return id[:] }

func TestAWarmSetKeepsItsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.Int64Range(0, 200_000).Draw(t, "budget")
		w := NewWarmBuilder(someVolume, 7, budget)
		random := rapid.Bool().Draw(t, "random pages")
		n := rapid.IntRange(0, 60).Draw(t, "pages")
		added := 0
		for i := n; i > 0; i-- {
			page := textPage(uint64(i))
			if random {
				for j := 0; j < len(page); j += len(Hash{}) {
					h := HashOf([]byte{byte(i), byte(j), byte(j >> 8)})
					copy(page[j:], h[:])
				}
			}
			if w.Add(BundledPage{PageEntry{PageIdx(i), page}, someSegment}, page[:100]) {
				added++
			}
		}
		s := w.Set()
		_, b, err := EncodeWarm(s)
		if err != nil || len(s.Pages) != added || int64(len(b)) > max(budget, warmOverhead) {
			t.Fatalf("%d of %d pages in %d bytes of %d: %v", len(s.Pages), added, len(b), budget, err)
		}
	})
}

func FuzzDecodeWarm(f *testing.F) {
	_, _, b := someWarm(f)
	f.Add(b[envelopeSize:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := seal(KindWarmSet, formatVersion, payload)
		var m graftpb.WarmSet
		if proto.Unmarshal(payload, &m) != nil {
			return
		}
		k := WarmKey{someVolume, LSN(m.Lsn), HashOf(b)}
		s, err := DecodeWarm(k, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) || s != nil {
				t.Fatalf("%+v and another error: %v", s, err)
			}
			return
		}
		if len(s.Pages) > maxWarmPages || len(s.Pages)*16 > len(payload) {
			t.Fatalf("%d pages from %d bytes", len(s.Pages), len(payload))
		}
		key, again, err := EncodeWarm(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeWarm(key, again); err != nil || !equalWarm(s, back) {
			t.Fatalf("%+v, %v", back, err)
		}
	})
}
