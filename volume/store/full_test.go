package store

import (
	"errors"
	"maps"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"graft/internal/filesys/crashfs"
	"graft/volume"
)

// disk is the free space that a store is told.
type disk struct{ free atomic.Int64 }

func (d *disk) freeSpace(string) (uint64, error) {
	if free := d.free.Load(); free >= 0 {
		return uint64(free), nil
	}
	return 0, errPlanted
}

const plenty = 1 << 40

// openOn opens a store on d, with a world as its model.
func (d *disk) openOn(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, t.TempDir(), small, 0)
	w.s = d.reopen(t, filepath.Join(w.base, "data"))
	return w
}

func (d *disk) reopen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{freeSpace: d.freeSpace})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// spend writes, in one small Change after the other, what may be written before
// the free space is looked at again.
func (w *world) spend(t *testing.T) {
	t.Helper()
	for written := 0; written <= checkEvery; written += 50 * volume.PageSize {
		err := w.apply(w.change(50, true))
		if errors.Is(err, ErrFull) {
			return
		}
		must(t, err)
	}
}

// wantState compares the store with the model.
func (w *world) wantState(t *testing.T) {
	t.Helper()
	state, got := w.now(), w.withoutStaged(dump(t, w.s))
	if !maps.Equal(got, state) {
		t.Fatalf("the store: %s", got.diff(state))
	}
	w.checkReads(state)
}

func TestFullDiskTakesNoWritesAndGivesReads(t *testing.T) {
	d := &disk{}
	d.free.Store(plenty)
	w := d.openOn(t)
	must(t, w.apply(w.change(2, false)))
	must(t, w.stage(300, false))
	for range 2 {
		d.free.Store(writeReserve - 1)
		w.spend(t)
		for name, write := range map[string]func() error{
			"Apply":              func() error { return w.apply(w.change(1, false)) },
			"Apply relaxed":      func() error { return w.apply(w.change(1, true)) },
			"Apply without page": func() error { return w.apply(w.change(0, false)) },
			"Stage":              func() error { return w.s.Stage(volume.NewSegmentID(), pages(1, 300, 9)) },
		} {
			if err := write(); !errors.Is(err, ErrFull) || errors.Is(err, ErrPoisoned) {
				t.Fatalf("%s: %v", name, err)
			}
			w.wantState(t)
		}
		d.free.Store(-1) // it cannot even be asked
		if err := w.apply(w.change(1, false)); !errors.Is(err, errPlanted) || errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		w.wantState(t)
		d.free.Store(plenty)
		must(t, w.apply(w.change(1, false)))
		must(t, w.stage(300, true))
		w.wantState(t)
	}
	must(t, w.s.Close())
	w.s = d.reopen(t, w.s.Dir())
	w.wantState(t)
}

// TestFullDiskKeepsTheJournal has too little space for Changes, then too little
// to apply the journal, then too little to open.
func TestFullDiskKeepsTheJournal(t *testing.T) {
	d := &disk{}
	d.free.Store(plenty)
	w := d.openOn(t)
	must(t, w.apply(w.change(2, false)))
	must(t, w.apply(w.change(2, true)))
	d.free.Store(writeReserve - 1)
	must(t, w.flush(w.s.Flush)) // there is enough to apply
	w.spend(t)
	w.wantState(t)

	d.free.Store(applyReserve - 1)
	for name, write := range map[string]func() error{
		"Flush":    w.s.Flush,
		"Compact":  func() error { return w.s.Compact(t.Context()) },
		"PutIndex": func() error { return w.s.PutIndex(someVolume, volume.Index{}) },
	} {
		if err := write(); !errors.Is(err, ErrFull) {
			t.Fatalf("%s: %v", name, err)
		}
		w.wantState(t)
	}
	if err := w.s.Close(); !errors.Is(err, ErrFull) {
		t.Fatalf("close: %v", err)
	}

	d.free.Store(openReserve - 1)
	for range 2 {
		if _, err := Open(w.s.Dir(), Options{freeSpace: d.freeSpace}); !errors.Is(err, ErrFull) {
			t.Fatalf("open: %v", err)
		}
	}
	d.free.Store(openReserve)
	w.s = d.reopen(t, w.s.Dir()) // reads alone
	w.wantState(t)
	if err := w.apply(w.change(1, false)); !errors.Is(err, ErrFull) {
		t.Fatalf("apply: %v", err)
	}
	if err := w.s.Close(); !errors.Is(err, ErrFull) {
		t.Fatalf("close: %v", err)
	}

	d.free.Store(plenty)
	w.s = d.reopen(t, w.s.Dir())
	w.wantState(t)
	must(t, w.apply(w.change(1, false)))
	must(t, w.s.Close())
	w.s = d.reopen(t, w.s.Dir())
	w.wantState(t)
}

// TestFullJournal has the disk refuse a write that was thought to have room.
func TestFullJournal(t *testing.T) {
	for _, kind := range []string{"Create", "WriteAt"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), small, 1<<20)
			defer w.done()
			w.mustOpen(false)
			must(t, w.apply(w.change(0, false)))
			hits := 0
			for range 2 {
				full := true
				w.files.SetHook(func(op crashfs.Op) error {
					if full && op.Kind == kind {
						hits++
						full = kind == "Create" // what is written once can be taken back
						return crashfs.Short(100, syscall.ENOSPC)
					}
					return nil
				})
				for range 4 { // until a file is made
					if err := w.apply(w.change(1, true)); err != nil && (!errors.Is(err, ErrFull) || errors.Is(err, ErrPoisoned)) {
						t.Fatal(err)
					} else if err != nil {
						break
					}
				}
				w.wantState(t)
				w.files.SetHook(nil)
				must(t, w.apply(w.change(1, false)))
			}
			if hits == 0 {
				t.Error("there was no fault")
			}
			w.kill()
			w.mustOpen(false)
		})
	}
}
