package volume

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

var someIndex = Index{SyncPoint: SyncPoint{Remote: 4, Local: 9}, Local: 11, NewestPages: 299}

func TestIndexRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.Uint64().Draw(t, "sync local")
		x := Index{
			SyncPoint:   SyncPoint{Remote: LSN(rapid.Uint64().Draw(t, "sync remote")), Local: LSN(local)},
			Local:       LSN(rapid.Uint64Min(local).Draw(t, "local")),
			NewestPages: PageCount(rapid.Uint32().Draw(t, "newest pages")),
			Saving:      rapid.Bool().Draw(t, "saving"),
		}
		b, err := EncodeIndex(x)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeIndex(b); err != nil || got != x {
			t.Fatalf("read back as %+v, %v, wrote %+v", got, err, x)
		}
	})
}

func TestIndexRefusesWhatCannotBe(t *testing.T) {
	for name, x := range map[string]Index{
		"ends before the watermark": {SyncPoint: SyncPoint{Remote: 1, Local: 9}, Local: 8},
	} {
		if b, err := EncodeIndex(x); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: encodes as %x, %v", name, b, err)
		}
		m := &graftpb.Index{SyncRemote: uint64(x.SyncPoint.Remote), SyncLocal: uint64(x.SyncPoint.Local), Local: uint64(x.Local)}
		if got, err := DecodeIndex(sealMessage(t, KindIndex, m)); !errors.Is(err, ErrCorrupt) || got != (Index{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if x, err := DecodeIndex(sealMessage(t, KindIndex, &graftpb.Index{})); err != nil || x != (Index{}) {
		t.Errorf("of an empty graft: %+v, %v", x, err)
	}
}

func FuzzDecodeIndex(f *testing.F) {
	for _, x := range []Index{{}, someIndex} {
		b, err := EncodeIndex(x)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[envelopeSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		x, err := DecodeIndex(seal(KindIndex, formatVersion, payload))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		b, err := EncodeIndex(x)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeIndex(b); err != nil || back != x {
			t.Fatalf("read back as %+v, %v, wrote %+v", back, err, x)
		}
	})
}
