package store

import (
	"context"
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store/journal"
)

// unmark applies the journal and takes the mark back, as if the power failed
// when the applier had written everything but that.
func (w *world) unmark() {
	w.t.Helper()
	before, err := w.s.getBadger(keyApplied)
	if err != nil && !errors.Is(err, ErrNotFound) {
		w.t.Fatalf("read the mark: %v", err)
	}
	if err := w.s.Flush(); err != nil {
		w.t.Fatalf("flush: %v", err)
	}
	err = w.s.update(func(txn *badger.Txn) error {
		if before == nil {
			return txn.Delete(keyApplied)
		}
		return txn.Set(keyApplied, before)
	})
	if err != nil {
		w.t.Fatalf("take the mark back: %v", err)
	}
}

// step does one random thing.
func (w *world) step(t *rapid.T) {
	var err error
	switch rapid.SampledFrom([]string{"apply", "apply", "apply", "apply", "stage", "flush", "relieve", "sync", "cut", "cut", "cut in apply", "kill", "close"}).Draw(t, "step") {
	case "apply":
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			err = errors.Join(err, w.apply(w.change(rapid.IntRange(0, 2).Draw(t, "pages"), rapid.Bool().Draw(t, "relaxed"))))
		}
	case "stage":
		err = w.stage(rapid.IntRange(1, 5).Draw(t, "pages"), rapid.Bool().Draw(t, "relaxed"))
	case "flush":
		err = w.flush(w.s.Flush)
	case "relieve":
		err = w.relieve()
	case "sync":
		err = w.flush(w.s.Sync)
	case "cut":
		w.cut(rapid.Uint64().Draw(t, "seed"))
		w.mustOpen(true)
	case "cut in apply":
		w.unmark()
		w.cut(rapid.Uint64().Draw(t, "seed"))
		w.mustOpen(true)
	case "kill":
		w.kill()
		w.mustOpen(false)
	case "close":
		if err = w.close(); err == nil {
			w.mustOpen(false)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPowerCuts is the model test: any changes, and any ends of the process.
// After a power cut the durable changes are there and a prefix of the others,
// each whole.
func TestPowerCuts(t *testing.T) {
	base, thinned := testdir.InMemory(t), 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, base, journal.Options{FileSize: 16 << 10, Files: 3}, rapid.SampledFrom([]int{5000, 1 << 20}).Draw(t, "apply at"))
		defer w.done()
		w.mustOpen(false)
		var err error
		for range 4 { // two to each Volume
			err = errors.Join(err, w.apply(w.change(2, true)))
		}
		if err = errors.Join(err, w.relieve()); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(2, 7).Draw(t, "steps") {
			w.step(t)
		}
		thinned += len(w.thinned)
	})
	if thinned == 0 {
		t.Error("memory was never thinned out")
	}
}

// cuts is how many power cuts a script goes through.
const cuts = 8

func TestPowerCutInApply(t *testing.T) {
	base := testdir.InMemory(t)
	for seed := range uint64(cuts) {
		w := newWorld(t, base, journal.Options{}, 0)
		w.mustOpen(false)
		for n := range 4 {
			must(t, w.apply(w.change(n, true)))
		}
		w.unmark()
		w.cut(seed)
		w.mustOpen(true)
		must(t, w.apply(w.change(1, false)))
		must(t, w.close())
		w.mustOpen(false)
		w.done()
	}
}

func TestSyncAfterPowerCut(t *testing.T) {
	base := testdir.InMemory(t)
	for seed := range uint64(cuts) {
		w := newWorld(t, base, journal.Options{}, 0)
		w.mustOpen(false)
		for range 4 {
			must(t, w.apply(w.change(1, true)))
		}
		w.cut(seed)
		w.mustOpen(true)
		if err := w.s.Sync(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		w.done()
	}
}

// TestPowerCutAndPagesLeftOut has a page left out of Badger because of a commit
// that comes while the journal is applied. No power cut may take that commit.
func TestPowerCutAndPagesLeftOut(t *testing.T) {
	base := testdir.InMemory(t)
	for seed := range uint64(cuts) {
		w := newWorld(t, base, journal.Options{}, 0)
		w.mustOpen(false)
		v := w.volumes[0]
		var newest volume.SegmentID
		next := func() {
			newest = volume.NewSegmentID()
			c := Change{Segment: newest, Pages: pages(1, 2, seed), Relaxed: true}
			w.addCommit(&c, v, newest, 2)
			must(t, w.apply(c))
		}
		next()
		must(t, w.flush(w.s.Flush))
		next()
		committed := false
		w.live = func(ref PageRef) bool {
			if !committed {
				committed = true
				next()
			}
			return ref.Segment == newest
		}
		must(t, w.s.Flush())
		w.cut(seed)
		w.opts.journalFiles = w.files
		s, err := Open(w.dir(), w.opts)
		must(t, err)
		head, err := s.Head(v)
		must(t, err)
		rec, err := s.Commit(v, head)
		must(t, err)
		checkPages(t, s, rec.Commit.Segments[0].ID, pages(1, 2, seed))
		closeStore(t, s)
		w.done()
	}
}

// TestPowerCutInSweep has pages swept because of a commit that comes while the
// sweep marks. No power cut may take that commit, whether the sweep has come to
// its end or deleted but a part of what is dead.
func TestPowerCutInSweep(t *testing.T) {
	base := testdir.InMemory(t)
	for name, ended := range map[string]bool{"at its end": true, "half way": false} {
		t.Run(name, func(t *testing.T) {
			lost := 0
			for seed := range uint64(cuts) {
				lost += sweepAndCut(t, base, seed, ended)
			}
			if lost == 0 {
				t.Error("no power cut took a change")
			}
		})
	}
}

// sweepAndCut tells how many of two changes the power cut took that nobody had
// synced.
func sweepAndCut(t *testing.T, base string, seed uint64, ended bool) (lost int) {
	t.Helper()
	w := newWorld(t, base, journal.Options{}, 0)
	defer w.done()
	w.mustOpen(false)
	v := w.volumes[0]
	commit := func(n volume.PageIdx) volume.SegmentID {
		id := volume.NewSegmentID()
		must(t, w.s.Stage(id, pages(1, n, seed)))
		c := Change{Relaxed: true}
		w.addCommit(&c, v, id, int(n))
		must(t, w.apply(c))
		return id
	}
	const old = sweepBatch + 100 // pages
	commit(old)
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	_, err := w.s.Sweep(ctx, func(context.Context) (Live, error) {
		id := commit(2)
		if !ended {
			stop(errPlanted) // it is seen after the first deletions
		}
		live := Live{Pages: NewPageRefSet(), Locals: map[volume.VolumeID]volume.LSN{v: 2}}
		live.Pages.Add(PageRef{id, 1})
		live.Pages.Add(PageRef{id, 2})
		return live, nil
	})
	if ended != (err == nil) || err != nil && !errors.Is(err, errPlanted) {
		t.Fatalf("sweep: %v", err)
	}
	for n := range 2 {
		must(t, w.apply(w.change(n, true)))
	}
	w.cut(seed)
	w.opts.journalFiles = w.files
	s, err := Open(w.dir(), w.opts)
	must(t, err)
	defer closeStore(t, s)
	head, err := s.Head(v)
	must(t, err)
	rec, err := s.Commit(v, 2)
	if err != nil {
		t.Fatalf("seed %d: the commit for which pages were swept: %v; head %d", seed, err, head)
	}
	checkPages(t, s, rec.Commit.Segments[0].ID, pages(1, 2, seed))
	for _, u := range w.volumes {
		now, err := s.Head(u)
		must(t, err)
		lost -= int(now)
	}
	return lost + 4
}
