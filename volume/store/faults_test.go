package store

import (
	"context"
	"errors"
	"testing"

	"graft/internal/filesys/crashfs"
	"graft/internal/testdir"
	"graft/volume"
)

// script uses a store in every way, in two lives. It ends when an Open or a
// Close fails, or when the store is poisoned, whose writes it tries then.
func script(w *world) error {
	if err := w.open(false); err != nil {
		return err
	}
	for i := range 9 {
		var err error
		switch i {
		case 3:
			err = w.stage(3, true)
		case 5:
			err = w.flush(w.s.Flush)
		case 7:
			err = errors.Join(w.apply(w.change(1, true)), w.relieve())
		case 8:
			if err := w.close(); err != nil {
				return err
			}
			if err := w.open(false); err != nil {
				return err
			}
			err = w.apply(w.change(1, false))
		default:
			err = w.apply(w.change(i%2, i%3 == 1))
		}
		if err != nil && !errors.Is(err, errPlanted) {
			w.t.Fatalf("step %d: %v", i, err)
		}
		if w.s.poison.err() != nil {
			w.checkPoisoned()
			return err
		}
	}
	return w.close()
}

// checkPoisoned tries all writes and reads of a poisoned store.
func (w *world) checkPoisoned() {
	w.t.Helper()
	for name, write := range writes(w.s) {
		if err := write(); !errors.Is(err, ErrPoisoned) {
			w.t.Fatalf("%s of a poisoned store: %v", name, err)
		}
	}
	got, state := w.withoutStaged(dump(w.t, w.s)), w.now()
	replaced := w.replacedNow()
	if w.maybe != nil && !w.same(got, state, replaced) {
		state.apply(w.t, *w.maybe)
	}
	if !w.same(got, state, replaced) {
		w.t.Fatalf("the poisoned store: %s", got.diff(state))
	}
	w.checkReads(state)
}

// writes are all ways to write to s.
func writes(s *Store) map[string]func() error {
	id := volume.NewSegmentID()
	change := Change{Tags: []Tag{{"after", someVolume}}}
	relaxed := change
	relaxed.Relaxed = true
	return map[string]func() error{
		"Apply":         func() error { return s.Apply(change) },
		"Apply relaxed": func() error { return s.Apply(relaxed) },
		"Stage":         func() error { return s.Stage(id, pages(1, 2, 0)) },
		"Unstage":       func() error { return s.Unstage(id, volume.PageSetOf(1)) },
		"Flush":         s.Flush,
		"PutLeaves":     func() error { return s.PutLeaves(someVolume, []LeafEntry{{N: 1}}) },
		"PutIndex":      func() error { return s.PutIndex(someVolume, volume.Index{}) },
		"PutObjects": func() error {
			return s.PutObjects(map[volume.Hash][]byte{volume.HashOf([]byte("object")): []byte("object")})
		},
		"Sweep": func() error {
			_, err := s.Sweep(context.Background(), func(context.Context) (Live, error) { return Live{}, errPlanted })
			return err
		},
		"Compact": func() error { return s.Compact(context.Background()) },
	}
}

// TestJournalFaults lets operation number i of the script fail, for each i, in
// each flavour, and then ends the process or cuts the power.
func TestJournalFaults(t *testing.T) {
	base, odd := testdir.InMemory(t), 0
	for name, fault := range flavours {
		odd++
		at := 0
		for hit := true; hit; at++ {
			hit = faultAt(t, base, at, fault, (at+odd)%2 == 0)
		}
		if at < 40 {
			t.Errorf("%s: the script has but %d operations", name, at)
		}
	}
}

// faultAt runs the script with a fault. It tells whether it came to that.
func faultAt(t *testing.T, base string, at int, fault error, cut bool) (hit bool) {
	t.Helper()
	w := newWorld(t, base, small, 9000)
	defer w.done()
	n := -1
	w.hook = func(crashfs.Op) error {
		if n++; n != at { // over both lives
			return nil
		}
		hit = true
		return fault
	}
	err := script(w)
	switch {
	case err != nil && !errors.Is(err, errPlanted):
		t.Fatalf("operation %d: %v", at, err)
	case cut:
		w.cut(uint64(at))
	default:
		w.kill()
	}
	w.mustOpen(cut)
	for _, relaxed := range []bool{false, true} {
		if err := w.apply(w.change(1, relaxed)); err != nil {
			t.Fatalf("operation %d: afterwards: %v", at, err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatalf("operation %d: afterwards: %v", at, err)
	}
	return hit
}
