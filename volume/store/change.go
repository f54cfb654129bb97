package store

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// MaxChangePages is the most pages that fit into one Change. Stage the others
// before.
const MaxChangePages = 1024

// Tag is a name for a Graft.
type Tag struct {
	Name  string
	Graft volume.VolumeID
}

// Change is a set of writes that happen together or not at all. Its zero value
// changes nothing. Who applies a Change does not change its parts afterwards.
type Change struct {
	Tags     []Tag
	Grafts   []volume.GraftState
	Commits  []volume.Record
	Segments []volume.SegmentState
	Segment  volume.SegmentID   // where Pages belong
	Pages    []volume.PageEntry // at most MaxChangePages
}

// Apply makes the change. When it returns nil the change is durable and seen
// by every later read; when it returns an error nothing of it is.
func (s *Store) Apply(c Change) error {
	if len(c.Pages) > MaxChangePages {
		return fmt.Errorf("graft: change of %d pages is over the limit of %d", len(c.Pages), MaxChangePages)
	}
	entries, err := c.encode()
	if err != nil {
		return err
	}
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	err = s.db.Update(func(txn *badger.Txn) error {
		for _, e := range entries {
			if err := txn.SetEntry(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write to the local store: %w", err)
	}
	s.segments.drop(c.Segments)
	return nil
}

func (c *Change) encode() ([]*badger.Entry, error) {
	entries := make([]*badger.Entry, 0, len(c.Tags)+len(c.Grafts)+len(c.Commits)+len(c.Segments)+len(c.Pages))
	add := func(key, value []byte) { entries = append(entries, badger.NewEntry(key, value)) }
	for _, t := range c.Tags {
		add(keyTag(t.Name), t.Graft[:])
	}
	for _, g := range c.Grafts {
		b, err := volume.EncodeGraftState(g)
		if err != nil {
			return nil, err
		}
		add(keyGraft(g.Local), b)
	}
	for _, r := range c.Commits {
		add(keyLog(r.Commit.Volume, r.Commit.LSN), r.Bytes)
	}
	for _, seg := range c.Segments {
		b, err := volume.EncodeSegmentState(seg)
		if err != nil {
			return nil, err
		}
		add(keySegment(seg.Segment.ID), b)
	}
	for _, p := range c.Pages {
		add(keyPage(c.Segment, p.Idx), p.Page[:])
	}
	return entries, nil
}

// Stage stores pages of Segment id, any number of them, ahead of the Change
// that refers to them. After an error some of them may be stored.
func (s *Store) Stage(id volume.SegmentID, pages []volume.PageEntry) error {
	return s.batch("stage pages", func(wb *badger.WriteBatch) error {
		for _, p := range pages {
			if err := wb.Set(keyPage(id, p.Idx), p.Page[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Unstage removes pages of Segment id that nothing refers to.
func (s *Store) Unstage(id volume.SegmentID, pages volume.PageSet) error {
	return s.batch("remove staged pages", func(wb *badger.WriteBatch) error {
		for p := range pages.All() {
			if err := wb.Delete(keyPage(id, p)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) batch(op string, fill func(*badger.WriteBatch) error) error {
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	err := fill(wb)
	if err == nil {
		err = wb.Flush()
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("%s in the local store: %w", op, err)
	}
	return err
}
