package store

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// places remembers where Badger has pages that were read and that the page cache
// did not take. To find a page costs Badger more than to check and copy it: it asks
// its memtables and the tables of each level, and checks the block that names the
// place.
//
// A place is an Item of Badger, which reads its value again and again, checksum
// and all. It holds until the next write to Badger, as the transaction that it
// comes from does: what was deleted is not found by it. Who had it in hand then
// reads what it named, or nothing: see readTries.
type places struct {
	seed  maphash.Seed
	slots []placeSlot // sets of placeWays
}

type placeSlot struct {
	sum   atomic.Uint64 // hash of the page, to look at no other place
	place atomic.Pointer[pagePlace]
}

// pagePlace is not changed once it is in a slot.
type pagePlace struct {
	ref   PageRef
	epoch uint64 // of readTxns
	item  *badger.Item
}

const (
	// placesShare is which share of the page cache's memory the places have.
	placesShare = 4
	// placeWays is in how many slots a page may be.
	placeWays = 8
	// placeSize is what a place takes of memory, in bytes: its slot and itself,
	// and the Item with its key and what it points to.
	placeSize = 272
)

// newPlaces gives places in so many bytes.
func newPlaces(size int64) *places {
	sets := max(size/placeSize/placeWays, 1)
	return &places{seed: maphash.MakeSeed(), slots: make([]placeSlot, sets*placeWays)}
}

// set gives the slots in which a page may be, and its hash.
func (p *places) set(ref PageRef) ([]placeSlot, uint64) {
	sum := maphash.Comparable(p.seed, ref)
	first := sum / placeWays % uint64(len(p.slots)/placeWays) * placeWays
	return p.slots[first : first+placeWays], sum
}

// get gives the place of a page in an epoch, or nil.
func (p *places) get(ref PageRef, epoch uint64) *badger.Item {
	set, sum := p.set(ref)
	for i := range set {
		if set[i].sum.Load() != sum {
			continue
		}
		if at := set[i].place.Load(); at != nil && at.ref == ref && at.epoch == epoch {
			return at.item
		}
	}
	return nil
}

// put remembers where v, a page, was read: an Item is for many from its first
// reading on.
func (p *places) put(ref PageRef, v found) {
	set, sum := p.set(ref)
	slot := &set[sum%placeWays]
	for i := range set {
		if at := set[i].place.Load(); at == nil || at.ref == ref || at.epoch != v.epoch {
			slot = &set[i]
			break
		}
	}
	slot.place.Store(&pagePlace{ref, v.epoch, v.item})
	slot.sum.Store(sum)
}

// found is a value that was read from Badger, and where.
type found struct {
	value []byte
	item  *badger.Item
	epoch uint64
}

// readPlace reads a page from its place in buf, if that is known.
func (s *Store) readPlace(ref PageRef, buf *volume.Page) *volume.Page {
	item := s.places.get(ref, s.reads.epoch.Load())
	if item == nil || s.poison.stuck.Load() {
		return nil
	}
	page, err := pageOf(item.ValueCopy(bytesOf(buf)))
	if err != nil { // whoever looks for it anew finds out
		return nil
	}
	return page
}
