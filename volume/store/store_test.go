package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"graft/volume"
)

func TestClosedStoreAnswersErrClosed(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	apply(t, s, Change{Tags: []Tag{{"main", someVolume}}, Segment: id, Pages: pages(1, 1, 0), Segments: []volume.SegmentState{state(id, 1)}})
	if _, err := s.Segment(id); err != nil { // is cached now
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]func() error{
		"Apply":         func() error { return s.Apply(Change{Tags: []Tag{{"x", someVolume}}}) },
		"Apply nothing": func() error { return s.Apply(Change{}) },
		"Stage":         func() error { return s.Stage(id, pages(2, 2, 0)) },
		"Unstage":       func() error { return s.Unstage(id, volume.PageSetOf(1)) },
		"Tags":          func() error { _, err := s.Tags(); return err },
		"Tag":           func() error { _, err := s.Tag("main"); return err },
		"Graft":         func() error { _, err := s.Graft(someVolume); return err },
		"Commit":        func() error { _, err := s.Commit(someVolume, 1); return err },
		"Log": func() error {
			return s.Log(someVolume, volume.LSNRange{First: 1, Last: 1}, func(volume.Record) error { return nil })
		},
		"Head":    func() error { _, err := s.Head(someVolume); return err },
		"Page":    func() error { _, err := s.Page(id, 1); return err },
		"HasPage": func() error { _, err := s.HasPage(id, 1); return err },
		"Segment": func() error { _, err := s.Segment(id); return err },
	} {
		if err := f(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseWaitsForCallsUnderWay(t *testing.T) {
	s := openNew(t)
	started := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := volume.LSN(1); ; i++ {
				err := s.Apply(Change{Tags: []Tag{{"main", someVolume}}})
				if i == 1 {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for range 3 {
		<-started
	}
	closeStore(t, s)
	wg.Wait()
}

func TestOpenMakesTheDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	s, err := Open(filepath.Join("a", "b"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if want, _ := filepath.Abs(filepath.Join("a", "b")); s.Dir() != want {
		t.Errorf("directory %s, want %s", s.Dir(), want)
	}
}

func TestLoggerHearsBadger(t *testing.T) {
	var buf bytes.Buffer
	s, err := Open(t.TempDir(), Options{Logger: slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if !bytes.Contains(buf.Bytes(), []byte("component=badger")) {
		t.Errorf("log: %q", buf.Bytes())
	}
}

func TestOpenRefusesAnotherFormat(t *testing.T) {
	s := openNew(t)
	closeStore(t, s)
	for text, want := range map[string]error{
		"graft data directory, format 2\n":  volume.ErrVersion,
		"graft data directory, format -1\n": volume.ErrVersion,
		"graft data directory, format 1":    volume.ErrCorrupt,
		"graft data directory, format 01\n": volume.ErrCorrupt,
		"":                                  volume.ErrCorrupt,
		"\x00\xff":                          volume.ErrCorrupt,
	} {
		must(t, os.WriteFile(filepath.Join(s.Dir(), formatFile), []byte(text), 0o666))
		leaks := goleak.IgnoreCurrent()
		for range 2 { // the lock is given free
			if _, err := Open(s.Dir(), Options{}); !errors.Is(err, want) {
				t.Fatalf("format %q: %v", text, err)
			}
		}
		if err := goleak.Find(leaks); err != nil {
			t.Error(err)
		}
	}
}

func TestFailedOpenLeavesNothingBehind(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, dir string){
		"the badger folder is a file": func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "badger")))
			must(t, os.WriteFile(filepath.Join(dir, "badger"), nil, 0o666))
		},
		"the manifest is damaged": func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, "badger", "MANIFEST"), 20)
		},
		"the manifest is another file": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "badger", "MANIFEST"), []byte("not a manifest at all"), 0o666))
		},
		"the directory is a file": func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.WriteFile(dir, nil, 0o666))
		},
		"the lock is a folder": func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "LOCK")))
			must(t, os.Mkdir(filepath.Join(dir, "LOCK"), 0o777))
		},
		"the pid file is a folder": func(t *testing.T, dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "LOCK.pid"), 0o777))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := open(t, dir)
			apply(t, s, Change{Tags: []Tag{{"main", someVolume}}, Segment: volume.NewSegmentID(), Pages: pages(1, 3, 0)})
			closeStore(t, s)
			leaks := goleak.IgnoreCurrent()
			breakIt(t, dir)
			for range 2 {
				if _, err := Open(dir, Options{}); err == nil || errors.Is(err, ErrInUse) {
					t.Fatalf("open: %v", err)
				}
			}
			if err := goleak.Find(leaks); err != nil {
				t.Error(err)
			}
			must(t, os.RemoveAll(dir))
			closeStore(t, open(t, dir))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
