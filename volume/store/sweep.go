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
	s.space.beginSweep()
	defer s.space.endSweep()
	err = s.view(func(txn *badger.Txn) error {
		live, err := mark(ctx)
		if err != nil {
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
	if err := w.segments(); err != nil {
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
		return !w.live.Remotes[v] && !sp.isYoung(v) && (!local || l < oldest)
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

// segments removes what is known of the Segments of remote Volumes that are in
// no use, and the aliases whose pages are all dead. A state that somebody
// writes meanwhile may get a dead alias back: its pages are fetched then.
func (w *sweeper) segments() error {
	prefix := []byte{spaceSegment}
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	it := w.txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return readError(key, err)
		}
		state, err := volume.DecodeSegmentState(b)
		if err != nil {
			return fmt.Errorf("read state of a segment: %w", err)
		}
		if !w.live.Remotes[state.Volume] && !w.store.space.isYoung(state.Volume) {
			w.dead = append(w.dead, key)
			continue
		}
		if err := w.trimAliases(state); err != nil {
			return err
		}
	}
	return nil
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
