package store

import (
	"hash/maphash"

	"graft/volume"
)

// PageRefSet is a set of PageRefs in 8 bytes for each. It may say of a PageRef
// that it has it although it was never added, for one in about 2^64 divided by
// the size of the set; never the other way round.
type PageRefSet struct {
	seed maphash.Seed
	sums map[uint64]struct{}
}

// NewPageRefSet gives an empty set.
func NewPageRefSet() *PageRefSet {
	return &PageRefSet{seed: maphash.MakeSeed(), sums: make(map[uint64]struct{})}
}

// Add puts ref into the set.
func (s *PageRefSet) Add(ref PageRef) { s.sums[maphash.Comparable(s.seed, ref)] = struct{}{} }

// Contains tells whether ref is in the set.
func (s *PageRefSet) Contains(ref PageRef) bool {
	_, ok := s.sums[maphash.Comparable(s.seed, ref)]
	return ok
}

// Len is the size of the set.
func (s *PageRefSet) Len() int { return len(s.sums) }

// LeafSet is a set of leaf numbers in at most 2 MB.
type LeafSet struct{ bits []uint64 }

// Add puts n into the set.
func (s *LeafSet) Add(n volume.LeafIdx) { s.AddRange(n, n+1) }

// AddRange puts all numbers from first up to end into the set, without end.
func (s *LeafSet) AddRange(first, end volume.LeafIdx) {
	if more := int(end+63)/64 - len(s.bits); more > 0 && first < end {
		s.bits = append(s.bits, make([]uint64, more)...)
	}
	for n := first; n < end; {
		if n%64 == 0 && end-n >= 64 {
			s.bits[n/64], n = ^uint64(0), n+64
			continue
		}
		s.bits[n/64] |= 1 << (n % 64)
		n++
	}
}

// Contains tells whether n is in the set. A nil set is empty.
func (s *LeafSet) Contains(n volume.LeafIdx) bool {
	return s != nil && int(n/64) < len(s.bits) && s.bits[n/64]>>(n%64)&1 == 1
}
