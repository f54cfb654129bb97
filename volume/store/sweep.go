package store

import (
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
// It finds what is dead by going through all keys, so that whatever a crash, a
// rollback or a deletion left behind goes as well.
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

func (w *sweeper) run(ctx context.Context) error {
	if err := w.remotes(ctx); err != nil {
		return err
	}
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	it := w.txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if key := it.Item().Key(); w.isDead(key) {
			w.dead = append(w.dead, slices.Clone(key))
		}
		if len(w.dead) < sweepBatch {
			continue
		}
		if err := w.delete(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return w.delete()
}

// isDead tells whether a key can go.
func (w *sweeper) isDead(key []byte) bool {
	sp := &w.store.space
	if ref, ok := parseKeyPage(key); ok {
		if w.live.Pages.Contains(ref) || sp.isYoung(ref.Segment) {
			w.swept.Kept++
			return false
		}
		return true
	}
	if v, l, ok := parseKeyLog(key); ok {
		oldest, local := w.live.Locals[v]
		return local && l < oldest && !sp.isYoung(v) // others are gone, or live
	}
	if len(key) > 1+len(volume.VolumeID{}) && (key[0] == spaceBase || key[0] == spaceNewest) || key[0] == spaceIndex {
		v := volume.VolumeID(key[1:])
		_, local := w.live.Locals[v]
		return !local && !sp.isYoung(v)
	}
	return false
}

func (w *sweeper) delete() error {
	if len(w.dead) == 0 {
		return nil
	}
	err := w.store.batch("sweep", func(wb *badger.WriteBatch) error {
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
// of their Segments. Somebody may begin to use such a Volume again meanwhile,
// and builds on what is left: so a log goes newest commit first, and the states
// of Segments when no commit names them.
func (w *sweeper) remotes(ctx context.Context) error {
	logs := make(map[volume.VolumeID][]volume.LSN)
	err := w.keys([]byte{spaceLog}, func(item *badger.Item) error {
		v, l, ok := parseKeyLog(item.Key())
		if _, local := w.live.Locals[v]; ok && !local && !w.live.Remotes[v] {
			logs[v] = append(logs[v], l)
		}
		return nil
	})
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

// segments removes what is known of the Segments of remote Volumes that are in
// no use, and the aliases whose pages are all dead. A state that somebody
// writes meanwhile may get a dead alias back: its pages are fetched then.
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
		if w.live.Remotes[state.Volume] || w.store.space.isYoung(state.Volume) {
			return w.trimAliases(state)
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
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = prefix, false
	it := w.txn.NewIterator(o)
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

func (w *sweeper) trimAliases(state volume.SegmentState) error {
	kept := slices.DeleteFunc(slices.Clone(state.Aliases), func(a volume.Alias) bool {
		for p := range a.Pages.All() {
			if w.live.Pages.Contains(PageRef{a.Segment, p}) {
				return false
			}
		}
		return true
	})
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
	return w.store.Apply(Change{Segments: []volume.SegmentState{trimmed}, Relaxed: true})
}
