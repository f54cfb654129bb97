package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// Swept is what a sweep did.
type Swept struct {
	Kept    int // pages that are left
	Removed int // keys that are gone, of any kind
}

// Sweep removes everything from the store that is not live. mark says what is;
// it is called once, after the sweep began: what is held then, or is stored
// later, stays in any case. Only one sweep runs at a time.
//
// It finds what is dead by going through the keys of all pages and Volumes, so
// that whatever a crash, a rollback or a deletion left behind goes as well.
func (s *Store) Sweep(ctx context.Context, mark func(context.Context) (Live, error)) (swept Swept, err error) {
	if err := s.Flush(); err != nil {
		return swept, fmt.Errorf("sweep: %w", err)
	}
	garbage := s.space.garbage()
	s.space.beginSweep()
	defer s.space.endSweep()
	defer func() {
		if err != nil {
			s.space.stored.Add(garbage) // it is there still
			s.space.replaced.Add(garbage)
			s.SweepDue()
		}
	}()
	err = s.view(func(txn *badger.Txn) error {
		live, err := mark(ctx)
		if err != nil {
			return err
		}
		// What a power cut took back must not be why something was deleted.
		if err := s.syncSeen(); err != nil {
			return err
		}
		w := sweeper{store: s, txn: txn, live: live}
		err = w.run(ctx)
		swept = w.swept
		return err
	})
	if err != nil {
		return swept, fmt.Errorf("sweep: %w", err)
	}
	s.space.kept.Store(int64(swept.Kept))
	s.space.swept.Store(true)
	s.space.unclean.Store(false)
	return swept, nil
}

// sweeper is a sweep that runs.
type sweeper struct {
	store *Store
	txn   *badger.Txn
	live  Live
	swept Swept
	dead  [][]byte // keys to delete
}

// sweepBatch is how many keys are deleted together.
const sweepBatch = 2000

// run takes time in proportion to the pages and to what is dead, whatever the
// length of the logs.
func (w *sweeper) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{w.remotes, w.objects, w.pages, w.locals, w.indexes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return w.delete()
}

// gather has a key deleted, some time before run ends.
func (w *sweeper) gather(ctx context.Context, key []byte) error {
	w.dead = append(w.dead, slices.Clone(key))
	if len(w.dead) < sweepBatch {
		return nil
	}
	if err := w.delete(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// pages removes pages that nothing names.
func (w *sweeper) pages(ctx context.Context) error {
	return w.keys([]byte{spacePage}, func(item *badger.Item) error {
		ref, ok := parseKeyPage(item.Key())
		if !ok || w.live.has(ref) || w.store.space.isYoung(ref.Segment) {
			w.swept.Kept++
			return nil
		}
		return w.gather(ctx, item.Key())
	})
}

// locals removes the commits of local Volumes that are older than those that
// stay.
func (w *sweeper) locals(ctx context.Context) error {
	it := w.iterator([]byte{spaceLog})
	defer it.Close()
	for v, oldest := range w.live.Locals {
		if err := w.older(it, v, oldest, func(_ volume.LSN, key []byte) error { return w.gather(ctx, key) }); err != nil {
			return err
		}
	}
	return nil
}

// older calls fn with each commit of a Volume before LSN to, in order, unless the
// Volume is young. it goes through the logs.
func (w *sweeper) older(it *badger.Iterator, v volume.VolumeID, to volume.LSN, fn func(l volume.LSN, key []byte) error) error {
	if w.store.space.isYoung(v) {
		return nil
	}
	prefix := keyLogOf(v)
	for it.Seek(prefix); it.ValidForPrefix(prefix); it.Next() {
		_, l, ok := parseKeyLog(it.Item().Key())
		if !ok || l >= to {
			break
		}
		if err := fn(l, it.Item().Key()); err != nil {
			return err
		}
	}
	return nil
}

// indexes removes the page indexes of Grafts that are gone.
func (w *sweeper) indexes(ctx context.Context) error {
	for _, space := range []byte{spaceLeaf, spaceIndex} {
		err := w.keysOf(space, func(v volume.VolumeID) bool {
			_, local := w.live.Locals[v]
			return !local && !w.store.space.isYoung(v)
		}, func(_ volume.VolumeID, key []byte) error { return w.gather(ctx, key) })
		if err != nil {
			return err
		}
	}
	return nil
}

// keysOf calls fn with each key of those Volumes in a key space that are wanted,
// in order. It passes over the keys of the others.
func (w *sweeper) keysOf(space byte, wanted func(volume.VolumeID) bool, fn func(v volume.VolumeID, key []byte) error) error {
	it := w.iterator([]byte{space})
	defer it.Close()
	for it.Rewind(); it.Valid(); {
		var v volume.VolumeID
		if key := it.Item().Key(); copy(v[:], key[1:]) < len(v) {
			return corruptf("key %q", key)
		}
		if !wanted(v) {
			it.Seek(append(append([]byte{space}, v[:]...), afterLast...))
			continue
		}
		if err := fn(v, it.Item().Key()); err != nil {
			return err
		}
		it.Next()
	}
	return nil
}

// afterLast comes after every suffix of a key.
var afterLast = bytes.Repeat([]byte{0xff}, 9)

func (w *sweeper) iterator(prefix []byte) *badger.Iterator {
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = prefix, false
	return w.txn.NewIterator(o)
}

func (w *sweeper) delete() error {
	if len(w.dead) == 0 {
		return nil
	}
	err := w.store.batch("sweep", func(wb *writeBatch) error {
		for _, key := range w.dead {
			if err := wb.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	w.swept.Removed += len(w.dead)
	w.dead = w.dead[:0]
	return err
}

// remotes removes the logs of Volumes that are in no use, and then what is known
// of their Segments; of the others it removes the commits that do not stay.
// Somebody may begin to use such a Volume again meanwhile, and builds on what is
// left: so a log goes newest commit first, and the states of Segments when no
// commit names them.
func (w *sweeper) remotes(ctx context.Context) error {
	logs, err := w.deadLogs()
	if err != nil {
		return err
	}
	for v, lsns := range logs {
		slices.Reverse(lsns) // newest first
		for part := range slices.Chunk(lsns, sweepBatch) {
			for _, l := range part {
				w.dead = append(w.dead, keyLog(v, l))
			}
			if err := w.deleteOf(v); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	return w.segments()
}

// deadLogs gives the commits of remote Volumes that do not stay, oldest first.
func (w *sweeper) deadLogs() (map[volume.VolumeID][]volume.LSN, error) {
	logs := make(map[volume.VolumeID][]volume.LSN)
	err := w.keysOf(spaceLog, func(v volume.VolumeID) bool {
		_, local := w.live.Locals[v]
		_, remote := w.live.Remotes[v]
		return !local && !remote
	}, func(v volume.VolumeID, key []byte) error {
		_, l, ok := parseKeyLog(key)
		if !ok {
			return corruptf("key %q of the log", key)
		}
		logs[v] = append(logs[v], l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	it := w.iterator([]byte{spaceLog})
	defer it.Close()
	for v, log := range w.live.Remotes {
		err := w.older(it, v, log.From, func(l volume.LSN, _ []byte) error {
			if !log.stays(l) {
				logs[v] = append(logs[v], l)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return logs, nil
}

// segments removes what is known of the Segments of remote Volumes that are in
// no use, and of Segments whose last alias goes, and the aliases whose pages are all
// dead. A state that somebody writes meanwhile may get a dead alias back: its pages
// are fetched then.
func (w *sweeper) segments() error {
	gone := make(map[volume.VolumeID][][]byte)
	err := w.keys([]byte{spaceSegment}, func(item *badger.Item) error {
		b, err := item.ValueCopy(nil)
		if err != nil {
			return readError(item.Key(), err)
		}
		state, err := volume.DecodeSegmentState(b)
		if err != nil {
			return fmt.Errorf("read state of a segment: %w", err)
		}
		_, live := w.live.Remotes[state.Volume]
		young := w.store.space.isYoung(state.Volume)
		if kept := w.liveAliases(state); young || live && len(kept) > 0 {
			return w.trimAliases(state, kept)
		}
		gone[state.Volume] = append(gone[state.Volume], item.KeyCopy(nil))
		return nil
	})
	if err != nil {
		return err
	}
	for v, keys := range gone {
		for part := range slices.Chunk(keys, sweepBatch) {
			w.dead = append(w.dead, part...)
			if err := w.deleteOf(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys calls fn with each key of a prefix, in order.
func (w *sweeper) keys(prefix []byte, fn func(*badger.Item) error) error {
	it := w.iterator(prefix)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if err := fn(it.Item()); err != nil {
			return err
		}
	}
	return nil
}

// deleteOf deletes what is gathered, all of Volume v, unless v is in use by now.
func (w *sweeper) deleteOf(v volume.VolumeID) error {
	sp := &w.store.space
	sp.gate.Lock()
	defer sp.gate.Unlock()
	if sp.isYoung(v) {
		w.dead = w.dead[:0]
		return nil
	}
	return w.delete()
}

// liveAliases gives the aliases of a Segment with a page that stays.
func (w *sweeper) liveAliases(state volume.SegmentState) []volume.Alias {
	return slices.DeleteFunc(slices.Clone(state.Aliases), func(a volume.Alias) bool {
		for p := range a.Pages.All() {
			if w.live.has(PageRef{a.Segment, p}) {
				return false
			}
		}
		return true
	})
}

// trimAliases leaves a Segment those aliases alone, unless its state was written
// since.
func (w *sweeper) trimAliases(state volume.SegmentState, kept []volume.Alias) error {
	if len(kept) == len(state.Aliases) {
		return nil
	}
	current, err := w.store.Segment(state.Segment.ID)
	if errors.Is(err, ErrNotFound) || err == nil && len(current.Aliases) != len(state.Aliases) {
		return nil
	}
	if err != nil {
		return err
	}
	trimmed := *current
	trimmed.Aliases = kept
	return w.store.apply(Change{Segments: []volume.SegmentState{trimmed}, Relaxed: true})
}
