package store

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// Stage stores pages of Segment id, any number of them, ahead of the Change
// that refers to them. They are durable when it returns. After an error some of
// them may be stored.
func (s *Store) Stage(id volume.SegmentID, pages []volume.PageEntry) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	return s.stage(segmentPages{id: pages}, 0)
}

// segmentPages are pages by their Segments.
type segmentPages map[volume.SegmentID][]volume.PageEntry

func (ps segmentPages) len() (n int) {
	for _, pages := range ps {
		n += len(pages)
	}
	return n
}

// stage is Stage of pages of many Segments, in as few transactions as of one, by who
// holds the store open.
func (s *Store) stage(all segmentPages, meta byte) error {
	n := int64(all.len())
	if err := s.checkSpace(n * volume.PageSize); err != nil {
		return err
	}
	if err := s.poison.err(); err != nil {
		return err
	}
	if err := s.markDirty(); err != nil {
		return err
	}
	for id := range all {
		s.space.touch(id)
	}
	s.space.stored.Add(n)
	err := s.batch("stage pages in", func(wb *writeBatch) error {
		for id, pages := range all {
			for _, p := range pages {
				if err := wb.SetEntry(badger.NewEntry(keyPage(id, p.Idx), p.Page[:]).WithMeta(meta)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		s.SweepDue()
	}
	return err
}

// Unstage removes pages of Segment id that nothing refers to.
func (s *Store) Unstage(id volume.SegmentID, pages volume.PageSet) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	return s.batch("remove staged pages from", func(wb *writeBatch) error {
		for p := range pages.All() {
			if err := wb.Delete(keyPage(id, p)); err != nil {
				return err
			}
		}
		return nil
	})
}

// StagedPage gives a page that was staged, or ErrNotFound. It is not cached: as
// long as nothing refers to the Segment, a page may be staged again.
func (s *Store) StagedPage(id volume.SegmentID, p volume.PageIdx) (*volume.Page, error) {
	page, err := s.loadPage(keyPage(id, p), nil)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read staged page %d of segment %s: %w", p, id, err)
	}
	return page, err
}
