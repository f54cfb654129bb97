package volume

import (
	"fmt"
	"strconv"

	"graft/internal/graftpb"
)

// LeafPages is how many consecutive pages one Leaf covers.
const LeafPages = 256

// LeafIdx is the index of a Leaf in its page index, from 0: leaf n covers the
// pages from n*LeafPages+1 to (n+1)*LeafPages.
type LeafIdx uint32

// LeafOf gives the leaf that covers page p, which is not zero.
func LeafOf(p PageIdx) LeafIdx { return LeafIdx((p - 1) / LeafPages) }

// ParseLeafIdx reads a decimal leaf index.
func ParseLeafIdx(text string) (LeafIdx, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || LeafIdx(n) > LeafOf(1<<32-1) {
		return 0, fmt.Errorf("graft: leaf index %q is not a whole number up to %d", text, LeafOf(1<<32-1))
	}
	return LeafIdx(n), nil
}

func (n LeafIdx) String() string { return strconv.FormatUint(uint64(n), 10) }

// Leaf is the part of a page index that covers LeafPages consecutive pages: the
// Segment of each, in their order. A zero SegmentID is a page that was never
// written.
type Leaf [LeafPages]SegmentID

// EncodeLeaf gives the record of l. Its Segments stand in the order of their
// first page, so that equal leaves give equal records. A lost record can be
// rebuilt from the commits of its Volumes.
func EncodeLeaf(l *Leaf) ([]byte, error) {
	m := &graftpb.Leaf{Refs: make([]uint32, LeafPages)}
	numbers := make(map[SegmentID]uint32)
	for i, id := range l {
		if id.IsZero() {
			continue
		}
		n := numbers[id]
		if n == 0 {
			if _, err := SegmentIDFromBytes(id[:]); err != nil {
				return nil, fmt.Errorf("encode leaf: %w", err)
			}
			m.Segments = append(m.Segments, id[:]...)
			n = uint32(len(numbers) + 1)
			numbers[id] = n
		}
		m.Refs[i] = n
	}
	return EncodeRecord(KindLeaf, m)
}

// DecodeLeaf reads what [EncodeLeaf] gave. It returns ErrCorrupt or ErrVersion.
// What it accepts encodes again to the same message, but for fields that it
// does not know.
func DecodeLeaf(b []byte) (*Leaf, error) {
	var m graftpb.Leaf
	if err := DecodeRecord(KindLeaf, b, &m); err != nil {
		return nil, err
	}
	if len(m.Refs) != LeafPages || len(m.Segments)%gidSize != 0 || len(m.Segments) > LeafPages*gidSize {
		return nil, fmt.Errorf("%w: leaf of %d pages with %d bytes of segments", ErrCorrupt, len(m.Refs), len(m.Segments))
	}
	segments, err := leafSegments(m.Segments)
	if err != nil {
		return nil, err
	}
	l, used := new(Leaf), 0
	for i, ref := range m.Refs {
		switch {
		case ref == 0:
			continue
		case int64(ref) > int64(len(segments)):
			return nil, fmt.Errorf("%w: leaf refers to segment %d of %d", ErrCorrupt, ref, len(segments))
		case int(ref) > used+1:
			return nil, fmt.Errorf("%w: leaf refers to segment %d before segment %d", ErrCorrupt, ref, used+1)
		}
		used = max(used, int(ref))
		l[i] = segments[ref-1]
	}
	if used != len(segments) {
		return nil, fmt.Errorf("%w: leaf refers to %d of %d segments", ErrCorrupt, used, len(segments))
	}
	return l, nil
}

// leafSegments reads the SegmentIDs that follow one another in b.
func leafSegments(b []byte) ([]SegmentID, error) {
	segments := make([]SegmentID, 0, len(b)/gidSize)
	seen := make(map[SegmentID]bool, len(b)/gidSize)
	for ; len(b) > 0; b = b[gidSize:] {
		id, err := SegmentIDFromBytes(b[:gidSize])
		if err != nil {
			return nil, fmt.Errorf("%w: leaf: %w", ErrCorrupt, err)
		}
		if seen[id] {
			return nil, fmt.Errorf("%w: leaf names segment %s twice", ErrCorrupt, id)
		}
		seen[id] = true
		segments = append(segments, id)
	}
	return segments, nil
}
