package volume

import (
	"fmt"

	"graft/internal/graftpb"
)

// Source is a Segment, and the object that its frames lie in: that of commit LSN
// of Volume, which holds it inline, or a pack, or the Segment's own when it is
// neither.
type Source struct {
	Segment SegmentID
	Volume  VolumeID
	LSN     LSN
	Pack    SegmentID // of an object that [PackWriter] has written
}

// Key is the key of the object.
func (s Source) Key() string {
	switch {
	case !s.LSN.IsZero():
		return CommitKey(s.Volume, s.LSN)
	case !s.Pack.IsZero():
		return s.Pack.Key()
	}
	return s.Segment.Key()
}

// object gives a value that is equal for all sources in one object.
func (s Source) object() Source {
	switch {
	case !s.LSN.IsZero():
		s.Segment = SegmentID{}
	case !s.Pack.IsZero():
		s.Segment, s.Pack = s.Pack, SegmentID{}
	}
	return s
}

// canBe tells whether s is a Segment in one object.
func (s Source) canBe() bool {
	inline := !s.LSN.IsZero()
	return !s.Segment.IsZero() && inline != s.Volume.IsZero() && (s.Pack.IsZero() || !inline && s.Pack != s.Segment)
}

// sourceNumbers numbers the sources of a page table in a record of Volume home, and
// the packs of these, as they come.
type sourceNumbers struct {
	home     VolumeID
	sources  []*graftpb.Source
	numbers  map[Source]uint32
	packs    []byte
	numbered map[SegmentID]uint32 // packs, from 1
}

func newSourceNumbers(home VolumeID) *sourceNumbers {
	return &sourceNumbers{home: home, numbers: make(map[Source]uint32), numbered: make(map[SegmentID]uint32)}
}

func (ns *sourceNumbers) of(s Source) uint32 {
	if n, ok := ns.numbers[s]; ok {
		return n
	}
	m := &graftpb.Source{Segment: s.Segment[:], Lsn: uint64(s.LSN)}
	if !s.LSN.IsZero() && s.Volume != ns.home {
		m.Volume = s.Volume[:]
	}
	if !s.Pack.IsZero() {
		m.Pack = ns.numbered[s.Pack]
		if m.Pack == 0 {
			m.Pack = uint32(len(ns.numbered) + 1)
			ns.numbered[s.Pack], ns.packs = m.Pack, append(ns.packs, s.Pack[:]...)
		}
	}
	n := uint32(len(ns.sources))
	ns.sources, ns.numbers[s] = append(ns.sources, m), n
	return n
}

// sourcesFromProto reads the sources of a page table in a record of Volume home. What
// is not as sourceNumbers gives it is ErrCorrupt.
func sourcesFromProto(m *graftpb.PageTable, home VolumeID) ([]Source, error) {
	packs, err := packsFromProto(m.Packs)
	if err != nil {
		return nil, err
	}
	sources := make([]Source, len(m.Sources))
	seen := make(map[Source]bool, len(m.Sources))
	used := uint32(0)
	for i, sm := range m.Sources {
		s, err := sourceFromProto(sm, home)
		if err != nil {
			return nil, err
		}
		if n := sm.GetPack(); n > used+1 || n > uint32(len(packs)) {
			return nil, fmt.Errorf("%w: page table: source %d in pack %d of %d", ErrCorrupt, i, n, len(packs))
		} else if n > 0 {
			s.Pack, used = packs[n-1], max(used, n)
		}
		if seen[s] || !s.canBe() {
			return nil, fmt.Errorf("%w: page table: source %d is one before it, or in two objects", ErrCorrupt, i)
		}
		sources[i], seen[s] = s, true
	}
	if used != uint32(len(packs)) {
		return nil, fmt.Errorf("%w: page table uses %d of %d packs", ErrCorrupt, used, len(packs))
	}
	return sources, nil
}

func packsFromProto(b []byte) ([]SegmentID, error) {
	if len(b)%gidSize != 0 {
		return nil, fmt.Errorf("%w: page table: %d bytes of packs", ErrCorrupt, len(b))
	}
	packs := make([]SegmentID, 0, len(b)/gidSize)
	seen := make(map[SegmentID]bool, len(b)/gidSize)
	for len(b) > 0 {
		id, err := SegmentIDFromBytes(b[:gidSize])
		if err != nil {
			return nil, fmt.Errorf("%w: page table: pack: %w", ErrCorrupt, err)
		}
		if seen[id] {
			return nil, fmt.Errorf("%w: page table: pack %s stands there twice", ErrCorrupt, id)
		}
		packs, seen[id], b = append(packs, id), true, b[gidSize:]
	}
	return packs, nil
}

func sourceFromProto(m *graftpb.Source, home VolumeID) (s Source, err error) {
	if s.Segment, err = SegmentIDFromBytes(m.GetSegment()); err != nil {
		return s, fmt.Errorf("%w: page table: %w", ErrCorrupt, err)
	}
	s.LSN = LSN(m.GetLsn())
	switch {
	case len(m.GetVolume()) > 0:
		if s.Volume, err = VolumeIDFromBytes(m.Volume); err != nil {
			return s, fmt.Errorf("%w: page table: %w", ErrCorrupt, err)
		}
		if s.Volume == home {
			return s, fmt.Errorf("%w: page table: source of volume %s LSN %d", ErrCorrupt, s.Volume, s.LSN)
		}
	case !s.LSN.IsZero():
		s.Volume = home
	}
	return s, nil
}
