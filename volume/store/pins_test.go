package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"graft/volume"
)

func TestPinsAreStored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a, b := volume.NewVolumeID(), volume.NewVolumeID()
	if slices.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	want := []Pin{{a, "all"}, {a, "table x"}, {b, strings.Repeat("y", MaxPinSize)}}
	for _, i := range []int{2, 0, 1, 1} {
		if err := s.SetPin(want[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []Pin{{a, ""}, {a, strings.Repeat("y", MaxPinSize+1)}} {
		if err := s.SetPin(bad); err == nil {
			t.Errorf("a pin of %d bytes is stored", len(bad.What))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if got, err := s.Pins(); err != nil || !slices.Equal(got, want) {
		t.Errorf("pins %v, %v, want %v", got, err, want)
	}
	for _, err := range []error{nil, ErrNotFound} {
		if got := s.DeletePin(want[1]); !errors.Is(got, err) {
			t.Errorf("delete: %v, want %v", got, err)
		}
	}
	if got, err := s.Pins(); err != nil || !slices.Equal(got, []Pin{want[0], want[2]}) {
		t.Errorf("pins %v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
