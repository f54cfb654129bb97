package store

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// LeafEntry is a leaf of a page index with its place. A nil Leaf stands for none.
type LeafEntry struct {
	N    volume.LeafIdx
	Leaf *volume.Leaf
}

// Index says of which Snapshot of the Graft v the stored leaves are: those that
// it does not share with its base. It is
// ErrNotFound for a Graft whose index was never stored.
func (s *Store) Index(v volume.VolumeID) (volume.Index, error) {
	b, err := s.get(keyIndex(v))
	if err != nil {
		return volume.Index{}, err
	}
	x, err := volume.DecodeIndex(b)
	if err != nil {
		return x, &volume.Error{Op: "read page index", Volume: v, Err: err}
	}
	return x, nil
}

// Leaf gives the stored leaf n of the Graft v, or ErrNotFound.
func (s *Store) Leaf(v volume.VolumeID, n volume.LeafIdx) (*volume.Leaf, error) {
	b, err := s.get(keyLeaf(v, n))
	if err != nil {
		return nil, err
	}
	leaf, err := volume.DecodeLeaf(b)
	if err != nil {
		return nil, &volume.Error{Op: fmt.Sprintf("read leaf %d of the page index", n), Volume: v, Err: err}
	}
	return leaf, nil
}

// PutLeaves replaces leaves of the index of the Graft v, each over its older
// version. What they name must be in Badger: see Flush.
func (s *Store) PutLeaves(v volume.VolumeID, leaves []LeafEntry) error {
	if err := s.beginIndex(); err != nil {
		return err
	}
	defer s.use.release()
	return s.batch("write page index to", func(wb *writeBatch) error {
		for _, e := range leaves {
			key := keyLeaf(v, e.N)
			if e.Leaf == nil {
				if err := wb.Delete(key); err != nil {
					return err
				}
				continue
			}
			b, err := volume.EncodeLeaf(e.Leaf)
			if err != nil {
				return err
			}
			if err := wb.Set(key, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// PutIndex says that the leaves of the Graft v are of x. Everything that was
// put before is durable then.
func (s *Store) PutIndex(v volume.VolumeID, x volume.Index) error {
	if err := s.beginIndex(); err != nil {
		return err
	}
	defer s.use.release()
	b, err := volume.EncodeIndex(x)
	if err != nil {
		return err
	}
	if err := s.update(func(txn *badger.Txn) error { return txn.Set(keyIndex(v), b) }); err != nil {
		return fmt.Errorf("write page index: %w", err)
	}
	return nil
}

// beginIndex acquires the store for a write to an index.
func (s *Store) beginIndex() error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	err := s.checkReserve(0, applyReserve)
	if err == nil {
		err = s.poison.err()
	}
	if err != nil {
		s.use.release()
	}
	return err
}

// NextLeaf gives the lowest stored leaf from n on of the Graft v, and whether
// there is one.
func (s *Store) NextLeaf(v volume.VolumeID, n volume.LeafIdx) (next volume.LeafIdx, ok bool, err error) {
	prefix := keyLeafOf(v)
	err = s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues, o.Prefix = false, prefix
		it := txn.NewIterator(o)
		defer it.Close()
		if it.Seek(keyLeaf(v, n)); !it.ValidForPrefix(prefix) {
			return nil
		}
		if next, ok = parseLeafNumber(it.Item().Key(), prefix); !ok {
			return corruptf("key %q of the page index", it.Item().Key())
		}
		return nil
	})
	return next, ok, err
}
