package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"graft/internal/testdir"
	"graft/volume"
)

// copyEachWrite copies a data directory before each write of Badger's, and when there
// are no more.
type copyEachWrite struct {
	slog.Handler
	store  atomic.Pointer[Store]
	base   string
	copies []string
}

func (c *copyEachWrite) Enabled(context.Context, slog.Level) bool { return true }

func (c *copyEachWrite) Handle(_ context.Context, r slog.Record) error {
	if s := c.store.Load(); s != nil && r.Message == midWrite {
		return c.copy(s)
	}
	return nil
}

func (c *copyEachWrite) copy(s *Store) error {
	dir := filepath.Join(c.base, fmt.Sprint(len(c.copies)))
	c.copies = append(c.copies, dir)
	return testdir.Copy(dir, s.Dir())
}

// TestPowerCutWithinABatch cuts the power before, in and after each transaction of one
// application of the journal to Badger, and of its marks. All is there afterwards.
func TestPowerCutWithinABatch(t *testing.T) {
	c := &copyEachWrite{Handler: slog.DiscardHandler, base: testdir.InMemory(t)}
	s, err := Open(testdir.InMemory(t), Options{Logger: slog.New(c)})
	must(t, err)
	first, rec := firstChange(t)
	apply(t, s, first)
	must(t, s.Flush())
	id := volume.NewSegmentID()
	want := pages(1, 5*MaxChangePages, 5) // more than a transaction takes
	for i := 0; i < len(want); i += MaxChangePages {
		apply(t, s, Change{Segment: id, Pages: want[i : i+MaxChangePages], Commits: []volume.Record{commit(t, someVolume, volume.LSN(i/MaxChangePages+1))}})
	}
	check := func(what, dir string) {
		t.Helper()
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		wantFirstChange(t, s, rec)
		checkPages(t, s, id, want)
		if head, err := s.Head(someVolume); head != 5 || err != nil {
			t.Errorf("%s: head %d, %v", what, head, err)
		}
		closeStore(t, s)
		must(t, os.RemoveAll(dir))
	}
	c.store.Store(s)
	must(t, s.Flush())
	c.store.Store(nil)
	must(t, c.copy(s))
	closeStore(t, s)
	if len(c.copies) < 5 { // two of pages, two marks
		t.Fatalf("%d states", len(c.copies))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for i, before := range c.copies {
		if i+1 < len(c.copies) {
			for _, ext := range []string{".vlog", ".mem"} {
				check(fmt.Sprintf("in %s of write %d", ext, i), tear(t, before, c.copies[i+1], ext, r))
			}
		}
		check(fmt.Sprintf("before write %d", i), before)
	}
}

// tear makes a directory of what a power cut may leave of a write of Badger's: some of the
// sectors that it changed in files of one kind. The value log is written and synced before
// the memtable's log.
func tear(t *testing.T, before, after, ext string, r *rand.Rand) string {
	t.Helper()
	dir := before + ".torn"
	must(t, testdir.Copy(dir, before))
	news, err := filepath.Glob(filepath.Join(after, "badger", "*"))
	must(t, err)
	torn := 0
	for _, path := range news {
		name := filepath.Base(path)
		to := filepath.Join(dir, "badger", name)
		switch {
		case strings.HasSuffix(name, ext):
			torn += tearFile(t, to, path, r)
		case ext == ".mem" && strings.HasSuffix(name, ".vlog"):
			must(t, testdir.CopyFile(to, path))
		}
	}
	if torn == 0 && ext == ".mem" {
		t.Fatalf("%s: nothing is torn", dir)
	}
	return dir
}

// tearFile gives a file some sectors of what it became, and tells how many differ.
func tearFile(t *testing.T, to, from string, r *rand.Rand) (differ int) {
	t.Helper()
	const sector = 512
	news, err := os.ReadFile(from)
	must(t, err)
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE, 0o666)
	must(t, err)
	info, err := f.Stat()
	must(t, errors.Join(err, f.Truncate(max(info.Size(), int64(len(news))))))
	old, err := os.ReadFile(to)
	must(t, err)
	for off := 0; off < len(news); off += sector {
		now := news[off:min(off+sector, len(news))]
		if bytes.Equal(old[off:off+len(now)], now) {
			continue
		}
		if differ++; r.IntN(2) == 0 {
			_, err := f.WriteAt(now, int64(off))
			must(t, err)
		}
	}
	must(t, f.Close())
	return differ
}
