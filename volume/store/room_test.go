package store

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"graft/internal/testdir"
	"graft/volume"
)

// editor makes Changes that differ from one another in a few bytes of one page: their
// redo records are short.
type editor struct {
	newest volume.PageEntry
	in     volume.SegmentID
	count  uint64
}

func newEditor() *editor { return &editor{newest: volume.PageEntry{Idx: 1, Page: page(1)}} }

func (e *editor) next() Change {
	e.count++
	c := Change{Segment: volume.NewSegmentID(), Relaxed: true}
	if !e.in.IsZero() {
		c.Replaced = []PageRef{{e.in, 1}}
	}
	e.newest.Page = edit(e.newest.Page, e.count)
	e.in, c.Pages = c.Segment, []volume.PageEntry{e.newest}
	return c
}

// inMemory gives the bytes in memory, beside an applier that may be at work, and those
// that a replay would take.
func inMemory(s *Store) (bytes, trace int) {
	s.overlay.RLock()
	defer s.overlay.RUnlock()
	for _, m := range []*memtable{s.overlay.active, s.overlay.sealed} {
		if m != nil {
			bytes, trace = bytes+m.bytes, trace+m.trace
		}
	}
	return bytes, trace
}

// TestMemoryIsBoundedWhileBadgerStalls makes changes, whose redo records take little of
// the journal, while Badger does not get on with what is applied.
func TestMemoryIsBoundedWhileBadgerStalls(t *testing.T) {
	const applyAt = 100 << 10
	h := newStallingHandler(midWrite)
	s, err := Open(testdir.InMemory(t), Options{Logger: slog.New(h), ApplyAt: applyAt})
	must(t, err)
	defer closeStore(t, s)
	h.armed.Store(true)
	e := newEditor()
	for range 10 * applyAt / volume.PageSize {
		if s.isCrowded() {
			break
		}
		apply(t, s, e.next())
	}
	<-h.stalled
	if used := s.journal.Used(); used > s.journal.Room()/100 {
		t.Errorf("the journal has %d bytes", used)
	}
	c := e.next()
	ops, err := c.encode()
	must(t, err)
	if _, err := s.appendPatched(appendOps(nil, ops), s.overlay.generation, ops, &c); !errors.Is(err, errCrowded) {
		t.Errorf("a change while memory is full: %v", err)
	}
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			e := newEditor()
			for range 200 {
				if err := s.Apply(e.next()); err != nil {
					t.Error(err)
				}
				if bytes, trace := inMemory(s); bytes > maxUnapplied*applyAt+2*volume.PageSize || trace > maxReplay*applyAt+2*volume.PageSize {
					t.Errorf("%d bytes in memory, %d to replay", bytes, trace)
				}
			}
			readAll(t, s, e.in, []volume.PageEntry{e.newest})
		})
	}
	close(h.goOn)
	writers.Wait()
}

func anyTime() bool { return true }

// TestMemoryOfKilledProcessIsRelieved opens what a process has left that was killed with
// much in memory. Nobody makes a change.
func TestMemoryOfKilledProcessIsRelieved(t *testing.T) {
	dir := testdir.InMemory(t)
	s, err := Open(dir, Options{})
	must(t, err)
	e := newEditor()
	for range 30 {
		apply(t, s, e.next())
	}
	s.abandon(t)
	h := newStallingHandler(midWrite)
	h.armed.Store(true)
	s, err = Open(dir, Options{Logger: slog.New(h), ApplyAt: 100 << 10})
	must(t, err)
	defer closeStore(t, s)
	if bytes, _ := inMemory(s); bytes < 30*volume.PageSize {
		t.Errorf("%d bytes are replayed", bytes)
	}
	select {
	case <-h.stalled:
	case <-time.After(10 * time.Second):
		t.Error("nothing is applied")
	}
	close(h.goOn)
	if bytes, trace, applied := unapplied(s); bytes+trace > 0 || applied != 30 {
		t.Errorf("%d bytes in memory, %d to replay, %d records applied", bytes, trace, applied)
	}
	readAll(t, s, e.in, []volume.PageEntry{e.newest})
}

// TestWhatIsAppliedIsNotTakenBackIntoMemory has the mark alone fail, after everything
// was written to Badger: it is set anew before anything rests on those records.
func TestWhatIsAppliedIsNotTakenBackIntoMemory(t *testing.T) {
	s := openNew(t)
	e := newEditor()
	for range 3 {
		apply(t, s, e.next())
	}
	s.applier.mu.Lock()
	s.seal()
	s.applier.applied = s.overlay.sealed.last
	s.applier.mu.Unlock()
	apply(t, s, e.next())
	must(t, s.applier.relieve(s, anyTime))
	if bytes, trace, applied := unapplied(s); trace > 2*volume.PageSize || applied != 3 || s.overlay.sealed != nil {
		t.Errorf("%d bytes in memory, %d to replay, %d records applied", bytes, trace, applied)
	}
	apply(t, s, e.next())
	s.abandon(t)
	s = open(t, s.Dir())
	readAll(t, s, e.in, []volume.PageEntry{e.newest})
}
