package volume

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
)

func TestDecompressRefusesOtherBytes(t *testing.T) {
	plain := bytes.Repeat([]byte("page index"), 100)
	b := compress(plain)
	if got, err := decompress(b, len(plain)); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%d bytes come out of %d, %v", len(got), len(plain), err)
	}
	for i := 1; i < len(b); i++ {
		if got, err := decompress(b[:i], len(plain)); err == nil {
			t.Errorf("cut off at %d of %d bytes: %d bytes", i, len(b), len(got))
		}
	}
	if got, err := decompress(append(b, 0), len(plain)); err == nil {
		t.Errorf("a byte more: %d bytes", len(got))
	}
	largest := make([]byte, maxPartPlain) // and does not compress
	rand.NewChaCha8([32]byte{}).Read(largest)
	if got, err := decompress(compress(largest), maxPartPlain); err != nil || !bytes.Equal(got, largest) {
		t.Errorf("%d bytes come out of %d, %v", len(got), len(largest), err)
	}
	if got, err := decompress(b, len(plain)-1); err == nil {
		t.Errorf("%d bytes, one more than there may be", len(got))
	}
}

// TestDecompressBoundsItsMemory has frames that say that they are of 4 GiB, and such that
// are of 64 MiB.
func TestDecompressBoundsItsMemory(t *testing.T) {
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	raw := append([]byte{1, 0, 0}, make([]byte, 16)...) // the last block, of no bytes
	huge := bytes.Repeat([]byte{0xff}, 4)
	for name, b := range map[string][]byte{
		"a segment": append(append(append(bytes.Clone(magic), 0xa0), huge...), raw...),
		"a window":  append(append(bytes.Clone(magic), 0x00, 0xb0), raw...),
		"zeros":     compress(make([]byte, 64<<20)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := decompress(b, maxPartPlain)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: %d bytes", name, len(got))
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 8*maxPartPlain {
			t.Errorf("%s of %d bytes takes %d", name, len(b), took)
		}
	}
}
