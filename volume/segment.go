package volume

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"

	"graft/internal/graftpb"
)

// The object of a Segment is:
//
//	offset  size  field
//	     0     4  magic "GRFT"
//	     4     1  kind 'D' (pages)
//	     5     1  version, 1
//	     6     2  zero
//	     8        the frames, one after the other
//	              a FrameIndex record, where the index is large
//
// The commit that names the Segment says which pages are in it and holds the
// frame index, or names the record at the end by offset, length and SHA-256. A
// frame is proved by its seal, the seals by a SHA-256 in the index; the header
// serves people and tools. An object that is lost can be made again to the byte by
// who still has its pages.
const kindSegmentObject = 'D'

// MaxInlineIndex is the largest frame index, in encoded bytes, that stands in the
// commit itself.
const MaxInlineIndex = 32 << 10

// FrameEncoder encodes pages as frames of one Segment. It is not safe for concurrent
// use, but several encoders may encode parts of a Segment at once.
type FrameEncoder struct {
	id     SegmentID
	blocks blockEncoder
}

// NewFrameEncoder gives an encoder of frames of Segment id.
func NewFrameEncoder(id SegmentID) *FrameEncoder { return &FrameEncoder{id: id} }

// Part is pages of a Segment that are encoded. The zero value has none.
type Part struct {
	pages  []PageIdx
	frames []partFrame
	bytes  []byte
}

type partFrame struct {
	length int
	last   PageIdx
}

// Encode makes part the given pages, in the memory that part has. It does not keep
// them. Their indexes ascend.
func (e *FrameEncoder) Encode(part *Part, pages []PageEntry) error {
	part.pages, part.frames, part.bytes = part.pages[:0], part.frames[:0], part.bytes[:0]
	for frame := range slices.Chunk(pages, FramePages) {
		for _, entry := range frame {
			part.pages = append(part.pages, entry.Idx)
		}
		at := len(part.bytes)
		b, err := e.blocks.append(part.bytes, frame)
		if err != nil {
			return err
		}
		part.bytes = appendSealed(e.id, b, at)
		part.frames = append(part.frames, partFrame{len(part.bytes) - at, frame[len(frame)-1].Idx})
	}
	return nil
}

// SegmentWriter writes the object of a Segment as its pages come. It holds one
// frame in memory, and the frame index. It is not safe for concurrent use.
type SegmentWriter struct {
	w       io.Writer
	encoder *FrameEncoder // of what Add gets; nil until then
	part    Part
	seg     Segment
	next    []PageEntry // of the frame to come
	seals   hash.Hash   // of the frames so far
	off     int64

	maxIndex int
	index    FrameIndex // of the whole Segment, once it is closed
}

// NewSegmentWriter writes the object of Segment id to w.
func NewSegmentWriter(w io.Writer, id SegmentID) *SegmentWriter {
	return &SegmentWriter{
		w: w, maxIndex: MaxInlineIndex, seg: Segment{ID: id}, seals: sha256.New(),
	}
}

// LimitIndex sets another MaxInlineIndex, for tests of footers: they would take some
// hundred thousand pages.
func (sw *SegmentWriter) LimitIndex(bytes int) { sw.maxIndex = bytes }

// Add appends a page, whose index must be above all before it. The page is
// read before Add returns or during a later call, and must not change until
// Close.
func (sw *SegmentWriter) Add(idx PageIdx, page *Page) error {
	last := sw.seg.Pages.Max()
	if n := len(sw.next); n > 0 {
		last = sw.next[n-1].Idx
	}
	if idx <= last {
		return sw.outOfOrder(idx, last)
	}
	sw.next = append(sw.next, PageEntry{idx, page})
	if len(sw.next) == FramePages {
		return sw.flush()
	}
	return nil
}

// AddPart appends pages that are encoded as frames of the Segment, which it does not
// keep. Their indexes must be above all before them.
func (sw *SegmentWriter) AddPart(part *Part) error {
	if len(sw.next) > 0 {
		return fmt.Errorf("graft: a part comes after half a frame of segment %s", sw.seg.ID)
	}
	last := sw.seg.Pages.Max()
	for _, p := range part.pages {
		if p <= last {
			return sw.outOfOrder(p, last)
		}
		last = p
	}
	if sw.off == 0 {
		if err := sw.write(objectHeader(kindSegmentObject)); err != nil {
			return err
		}
	}
	for _, p := range part.pages {
		sw.seg.Pages.Add(p)
	}
	end := 0
	for _, f := range part.frames {
		end += f.length
		sw.seals.Write(part.bytes[end-sealSize : end])
		sw.seg.Frames.add(int64(f.length), f.last)
	}
	return sw.write(part.bytes)
}

func (sw *SegmentWriter) outOfOrder(p, last PageIdx) error {
	return fmt.Errorf("graft: page %d comes after page %d in segment %s", p, last, sw.seg.ID)
}

// Close writes what is left and gives what a commit says of the Segment. It
// does not close the underlying writer.
func (sw *SegmentWriter) Close() (Segment, error) {
	if len(sw.next) > 0 {
		if err := sw.flush(); err != nil {
			return Segment{}, err
		}
	}
	if sw.seg.Pages.IsEmpty() {
		return Segment{}, errors.New("graft: segment without a page")
	}
	sw.seg.Frames.seals = Hash(sw.seals.Sum(nil))
	sw.index = sw.seg.Frames
	m := sw.seg.Frames.toProto()
	if proto.Size(m) <= sw.maxIndex {
		return sw.seg, nil
	}
	b, err := EncodeRecord(KindFrameIndex, m)
	if err != nil {
		return Segment{}, err
	}
	sw.seg.Footer = Footer{Offset: sw.off, Length: int64(len(b)), Sum: HashOf(b)}
	sw.seg.Frames = FrameIndex{}
	return sw.seg, sw.write(b)
}

// Index is the frame index after Close, also where the Segment has a footer.
func (sw *SegmentWriter) Index() FrameIndex { return sw.index }

func (sw *SegmentWriter) flush() error {
	if sw.encoder == nil {
		sw.encoder = NewFrameEncoder(sw.seg.ID)
	}
	if err := sw.encoder.Encode(&sw.part, sw.next); err != nil {
		return err
	}
	sw.next = sw.next[:0]
	return sw.AddPart(&sw.part)
}

func (sw *SegmentWriter) write(b []byte) error {
	n, err := sw.w.Write(b)
	sw.off += int64(n)
	if err != nil {
		return fmt.Errorf("write segment %s: %w", sw.seg.ID, err)
	}
	return nil
}

// DecodeFooter reads the frame index that s.Footer names from its bytes. It
// returns ErrCorrupt or ErrVersion.
func DecodeFooter(s *Segment, b []byte) (FrameIndex, error) {
	if int64(len(b)) != s.Footer.Length || HashOf(b) != s.Footer.Sum {
		return FrameIndex{}, fmt.Errorf("%w: footer at offset %d: hash of %d bytes", ErrCorrupt, s.Footer.Offset, len(b))
	}
	var m graftpb.FrameIndex
	if err := DecodeRecord(KindFrameIndex, b, &m); err != nil {
		return FrameIndex{}, err
	}
	return frameIndexFromProto(&m, s.Pages)
}
