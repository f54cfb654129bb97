package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// PutObjects caches objects of the bucket, or parts of them, each under its SHA-256, in
// as few transactions as Badger can. After an error some of them may be cached. No
// object may change meanwhile. What is cached may be swept as soon as nothing in use
// names it: see Live.
func (s *Store) PutObjects(objects map[volume.Hash][]byte) error {
	if err := checkObjects(objects); err != nil {
		return err
	}
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	return s.putObjects(objects)
}

// checkObjects returns ErrCorrupt unless each object has its SHA-256.
func checkObjects(objects map[volume.Hash][]byte) error {
	for sum, b := range objects {
		if got := volume.HashOf(b); got != sum {
			return fmt.Errorf("%w: object of SHA-256 %s is to be cached as %s", volume.ErrCorrupt, got, sum)
		}
	}
	return nil
}

// putObjects is PutObjects of what was checked, by who holds the store open.
func (s *Store) putObjects(objects map[volume.Hash][]byte) error {
	size := int64(0)
	for _, b := range objects {
		size += int64(len(b))
	}
	if err := s.checkSpace(size); err != nil {
		return err
	}
	for sum := range objects {
		s.holdObject(sum)
	}
	return s.batch("cache objects in", func(wb *writeBatch) error {
		for sum, b := range objects {
			if err := wb.Set(keyObject(sum), b); err != nil {
				return err
			}
		}
		return nil
	})
}

// Object gives a cached object, which is the caller's, or ErrNotFound. One that
// was damaged here is forgotten: the bucket has it.
func (s *Store) Object(sum volume.Hash) ([]byte, error) {
	if err := s.use.acquire(); err != nil {
		return nil, err
	}
	defer s.use.release()
	if b := s.landing.object(sum); b != nil {
		return slices.Clone(b), nil
	}
	b, err := s.getBadger(keyObject(sum))
	switch {
	case err == nil && volume.HashOf(b) == sum:
		return b, nil
	case err == nil || errors.Is(err, volume.ErrCorrupt):
		s.log.Warn("cached object is damaged", "object", sum, "error", err)
		err = s.update(func(txn *badger.Txn) error { return txn.Delete(keyObject(sum)) })
		if err == nil {
			err = ErrNotFound
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("read cached object %s: %w", sum, err)
	}
	return nil, err
}

// youngObject is what stands for a cached object among what is young.
func youngObject(sum volume.Hash) [16]byte { return [16]byte(sum[:16]) }

// holdObject keeps a cached object from the sweep that runs, if one does. It
// waits for the part of the sweep that deletes such.
func (s *Store) holdObject(sum volume.Hash) {
	s.space.gate.RLock()
	defer s.space.gate.RUnlock()
	s.space.touch(youngObject(sum))
}

// HoldObject keeps a cached object from being swept until release, which is called
// once, although nothing refers to it yet.
func (s *Store) HoldObject(sum volume.Hash) (release func()) { return s.Hold(youngObject(sum)) }

// objects removes cached objects that nothing in use names.
func (w *sweeper) objects(ctx context.Context) error {
	var dead []volume.Hash
	err := w.keys([]byte{spaceObject}, func(item *badger.Item) error {
		sum, ok := parseKeyObject(item.Key())
		if !ok {
			return corruptf("key %q of an object", item.Key())
		}
		if !w.live.Objects[sum] {
			dead = append(dead, sum)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(dead, sweepBatch) {
		if err := w.deleteObjects(part); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// deleteObjects deletes cached objects, but for those that were put meanwhile.
func (w *sweeper) deleteObjects(dead []volume.Hash) error {
	sp := &w.store.space
	sp.gate.Lock()
	defer sp.gate.Unlock()
	for _, sum := range dead {
		if !sp.isYoung(youngObject(sum)) {
			w.dead = append(w.dead, keyObject(sum))
		}
	}
	return w.delete()
}
