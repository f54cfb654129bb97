package volume

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"google.golang.org/protobuf/proto"

	"graft/internal/graftpb"
)

// Address says where a frame lies in the bucket. The frame's seal proves that it is
// one of the Segment.
type Address struct {
	Source Source
	Offset int64 // bytes from the start of the object
	Length int64 // bytes
}

// PageAddress is a page with the address of the frame that holds it.
type PageAddress struct {
	Idx   PageIdx
	Frame *Address // shared by the pages of one frame; read-only
}

// PageTable says where some pages lie. The zero value has none. It is immutable.
type PageTable struct{ entries []PageAddress }

// NewPageTable gives the table of entries, which are in strictly ascending order
// from page 1 and must not change.
func NewPageTable(entries []PageAddress) PageTable { return PageTable{entries} }

// Len is the number of pages.
func (t PageTable) Len() int { return len(t.entries) }

// All yields the pages in ascending order.
func (t PageTable) All() iter.Seq2[PageIdx, *Address] {
	return func(yield func(PageIdx, *Address) bool) {
		for _, e := range t.entries {
			if !yield(e.Idx, e.Frame) {
				return
			}
		}
	}
}

// At gives the address of page p, if the table has it.
func (t PageTable) At(p PageIdx) (*Address, bool) {
	i, ok := t.search(p)
	if !ok {
		return nil, false
	}
	return t.entries[i].Frame, true
}

func (t PageTable) search(p PageIdx) (int, bool) {
	return slices.BinarySearchFunc(t.entries, p, func(e PageAddress, p PageIdx) int { return cmp.Compare(e.Idx, p) })
}

// Leaf gives the part of the table that lies in leaf n.
func (t PageTable) Leaf(n LeafIdx) PageTable {
	from, _ := slices.BinarySearchFunc(t.entries, n, compareLeaf)
	end := from
	for end < len(t.entries) && LeafOf(t.entries[end].Idx) == n {
		end++
	}
	return PageTable{t.entries[from:end]}
}

// NextLeaf gives the lowest leaf from n on that the table has pages of, and whether
// there is one.
func (t PageTable) NextLeaf(n LeafIdx) (next LeafIdx, ok bool) {
	i, _ := slices.BinarySearchFunc(t.entries, n, compareLeaf)
	if i == len(t.entries) {
		return 0, false
	}
	return LeafOf(t.entries[i].Idx), true
}

func compareLeaf(e PageAddress, n LeafIdx) int { return cmp.Compare(LeafOf(e.Idx), n) }

// Leaves yields the leaves that the table has pages of, in ascending order.
func (t PageTable) Leaves() iter.Seq[LeafIdx] {
	return func(yield func(LeafIdx) bool) {
		for i, e := range t.entries {
			n := LeafOf(e.Idx)
			if (i == 0 || LeafOf(t.entries[i-1].Idx) != n) && !yield(n) {
				return
			}
		}
	}
}

// Truncated gives the table without the pages above n.
func (t PageTable) Truncated(n PageCount) PageTable {
	i, found := t.search(PageIdx(n))
	if found {
		i++
	}
	return PageTable{t.entries[:i]}
}

// With gives the table with the pages of newer, which take the place of its own.
func (t PageTable) With(newer PageTable) PageTable {
	if newer.Len() == 0 {
		return t
	}
	if t.Len() == 0 {
		return newer
	}
	merged := make([]PageAddress, 0, t.Len()+newer.Len())
	a, b := t.entries, newer.entries
	for len(a) > 0 && len(b) > 0 {
		if a[0].Idx < b[0].Idx {
			merged, a = append(merged, a[0]), a[1:]
			continue
		}
		if a[0].Idx == b[0].Idx {
			a = a[1:]
		}
		merged, b = append(merged, b[0]), b[1:]
	}
	return PageTable{append(append(merged, a...), b...)}
}

// validate reports whether a record can hold the table: pages ascend from page 1,
// and each lies in a frame that can be.
func (t PageTable) validate() error {
	prev := PageIdx(0)
	for _, e := range t.entries {
		if e.Idx <= prev || e.Frame == nil || e.Frame.validate() != nil {
			return fmt.Errorf("%w: page table: page %d after page %d in frame %+v", ErrCorrupt, e.Idx, prev, e.Frame)
		}
		prev = e.Idx
	}
	return nil
}

func (a *Address) validate() error {
	if a.Offset < 0 || a.Offset > 1<<62 || a.Length <= 0 || a.Length%frameUnit != 0 || a.Length > int64(maxFrameLength) || !a.Source.canBe() {
		return fmt.Errorf("%w: frame of %d bytes at offset %d of %+v", ErrCorrupt, a.Length, a.Offset, a.Source)
	}
	return nil
}

// EncodedSize is about how many bytes the table takes in a record of Volume home.
func (t PageTable) EncodedSize(home VolumeID) int { return proto.Size(t.toProto(home)) }

func (t PageTable) toProto(home VolumeID) *graftpb.PageTable {
	if t.Len() == 0 {
		return nil
	}
	m := &graftpb.PageTable{}
	numbers := newSourceNumbers(home)
	frames := make(map[Address]int32)
	ends := make(map[Source]int64) // of each object, where the last frame so far ends
	prev, prevFrame := PageIdx(0), int32(0)
	for _, e := range t.entries {
		n, ok := frames[*e.Frame]
		if !ok {
			n = int32(len(frames))
			frames[*e.Frame] = n
			object := e.Frame.Source.object()
			m.FrameSource = append(m.FrameSource, numbers.of(e.Frame.Source))
			m.FrameSkip = append(m.FrameSkip, e.Frame.Offset-ends[object])
			m.FrameLength = append(m.FrameLength, uint32(e.Frame.Length/frameUnit))
			ends[object] = e.Frame.Offset + e.Frame.Length
		}
		m.PageGap = append(m.PageGap, uint32(e.Idx-prev))
		m.PageStep = append(m.PageStep, n-prevFrame)
		prev, prevFrame = e.Idx, n
	}
	m.Sources, m.Packs = numbers.sources, numbers.packs
	return m
}

// pageTableFromProto reads a table of a record of Volume home. What is not as
// toProto writes it is ErrCorrupt.
func pageTableFromProto(m *graftpb.PageTable, home VolumeID) (PageTable, error) {
	if m == nil {
		return PageTable{}, nil
	}
	frames, err := addressesFromProto(m, home)
	if err != nil {
		return PageTable{}, err
	}
	if len(m.PageGap) == 0 || len(m.PageStep) != len(m.PageGap) {
		return PageTable{}, fmt.Errorf("%w: page table of %d pages with %d frames of theirs", ErrCorrupt, len(m.PageGap), len(m.PageStep))
	}
	entries := make([]PageAddress, len(m.PageGap))
	idx, used, frame := uint64(0), int64(0), int64(0)
	for i, gap := range m.PageGap {
		frame += int64(m.PageStep[i])
		idx += uint64(gap)
		if gap == 0 || idx > 1<<32-1 || frame < 0 || frame > used || frame >= int64(len(frames)) {
			return PageTable{}, fmt.Errorf("%w: page table: page %d in frame %d of %d", ErrCorrupt, idx, frame, len(frames))
		}
		used = max(used, frame+1)
		entries[i] = PageAddress{PageIdx(idx), &frames[frame]}
	}
	if used != int64(len(frames)) {
		return PageTable{}, fmt.Errorf("%w: page table uses %d of %d frames", ErrCorrupt, used, len(frames))
	}
	return PageTable{entries}, nil
}

func addressesFromProto(m *graftpb.PageTable, home VolumeID) ([]Address, error) {
	n := len(m.FrameSource)
	if len(m.FrameSkip) != n || len(m.FrameLength) != n {
		return nil, fmt.Errorf("%w: page table: frames with %d sources, %d skips, %d lengths", ErrCorrupt, n, len(m.FrameSkip), len(m.FrameLength))
	}
	sources, err := sourcesFromProto(m, home)
	if err != nil {
		return nil, err
	}
	frames, used := make([]Address, n), int64(0)
	seen := make(map[Address]bool, n)
	ends := make(map[Source]int64, len(sources))
	for i := range frames {
		source := int64(m.FrameSource[i])
		if source > used || source >= int64(len(sources)) {
			return nil, fmt.Errorf("%w: page table: frame %d of source %d", ErrCorrupt, i, source)
		}
		used = max(used, source+1)
		object := sources[source].object()
		frames[i] = Address{sources[source], ends[object] + m.FrameSkip[i], int64(m.FrameLength[i]) * frameUnit}
		if err := frames[i].validate(); err != nil {
			return nil, err
		}
		ends[object] = frames[i].Offset + frames[i].Length
		if seen[frames[i]] {
			return nil, fmt.Errorf("%w: page table: frame %d is one before it", ErrCorrupt, i)
		}
		seen[frames[i]] = true
	}
	if used != int64(len(sources)) {
		return nil, fmt.Errorf("%w: page table uses %d of %d sources", ErrCorrupt, used, len(sources))
	}
	return frames, nil
}
