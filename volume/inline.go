package volume

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"graft/internal/graftpb"
)

// The object of a commit is its record. Where the commit has an inline Segment or
// a checkpoint of its own that is embedded, these stand before the record, little
// endian:
//
//	offset  size  field
//	     0     4  magic "GRFT"
//	     4     1  kind 'E' (embedded)
//	     5     1  version, 1
//	     6     2  zero
//	     8     4  length of the frames, n
//	    12     4  length of the checkpoint, m
//	    16     4  CRC-32C of bytes 0 to 15
//	    20     n  the frames, one after the other
//	  20+n     m  what a checkpoint's object has behind its header
//	20+n+m        the record
//
// So the address of an inline frame does not depend on the checkpoint, nor that of
// a chunk on the record, which names the hash of the seals and that of the root.
// Every frame and the root are verified when the object is decoded.
const (
	kindInline       = 'E'
	inlineHeaderSize = 20
)

// MaxInline is how many bytes of frames a commit holds inline, at most.
const MaxInline = 64 << 10

// InlineFrames gives the frames of the object of a Segment without a footer, as
// an [Embedded] has them.
func InlineFrames(object []byte) []byte { return object[objectHeaderSize:] }

// Embedded is what the object of a commit has beside its record.
type Embedded struct {
	Frames     []byte // of the inline Segment
	Checkpoint []byte // as [BuildCheckpoint] gave it for an offset of CheckpointAt
}

// CheckpointAt is the offset of an embedded checkpoint behind so many bytes of
// inline frames.
func CheckpointAt(frames int) int64 { return inlineHeaderSize + int64(frames) }

func (e Embedded) size() int { return len(e.Frames) + len(e.Checkpoint) }

// prefix gives what stands before the record, with room for that.
func (e Embedded) prefix() []byte {
	b := make([]byte, inlineHeaderSize, inlineHeaderSize+e.size()+4096)
	copy(b, magic)
	b[4], b[5] = kindInline, formatVersion
	binary.LittleEndian.PutUint32(b[8:], uint32(len(e.Frames)))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(e.Checkpoint)))
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	return append(append(b, e.Frames...), e.Checkpoint...)
}

// cutEmbedded cuts the object of a commit into what is embedded and the record.
func cutEmbedded(b []byte) (e Embedded, record []byte, err error) {
	if len(b) < inlineHeaderSize || string(b[:4]) != magic || b[4] != kindInline {
		return e, b, nil
	}
	n, m := uint64(binary.LittleEndian.Uint32(b[8:])), uint64(binary.LittleEndian.Uint32(b[12:]))
	switch {
	case binary.LittleEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli):
		return e, nil, fmt.Errorf("%w: checksum of what is embedded", ErrCorrupt)
	case b[5] != formatVersion:
		return e, nil, fmt.Errorf("%w: embedded frames: %d instead of %d", ErrVersion, b[5], formatVersion)
	case b[6] != 0 || b[7] != 0 || n+m == 0 || n+m > uint64(len(b)-inlineHeaderSize):
		return e, nil, fmt.Errorf("%w: %d bytes of inline frames and %d of a checkpoint in an object of %d", ErrCorrupt, n, m, len(b))
	}
	b = b[inlineHeaderSize:]
	return Embedded{b[:n:n], b[n : n+m : n+m]}, b[n+m:], nil
}

// checkEmbedded verifies what is embedded: the inline frames, and the root of the
// checkpoint.
func (c *Commit) checkEmbedded(e Embedded) error {
	if err := c.checkInline(e.Frames); err != nil {
		return err
	}
	at, ref := CheckpointAt(len(e.Frames)), c.Checkpoint
	if !c.OwnCheckpoint() || !ref.Embedded() {
		if len(e.Checkpoint) > 0 {
			return fmt.Errorf("%w: commit with %d bytes of a checkpoint that it does not name", ErrCorrupt, len(e.Checkpoint))
		}
		return nil
	}
	if ref.Offset < at || ref.Length > int64(len(e.Checkpoint)) || ref.Offset-at != int64(len(e.Checkpoint))-ref.Length || HashOf(e.Checkpoint[ref.Offset-at:]) != ref.Sum {
		return fmt.Errorf("%w: commit with %d bytes of a checkpoint: root of %d bytes at offset %d", ErrCorrupt, len(e.Checkpoint), ref.Length, ref.Offset)
	}
	return nil
}

// Embedded gives the checkpoint that is embedded in r, verified with its chunks, or nil.
// It is for who meets r first: by its hash, r says afterwards what it must be.
func (r Record) Embedded() (*Checkpoint, error) {
	ref := r.Commit.Checkpoint
	if !r.Commit.OwnCheckpoint() || !ref.Embedded() {
		return nil, nil
	}
	e, _, err := cutEmbedded(r.Bytes)
	if err != nil {
		return nil, err
	}
	at := CheckpointAt(len(e.Frames))
	c, _, err := rebuild(ref, at, e.Checkpoint[ref.Offset-at:], func(ch *Chunk) ([]byte, error) {
		if ch.Offset < at || ch.Length > ref.Offset-ch.Offset {
			return nil, fmt.Errorf("%w: chunk of leaf %d at offset %d", ErrCorrupt, ch.Leaf, ch.Offset)
		}
		return e.Checkpoint[ch.Offset-at:][:ch.Length], nil
	})
	if err != nil {
		return nil, fmt.Errorf("embedded checkpoint with its root at offset %d: %w", ref.Offset, err)
	}
	return c, nil
}

// inline gives the first inline Segment, or nil.
func (c *Commit) inline() *Segment {
	i := slices.IndexFunc(c.Segments, func(s Segment) bool { return s.Inline })
	if i < 0 {
		return nil
	}
	return &c.Segments[i]
}

// validateInline reports a violation of what invariants 3 and 4 say of inline
// Segments.
func (c *Commit) validateInline() error {
	first := c.inline()
	if first == nil {
		return nil
	}
	if c.PushID.IsZero() || first.Frames.Len() == 0 || first.Frames.Size()-objectHeaderSize > MaxInline {
		return fmt.Errorf("%w: commit with an inline segment of %d frames, %d bytes", ErrCorrupt, first.Frames.Len(), first.Frames.Size())
	}
	for i := range c.Segments {
		if s := &c.Segments[i]; s.Inline && s != first {
			return fmt.Errorf("%w: commit with more than one inline segment", ErrCorrupt)
		}
	}
	return nil
}

// checkInline verifies the bytes of the inline frames. What follows the header
// of a Segment's object follows the longer one of a commit's here.
func (c *Commit) checkInline(frames []byte) error {
	var x FrameIndex
	var id SegmentID
	if s := c.inline(); s != nil {
		x, id = s.Frames, s.ID
	}
	if want := x.Size() - objectHeaderSize; int64(len(frames)) != want {
		return fmt.Errorf("%w: commit with %d bytes of inline frames, not %d", ErrCorrupt, len(frames), want)
	}
	seals := sha256.New()
	for _, f := range x.frames {
		b := frames[f.Offset-objectHeaderSize:][:f.Length]
		if _, err := unsealed(id, b); err != nil {
			return fmt.Errorf("%w: inline frame at offset %d: %w", ErrCorrupt, f.Offset+inlineHeaderSize-objectHeaderSize, err)
		}
		seals.Write(b[len(b)-sealSize:])
	}
	if x.Len() > 0 && Hash(seals.Sum(nil)) != x.seals {
		return fmt.Errorf("%w: hash of the seals of %d inline frames", ErrCorrupt, x.Len())
	}
	return nil
}

// Own says where the pages of the commit itself lie. It is for pushed commits, and
// false where a Segment has its frame index in a footer: then the Checkpoint is of
// this commit.
func (c *Commit) Own() (PageTable, bool) {
	var own PageTable
	for _, s := range c.Segments {
		if s.Frames.Len() == 0 {
			return PageTable{}, false
		}
		own = own.With(c.tableOf(&s))
	}
	return own, true
}

func (c *Commit) tableOf(s *Segment) PageTable {
	source, shift := Source{Segment: s.ID}, int64(0)
	if s.Inline {
		source.Volume, source.LSN, shift = c.Volume, c.LSN, inlineHeaderSize-objectHeaderSize
	}
	entries := make([]PageAddress, 0, s.Pages.Len())
	frame := -1
	var at *Address
	for p := range s.Pages.All() {
		if i, _ := s.Frames.Find(p); i != frame {
			f := s.Frames.Frame(i)
			frame, at = i, &Address{source, f.Offset + shift, f.Length}
		}
		entries = append(entries, PageAddress{p, at})
	}
	return PageTable{entries}
}

// Table says where the pages of Segment s lie that is an object of its own, with
// this frame index.
func (s Segment) Table(frames FrameIndex) PageTable {
	s.Frames, s.Inline = frames, false
	return (&Commit{}).tableOf(&s)
}

// InlineFrame gives the bytes of a frame that lies in the object of r, or nil.
func (r Record) InlineFrame(a *Address) []byte {
	s := a.Source
	if s.LSN.IsZero() || s.LSN != r.Commit.LSN || s.Volume != r.Commit.Volume || a.Offset < 0 || a.Length < 0 || a.Length > int64(len(r.Bytes))-a.Offset {
		return nil
	}
	return r.Bytes[a.Offset : a.Offset+a.Length]
}

func (c *Commit) indexToProto(m *graftpb.Commit) {
	if !c.Checkpoint.CheckpointKey.IsZero() {
		m.Checkpoint = checkpointRefToProto(c.Checkpoint, c.Volume)
	}
	m.Since, m.SinceKept = c.Since.toProto(c.Volume), uint32(c.SinceKept)
	if !c.Pack.IsZero() {
		m.Pack = bytes.Clone(c.Pack[:])
	}
	for _, o := range c.Ancestors {
		m.Ancestors = append(m.Ancestors, &graftpb.Origin{Volume: o.Volume[:], Lsn: uint64(o.LSN)})
	}
}

func (c *Commit) indexFromProto(m *graftpb.Commit) (err error) {
	if m.Checkpoint != nil {
		if c.Checkpoint, err = checkpointRefFromProto(m.Checkpoint, c.Volume); err != nil {
			return err
		}
	}
	if c.Since, err = pageTableFromProto(m.Since, c.Volume); err != nil {
		return err
	}
	c.SinceKept = PageCount(m.SinceKept)
	if len(m.Pack) > 0 {
		if c.Pack, err = SegmentIDFromBytes(m.Pack); err != nil {
			return fmt.Errorf("%w: pack: %w", ErrCorrupt, err)
		}
	}
	for _, o := range m.Ancestors {
		v, err := VolumeIDFromBytes(o.GetVolume())
		if err != nil {
			return fmt.Errorf("%w: ancestor: %w", ErrCorrupt, err)
		}
		c.Ancestors = append(c.Ancestors, Origin{v, LSN(o.GetLsn())})
	}
	return nil
}

// OwnCheckpoint tells whether the Checkpoint is of the commit itself.
func (c *Commit) OwnCheckpoint() bool {
	return c.Checkpoint.Volume == c.Volume && c.Checkpoint.LSN == c.LSN
}

// validateIndex reports a violation of invariant 4, or an index that no record can
// hold.
func (c *Commit) validateIndex() error {
	if c.PushID.IsZero() {
		if c.Checkpoint != (CheckpointRef{}) || c.Since.Len() > 0 || c.SinceKept > 0 || len(c.Ancestors) > 0 || !c.Pack.IsZero() {
			return fmt.Errorf("%w: commit that was not pushed has an index", ErrCorrupt)
		}
		return nil
	}
	if err := c.Checkpoint.validate(); err != nil {
		return err
	}
	for _, o := range c.Ancestors {
		if o.Volume.IsZero() || o.LSN.IsZero() {
			return fmt.Errorf("%w: commit with ancestor %s at LSN %d", ErrCorrupt, o.Volume, o.LSN)
		}
	}
	return c.validateSince()
}

func (c *Commit) validateSince() error {
	switch at := c.Checkpoint; {
	case c.SinceKept > c.Kept:
		return fmt.Errorf("%w: commit keeps %d pages since its checkpoint, and %d itself", ErrCorrupt, c.SinceKept, c.Kept)
	case at.Volume == c.Volume && at.LSN > c.LSN:
		return fmt.Errorf("%w: commit %d names the checkpoint of %d", ErrCorrupt, c.LSN, at.LSN)
	case c.Since.Len() == 0:
		return nil
	case c.OwnCheckpoint():
		return fmt.Errorf("%w: commit with changes since a checkpoint of its own", ErrCorrupt)
	}
	if err := c.Since.validate(); err != nil {
		return err
	}
	if last := c.Since.entries[c.Since.Len()-1].Idx; !c.Kept.Has(last) {
		return fmt.Errorf("%w: commit keeps %d pages, and page %d since its checkpoint", ErrCorrupt, c.Kept, last)
	}
	own := c.Pages()
	for p := range c.Since.All() {
		if own.Contains(p) {
			return fmt.Errorf("%w: page %d is in a segment of the commit and in those since its checkpoint", ErrCorrupt, p)
		}
	}
	return nil
}
