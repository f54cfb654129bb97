package volume

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/pierrec/lz4/v4"

	"graft/internal/graftpb"
)

// A Frame is, in this order: one LZ4 block; zeros, as many as make the Frame a
// multiple of 64 bytes long; one byte with their number; a seal of 16 bytes. Before
// compression the block is, little endian, for its n pages: n page indexes of 4
// bytes, strictly ascending, then n pages of PageSize bytes in the same order. So n
// follows from the length.
//
// The seal is the first 16 bytes of the SHA-256 of the SegmentID and all that is
// before it. It proves that these pages were written for that Segment, of which there
// is one: its id is drawn for each push, and named by a commit of the hash chain. So
// an address of a frame takes a byte or two, and no hash.
const (
	// FramePages is how many pages the Frames of a Segment hold, but for the last.
	FramePages = 2
	// maxFramePages is the most that a Frame may hold, whoever wrote it.
	maxFramePages = 16

	frameEntrySize = 4 + PageSize
	maxFrameSize   = maxFramePages * frameEntrySize
	sealSize       = 16
	frameUnit      = 64
)

func sealOf(id SegmentID, padded []byte) [sealSize]byte {
	h := sha256.New()
	h.Write(id[:])
	h.Write(padded)
	return [sealSize]byte(h.Sum(nil))
}

// appendSealed appends the frame of Segment id whose block is b from at on.
func appendSealed(id SegmentID, b []byte, at int) []byte {
	zeros := (frameUnit - (len(b)-at+1+sealSize)%frameUnit) % frameUnit
	b = append(b, make([]byte, zeros)...)
	b = append(b, byte(zeros))
	s := sealOf(id, b[at:])
	return append(b, s[:]...)
}

// unsealed gives the block of frame b of Segment id.
func unsealed(id SegmentID, b []byte) ([]byte, error) {
	n := len(b) - sealSize
	if n <= 0 || len(b)%frameUnit != 0 || sealOf(id, b[:n]) != [sealSize]byte(b[n:]) {
		return nil, fmt.Errorf("seal of %d bytes for segment %s", len(b), id)
	}
	zeros := int(b[n-1])
	if zeros >= frameUnit || zeros > n-1 {
		return nil, fmt.Errorf("%d zeros in %d bytes", zeros, len(b))
	}
	return b[:n-1-zeros], nil
}

// Frame says where one Frame of a Segment lies.
type Frame struct {
	Offset int64   // bytes from the start of the object
	Length int64   // bytes
	First  PageIdx // no page below it is in the frame
	Last   PageIdx // the highest page in the frame
}

// FrameIndex gives the Frames of a Segment, in the order of the object. The
// zero value is the index of no frame.
type FrameIndex struct {
	frames []Frame
	seals  Hash // SHA-256 of the seals, one after the other
}

// Len is the number of frames.
func (x FrameIndex) Len() int { return len(x.frames) }

// Frame gives frame i, from 0.
func (x FrameIndex) Frame(i int) Frame { return x.frames[i] }

// Size is where the last frame ends, in bytes from the start of the object.
func (x FrameIndex) Size() int64 {
	if len(x.frames) == 0 {
		return objectHeaderSize
	}
	last := x.frames[len(x.frames)-1]
	return last.Offset + last.Length
}

// Find gives the number of the frame that holds p, if the Segment holds p. It
// takes time logarithmic in the number of frames.
func (x FrameIndex) Find(p PageIdx) (int, bool) {
	i := sort.Search(len(x.frames), func(i int) bool { return x.frames[i].Last >= p })
	return i, i < len(x.frames) && x.frames[i].First <= p
}

// Equal tells whether two indexes are of the same frames, to the byte.
func (x FrameIndex) Equal(y FrameIndex) bool {
	return x.seals == y.seals && slices.Equal(x.frames, y.frames)
}

func (x *FrameIndex) add(length int64, last PageIdx) {
	f := Frame{Offset: x.Size(), Length: length, First: 1, Last: last}
	if n := len(x.frames); n > 0 {
		f.First = x.frames[n-1].Last + 1
	}
	x.frames = append(x.frames, f)
}

func (x FrameIndex) toProto() *graftpb.FrameIndex {
	m := &graftpb.FrameIndex{Sha256: x.seals[:]}
	for _, f := range x.frames {
		m.Length = append(m.Length, uint32(f.Length/frameUnit))
		m.LastPage = append(m.LastPage, uint32(f.Last))
	}
	return m
}

// frameIndexFromProto checks that the index can be that of a Segment with
// these pages: ascending, no frame empty or too large, each page covered.
func frameIndexFromProto(m *graftpb.FrameIndex, pages PageSet) (FrameIndex, error) {
	n := len(m.Length)
	if n == 0 || len(m.LastPage) != n || len(m.Sha256) != len(Hash{}) {
		return FrameIndex{}, fmt.Errorf("%w: frame index of %d lengths, %d pages, %d hash bytes", ErrCorrupt, n, len(m.LastPage), len(m.Sha256))
	}
	x := FrameIndex{frames: make([]Frame, 0, n), seals: Hash(m.Sha256)}
	var last PageIdx
	for i := range n {
		p := PageIdx(m.LastPage[i])
		if p <= last || !pages.Contains(p) {
			return FrameIndex{}, fmt.Errorf("%w: frame %d ends at page %d", ErrCorrupt, i, p)
		}
		if n := pages.CountIn(last+1, p); n > maxFramePages {
			return FrameIndex{}, fmt.Errorf("%w: frame %d has %d pages", ErrCorrupt, i, n)
		}
		if m.Length[i] == 0 || m.Length[i] > maxFrameLength/frameUnit {
			return FrameIndex{}, fmt.Errorf("%w: frame %d of %d times %d bytes", ErrCorrupt, i, m.Length[i], frameUnit)
		}
		x.add(int64(m.Length[i])*frameUnit, p)
		last = p
	}
	if last != pages.Max() {
		return FrameIndex{}, fmt.Errorf("%w: frame index ends at page %d of %d", ErrCorrupt, last, pages.Max())
	}
	return x, nil
}

// PageEntry is a page with its index.
type PageEntry struct {
	Idx  PageIdx
	Page *Page
}

// maxFrameLength is the most bytes that a frame takes, with its seal.
var maxFrameLength = uint32(lz4.CompressBlockBound(maxFrameSize)+sealSize+frameUnit) / frameUnit * frameUnit

// blockEncoder compresses pages. It is not safe for concurrent use.
type blockEncoder struct {
	lz  lz4.Compressor
	raw []byte // used again
}

// append appends 1 to maxFramePages entries of ascending index to b, compressed.
func (e *blockEncoder) append(b []byte, entries []PageEntry) ([]byte, error) {
	e.raw = e.raw[:0]
	for _, entry := range entries {
		e.raw = binary.LittleEndian.AppendUint32(e.raw, uint32(entry.Idx))
	}
	for _, entry := range entries {
		e.raw = append(e.raw, entry.Page[:]...)
	}
	at, bound := len(b), lz4.CompressBlockBound(len(e.raw))
	b = slices.Grow(b, bound)
	n, err := e.lz.CompressBlock(e.raw, b[at:at+bound])
	if err != nil {
		return b, fmt.Errorf("compress frame: %w", err)
	}
	return b[:at+n], nil
}

// DecodeFrame verifies the bytes of frame f of Segment s and gives its pages,
// ascending: exactly those of the Segment from f.First to f.Last. The pages
// are the caller's. Anything else is ErrCorrupt.
func DecodeFrame(s *Segment, f Frame, b []byte) ([]PageEntry, error) {
	entries, err := DecodeFrameAt(&Address{Source: Source{Segment: s.ID}, Offset: f.Offset, Length: f.Length}, b)
	if err != nil {
		return nil, err
	}
	if n, want := len(entries), s.Pages.CountIn(f.First, f.Last); n != want {
		return nil, fmt.Errorf("%w: frame at offset %d: %d pages instead of %d", ErrCorrupt, f.Offset, n, want)
	}
	for _, e := range entries {
		if e.Idx < f.First || e.Idx > f.Last || !s.Pages.Contains(e.Idx) {
			return nil, fmt.Errorf("%w: frame at offset %d: page index %d", ErrCorrupt, f.Offset, e.Idx)
		}
	}
	return entries, nil
}

// DecodeFrameAt verifies the bytes of the frame at a and gives its pages,
// ascending, which are the caller's. Anything but what was pushed is ErrCorrupt.
func DecodeFrameAt(a *Address, b []byte) ([]PageEntry, error) {
	if int64(len(b)) != a.Length {
		return nil, fmt.Errorf("%w: frame at offset %d: %d bytes instead of %d", ErrCorrupt, a.Offset, len(b), a.Length)
	}
	block, err := unsealed(a.Source.Segment, b)
	var entries []PageEntry
	if err == nil {
		entries, err = decodeBlock(block)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: frame at offset %d: %w", ErrCorrupt, a.Offset, err)
	}
	return entries, nil
}

// rawFrames are buffers for frames before compression.
var rawFrames = sync.Pool{New: func() any { return new([maxFrameSize]byte) }}

// decodeBlock gives the pages of a frame from its block.
func decodeBlock(b []byte) ([]PageEntry, error) {
	buffer := rawFrames.Get().(*[maxFrameSize]byte)
	defer rawFrames.Put(buffer)
	raw := buffer[:]
	size, err := lz4.UncompressBlock(b, raw)
	if err != nil || size == 0 || size%frameEntrySize != 0 {
		return nil, fmt.Errorf("LZ4 block of %d bytes", size)
	}
	n := size / frameEntrySize
	entries := make([]PageEntry, n)
	prev := PageIdx(0)
	for i := range entries {
		p := PageIdx(binary.LittleEndian.Uint32(raw[4*i:]))
		if p <= prev {
			return nil, fmt.Errorf("page index %d after %d", p, prev)
		}
		prev = p
		entries[i] = PageEntry{p, CopyPage(raw[4*n+i*PageSize:])}
	}
	return entries, nil
}
