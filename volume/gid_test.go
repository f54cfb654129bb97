package volume

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/mr-tron/base58"
	"pgregory.net/rapid"
)

func TestGIDTextNamesKindAndParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, s := drawVolumeID(t), drawSegmentID(t)
		if text := v.String(); len(text) != 22 || text[0] != 'V' {
			t.Fatalf("volume id %x has text %q", v[:], text)
		}
		if text := s.String(); len(text) != 22 || text[0] != 'S' {
			t.Fatalf("segment id %x has text %q", s[:], text)
		}
		if got, err := ParseVolumeID(v.String()); got != v || err != nil {
			t.Fatalf("parse %s: %s, %v", v, got, err)
		}
		if got, err := ParseSegmentID(s.String()); got != s || err != nil {
			t.Fatalf("parse %s: %s, %v", s, got, err)
		}
		if got, err := VolumeIDFromBytes(v[:]); got != v || err != nil {
			t.Fatalf("from bytes %x: %s, %v", v[:], got, err)
		}
		if got, err := SegmentIDFromBytes(s[:]); got != s || err != nil {
			t.Fatalf("from bytes %x: %s, %v", s[:], got, err)
		}
	})
}

func TestGIDSortsAsItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSegmentID(t), drawSegmentID(t)
		if rapid.Bool().Draw(t, "same millisecond") {
			copy(b[:8], a[:8])
		}
		want := a.Time().Compare(b.Time())
		if want == 0 {
			want = cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:]))
		}
		if got := strings.Compare(a.String(), b.String()); got != want {
			t.Fatalf("texts %s and %s compare as %d, want %d", a, b, got, want)
		}
		if got := bytes.Compare(a[:], b[:]); got != want {
			t.Fatalf("bytes of %s and %s compare as %d, want %d", a, b, got, want)
		}
	})
}

func TestNewGIDIsOfNowAndUnique(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	v, s := NewVolumeID(), NewSegmentID()
	after := time.Now()
	for _, at := range []time.Time{v.Time(), s.Time()} {
		if at.Before(before) || at.After(after) {
			t.Errorf("drawn between %s and %s, but says %s", before, after, at)
		}
	}
	if v.IsZero() || s.IsZero() || !(VolumeID{}).IsZero() || !(SegmentID{}).IsZero() {
		t.Error("IsZero is wrong")
	}
	if v == NewVolumeID() || s == NewSegmentID() {
		t.Error("drawn twice")
	}
	if got, want := s.Key(), "segments/"+s.String(); got != want {
		t.Errorf("key %s, want %s", got, want)
	}
}

func TestParseGIDRefusesWhatIsNone(t *testing.T) {
	v, s := someVolume.String(), someSegment.String()
	tamper := func(i int, b byte) string {
		id := someVolume
		id[i] = b
		return base58.Encode(id[:])
	}
	for name, text := range map[string]string{
		"empty":                    "",
		"short":                    v[:21],
		"long":                     v + "1",
		"of the other kind":        s,
		"zero":                     strings.Repeat("1", 22),
		"over 16 bytes":            strings.Repeat("z", 22),
		"not base58: 0":            "V" + strings.Repeat("0", 21),
		"not base58: l":            v[:21] + "l",
		"not base58: space":        v[:21] + " ",
		"not ASCII":                v[:20] + "ü",
		"first prefix is another":  tamper(0, volumePrefix+1),
		"second prefix is another": tamper(7, volumePrefix+1),
		"lower case":               strings.ToLower(v),
	} {
		if id, err := ParseVolumeID(text); err == nil || !id.IsZero() {
			t.Errorf("%s: %q gives %s, %v", name, text, id, err)
		}
	}
	if id, err := ParseSegmentID(v); err == nil || !id.IsZero() {
		t.Errorf("volume id gives segment %s, %v", id, err)
	}
	for name, b := range map[string][]byte{
		"nil": nil, "short": someVolume[:15], "long": append(someVolume[:], 0), "zero": make([]byte, 16), "of the other kind": someSegment[:],
	} {
		if id, err := VolumeIDFromBytes(b); err == nil || !id.IsZero() {
			t.Errorf("%s: bytes %x give %s, %v", name, b, id, err)
		}
	}
	if id, err := SegmentIDFromBytes(someVolume[:]); err == nil || !id.IsZero() {
		t.Errorf("volume bytes give segment %s, %v", id, err)
	}
}
