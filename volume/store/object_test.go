package store

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"graft/volume"
)

func TestObjectsAreCachedByTheirHash(t *testing.T) {
	s := openNew(t)
	b := bytes.Repeat([]byte("object "), 30_000)
	sum := volume.HashOf(b)
	if got, err := s.Object(sum); !errors.Is(err, ErrNotFound) || got != nil {
		t.Errorf("of nothing there are %d bytes, %v", len(got), err)
	}
	if err := s.PutObjects(map[volume.Hash][]byte{volume.HashOf(b[1:]): b}); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("under another hash: %v", err)
	}
	for range 2 {
		must(t, s.PutObjects(map[volume.Hash][]byte{sum: b}))
		for range 2 {
			if got, err := s.Object(sum); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			s = reopen(t, s)
		}
	}
	if got := dumpSpaces(t, s, spaceObject); len(got) != 1 {
		t.Errorf("there are %d objects", len(got))
	}
}

func TestADamagedObjectIsForgotten(t *testing.T) {
	s := openNew(t)
	b := []byte("a chunk")
	sum := volume.HashOf(b)
	for _, damage := range [][]byte{nil, []byte("a chunc"), b[:3]} {
		putRaw(t, s, keyObject(sum), damage)
		for range 2 {
			if got, err := s.Object(sum); !errors.Is(err, ErrNotFound) || got != nil {
				t.Errorf("of %q there is %q, %v", damage, got, err)
			}
			if got := dumpSpaces(t, s, spaceObject); len(got) != 0 {
				t.Errorf("of %q there is left %s", damage, got.diff(nil))
			}
		}
		must(t, s.PutObjects(map[volume.Hash][]byte{sum: b}))
		if got, err := s.Object(sum); err != nil || !bytes.Equal(got, b) {
			t.Errorf("put again: %q, %v", got, err)
		}
	}
}

// What is put after a sweep has found it dead stays.
func TestAnObjectThatIsPutDuringASweepStays(t *testing.T) {
	s := openNew(t)
	b := []byte("a chunk")
	sum := volume.HashOf(b)
	must(t, s.PutObjects(map[volume.Hash][]byte{sum: b}))
	for _, again := range []bool{true, false} {
		_, err := s.Sweep(context.Background(), func(context.Context) (Live, error) {
			if again {
				must(t, s.PutObjects(map[volume.Hash][]byte{sum: b}))
			}
			return Live{Pages: NewPageRefSet()}, nil
		})
		must(t, err)
		if _, err := s.Object(sum); (err == nil) != again {
			t.Errorf("put again %t: %v", again, err)
		}
	}
}

// A checkpoint of 160 MB of pages has as many chunks.
func TestManyObjectsTakeFewTransactions(t *testing.T) {
	s := openNew(t)
	objects := make(map[volume.Hash][]byte)
	for i := range 161 {
		b := bytes.Repeat([]byte{byte(i), 1}, 6000)
		objects[volume.HashOf(b)] = b
	}
	before := dbOf(s).MaxVersion()
	must(t, s.PutObjects(objects))
	if n := dbOf(s).MaxVersion() - before; n == 0 || n > 2 {
		t.Errorf("they took %d transactions", n)
	}
	for sum, b := range objects {
		if got, err := s.Object(sum); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}
