package volume

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"graft/internal/graftpb"
)

// The object of a warm set is one WarmSet record. Its key has the SHA-256 of it,
// which covers every byte. Nothing names it but a listing, and nothing depends on
// it: one that is lost is published again by whoever uses the Volume.

const (
	// MaxWarmSize bounds the object of a warm set, in bytes.
	MaxWarmSize = 8 << 20
	// maxWarmPages bounds its pages.
	maxWarmPages = 4096
	// warmOverhead is about how many bytes a warm set has beside its pages and
	// objects.
	warmOverhead = 256
)

// WarmKey names the object of a warm set, which has pages of Volume at LSN.
type WarmKey struct {
	Volume VolumeID
	LSN    LSN
	Sum    Hash // of the object
}

// WarmPrefix is what the keys of all warm sets of v begin with. Those of newer LSNs
// sort first.
func WarmPrefix(v VolumeID) string { return fmt.Sprintf("volumes/%s/warm/", v) }

// Key is where the object lies in a bucket.
func (k WarmKey) Key() string {
	return fmt.Sprintf("%s%016x-%s", WarmPrefix(k.Volume), ^uint64(k.LSN), k.Sum)
}

// ParseWarmKey reads a key of a warm set of v.
func ParseWarmKey(v VolumeID, key string) (WarmKey, error) {
	k := WarmKey{Volume: v}
	lsn, sum, _ := strings.Cut(strings.TrimPrefix(key, WarmPrefix(v)), "-")
	complement, err := strconv.ParseUint(lsn, 16, 64)
	b, hexErr := hex.DecodeString(sum)
	if err == nil && hexErr == nil && len(b) == len(k.Sum) {
		k.LSN, k.Sum = LSN(^complement), Hash(b)
	}
	if k.LSN.IsZero() || k.Key() != key {
		return WarmKey{}, fmt.Errorf("graft: %q is not the key of a warm set", key)
	}
	return k, nil
}

// WarmSet is pages of a remote Volume that a replica has used, each with the
// Segment that it is of, and parts of the page index. It is a copy: a page of it
// that the page index does not lead to any more is of no use, and does no harm.
type WarmSet struct {
	Volume  VolumeID
	LSN     LSN
	Objects [][]byte      // records of a checkpoint, as the bucket has them: its root and chunks
	Pages   []BundledPage // ascending
}

// WarmBuilder collects a warm set of bounded size. It is not safe for concurrent
// use.
type WarmBuilder struct {
	set    WarmSet
	room   int // bytes that are left, about
	blocks blockEncoder
}

// NewWarmBuilder begins a warm set whose object has about budget bytes at most.
func NewWarmBuilder(v VolumeID, l LSN, budget int64) *WarmBuilder {
	return &WarmBuilder{set: WarmSet{Volume: v, LSN: l}, room: int(min(budget, MaxWarmSize)) - warmOverhead}
}

// Add adds a page, and the record of the page index that leads to it unless that is
// nil, if there is room for both. Each is added once.
func (w *WarmBuilder) Add(p BundledPage, object []byte) bool {
	frame, err := w.blocks.append(nil, []PageEntry{p.PageEntry})
	size := len(frame) + gidSize + 4
	if object != nil {
		size += len(object) + 4
	}
	if err != nil || size > w.room || len(w.set.Pages) == maxWarmPages {
		return false
	}
	w.room -= size
	w.set.Pages = append(w.set.Pages, p)
	if object != nil {
		w.set.Objects = append(w.set.Objects, object)
	}
	return true
}

// AddObject adds a record of the page index, if it takes no more than a share of
// the room that is left, one in so many.
func (w *WarmBuilder) AddObject(object []byte, share int) bool {
	if len(object)+4 > w.room/share {
		return false
	}
	w.room -= len(object) + 4
	w.set.Objects = append(w.set.Objects, object)
	return true
}

// Set gives what was added.
func (w *WarmBuilder) Set() *WarmSet {
	slices.SortFunc(w.set.Pages, func(a, b BundledPage) int { return int(int64(a.Idx) - int64(b.Idx)) })
	return &w.set
}

// EncodeWarm gives the object of a warm set, and its key. What [DecodeWarm] would
// refuse is an error.
func EncodeWarm(s *WarmSet) (WarmKey, []byte, error) {
	m := &graftpb.WarmSet{Volume: s.Volume[:], Lsn: uint64(s.LSN)}
	for _, o := range s.Objects {
		m.ObjectLength = append(m.ObjectLength, uint32(len(o)))
		m.Objects = append(m.Objects, o...)
	}
	var blocks blockEncoder
	segments := make(map[SegmentID]uint32)
	for part := range slices.Chunk(s.Pages, maxFramePages) {
		entries := make([]PageEntry, len(part))
		for i, p := range part {
			entries[i] = p.PageEntry
			n, ok := segments[p.Segment]
			if !ok {
				n = uint32(len(segments))
				segments[p.Segment] = n
				m.Segments = append(m.Segments, p.Segment[:]...)
			}
			m.PageSegment = append(m.PageSegment, n)
		}
		frame, err := blocks.append(nil, entries)
		if err != nil {
			return WarmKey{}, nil, err
		}
		m.Frames = append(m.Frames, frame...)
		m.FrameLength = append(m.FrameLength, uint32(len(frame)))
	}
	b, err := EncodeRecord(KindWarmSet, m)
	if err != nil {
		return WarmKey{}, nil, err
	}
	key := WarmKey{s.Volume, s.LSN, HashOf(b)}
	if _, err := DecodeWarm(key, b); err != nil {
		return WarmKey{}, nil, fmt.Errorf("build warm set: %w", err)
	}
	return key, b, nil
}

// DecodeWarm verifies the object of a warm set and reads it. Objects are parts of
// b. It returns ErrCorrupt or ErrVersion.
func DecodeWarm(k WarmKey, b []byte) (*WarmSet, error) {
	if len(b) > MaxWarmSize || HashOf(b) != k.Sum {
		return nil, fmt.Errorf("%w: warm set: hash of %d bytes", ErrCorrupt, len(b))
	}
	var m graftpb.WarmSet
	if err := DecodeRecord(KindWarmSet, b, &m); err != nil {
		return nil, err
	}
	if len(m.Features) > 0 {
		return nil, fmt.Errorf("%w: warm set needs feature %d", ErrVersion, m.Features[0])
	}
	if !bytes.Equal(m.Volume, k.Volume[:]) || LSN(m.Lsn) != k.LSN || k.LSN.IsZero() {
		return nil, fmt.Errorf("%w: warm set is of volume %x LSN %d", ErrCorrupt, m.Volume, m.Lsn)
	}
	s := &WarmSet{Volume: k.Volume, LSN: k.LSN}
	if err := s.objectsFromProto(&m); err != nil {
		return nil, err
	}
	if err := s.pagesFromProto(&m); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *WarmSet) objectsFromProto(m *graftpb.WarmSet) error {
	rest := m.Objects
	for i, length := range m.ObjectLength {
		if length == 0 || uint64(length) > uint64(len(rest)) {
			return fmt.Errorf("%w: warm set: object %d of %d bytes", ErrCorrupt, i, length)
		}
		s.Objects = append(s.Objects, rest[:length:length])
		rest = rest[length:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: warm set with %d bytes behind its objects", ErrCorrupt, len(rest))
	}
	return nil
}

func (s *WarmSet) pagesFromProto(m *graftpb.WarmSet) error {
	segments, err := warmSegments(m.Segments)
	if err != nil {
		return err
	}
	if len(m.PageSegment) > maxWarmPages {
		return fmt.Errorf("%w: warm set of %d pages", ErrCorrupt, len(m.PageSegment))
	}
	rest, ids, prev, used := m.Frames, m.PageSegment, PageIdx(0), uint32(0)
	for i, length := range m.FrameLength {
		if uint64(length) > uint64(len(rest)) {
			return fmt.Errorf("%w: warm set: frame %d of %d bytes", ErrCorrupt, i, length)
		}
		entries, err := decodeBlock(rest[:length])
		if err != nil {
			return fmt.Errorf("%w: warm set: frame %d: %w", ErrCorrupt, i, err)
		}
		if len(entries) > len(ids) {
			return fmt.Errorf("%w: warm set: segments of %d pages", ErrCorrupt, len(m.PageSegment))
		}
		rest = rest[length:]
		for j, e := range entries {
			n := ids[j]
			if e.Idx <= prev || n > used || n >= uint32(len(segments)) {
				return fmt.Errorf("%w: warm set: page %d of segment %d", ErrCorrupt, e.Idx, n)
			}
			s.Pages = append(s.Pages, BundledPage{e, segments[n]})
			prev, used = e.Idx, max(used, n+1)
		}
		ids = ids[len(entries):]
	}
	if len(rest) > 0 || len(ids) > 0 || int(used) != len(segments) {
		return fmt.Errorf("%w: warm set with %d bytes and %d pages behind its frames, and %d of %d segments", ErrCorrupt, len(rest), len(ids), used, len(segments))
	}
	return nil
}

// warmSegments reads SegmentIDs of which no two are equal.
func warmSegments(b []byte) ([]SegmentID, error) {
	if len(b)%gidSize != 0 || len(b) > maxWarmPages*gidSize {
		return nil, fmt.Errorf("%w: warm set: %d bytes of segments", ErrCorrupt, len(b))
	}
	ids := make([]SegmentID, 0, len(b)/gidSize)
	seen := make(map[SegmentID]bool, len(b)/gidSize)
	for part := range slices.Chunk(b, gidSize) {
		id, err := SegmentIDFromBytes(part)
		if err != nil || seen[id] {
			return nil, fmt.Errorf("%w: warm set: segment %x", ErrCorrupt, part)
		}
		seen[id] = true
		ids = append(ids, id)
	}
	return ids, nil
}
