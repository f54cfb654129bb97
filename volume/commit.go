package volume

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"graft/internal/graftpb"
)

const (
	// MaxCommitSize bounds the object of a Commit, in bytes.
	MaxCommitSize = 1 << 20
	// MaxPageSets bounds what the page sets of a Commit take of it, in bytes. All
	// else that a push adds to a local commit has room beside them.
	MaxPageSets = MaxCommitSize - 64<<10
	// MaxSegments is how many Segments a Commit names, at most. A commit that graft
	// makes has one.
	MaxSegments = 16
)

// ErrTooLarge is returned for a commit of more pages, too widely scattered, than
// its record can name. A set takes 2 bytes for each page and 16 for each 65,536
// page indexes that it touches, or 8 KiB for those, whichever is less.
var ErrTooLarge = errors.New("graft: too many scattered pages for one commit")

// PushID is drawn for each push, so that no two pushes make equal records.
type PushID [16]byte

// NewPushID draws a PushID from the system's randomness.
func NewPushID() PushID {
	var id PushID
	rand.Read(id[:])
	return id
}

// IsZero tells whether id was never drawn, as in local commits.
func (id PushID) IsZero() bool { return id == PushID{} }

func (id PushID) String() string { return fmt.Sprintf("%x", id[:]) }

// Commit is the record of one LSN of one Volume. A Commit that was decoded or
// handed over is read-only.
//
// Invariants, held by [Commit.Validate]:
//  1. LSN is at least 1, and Kept at most PageCount.
//  2. A page lies in one Segment at most, and within PageCount. There are at most
//     MaxSegments.
//  3. In pushed commits Parent is set from LSN 2 on, and in a fork's from LSN 1;
//     each Segment has its frame index or else names it, and where it names it
//     the Checkpoint is of the commit itself. One Segment at most is inline: it
//     has its frame index.
//  4. SinceKept is at most Kept. Since has no page above Kept, none of the commit
//     itself, and nothing when the Checkpoint is of the commit itself. The
//     Checkpoint is of no later commit. A commit that is not pushed has none of
//     these, no Pack, and no inline Segment.
//
// The page index after a pushed commit is that of the Checkpoint where this is of
// the commit itself. Else it is that of the Checkpoint, or an empty one, without
// the pages above SinceKept, then with those of Since and of the Segments.
type Commit struct {
	Volume    VolumeID
	LSN       LSN
	PageCount PageCount // pages after it
	Kept      PageCount // lowest page count between its parent and itself
	Segments  []Segment // where the changed pages lie
	Parent    Hash      // commit hash of the parent; pushed commits only
	PushID    PushID    // pushed commits only
	Time      time.Time // for people, never for decisions

	Checkpoint CheckpointRef // zero: none
	Since      PageTable     // pages that changed after the Checkpoint and before this commit
	SinceKept  PageCount     // lowest page count since the Checkpoint, up to this commit
	Ancestors  []Origin      // of a fork: what it continues, nearest first
	Pack       SegmentID     // the pack that was uploaded for this commit, which may use older ones, too
}

// Origin is a commit of a remote Volume that a fork continues.
type Origin struct {
	Volume VolumeID
	LSN    LSN
}

// Segment names a Segment and says what is in it.
type Segment struct {
	ID     SegmentID
	Pages  PageSet
	Frames FrameIndex // empty in local commits, and where Footer is set
	Footer Footer     // where a large frame index lies
	Inline bool       // the frames lie in the object of the commit
}

// Footer names a frame index that lies in the Segment's object.
type Footer struct {
	Offset int64 // bytes from the start of the object
	Length int64 // bytes
	Sum    Hash  // of those bytes
}

// IsZero tells whether there is no footer.
func (f Footer) IsZero() bool { return f.Length == 0 }

// Record is a Commit with its stored bytes.
type Record struct {
	Commit Commit
	Bytes  []byte // the enveloped record
}

// Hash is the commit hash: SHA-256 of the stored bytes.
func (r Record) Hash() Hash { return HashOf(r.Bytes) }

// Pages is the set of pages that c changed.
func (c *Commit) Pages() PageSet {
	var s PageSet
	for _, seg := range c.Segments {
		s.AddSet(seg.Pages)
	}
	return s
}

// Validate reports the first invariant of Commit that c breaks, as ErrCorrupt.
func (c *Commit) Validate() error {
	switch {
	case c.Volume.IsZero() || c.LSN.IsZero():
		return fmt.Errorf("%w: commit without volume or LSN", ErrCorrupt)
	case c.Kept > c.PageCount:
		return fmt.Errorf("%w: commit keeps %d of %d pages", ErrCorrupt, c.Kept, c.PageCount)
	case !c.PushID.IsZero() && c.Parent.IsZero() && (c.LSN > 1 || len(c.Ancestors) > 0):
		return fmt.Errorf("%w: pushed commit without parent", ErrCorrupt)
	}
	if err := c.validateSegments(); err != nil {
		return err
	}
	return c.validateIndex()
}

func (c *Commit) validateSegments() error {
	if len(c.Segments) > MaxSegments {
		return fmt.Errorf("%w: commit names %d segments", ErrCorrupt, len(c.Segments))
	}
	sum := 0
	for i := range c.Segments {
		s := &c.Segments[i]
		if s.ID.IsZero() || s.Pages.IsEmpty() {
			return fmt.Errorf("%w: commit names an empty segment", ErrCorrupt)
		}
		if !c.PageCount.Has(s.Pages.Max()) {
			return fmt.Errorf("%w: commit of %d pages changes page %d", ErrCorrupt, c.PageCount, s.Pages.Max())
		}
		if !c.PushID.IsZero() && (s.Frames.Len() == 0) == s.Footer.IsZero() {
			return fmt.Errorf("%w: pushed commit without one frame index of segment %s", ErrCorrupt, s.ID)
		}
		if !s.Footer.IsZero() && !c.OwnCheckpoint() {
			return fmt.Errorf("%w: commit with a footer and no checkpoint of its own", ErrCorrupt)
		}
		sum += s.Pages.Len()
	}
	if err := c.validateInline(); err != nil || len(c.Segments) < 2 {
		return err
	}
	if pages := c.Pages(); pages.Len() != sum {
		return fmt.Errorf("%w: commit names a page in two segments", ErrCorrupt)
	}
	return nil
}

// EncodeCommit validates c and gives its record, or ErrTooLarge.
func EncodeCommit(c Commit) (Record, error) { return EncodeEmbedding(c, Embedded{}) }

// EncodeEmbedding is EncodeCommit for a commit with an inline Segment or an embedded
// checkpoint.
func EncodeEmbedding(c Commit, e Embedded) (Record, error) {
	if err := c.Validate(); err != nil {
		return Record{}, err
	}
	if err := c.checkEmbedded(e); err != nil {
		return Record{}, err
	}
	m := &graftpb.Commit{
		Volume:    bytes.Clone(c.Volume[:]), // so that c need not live on, which is large
		Lsn:       uint64(c.LSN),
		PageCount: uint32(c.PageCount),
		Kept:      uint32(c.Kept),
		UnixMs:    c.Time.UnixMilli(),
	}
	if !c.Parent.IsZero() {
		m.ParentHash = bytes.Clone(c.Parent[:])
	}
	if !c.PushID.IsZero() {
		m.PushId = bytes.Clone(c.PushID[:])
	}
	sets := 0
	for i := range c.Segments {
		sm, err := segmentToProto(&c.Segments[i])
		if err != nil {
			return Record{}, err
		}
		m.Segments = append(m.Segments, sm)
		sets += len(sm.Pages)
	}
	if sets > MaxPageSets {
		return Record{}, fmt.Errorf("%w: their sets take %d bytes of %d", ErrTooLarge, sets, MaxPageSets)
	}
	c.indexToProto(m)
	b, err := EncodeRecord(KindCommit, m)
	if err != nil {
		return Record{}, err
	}
	if e.size() > 0 {
		b = append(e.prefix(), b...)
	}
	if len(b) > MaxCommitSize {
		return Record{}, fmt.Errorf("%w: its object takes %d bytes of %d", ErrTooLarge, len(b), MaxCommitSize)
	}
	return Record{Commit: c, Bytes: b}, nil
}

// DecodeCommit reads a record of a Commit. It keeps b. It returns ErrCorrupt
// or ErrVersion, with the offset of what is wrong.
func DecodeCommit(b []byte) (Record, error) {
	rec, at, err := decodeCommit(b)
	if err != nil {
		return Record{}, fmt.Errorf("commit at offset %d: %w", at, err)
	}
	return rec, nil
}

// decodeCommit gives with an error where the record begins, or zero when it is about
// what is embedded before that.
func decodeCommit(b []byte) (_ Record, at int, err error) {
	if len(b) > MaxCommitSize {
		return Record{}, at, fmt.Errorf("%w: commit record of %d bytes is over the limit of %d", ErrCorrupt, len(b), MaxCommitSize)
	}
	e, record, err := cutEmbedded(b)
	if err != nil {
		return Record{}, at, err
	}
	at = len(b) - len(record)
	var m graftpb.Commit
	if err := DecodeRecord(KindCommit, record, &m); err != nil {
		return Record{}, at, err
	}
	if len(m.Features) > 0 {
		return Record{}, at, fmt.Errorf("%w: commit needs feature %d", ErrVersion, m.Features[0])
	}
	c := Commit{
		LSN:       LSN(m.Lsn),
		PageCount: PageCount(m.PageCount),
		Kept:      PageCount(m.Kept),
		Time:      time.UnixMilli(m.UnixMs),
	}
	if c.Volume, err = VolumeIDFromBytes(m.Volume); err != nil {
		return Record{}, at, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := c.parentFromProto(&m); err != nil {
		return Record{}, at, err
	}
	if len(m.Segments) > MaxSegments {
		return Record{}, at, fmt.Errorf("%w: commit names %d segments", ErrCorrupt, len(m.Segments))
	}
	for _, sm := range m.Segments {
		s, err := segmentFromProto(sm)
		if err != nil {
			return Record{}, at, err
		}
		c.Segments = append(c.Segments, s)
	}
	if err := c.indexFromProto(&m); err != nil {
		return Record{}, at, err
	}
	if err := c.Validate(); err != nil {
		return Record{}, at, err
	}
	if err := c.checkEmbedded(e); err != nil {
		return Record{}, 0, err
	}
	return Record{Commit: c, Bytes: b}, 0, nil
}

// parentFromProto reads what only pushed commits have. Zeros stand for nothing in
// a Commit, and for damage in a record.
func (c *Commit) parentFromProto(m *graftpb.Commit) (err error) {
	if c.Parent, err = hashFromBytes(m.ParentHash); err != nil {
		return err
	}
	if len(m.PushId) != 0 {
		if len(m.PushId) != len(c.PushID) {
			return fmt.Errorf("%w: push id of %d bytes", ErrCorrupt, len(m.PushId))
		}
		c.PushID = PushID(m.PushId)
	}
	if len(m.ParentHash) != 0 && c.Parent.IsZero() || len(m.PushId) != 0 && c.PushID.IsZero() {
		return fmt.Errorf("%w: commit with a parent or push id of zeros", ErrCorrupt)
	}
	return nil
}

func segmentToProto(s *Segment) (*graftpb.Segment, error) {
	pages, err := s.Pages.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	m := &graftpb.Segment{Id: s.ID[:], Pages: pages, Inline: s.Inline}
	if s.Frames.Len() > 0 {
		m.Frames = s.Frames.toProto()
	}
	if !s.Footer.IsZero() {
		m.Footer = &graftpb.Footer{Offset: uint64(s.Footer.Offset), Length: uint32(s.Footer.Length), Sha256: s.Footer.Sum[:]}
	}
	return m, nil
}

func segmentFromProto(m *graftpb.Segment) (s Segment, err error) {
	if s.ID, err = SegmentIDFromBytes(m.GetId()); err != nil {
		return s, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if s.Pages, err = ParsePageSet(m.GetPages()); err != nil {
		return s, err
	}
	if m.Frames != nil {
		if s.Frames, err = frameIndexFromProto(m.Frames, s.Pages); err != nil {
			return s, err
		}
	}
	s.Inline = m.Inline
	if f := m.Footer; f != nil {
		sum, err := hashFromBytes(f.Sha256)
		if err != nil {
			return s, err
		}
		if f.Offset > 1<<62 || f.Length == 0 || sum.IsZero() {
			return s, fmt.Errorf("%w: segment footer", ErrCorrupt)
		}
		// A frame takes a length and a page in the index.
		if uint64(s.Pages.Len())/maxFramePages > uint64(f.Length)/2 {
			return s, fmt.Errorf("%w: segment footer of %d bytes for %d pages", ErrCorrupt, f.Length, s.Pages.Len())
		}
		s.Footer = Footer{Offset: int64(f.Offset), Length: int64(f.Length), Sum: sum}
	}
	return s, nil
}
