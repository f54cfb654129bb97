package store

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store/badgerguard"
)

// sweepAllBut sweeps away everything but the pages of a Segment, 1 to last, and
// gives space back.
func sweepAllBut(t *testing.T, s *Store, id volume.SegmentID, last volume.PageIdx) {
	t.Helper()
	live := Live{Pages: NewPageRefSet()}
	for p := range last {
		live.Pages.Add(PageRef{id, p + 1})
	}
	_, err := s.Sweep(context.Background(), func(context.Context) (Live, error) { return live, nil })
	must(t, err)
	must(t, s.Compact(context.Background()))
}

// newest gives the id of the newest file of the value log, and whether the
// filler is gone.
func newest(t *testing.T, s *Store) uint64 {
	t.Helper()
	id, _, err := badgerguard.Newest(s.badgerDir())
	must(t, err)
	if has, err := s.has([]byte(keyFiller)); has || err != nil {
		t.Errorf("the filler is there: %t, %v", has, err)
	}
	return id
}

// TestCompactCollectsTheNewestFile has pages die in the one file of the value
// log that Badger does not collect, more and fewer than live.
func TestCompactCollectsTheNewestFile(t *testing.T) {
	for name, c := range map[string]struct {
		live, dead volume.PageIdx
		rotates    bool
	}{
		"all dead":    {0, 1200, true},
		"mostly dead": {300, 1200, true},
		"mostly live": {900, 800, false},
		"few dead":    {10, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t)
			kept, gone := volume.NewSegmentID(), volume.NewSegmentID()
			must(t, s.Stage(kept, pages(1, c.live, 0)))
			must(t, s.Stage(gone, pages(1, c.dead, 1)))
			before := newest(t, s)
			sweepAllBut(t, s, kept, c.live)
			after := newest(t, s)
			if (after != before) != c.rotates {
				t.Errorf("the newest file is %d, was %d", after, before)
			}
			files, err := filepath.Glob(filepath.Join(s.badgerDir(), "*.vlog"))
			must(t, err)
			if len(files) != 1 {
				t.Errorf("left are %q", files)
			}
			sweepAllBut(t, s, kept, c.live)
			if again := newest(t, s); again != after {
				t.Errorf("once more the newest file is %d, was %d", again, after)
			}
			s.cache.pages.InvalidateAll()
			for range 2 {
				checkPages(t, s, kept, pages(1, c.live, 0))
				checkNoPages(t, s, gone, pages(1, c.dead, 1))
				s = reopen(t, s)
			}
		})
	}
}

// TestCompactFillsNoFullDisk lets there be no space for what fills a file up.
func TestCompactFillsNoFullDisk(t *testing.T) {
	d := &disk{}
	d.free.Store(plenty)
	s := d.reopen(t, t.TempDir())
	must(t, s.Stage(volume.NewSegmentID(), pages(1, 1200, 0)))
	before := newest(t, s)
	d.free.Store(applyReserve + 1<<20)
	sweepAllBut(t, s, volume.SegmentID{}, 0)
	if after := newest(t, s); after != before {
		t.Errorf("the newest file is %d, was %d", after, before)
	}
	d.free.Store(plenty)
	sweepAllBut(t, s, volume.SegmentID{}, 0)
	if after := newest(t, s); after == before {
		t.Error("with space the newest file is the same")
	}
}

// TestFillerOfCrashGoes kills the process while a file is filled up.
func TestFillerOfCrashGoes(t *testing.T) {
	s := openNew(t)
	must(t, s.Stage(volume.NewSegmentID(), pages(1, 10, 0)))
	must(t, s.update(func(txn *badger.Txn) error { return txn.Set([]byte(keyFiller), make([]byte, fillerSize)) }))
	s.abandon(t)
	s = open(t, s.Dir())
	if !s.NeedsSweep() {
		t.Error("there is nothing to sweep")
	}
	sweepAllBut(t, s, volume.SegmentID{}, 0)
	newest(t, s)
}

// TestCompactTrimsTheJournal fills several files of the journal, and lets
// somebody write to it at the wrong time.
func TestCompactTrimsTheJournal(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	fill := func() {
		for i := range volume.PageIdx(12) {
			apply(t, s, Change{Segment: id, Pages: pages(200*i+1, 200*i+200, 0), Relaxed: true})
		}
	}
	dir := filepath.Join(s.Dir(), "journal")
	files := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		return len(names)
	}
	fill()
	must(t, s.Compact(context.Background()))
	if n := files(); n < 3 {
		t.Fatalf("before a sweep %d files are left", n)
	}
	sweepAllBut(t, s, id, 0)
	size, err := directorySize(dir)
	must(t, err)
	if n := files(); n != 1 || size > 1<<20 {
		t.Errorf("left are %d files with %d bytes", n, size)
	}
	fill()
	next := s.journal.Next()
	apply(t, s, Change{Tags: []Tag{{"tag", someVolume}}})
	must(t, s.trimJournal(next))
	if n := files(); n < 3 {
		t.Errorf("beside a writer %d files are left", n)
	}
	must(t, s.trimJournal(s.journal.Next()))
	if n := files(); n != 1 {
		t.Errorf("after the writer %d files are left", n)
	}
	if v, err := reopen(t, s).Tag("tag"); v != someVolume || err != nil {
		t.Errorf("tag: %v, %v", v, err)
	}
}

// TestCloseRemembersStagedPages closes the store while a Segment is held with
// staged pages, without, and no more.
func TestCloseRemembersStagedPages(t *testing.T) {
	for name, c := range map[string]struct{ held, staged bool }{
		"a Writer that is left open": {true, true},
		"nothing staged":             {true, false},
		"a Writer that was closed":   {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, id := openNew(t), volume.NewSegmentID()
			release := s.Hold(id)
			if c.staged {
				must(t, s.Stage(id, pages(1, 10, 0)))
			}
			if !c.held {
				release()
			}
			if s.NeedsSweep() {
				t.Error("it needs a sweep while it is open")
			}
			s = reopen(t, s)
			want := c.held && c.staged
			if s.NeedsSweep() != want {
				t.Errorf("opened again it needs a sweep: %t", !want)
			}
			sweepAllBut(t, s, volume.SegmentID{}, 0)
			checkNoPages(t, s, id, pages(1, 10, 0))
			if s = reopen(t, s); s.NeedsSweep() {
				t.Error("swept and opened again it needs a sweep")
			}
		})
	}
}

// TestFailedSyncInACollectionLosesNothing has the disk keep nothing of the file of the
// value log that others are collected into.
func TestFailedSyncInACollectionLosesNothing(t *testing.T) {
	f := newSyncFailure(testdir.InMemory(t))
	s, err := Open(testdir.InMemory(t), Options{Logger: slog.New(f)})
	must(t, err)
	kept, gone := volume.NewSegmentID(), volume.NewSegmentID()
	want := pages(1, 50, 0)
	must(t, s.Stage(kept, want))
	dead := make([]volume.PageEntry, 2200) // more than a file of the value log
	for i := range dead {
		dead[i] = volume.PageEntry{Idx: volume.PageIdx(i + 1), Page: want[0].Page}
	}
	must(t, s.Stage(gone, dead))
	f.arm(s, "Rewriting fid", 1)
	live := Live{Pages: NewPageRefSet()}
	for p := range volume.PageIdx(len(want)) {
		live.Pages.Add(PageRef{kept, p + 1})
	}
	_, err = s.Sweep(t.Context(), func(context.Context) (Live, error) { return live, nil })
	must(t, err)
	wantPoisoned(t, "compact", s.Compact(t.Context()), errPlanted.Error())
	if !s.poison.writer.isHeld() {
		t.Fatal("nothing was collected")
	}
	s.cache.pages.InvalidateAll()
	checkPages(t, s, kept, want)
	wantPoisoned(t, "apply", s.Apply(Change{DeleteTags: []string{"tag"}}), errPlanted.Error())
	wantPoisoned(t, "close", s.Close(), errPlanted.Error())
	wantKept(t, s, errPlanted.Error())

	after := testdir.InMemory(t) // what the process leaves
	must(t, testdir.Copy(after, s.Dir()))
	must(t, errors.Join(f.mu.err, copyLogs(filepath.Join(after, "badger"), f.before, f.logs)))
	again := open(t, after)
	checkPages(t, again, kept, want)
	sweepAllBut(t, again, kept, volume.PageIdx(len(want)))
	checkPages(t, again, kept, want)

	s.endProcess(t)
}

// TestFilesOfTheValueLogAreBounded has the size that a file of the value log may have
// follow that of the store.
func TestFilesOfTheValueLogAreBounded(t *testing.T) {
	for size, want := range map[int64]int64{
		0: 8 << 20, 512 << 20: 8 << 20, 1 << 30: 16 << 20, 8 << 30: 128 << 20, 1 << 40: 128 << 20, 1 << 62: 128 << 20,
	} {
		o := badgerOptions(t.TempDir(), size)
		if o.ValueLogFileSize != want {
			t.Errorf("store of %d bytes: files of %d bytes, want %d", size, o.ValueLogFileSize, want)
		}
		if 2*o.ValueLogFileSize < o.ValueLogFileSize+maxTransaction {
			t.Errorf("store of %d bytes: a transaction outgrows what is mapped", size)
		}
	}
}
