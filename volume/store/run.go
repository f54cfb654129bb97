package store

import (
	"math/bits"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// MaxRun is how many pages ReadRun reads, at most.
const MaxRun = 64

// minRun is from how many pages on going from key to key is worth its beginning.
const minRun = 4

// pageBits is a set of the pages of a run: bit i stands for its page i.
type pageBits = uint64

// ReadRun reads those pages of Segment id from first on that are stored on disk, and
// not in memory, into pages: that of first into pages[0], and so on. Bit i of the
// result says that pages[i] was read; what else is in pages is undefined. It serves
// who will ask for pages in their order: to go from key to key takes Badger a third of
// what it takes to look each up. What it leaves out, whatever the reason, PageIn finds.
func (s *Store) ReadRun(id volume.SegmentID, first volume.PageIdx, pages []volume.Page) (read pageBits) {
	if len(pages) > MaxRun || s.use.acquire() != nil {
		return 0
	}
	defer s.use.release()
	want := s.notInMemory(id, first, len(pages), 1<<len(pages)-1)
	read = s.readBits(id, first, pages, want)
	if missing := want &^ read; missing != 0 {
		read |= s.readAliases(id, first, pages, missing)
	}
	for i := range pages {
		if ref := (PageRef{id, first + volume.PageIdx(i)}); read>>i&1 == 1 {
			s.fetched.touch(ref)
			s.cache.fill(ref, &pages[i])
		}
	}
	return read
}

// notInMemory gives those of n pages, and of want, that only Badger may know.
func (s *Store) notInMemory(id volume.SegmentID, first volume.PageIdx, n int, want pageBits) pageBits {
	var key [pageKeySize]byte
	for i := range n {
		ref := PageRef{id, first + volume.PageIdx(i)}
		_, unapplied := s.overlay.get(appendKeyPage(key[:0], ref.Segment, ref.Idx))
		if unapplied || s.cache.has(ref) || s.landing.get(ref) != nil {
			want &^= 1 << i
		}
	}
	return want
}

// readAliases is readBits for pages that are stored under other names.
func (s *Store) readAliases(id volume.SegmentID, first volume.PageIdx, pages []volume.Page, want pageBits) (read pageBits) {
	state, err := s.Segment(id)
	if err != nil {
		return 0
	}
	for _, a := range state.Aliases {
		named := pageBits(0)
		for i := range pages {
			if a.Pages.Contains(first + volume.PageIdx(i)) {
				named |= 1 << i
			}
		}
		read |= s.readBits(a.Segment, first, pages, s.notInMemory(a.Segment, first, len(pages), want&named))
	}
	return read
}

// readBits reads the pages of want from Badger.
func (s *Store) readBits(id volume.SegmentID, first volume.PageIdx, pages []volume.Page, want pageBits) (read pageBits) {
	if s.poison.stuck.Load() {
		return 0
	}
	if bits.OnesCount64(want) < minRun {
		for i := range pages {
			if want>>i&1 == 1 {
				v, err := s.find(keyPage(id, first+volume.PageIdx(i)), pages[i][:])
				if err == nil && len(v.value) == volume.PageSize {
					read |= 1 << i
				}
			}
		}
		return read
	}
	s.read(func(txn *badger.Txn) error { // or nothing is there
		read = readKeys(txn, id, first, pages, want)
		return nil
	})
	return read
}

// readKeys goes through the keys of pages.
func readKeys(txn *badger.Txn, id volume.SegmentID, first volume.PageIdx, pages []volume.Page, want pageBits) (read pageBits) {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues, o.Prefix = false, keyPagesOf(id)
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Seek(keyPage(id, first)); it.Valid(); it.Next() {
		ref, ok := parseKeyPage(it.Item().Key())
		i := int(ref.Idx) - int(first)
		if !ok || i >= len(pages) {
			break
		}
		if want>>i&1 == 0 {
			continue
		}
		value, err := it.Item().ValueCopy(pages[i][:])
		if err == nil && len(value) == volume.PageSize {
			read |= 1 << i
		}
	}
	return read
}
