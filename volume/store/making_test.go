package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/internal/filesys/crashfs"
	"graft/internal/testdir"
	"graft/volume"
)

// openMaking opens a store in dir, whose Badger is not made before goOn is called.
func openMaking(t *testing.T, dir string) (s *Store, goOn func()) {
	t.Helper()
	wait := make(chan struct{})
	s, err := Open(dir, Options{midMake: func() { <-wait }})
	must(t, err)
	return s, func() { close(wait) }
}

// firstChange is a Change of a Volume and a tag.
func firstChange(t *testing.T) (Change, volume.Record) {
	t.Helper()
	rec := commit(t, volume.NewVolumeID(), 1)
	return Change{
		Commits: []volume.Record{rec}, Tags: []Tag{{Name: "main", Graft: rec.Commit.Volume}},
		Segment: rec.Commit.Segments[0].ID, Pages: pages(1, 3, 1),
	}, rec
}

// wantFirstChange wants it to be read.
func wantFirstChange(t *testing.T, s *Store, rec volume.Record) {
	t.Helper()
	readAll(t, s, rec.Commit.Segments[0].ID, pages(1, 3, 1))
	if v, err := s.Tag("main"); err != nil || v != rec.Commit.Volume {
		t.Errorf("the tag names %v, %v", v, err)
	}
	if got, err := s.Commit(rec.Commit.Volume, 1); err != nil || got.Hash() != rec.Hash() {
		t.Errorf("the commit is %v, %v", got, err)
	}
}

// TestNewStoreIsUsedBeforeBadgerIsMade reads what is not there, and commits, lands and
// reads, before Badger is; and all of it when it is, and after.
func TestNewStoreIsUsedBeforeBadgerIsMade(t *testing.T) {
	s, goOn := openMaking(t, t.TempDir())
	if tags, err := s.Tags(); err != nil || len(tags) > 0 {
		t.Errorf("tags %v, %v", tags, err)
	}
	if _, err := s.Tag("main"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a tag: %v", err)
	}
	fetched := volume.NewSegmentID()
	if has, err := s.HasPage(fetched, 1); err != nil || has {
		t.Errorf("a page is here: %v, %v", has, err)
	}
	c, rec := firstChange(t)
	apply(t, s, c)
	must(t, s.Land(t.Context(), fetched, pages(4, 6, 2)))
	check := func() {
		t.Helper()
		wantFirstChange(t, s, rec)
		readAll(t, s, fetched, pages(4, 6, 2))
	}
	check()
	if !isThere(t, filepath.Join(s.Dir(), makingFile)) {
		t.Error("nothing says that Badger is being made")
	}
	goOn()
	s.AwaitLanded(t.Context())
	must(t, s.Flush())
	if isThere(t, filepath.Join(s.Dir(), makingFile)) {
		t.Error("Badger was written to while a file says that it is being made")
	}
	check()
	s = reopen(t, s)
	check()
}

// TestCrashWhileBadgerIsMade crashes with a commit in the journal and any part of
// Badger's files, which alone it could not open.
func TestCrashWhileBadgerIsMade(t *testing.T) {
	whole := open(t, t.TempDir())
	must(t, whole.Flush())
	for name, spoil := range map[string]func(dir string) error{
		"nothing":       os.RemoveAll,
		"empty":         func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o777)) },
		"no manifest":   func(dir string) error { return os.Remove(filepath.Join(dir, "MANIFEST")) },
		"half manifest": func(dir string) error { return os.Truncate(filepath.Join(dir, "MANIFEST"), 3) },
		"zero log": func(dir string) error {
			return errors.Join(os.Truncate(filepath.Join(dir, "000001.vlog"), 0), os.Truncate(filepath.Join(dir, "000001.vlog"), 16<<20))
		},
		"short memtable": func(dir string) error { return os.Truncate(filepath.Join(dir, "00001.mem"), 7) },
		"all":            func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, goOn := openMaking(t, t.TempDir())
			c, rec := firstChange(t)
			apply(t, s, c)
			dir := t.TempDir()
			must(t, testdir.Copy(dir, s.Dir()))
			goOn()
			closeStore(t, s)
			must(t, os.RemoveAll(filepath.Join(dir, "badger")))
			must(t, testdir.Copy(filepath.Join(dir, "badger"), whole.badgerDir()))
			must(t, spoil(filepath.Join(dir, "badger")))

			s = open(t, dir)
			wantFirstChange(t, s, rec)
			must(t, s.Flush())
			s = reopen(t, s)
			wantFirstChange(t, s, rec)
		})
	}
}

// TestBadgerThatCannotBeMade has a file where Badger's folder should be: the store says
// so, takes nothing that it cannot keep, and loses nothing.
func TestBadgerThatCannotBeMade(t *testing.T) {
	dir := t.TempDir()
	s, goOn := openMaking(t, dir)
	c, rec := firstChange(t)
	apply(t, s, c)
	must(t, os.WriteFile(s.badgerDir(), nil, 0o666))
	goOn()
	if err := s.Flush(); !errors.Is(err, ErrPoisoned) || !strings.Contains(err.Error(), s.badgerDir()) {
		t.Errorf("flush: %v", err)
	}
	for name, write := range writes(s) {
		if err := write(); !errors.Is(err, ErrPoisoned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantFirstChange(t, s, rec)
	if err := s.Close(); !errors.Is(err, ErrPoisoned) {
		t.Errorf("close: %v", err)
	}
	s = open(t, dir)
	wantFirstChange(t, s, rec)
	must(t, s.Flush())
}

// TestOnlyNewBadgerIsMadeAnew opens directories that have lost a part: what is there
// stays.
func TestOnlyNewBadgerIsMadeAnew(t *testing.T) {
	for _, lost := range []string{formatFile, "journal"} {
		s := open(t, t.TempDir())
		c, rec := firstChange(t)
		apply(t, s, c)
		closeStore(t, s)
		must(t, os.RemoveAll(filepath.Join(s.Dir(), lost)))
		s, err := Open(s.Dir(), Options{})
		if errors.Is(err, volume.ErrCorrupt) {
			continue
		}
		must(t, err)
		wantFirstChange(t, s, rec)
		closeStore(t, s)
	}
}

// TestMarkOfNewBadgerFaults lets operation number i fail of those that mark a directory
// and take the mark back, for each i, and cuts the power: whoever has a FORMAT that is
// durable has the mark, until it is gone for good.
func TestMarkOfNewBadgerFaults(t *testing.T) {
	for _, fault := range flavours {
		for at := 0; markFault(t, fault, at); at++ {
		}
	}
}

func markFault(t *testing.T, fault error, at int) (hit bool) {
	t.Helper()
	for seed := range uint64(40) {
		files := crashfs.New()
		files.SetHook(func(op crashfs.Op) error {
			if op.N != at {
				return nil
			}
			hit = true
			return fault
		})
		isNew, err := markMaking(files, false)
		marked := err == nil && isNew
		if marked {
			err = checkFormat(files)
		}
		formatted, unmarks, unmarked := marked && err == nil, false, false
		if formatted && seed%2 == 1 {
			unmarks, unmarked = true, unmarkMaking(files) == nil
		}
		if n := files.Handles(); n != 0 {
			t.Fatalf("%d files are open", n)
		}
		left, err := files.Crash(rand.New(rand.NewPCG(seed, 0))).List()
		must(t, err)
		switch has := slices.Contains(left, makingFile); {
		case formatted && !unmarks && !has:
			t.Fatalf("fault at %d: the mark is gone, of %q", at, left)
		case unmarked && has:
			t.Fatalf("fault at %d: the mark is there again, of %q", at, left)
		}
	}
	return hit
}
