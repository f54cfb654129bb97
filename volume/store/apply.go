package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
	"graft/volume/store/journal"
)

// defaultApplyAt is how many bytes of ops gather in memory before they are thinned
// out, or applied to Badger together.
const defaultApplyAt = 28 << 20

// keepAt is how many bytes may be left of what is thinned out, lest it be applied. The rest of ApplyAt
// is what can gather until the next time, and has to be worth that.
func (o Options) keepAt() int { return o.ApplyAt / 8 * 5 }

// maxTrace is how many bytes, in units of that, a replay of what is not applied may
// take: it cannot thin out.
const maxTrace = 2

// Who makes a Change waits for the applier before more bytes than these are in memory, or
// would be replayed, in units of that: the journal does not bound them, for a patch is
// short. They leave room for what comes while the applier is at work.
const (
	maxUnapplied = 3
	maxReplay    = maxTrace + 2
)

// keyApplied holds volume.Applied.
var keyApplied = []byte("j")

// applier moves what the redo journal holds to Badger.
//
// It does so when memory is full that was thinned out: see relieve. The steps, whose
// numbers stand in the code. A crash between any two of them is harmless: what is not
// marked as applied is replayed, and writing the same again changes nothing.
//
//  1. Seal the active memtable, under the lock of commit. Changes go on into a
//     new one.
//  2. Leave out pages that no Snapshot in use can read.
//  3. Make every Change durable that anybody has seen: one that a power cut took
//     back must neither be in Badger, nor be why a page was left out of it.
//  4. Write the rest to Badger, in synced transactions.
//  5. Mark them as applied, in a transaction after all others.
//  6. Show readers Badger alone, and let the journal reuse its files.
type applier struct {
	mu      sync.Mutex // held by whoever applies
	applied uint64     // newest redo record that is in Badger
	isClean bool       // the mark in Badger says so

	wake chan struct{} // has room for one kick
	stop chan struct{}
	done chan struct{}
}

// kick lets the applier run soon. It never waits.
func (a *applier) kick() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// recover reads how far the journal was applied, and replays the rest of it
// into the overlay.
func (s *Store) recover() error {
	s.overlay.active = newMemtable()
	mark := volume.Applied{Clean: true}
	b, err := s.getBadger(keyApplied)
	if err == nil {
		mark, err = volume.DecodeApplied(b)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("read how far the journal was applied: %w", err)
	}
	s.applier.applied, s.applier.isClean = mark.Sequence, mark.Clean
	s.space.stored.Store(int64(min(mark.Garbage, 1<<40)))
	s.space.replaced.Store(s.space.stored.Load())
	s.space.unclean.Store(!mark.Clean)
	s.journal, err = journal.Open(s.opts.journalFiles, mark.Sequence, s.opts.journal, func(seq uint64, payload []byte) error {
		if err := s.overlay.replay(seq, append([]byte(nil), payload...)); err != nil {
			return fmt.Errorf("redo record %d: %w", seq, err)
		}
		s.space.unclean.Store(true) // the process was killed
		return nil
	})
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	return nil
}

func (s *Store) startApplier() {
	a := &s.applier
	a.wake, a.stop, a.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if s.isFull() { // of what a killed process has left
		a.kick()
	}
	go func() {
		defer close(a.done)
		for {
			select {
			case <-a.stop:
				return
			case <-a.wake:
			}
			if err := a.relieve(s, s.isFull); err != nil {
				s.logError("apply the journal", err)
			}
		}
	}()
}

// stopApplier ends the background work and applies what is left.
func (s *Store) stopApplier() error {
	close(s.applier.stop)
	<-s.applier.done
	return s.applier.applyAll(s)
}

// Flush applies every Change so far to Badger. They are durable then.
func (s *Store) Flush() error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	return s.applier.applyAll(s)
}

// AwaitApplied is Flush for who waits no longer than ctx. What began goes on without
// him, and Close waits for it.
func (s *Store) AwaitApplied(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("wait for the local store: %w", context.Cause(ctx))
	}
	if err := s.use.acquire(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer s.use.release()
		done <- s.applier.applyAll(s)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the local store: %w", context.Cause(ctx))
	}
}

// applyAll applies every Change so far. It fails when the store is poisoned.
func (a *applier) applyAll(s *Store) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.overlay.sealed != nil { // an earlier try has failed
		if err := a.applySealed(s); err != nil {
			return err
		}
	}
	s.seal()
	if s.overlay.sealed == nil {
		return s.poison.err()
	}
	return a.applySealed(s)
}

// relieve makes room in memory. It leaves out the pages that no Snapshot in use can
// read, and applies what is left if that is still much. Their redo records stay, and
// nothing in Badger or in the journal depends on what was left out of memory: so
// nothing has to be synced for it.
//
// It does nothing if that is not due any more when nobody else applies.
func (a *applier) relieve(s *Store, due func() bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !due() {
		return nil
	}
	if s.overlay.sealed == nil { // no earlier try has failed
		s.seal()
	}
	if s.overlay.sealed == nil {
		return s.poison.err()
	}
	if s.unseal() {
		return nil
	}
	return a.applySealed(s)
}

// isFull tells whether there is enough in memory for the applier to do something about
// it, or an earlier try of it has failed.
func (s *Store) isFull() bool {
	o := &s.overlay
	o.RLock()
	defer o.RUnlock()
	return o.sealed != nil || o.active.bytes > s.opts.keepAt()
}

// isCrowded tells whether so much is not applied that the next Change has to wait:
// in memory, or of what a replay takes.
func (s *Store) isCrowded() bool {
	o := &s.overlay
	o.RLock()
	defer o.RUnlock()
	bytes, trace := o.active.bytes, o.active.trace
	if o.sealed != nil {
		bytes, trace = bytes+o.sealed.bytes, trace+o.sealed.trace
	}
	return bytes > maxUnapplied*s.opts.ApplyAt || trace > maxReplay*s.opts.ApplyAt
}

// unseal makes the sealed memtable, thinned out, part of the active one again, unless
// too much would be left of it, or of its redo records.
func (s *Store) unseal() bool {
	sealed := s.overlay.sealed
	if sealed.last <= s.applier.applied { // the mark alone has failed: what follows must not rest on what is marked next
		return false
	}
	if sealed.trace > maxTrace*s.opts.ApplyAt || s.journal.Used() > s.journal.Room()/2 {
		return false
	}
	kept := sealed.thin(s.liveOps(sealed))
	if kept.bytes > s.opts.keepAt() {
		return false
	}
	s.overlay.Lock()
	defer s.overlay.Unlock()
	kept.follow(s.overlay.active)
	s.overlay.active, s.overlay.sealed = kept, nil
	return true
}

// seal is step 1. The caller holds the applier's lock, the only one that
// changes sealed.
func (s *Store) seal() {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.overlay.Lock()
	defer s.overlay.Unlock()
	if s.overlay.active.last > 0 {
		s.overlay.rotate()
	}
}

func (a *applier) applySealed(s *Store) error {
	sealed := s.overlay.sealed
	if err := s.checkReserve(int64(sealed.bytes), applyReserve); err != nil {
		return err
	}
	if err := s.poison.err(); err != nil {
		return err
	}
	ops := s.liveOps(sealed)             // 2
	if err := s.syncSeen(); err != nil { // 3
		return err
	}
	err := s.batch("apply the journal to", func(wb *writeBatch) error { // 4
		for _, o := range ops {
			if err := s.applyOp(wb, o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.applied = sealed.last
	if err := s.writeApplied(false); err != nil { // 5
		return err
	}
	s.overlay.Lock() // 6
	s.overlay.sealed = nil
	s.overlay.inUse.Store(s.overlay.active.last > 0)
	s.overlay.Unlock()
	s.overlay.spare = sealed.again()
	s.journal.Release(a.applied)
	return nil
}

// liveOps gives the ops of m without pages that nobody can read any more.
func (s *Store) liveOps(m *memtable) []op {
	ops := make([]op, 0, len(m.ops))
	for _, o := range m.ops {
		ref, ok := parseKeyPage(o.key)
		if ok && !o.owner.IsZero() && !s.space.isHeld(ref.Segment) && !s.opts.Live(o.owner, ref) {
			continue
		}
		ops = append(ops, o)
	}
	return ops
}

// syncSeen makes every Change durable that a reader may have seen by now.
func (s *Store) syncSeen() error {
	s.overlay.RLock()
	seq := s.overlay.active.last
	if s.overlay.sealed != nil {
		seq = max(seq, s.overlay.sealed.last)
	}
	s.overlay.RUnlock()
	if seq == 0 {
		return nil
	}
	return s.syncJournal(seq)
}

// applyOp writes one op.
func (s *Store) applyOp(wb *writeBatch, o op) error {
	if o.value == nil {
		return wb.Delete(o.key)
	}
	if ref, ok := parseKeyPage(o.key); ok {
		s.space.stored.Add(1)
		s.cache.put(ref, (*volume.Page)(o.value)) // until now it was read from memory
	}
	return wb.Set(o.key, o.value)
}

// writeApplied marks how far the journal was applied. Everything that was
// written to Badger before is durable, and so is the mark when it returns nil.
// It is written twice, for damage to the last thing that Badger wrote cannot be
// told from a crash: package badgerguard sees the loss of anything before, and
// the journal, when the mark is older than what was released, that of both. The
// caller holds the applier's lock, or is alone.
func (s *Store) writeApplied(clean bool) error {
	mark, err := volume.EncodeApplied(volume.Applied{Sequence: s.applier.applied, Clean: clean, Garbage: uint64(s.space.garbage())})
	if err != nil {
		return err
	}
	for range 2 {
		if err := s.update(func(txn *badger.Txn) error { return txn.Set(keyApplied, mark) }); err != nil {
			return fmt.Errorf("mark the journal as applied: %w", err)
		}
	}
	s.applier.isClean = clean
	return nil
}

// clean tells whether nothing is in the store that nothing refers to.
func (s *Store) clean() bool { return !s.space.unclean.Load() && !s.space.isStaging() }

// markDirty notes in Badger that what follows may become orphans.
func (s *Store) markDirty() error {
	a := &s.applier
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.isClean {
		return nil
	}
	return s.writeApplied(false)
}

// batch writes to Badger in synced transactions, as many as it takes.
func (s *Store) batch(op string, fill func(*writeBatch) error) error {
	err := s.write(func(db *badger.DB) error {
		wb := newWriteBatch(db, s.poison.writer)
		defer wb.Cancel()
		if err := fill(wb); err != nil {
			return err
		}
		return wb.Flush()
	})
	if err != nil && !errors.Is(err, ErrPoisoned) {
		return fmt.Errorf("%s badger: %w", op, err)
	}
	return err
}

// update writes to Badger in one synced transaction.
func (s *Store) update(fn func(*badger.Txn) error) error {
	return s.write(func(db *badger.DB) error { return s.poison.writer.update(db, fn) })
}

// write runs fn, which writes to Badger, and lets reads see it. It fails when the store
// is poisoned by then: reads may not see what was written.
func (s *Store) write(fn func(*badger.DB) error) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	if err := s.poison.err(); err != nil {
		return err // what it would delete may be what a Change in doubt needs
	}
	db, err := s.await()
	if err != nil {
		return err
	}
	s.reads.keep(db)
	err = fn(db)
	s.renewReads(db)
	return s.orPoisoned(err)
}

// orPoisoned gives err, or why the store is poisoned if there is none, or none but that
// Badger's writer is held for it.
func (s *Store) orPoisoned(err error) error {
	if err == nil || errors.Is(err, errHeld) {
		return s.poison.err()
	}
	return err
}

// renewReads lets reads see what was written to Badger, unless Badger is stuck: then
// nobody reads from it.
func (s *Store) renewReads(db *badger.DB) {
	if s.poison.stuck.Load() {
		s.reads.drop()
		return
	}
	s.reads.renew(db)
}
