package volume

import (
	"errors"
	"fmt"
	"io"
)

// A pack is an object with frames of many Segments, whose pages lay inline in as many
// commits: whoever reads neighbouring pages gets them by one request. It is:
//
//	offset  size  field
//	     0     4  magic "GRFT"
//	     4     1  kind 'M' (moved frames)
//	     5     1  version, 1
//	     6     2  zero
//	     8        the frames, one after the other, ascending by their pages
//
// Each frame is sealed as one of its own Segment, so a page that has moved keeps its
// name: its Segment and page index. Where a frame lies now, the page table of a commit
// or a checkpoint says, and nothing else: a pack has no index, and the commit that names
// it as its own says that it was uploaded, not what is in it. Its own name is a SegmentID,
// for its object lies among those of Segments.
//
// Frames are made anew from pages, of neighbours that are still wanted and of one
// Segment. The header serves people and tools. An object that is lost can be made again
// to the byte by who has the page table and the pages, and these lie in the commits as
// well.
const kindPackObject = 'M'

// PackWriter writes the object of a pack as its frames come. It is not safe for
// concurrent use.
type PackWriter struct {
	w      io.Writer
	id     SegmentID
	blocks blockEncoder
	frame  []byte // used again
	moved  []PageAddress
	off    int64
}

// NewPackWriter writes the object of pack id to w.
func NewPackWriter(w io.Writer, id SegmentID) *PackWriter { return &PackWriter{w: w, id: id} }

// Add appends a frame of Segment id: FramePages pages at most, whose indexes ascend and
// are above all before them. It does not keep them.
func (pw *PackWriter) Add(id SegmentID, pages []PageEntry) error {
	if len(pages) == 0 || len(pages) > FramePages || id == pw.id {
		return fmt.Errorf("graft: frame of %d pages of segment %s in pack %s", len(pages), id, pw.id)
	}
	frame, err := pw.blocks.append(pw.frame[:0], pages)
	if err != nil {
		return err
	}
	pw.frame = appendSealed(id, frame, 0)
	if pw.off == 0 {
		if err := pw.write(objectHeader(kindPackObject)); err != nil {
			return err
		}
	}
	a := &Address{Source{Segment: id, Pack: pw.id}, pw.off, int64(len(pw.frame))}
	for _, e := range pages {
		if n := len(pw.moved); n > 0 && e.Idx <= pw.moved[n-1].Idx || e.Idx == 0 {
			return fmt.Errorf("graft: page %d is out of order in pack %s", e.Idx, pw.id)
		}
		pw.moved = append(pw.moved, PageAddress{e.Idx, a})
	}
	return pw.write(pw.frame)
}

// Close says where the pages lie. It does not close the underlying writer.
func (pw *PackWriter) Close() (PageTable, error) {
	if len(pw.moved) == 0 {
		return PageTable{}, errors.New("graft: pack without a page")
	}
	return PageTable{pw.moved}, nil
}

func (pw *PackWriter) write(b []byte) error {
	n, err := pw.w.Write(b)
	pw.off += int64(n)
	if err != nil {
		return fmt.Errorf("write pack %s: %w", pw.id, err)
	}
	return nil
}
