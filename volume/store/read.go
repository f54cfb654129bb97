package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// Tags gives all tags in the order of their names.
func (s *Store) Tags() ([]Tag, error) {
	var tags []Tag
	err := s.scan(spaceTag, func(key, value []byte) error {
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

// Grafts gives the states of all Grafts in the order of their local Volumes.
func (s *Store) Grafts() ([]volume.GraftState, error) {
	var grafts []volume.GraftState
	err := s.scan(spaceGraft, func(key, value []byte) error {
		v, err := volume.VolumeIDFromBytes(key)
		if err != nil {
			return corruptf("graft %x: %w", key, err)
		}
		g, err := volume.DecodeGraftState(v, value)
		if err != nil {
			return &volume.Error{Op: "read state", Volume: v, Err: err}
		}
		grafts = append(grafts, g)
		return nil
	})
	return grafts, err
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

// Log calls fn with the commits of local Volume v in range r, oldest first. A
// commit that is missing is ErrCorrupt: such a log has no gap. Of a remote Volume
// there are those alone that somebody fetched: see Commit. It stops at fn's
// first error and returns it.
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
	if err := s.use.acquire(); err != nil {
		return 0, err
	}
	defer s.use.release()
	unapplied := s.overlay.head(v)
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
	return max(head, unapplied), err
}

// Page gives page p of Segment id, or ErrNotFound when it is not stored here.
func (s *Store) Page(id volume.SegmentID, p volume.PageIdx) (*volume.Page, error) {
	page, _, err := s.PageIn(id, p, nil)
	return page, err
}

// PageIn is Page that gives the page in buf, the caller's own, when it has to be
// read from disk: a page that the page cache does not take costs no memory. What
// buf holds otherwise, and after an error, is undefined. cached tells that it came
// from memory.
func (s *Store) PageIn(id volume.SegmentID, p volume.PageIdx, buf *volume.Page) (page *volume.Page, cached bool, err error) {
	if err := s.use.acquire(); err != nil {
		return nil, false, err
	}
	defer s.use.release()
	ref := PageRef{id, p}
	if o, ok := s.overlay.get(keyPage(id, p)); ok && o.value != nil {
		page, err := pageOf(o.value, nil)
		return page, true, err
	}
	s.fetched.touch(ref)
	if page, ok := s.cache.get(ref); ok {
		return page, true, nil
	}
	if page := s.landing.get(ref); page != nil {
		return page, true, nil
	}
	if page := s.readPlace(ref, buf); page != nil {
		s.keep(ref, page, buf, found{})
		return page, false, nil
	}
	v, err := s.find(keyPage(id, p), bytesOf(buf))
	if errors.Is(err, ErrNotFound) {
		v, err = s.loadAlias(ref, buf)
	}
	if errors.Is(err, ErrNotFound) {
		return nil, false, ErrNotFound
	}
	page, err = pageOf(v.value, err)
	if err != nil {
		return nil, false, fmt.Errorf("read page %d of segment %s: %w", p, id, err)
	}
	s.keep(ref, page, buf, v)
	return page, false, nil
}

// keep puts a page that was read, maybe in buf, into the page cache if that wants
// it, or else remembers its place, if that is new.
func (s *Store) keep(ref PageRef, page, buf *volume.Page, v found) {
	switch {
	case s.cache.wants(ref):
		if page == buf {
			page = volume.CopyPage(buf[:])
		}
		s.cache.put(ref, page)
	case v.item != nil:
		s.places.put(ref, v)
	}
}

// loadPage reads the page that is stored under a key, in buf if it can.
func (s *Store) loadPage(key []byte, buf *volume.Page) (*volume.Page, error) {
	return pageOf(s.getIn(key, bytesOf(buf)))
}

// bytesOf gives the memory of a page, or nil.
func bytesOf(page *volume.Page) []byte {
	if page == nil {
		return nil
	}
	return page[:]
}

// pageOf gives a stored value as the page that it must be.
func pageOf(b []byte, err error) (*volume.Page, error) {
	switch {
	case err != nil:
		return nil, err
	case len(b) != volume.PageSize:
		return nil, corruptf("page of %d bytes", len(b))
	}
	return (*volume.Page)(b), nil
}

// loadAlias reads a page of a remote Segment that is stored under a local one.
func (s *Store) loadAlias(ref PageRef, buf *volume.Page) (found, error) {
	alias, ok, err := s.alias(ref)
	if err != nil {
		return found{}, err
	}
	if !ok {
		return found{}, ErrNotFound
	}
	key := keyPage(alias.Segment, alias.Idx)
	if o, ok := s.overlay.get(key); !ok {
		return s.find(key, bytesOf(buf))
	} else if o.value != nil {
		return found{value: o.value}, nil
	}
	return found{}, ErrNotFound
}

// alias gives the place of a page of a remote Segment that is stored under a
// local one.
func (s *Store) alias(ref PageRef) (PageRef, bool, error) {
	state, err := s.Segment(ref.Segment)
	if errors.Is(err, ErrNotFound) {
		return PageRef{}, false, nil
	}
	if err != nil {
		return PageRef{}, false, err
	}
	for _, a := range state.Aliases {
		if a.Pages.Contains(ref.Idx) {
			return PageRef{a.Segment, ref.Idx}, true, nil
		}
	}
	return PageRef{}, false, nil
}

// HasPage tells whether page p of Segment id is stored here. It reads no page.
func (s *Store) HasPage(id volume.SegmentID, p volume.PageIdx) (bool, error) {
	if s.landing.get(PageRef{id, p}) != nil {
		return true, nil
	}
	return s.stores(id, p)
}

// stores tells whether page p of Segment id has been stored.
func (s *Store) stores(id volume.SegmentID, p volume.PageIdx) (bool, error) {
	has, err := s.has(keyPage(id, p))
	if has || err != nil {
		return has, err
	}
	alias, found, err := s.alias(PageRef{id, p})
	if !found || err != nil {
		return false, err
	}
	return s.has(keyPage(alias.Segment, p))
}

// scan calls fn with each key of a key space, its first byte cut off, and its
// value, in the order of the keys. Both are shared.
func (s *Store) scan(space byte, fn func(key, value []byte) error) error {
	prefix := []byte{space}
	values := make(map[string][]byte)
	unapplied := s.overlay.withPrefix(prefix) // before Badger: nothing is missed between the two
	err := s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix = prefix
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil || len(value) == 0 {
				value, err = s.getBadger(it.Item().KeyCopy(nil))
			}
			if err != nil {
				return err
			}
			values[string(it.Item().Key()[1:])] = value
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range unapplied {
		if values[string(o.key[1:])] = o.value; o.value == nil {
			delete(values, string(o.key[1:]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := fn([]byte(key), values[key]); err != nil {
			return err
		}
	}
	return nil
}
