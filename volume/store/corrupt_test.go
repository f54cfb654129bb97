package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"graft/volume"
)

// flip changes one byte of a file.
func flip(t *testing.T, path string, off int) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	b[off] ^= 0x5a
	must(t, os.WriteFile(path, b, 0o666))
}

// findPage gives the value-log file and the offset in it where a page lies.
func findPage(t *testing.T, dir string, p *volume.Page) (path string, off int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "badger", "*.vlog"))
	must(t, err)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		must(t, err)
		if off := bytes.Index(b, p[:]); off >= 0 {
			return path, off
		}
	}
	t.Fatal("the page is in no value log")
	return "", 0
}

// readDamaged reads every page, of which none may have another content than it
// was given, and counts those that cannot be read.
func readDamaged(t *testing.T, s *Store, id volume.SegmentID, want []volume.PageEntry) (lost int) {
	t.Helper()
	for _, e := range want {
		got, err := s.Page(id, e.Idx)
		switch {
		case err == nil && *got != *e.Page:
			t.Errorf("page %d has another content, and no error", e.Idx)
		case err != nil && !errors.Is(err, volume.ErrCorrupt):
			t.Errorf("page %d: %v", e.Idx, err)
		case err != nil:
			lost++
		}
	}
	return lost
}

func TestDamagedValueLogNeverGivesWrongBytes(t *testing.T) {
	id := volume.NewSegmentID()
	want := pages(1, 12, 0)
	const target = 5 // an entry in the middle
	for name, breakIt := range map[string]func(t *testing.T, path string, off int){
		"first byte":      func(t *testing.T, path string, off int) { flip(t, path, off) },
		"middle byte":     func(t *testing.T, path string, off int) { flip(t, path, off+volume.PageSize/2) },
		"last byte":       func(t *testing.T, path string, off int) { flip(t, path, off+volume.PageSize-1) },
		"byte of its key": func(t *testing.T, path string, off int) { flip(t, path, off-10) },
		"its checksum":    func(t *testing.T, path string, off int) { flip(t, path, off+volume.PageSize) },
		"cut off":         func(t *testing.T, path string, off int) { must(t, os.Truncate(path, int64(off+100))) },
		"zeros": func(t *testing.T, path string, off int) {
			b, err := os.ReadFile(path)
			must(t, err)
			clear(b[off : off+volume.PageSize])
			must(t, os.WriteFile(path, b, 0o666))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t)
			apply(t, s, Change{Segment: id, Pages: want})
			closeStore(t, s)
			path, off := findPage(t, s.Dir(), want[target].Page)
			breakIt(t, path, off)
			s, err := Open(s.Dir(), Options{})
			if err != nil {
				return // an error at open will do
			}
			defer closeStore(t, s)
			if _, err := s.Page(id, want[target].Idx); err == nil {
				t.Error("the damaged page is read without an error")
			}
			lost := readDamaged(t, s, id, want)
			// What comes later must not show through the damaged page's place.
			later := pages(1, 12, 1)
			other := volume.NewSegmentID()
			apply(t, s, Change{Segment: other, Pages: later})
			checkPages(t, s, other, later)
			if again := readDamaged(t, s, id, want); again != lost {
				t.Errorf("%d pages cannot be read, %d before", again, lost)
			}
		})
	}
}

func TestDamageWhileOpenIsAnError(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	want := pages(1, 12, 0)
	apply(t, s, Change{Segment: id, Pages: want})
	must(t, s.Flush())
	s.cache.pages.InvalidateAll()
	path, off := findPage(t, s.Dir(), want[5].Page)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{want[5].Page[100] ^ 1}, int64(off+100))
	must(t, err)
	must(t, f.Close())
	if _, err := s.Page(id, 6); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("the damaged page: %v", err)
	}
	if lost := readDamaged(t, s, id, want); lost != 1 {
		t.Errorf("%d pages cannot be read", lost)
	}
}
