package volume

import (
	"errors"
	"strings"
	"testing"

	"graft/internal/graftpb"
)

func TestDecodeRecordChecksTheEnvelope(t *testing.T) {
	payload := []byte{0x10, 5} // lsn = 5
	good := seal(KindCommit, formatVersion, payload)
	var m graftpb.Commit
	if err := DecodeRecord(KindCommit, good, &m); err != nil || m.Lsn != 5 {
		t.Fatalf("a good record: LSN %d, %v", m.Lsn, err)
	}
	longer := seal(KindCommit, formatVersion, payload)
	longer[8]++
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrCorrupt},
		{"magic alone", []byte(magic), ErrCorrupt},
		{"another magic", append([]byte("graf"), good[4:]...), ErrCorrupt},
		{"another kind", seal(KindGraft, formatVersion, payload), ErrCorrupt},
		{"version 0", seal(KindCommit, 0, payload), ErrVersion},
		{"the next version", seal(KindCommit, formatVersion+1, payload), ErrVersion},
		{"a bad checksum", append(good[:len(good)-1:len(good)-1], 6), ErrCorrupt},
		{"another length", resum(longer), ErrCorrupt},
		{"no protobuf", seal(KindCommit, formatVersion, []byte{0xff}), ErrCorrupt},
		{"a wrong wire type", seal(KindCommit, formatVersion, []byte{0x0a, 200}), ErrCorrupt},
	} {
		if err := DecodeRecord(KindCommit, c.b, &m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// resum makes the checksum of an envelope right again.
func resum(b []byte) []byte {
	fixed := seal(Kind(b[4]), b[5], b[envelopeSize:])
	copy(fixed[6:12], b[6:12])
	sum := envelopeChecksum(fixed)
	for i := range 4 {
		fixed[12+i] = byte(sum >> (8 * i))
	}
	return fixed
}

func TestEncodeRecordGivesTheDocumentedEnvelope(t *testing.T) {
	b, err := EncodeRecord(KindCommit, &graftpb.Commit{Lsn: 5})
	if err != nil {
		t.Fatal(err)
	}
	if want := seal('C', 1, []byte{0x10, 5}); string(b) != string(want) {
		t.Errorf("got %x, want %x", b, want)
	}
}

func TestHashParsesItsText(t *testing.T) {
	h := HashOf([]byte("abc"))
	if want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; h.String() != want {
		t.Errorf("SHA-256 is %s, want %s", h, want)
	}
	if got, err := ParseHash(h.String()); got != h || err != nil {
		t.Errorf("parse: %s, %v", got, err)
	}
	for _, text := range []string{"", "ba78", h.String()[:63], h.String() + "00", strings.Repeat("g", 64)} {
		if got, err := ParseHash(text); err == nil || !got.IsZero() {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	if h.IsZero() || !(Hash{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestErrorSaysThePlace(t *testing.T) {
	for want, e := range map[string]*Error{
		"graft: read frame: corrupt data":                                                  {Op: "read frame", Err: ErrCorrupt},
		"graft: read frame in segments/x: corrupt data":                                    {Op: "read frame", Key: "segments/x", Err: ErrCorrupt},
		"graft: fetch of volume " + someVolume.String() + " at LSN 7 in key: corrupt data": {Op: "fetch", Volume: someVolume, LSN: 7, Key: "key", Err: ErrCorrupt},
	} {
		if e.Error() != want {
			t.Errorf("got %q, want %q", e, want)
		}
		if !errors.Is(e, ErrCorrupt) {
			t.Errorf("%q hides its cause", e)
		}
	}
}
