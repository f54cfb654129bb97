package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store/journal"
)

// heldIn are writes, and which of Badger's writes in them is the one that fails, counted from when Badger has said
// after.
var heldIn = map[string]struct {
	after string
	nth   int
	write func(*world) error
}{
	"changes":         {"", 1, func(w *world) error { return w.flush(w.s.Flush) }},
	"the first mark":  {"", 2, func(w *world) error { return w.flush(w.s.Flush) }},
	"the second mark": {"", 3, func(w *world) error { return w.flush(w.s.Flush) }},
	"staged pages":    {"", 1, func(w *world) error { return w.stage(9, false) }},
	"several writers": {"", 3, (*world).stageBeside},
	"what has landed": {"", 1, (*world).land},
	"a deletion":      {"", 2, (*world).stageInVain},
	"a compaction":    {"", 1, func(w *world) error { return w.s.Compact(context.Background()) }},
	"what follows a compaction": {"DropPrefix done", 1, func(w *world) error {
		return errors.Join(w.s.Compact(context.Background()), w.stage(9, false))
	}},
	"a new file": {"", 8, (*world).fillUp}, // is begun in the write that fails
}

// fillUp writes more than a file of the value log has room for.
func (w *world) fillUp() error {
	value := bytes.Repeat(page(9)[:], fillerSize/volume.PageSize)
	for range 9 {
		err := w.s.update(func(txn *badger.Txn) error { return txn.Set([]byte(keyFiller), value) })
		if err != nil {
			return err
		}
	}
	return nil
}

// stageInVain stages pages and removes them.
func (w *world) stageInVain() error {
	id := volume.NewSegmentID()
	w.mayStage(id, pages(1, 2, 7))
	if err := w.s.Stage(id, pages(1, 2, 7)); err != nil {
		return err
	}
	return w.s.Unstage(id, volume.PageSetOf(1, 2))
}

// mayStage tells the model of pages that may be stored.
func (w *world) mayStage(id volume.SegmentID, entries []volume.PageEntry) {
	for _, e := range entries {
		w.unsure[string(keyPage(id, e.Idx))] = string(e.Page[:])
	}
}

// stageBeside has several goroutines stage pages. It gives an error if one of them gets one.
func (w *world) stageBeside() error {
	var mu sync.Mutex
	var all error
	var writers sync.WaitGroup
	for n := range uint64(6) {
		writers.Go(func() {
			for i := range uint64(3) {
				id, entries := volume.NewSegmentID(), pages(1, 4, 100+n*10+i)
				err := w.s.Stage(id, entries)
				mu.Lock()
				if all = errors.Join(all, err); err != nil {
					w.mayStage(id, entries)
				} else {
					for _, e := range entries {
						w.staged[string(keyPage(id, e.Idx))] = string(e.Page[:])
					}
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	return all
}

// land has pages land, and waits until they are stored or given up.
func (w *world) land() error {
	id := volume.NewSegmentID()
	w.mayStage(id, pages(1, 5, 8))
	if err := w.s.Land(context.Background(), id, pages(1, 5, 8)); err != nil {
		return err
	}
	w.s.AwaitLanded(context.Background())
	return w.s.poison.err()
}

// heldCuts is how many power cuts each of heldIn goes through that has something to lose.
const heldCuts = 20

// TestPowerCutsAfterAFailedSync has Badger's writer held in each kind of write, and then cuts the power: of
// what it had written some sectors are on disk. Whoever waits for it returns, reads go on,
// and all is there afterwards.
func TestPowerCutsAfterAFailedSync(t *testing.T) {
	for name, in := range heldIn {
		t.Run(name, func(t *testing.T) {
			w, u := holdIn(t, in.after, in.nth, in.write)
			cuts := heldCuts
			if len(u.sectors) < 2 {
				cuts = 2
			}
			if testing.Short() {
				cuts = 1
			}
			for n := range cuts {
				w.afterCut(t, u, uint64(len(name)<<8+n)).goOn(t, n == 0)
			}
		})
	}
}

// goOn opens what a power cut has left, and works on with it for long or not.
func (w *world) goOn(t *testing.T, long bool) {
	t.Helper()
	defer w.done()
	mayBeThere := w.unsure
	w.mustOpen(true)
	if long {
		w.unsure = mayBeThere
		must(t, w.apply(w.change(2, false)))
		must(t, w.flush(w.s.Flush))
		must(t, w.s.Compact(t.Context()))
		must(t, w.close())
		w.mustOpen(false)
	}
}

// afterCut gives the world after a power cut.
func (w *world) afterCut(t *testing.T, u unsynced, seed uint64) *world {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	after := *w
	after.base, after.lives, after.s = testdir.InMemory(t), 0, nil
	after.opts.Logger = nil
	u.cut(t, filepath.Join(after.dir(), "badger"), r, r.IntN(5))
	after.files = w.files.Crash(r)
	return &after
}

// holdIn has Badger's writer held in write number nth of a write, and gives what the process leaves.
func holdIn(t *testing.T, after string, nth int, write func(*world) error) (*world, unsynced) {
	t.Helper()
	f := newSyncFailure(testdir.InMemory(t))
	w := newWorld(t, testdir.InMemory(t), journal.Options{FileSize: 64 << 10, Files: 3}, 0)
	w.opts.Logger = slog.New(f)
	w.mustOpen(false)
	for n := range 4 {
		must(t, w.apply(w.change(n, n%2 == 0)))
	}
	must(t, w.stage(5, false))
	must(t, w.flush(w.s.Flush))
	for n := range 3 {
		must(t, w.apply(w.change(n, n > 0)))
	}
	s := w.s
	f.arm(s, after, nth)
	wantPoisoned(t, "the write", write(w), errPlanted.Error())
	if !s.poison.writer.isHeld() {
		t.Error("Badger's writer is not held")
	}
	s.cache.pages.InvalidateAll()
	w.checkPoisoned()
	must(t, f.mu.err)
	u := newUnsynced(t, s.badgerDir(), f.before, f.logs)
	wantPoisoned(t, "close", s.Close(), errPlanted.Error())
	wantKept(t, s, errPlanted.Error())
	s.endProcess(t)
	return w, u
}

// TestTailOfAFailedSyncIsHarmless ends the process after a failed sync, and opens what it
// leaves, which the kernel shows as it was written. A power cut then takes some of it.
func TestTailOfAFailedSyncIsHarmless(t *testing.T) {
	f := newSyncFailure(testdir.InMemory(t))
	s, err := Open(testdir.InMemory(t), Options{Logger: slog.New(f)})
	must(t, err)
	kept, gone := volume.NewSegmentID(), volume.NewSegmentID()
	must(t, s.Stage(kept, pages(1, 20, 0)))
	must(t, s.Stage(gone, pages(1, 100, 1)))
	f.arm(s, "", 1)
	wantPoisoned(t, "stage", s.Stage(gone, pages(101, 120, 1)), errPlanted.Error())
	must(t, f.mu.err)
	after := testdir.InMemory(t)
	must(t, testdir.Copy(after, s.Dir()))
	u := newUnsynced(t, s.badgerDir(), f.before, f.logs)
	wantPoisoned(t, "close", s.Close(), errPlanted.Error())
	s.endProcess(t)

	again := open(t, after)
	checkPages(t, again, kept, pages(1, 20, 0))
	closeStore(t, again)
	for i, lost := range u.sectors {
		path := filepath.Join(after, "badger", lost.file)
		if info, err := os.Stat(path); err == nil && info.Size() >= lost.off+int64(len(lost.data)) && i%2 == 1 {
			writeAt(t, path, make([]byte, len(lost.data)), lost.off)
		}
	}
	again = open(t, after)
	sweepAllBut(t, again, kept, 20)
	again.cache.pages.InvalidateAll()
	checkPages(t, again, kept, pages(1, 20, 0))
}

// TestSayingsThatHoldBadgersWriter has its writer say each of them when those who waited for the
// write are through. Neither the next ones may wait for ever, nor Close, nor a compaction that has
// Badger take no writes by now.
func TestSayingsThatHoldBadgersWriter(t *testing.T) {
	compact := func(s *Store) error { return errors.Join(s.Compact(context.Background()), s.Close()) }
	forSayings(t, isHeld, func(t *testing.T, y saying) {
		for _, c := range []struct {
			nth   int
			until string
			end   func(*Store) error
		}{{1, "", (*Store).Close}, {5, "", (*Store).Close}, {1, "DropPrefix called", compact}} {
			w := openPoisonable(t)
			closeStore(t, w.s)
			f := newSyncFailure(testdir.InMemory(t))
			f.says, f.at, f.until = y, "entries written", c.until
			s, err := Open(w.s.Dir(), Options{Logger: slog.New(f)})
			must(t, err)
			w.s = s
			must(t, w.apply(w.change(2, false)))
			f.arm(s, "", c.nth)
			wantPoisoned(t, "the end", c.end(s), errPlanted.Error())
			wantKept(t, s, errPlanted.Error())
			s.endProcess(t)
			w.s = open(t, s.Dir())
			w.wantState(t)
		}
	})
}

// atFlattening calls fn when Badger has found out what is dead, in the middle of a compaction.
type atFlattening struct {
	*syncFailure
	fn func()
}

func (a *atFlattening) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "Flattening done") {
		a.fn()
	}
	return a.syncFailure.Handle(ctx, r)
}

// TestNothingIsCollectedAfterAFailedSync has the sync of somebody else's write fail while a
// compaction is on its way to a file of the value log that is dead.
func TestNothingIsCollectedAfterAFailedSync(t *testing.T) {
	a := &atFlattening{syncFailure: newSyncFailure(testdir.InMemory(t))}
	s, err := Open(testdir.InMemory(t), Options{Logger: slog.New(a)})
	must(t, err)
	kept, gone := volume.NewSegmentID(), volume.NewSegmentID()
	must(t, s.Stage(gone, pages(1, 5, 0)))
	_, err = s.fillUp(t.Context(), newest(t, s), dbOf(s).Opts().ValueLogFileSize)
	must(t, err)
	must(t, s.Stage(kept, pages(1, 5, 1)))
	must(t, s.Unstage(gone, volume.PageSetOf(1, 2, 3, 4, 5)))
	a.fn = func() {
		a.arm(s, "", 1)
		wantPoisoned(t, "stage", s.Stage(kept, pages(6, 9, 1)), errPlanted.Error())
	}
	wantPoisoned(t, "compact", s.Compact(t.Context()), errPlanted.Error())
	s.cache.pages.InvalidateAll()
	checkPages(t, s, kept, pages(1, 5, 1))
	if id, _, err := s.NextLeaf(someVolume, 0); err != nil {
		t.Errorf("leaf %d, %v", id, err)
	}
	wantPoisoned(t, "close", s.Close(), errPlanted.Error())
	s.endProcess(t)
}
