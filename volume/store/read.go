package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// Tags gives all tags in the order of their names.
func (s *Store) Tags() ([]Tag, error) {
	var tags []Tag
	err := s.scan([]byte{spaceTag}, func(key, value []byte) error {
		v, err := volume.VolumeIDFromBytes(value)
		if err != nil {
			return fmt.Errorf("%w: tag %q: %w", volume.ErrCorrupt, key, err)
		}
		tags = append(tags, Tag{Name: string(key), Graft: v})
		return nil
	})
	return tags, err
}

// Tag gives the Graft that a tag names, or ErrNotFound.
func (s *Store) Tag(name string) (volume.VolumeID, error) {
	b, err := s.get(keyTag(name))
	if err != nil {
		return volume.VolumeID{}, err
	}
	v, err := volume.VolumeIDFromBytes(b)
	if err != nil {
		return v, fmt.Errorf("%w: tag %q: %w", volume.ErrCorrupt, name, err)
	}
	return v, nil
}

// Graft gives the state of the Graft whose local Volume is v, or ErrNotFound.
func (s *Store) Graft(v volume.VolumeID) (volume.GraftState, error) {
	b, err := s.get(keyGraft(v))
	if err != nil {
		return volume.GraftState{}, err
	}
	g, err := volume.DecodeGraftState(v, b)
	if err != nil {
		return g, &volume.Error{Op: "read state", Volume: v, Err: err}
	}
	return g, nil
}

// Commit gives commit l of Volume v, or ErrNotFound.
func (s *Store) Commit(v volume.VolumeID, l volume.LSN) (volume.Record, error) {
	b, err := s.get(keyLog(v, l))
	if err == nil {
		return decodeCommit(v, l, b)
	}
	if errors.Is(err, ErrNotFound) {
		return volume.Record{}, err
	}
	return volume.Record{}, &volume.Error{Op: "read commit", Volume: v, LSN: l, Err: err}
}

func decodeCommit(v volume.VolumeID, l volume.LSN, b []byte) (volume.Record, error) {
	r, err := volume.DecodeCommit(b)
	if err == nil && (r.Commit.Volume != v || r.Commit.LSN != l) {
		err = fmt.Errorf("%w: it says volume %s LSN %d", volume.ErrCorrupt, r.Commit.Volume, r.Commit.LSN)
	}
	if err != nil {
		return r, &volume.Error{Op: "read commit", Volume: v, LSN: l, Err: err}
	}
	return r, nil
}

// Log calls fn with the commits of Volume v in range r, oldest first. A commit
// that is missing is ErrCorrupt: a log has no gap. It stops at fn's first
// error and returns it.
func (s *Store) Log(v volume.VolumeID, r volume.LSNRange, fn func(volume.Record) error) error {
	if r.IsZero() {
		return nil
	}
	for l := r.First; l <= r.Last; l++ {
		rec, err := s.Commit(v, l)
		if errors.Is(err, ErrNotFound) {
			return &volume.Error{Op: "read log", Volume: v, LSN: l, Err: fmt.Errorf("%w: commit is missing", volume.ErrCorrupt)}
		}
		if err != nil {
			return err
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

// Head gives the newest LSN of Volume v in the store, or zero.
func (s *Store) Head(v volume.VolumeID) (head volume.LSN, err error) {
	prefix := keyLogOf(v)
	err = s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues, o.Reverse, o.Prefix = false, true, prefix
		it := txn.NewIterator(o)
		defer it.Close()
		if it.Seek(keyLog(v, ^volume.LSN(0))); it.ValidForPrefix(prefix) {
			head = volume.LSN(binary.BigEndian.Uint64(it.Item().Key()[len(prefix):]))
		}
		return nil
	})
	return head, err
}

// Page gives page p of Segment id, or ErrNotFound when it is not stored here.
func (s *Store) Page(id volume.SegmentID, p volume.PageIdx) (page *volume.Page, err error) {
	epoch := s.segments.now()
	err = s.view(func(txn *badger.Txn) error {
		item, err := s.locate(txn, id, p, epoch)
		if err != nil {
			return err
		}
		return readError(item.Key(), item.Value(func(b []byte) error {
			if len(b) != volume.PageSize {
				return fmt.Errorf("page of %d bytes", len(b))
			}
			page = (*volume.Page)(append([]byte(nil), b...))
			return nil
		}))
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read page %d of segment %s: %w", p, id, err)
	}
	return page, err
}

// HasPage tells whether page p of Segment id is stored here. It reads no page.
func (s *Store) HasPage(id volume.SegmentID, p volume.PageIdx) (bool, error) {
	epoch := s.segments.now()
	err := s.view(func(txn *badger.Txn) error {
		_, err := s.locate(txn, id, p, epoch)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// locate gives the item of page p of Segment id: its own, or that of an alias.
func (s *Store) locate(txn *badger.Txn, id volume.SegmentID, p volume.PageIdx, epoch uint64) (*badger.Item, error) {
	item, err := itemIn(txn, keyPage(id, p))
	if !errors.Is(err, ErrNotFound) {
		return item, err
	}
	state, err := s.segmentIn(txn, id, epoch)
	if err != nil {
		return nil, err
	}
	for _, a := range state.Aliases {
		if a.Pages.Contains(p) {
			return itemIn(txn, keyPage(a.Segment, p))
		}
	}
	return nil, ErrNotFound
}

// scan calls fn with each key of a key space, its first byte cut off, and its
// value, which is valid during the call alone.
func (s *Store) scan(prefix []byte, fn func(key, value []byte) error) error {
	return s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix = prefix
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			err := item.Value(func(value []byte) error { return fn(item.KeyCopy(nil)[1:], value) })
			if err != nil {
				return err
			}
		}
		return nil
	})
}
