package volume

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/RoaringBitmap/roaring/v2"
)

// PageSet is a set of page indexes. The zero value is the empty set, ready to
// use. A PageSet may be read by several goroutines at once while none changes
// it. Assignment shares the set; [PageSet.Clone] copies it.
type PageSet struct{ bits *roaring.Bitmap }

// PageSetOf gives the set of the pages named.
func PageSetOf(pages ...PageIdx) PageSet {
	var s PageSet
	for _, p := range pages {
		s.Add(p)
	}
	return s
}

// Add puts p into the set.
func (s *PageSet) Add(p PageIdx) {
	if s.bits == nil {
		s.bits = roaring.New()
	}
	s.bits.Add(uint32(p))
}

// Remove takes p out of the set.
func (s *PageSet) Remove(p PageIdx) {
	if s.bits != nil {
		s.bits.Remove(uint32(p))
	}
}

// Truncate takes every page above n out of the set.
func (s *PageSet) Truncate(n PageCount) {
	if s.bits != nil {
		s.bits.RemoveRange(uint64(n)+1, 1<<32)
	}
}

// AddSet puts every page of t into the set.
func (s *PageSet) AddSet(t PageSet) {
	if t.IsEmpty() {
		return
	}
	if s.bits == nil {
		s.bits = roaring.New()
	}
	s.bits.Or(t.bits)
}

// RemoveSet takes every page of t out of the set.
func (s *PageSet) RemoveSet(t PageSet) {
	if s.bits != nil && t.bits != nil {
		s.bits.AndNot(t.bits)
	}
}

// Contains tells whether p is in the set.
func (s PageSet) Contains(p PageIdx) bool { return s.bits != nil && s.bits.Contains(uint32(p)) }

// IsEmpty tells whether the set has no page.
func (s PageSet) IsEmpty() bool { return s.bits == nil || s.bits.IsEmpty() }

// Len is the number of pages in the set.
func (s PageSet) Len() int {
	if s.bits == nil {
		return 0
	}
	return int(s.bits.GetCardinality())
}

// Max is the highest page of the set, or zero when it is empty.
func (s PageSet) Max() PageIdx {
	if s.IsEmpty() {
		return 0
	}
	return PageIdx(s.bits.Maximum())
}

// CountIn is the number of pages from first to last, both included.
func (s PageSet) CountIn(first, last PageIdx) int {
	if s.bits == nil || last < first {
		return 0
	}
	n := s.bits.Rank(uint32(last))
	if first > 0 {
		n -= s.bits.Rank(uint32(first) - 1)
	}
	return int(n)
}

// Equal tells whether both sets have the same pages.
func (s PageSet) Equal(t PageSet) bool {
	if s.IsEmpty() || t.IsEmpty() {
		return s.IsEmpty() == t.IsEmpty()
	}
	return s.bits.Equals(t.bits)
}

// Clone gives a set with the same pages that shares nothing with s.
func (s PageSet) Clone() PageSet {
	if s.bits == nil {
		return PageSet{}
	}
	return PageSet{s.bits.Clone()}
}

// All yields the pages in ascending order. The set must not change meanwhile.
func (s PageSet) All() iter.Seq[PageIdx] {
	return func(yield func(PageIdx) bool) {
		if s.bits == nil {
			return
		}
		s.bits.Iterate(func(p uint32) bool { return yield(PageIdx(p)) })
	}
}

// maxNoRuns is how many pages a set may have that no run could make smaller.
const maxNoRuns = 3

// optimized gives the set as it is encoded. It is not empty.
func (s PageSet) optimized() *roaring.Bitmap {
	if s.Len() <= maxNoRuns && !s.bits.HasRunCompression() {
		return s.bits
	}
	c := s.bits.Clone()
	c.RunOptimize()
	return c
}

// EncodedSize is how many bytes AppendBinary appends.
func (s PageSet) EncodedSize() int {
	if s.IsEmpty() {
		return 0
	}
	return int(s.optimized().GetSerializedSizeInBytes())
}

// AppendBinary appends the set in Roaring's portable format, which is equal
// for equal sets.
func (s PageSet) AppendBinary(b []byte) ([]byte, error) {
	if s.IsEmpty() {
		return b, nil
	}
	buf, err := s.optimized().ToBytes()
	if err != nil {
		return b, fmt.Errorf("encode page set: %w", err)
	}
	return append(b, buf...), nil
}

// ParsePageSet reads what [PageSet.AppendBinary] wrote; no bytes are the empty
// set. It copies b. Damaged bytes, and a set that holds page 0, are
// ErrCorrupt.
func ParsePageSet(b []byte) (_ PageSet, err error) {
	if len(b) == 0 {
		return PageSet{}, nil
	}
	bits := roaring.New()
	n, err := bits.ReadFrom(bytes.NewReader(b))
	switch {
	case err != nil:
		return PageSet{}, fmt.Errorf("%w: page set: %w", ErrCorrupt, err)
	case n != int64(len(b)):
		return PageSet{}, fmt.Errorf("%w: page set: %d bytes too many", ErrCorrupt, int64(len(b))-n)
	}
	if err := bits.Validate(); err != nil {
		return PageSet{}, fmt.Errorf("%w: page set: %w", ErrCorrupt, err)
	}
	if bits.IsEmpty() || bits.Contains(0) {
		return PageSet{}, fmt.Errorf("%w: page set: empty or with page 0", ErrCorrupt)
	}
	return PageSet{bits}, nil
}
