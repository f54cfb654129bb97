package volume

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/mr-tron/base58"
)

// A GID is 16 bytes: a prefix that gives its kind, 48 bits of Unix
// milliseconds (big endian), the prefix again, and 64 random bits. Its text is
// base58, always 22 characters, and sorts by creation time as its bytes do.
// The prefixes are chosen so that the first character tells the kind.
const (
	gidSize     = 16
	gidTextSize = 22

	volumePrefix  = 0xE8 // text starts with V
	segmentPrefix = 0xD0 // text starts with S
)

// VolumeID names a Volume. Its text starts with V.
type VolumeID [gidSize]byte

// SegmentID names a Segment. Its text starts with S.
type SegmentID [gidSize]byte

// NewVolumeID draws a VolumeID from the clock and the system's randomness.
func NewVolumeID() VolumeID { return VolumeID(newGID(volumePrefix)) }

// NewSegmentID draws a SegmentID from the clock and the system's randomness.
func NewSegmentID() SegmentID { return SegmentID(newGID(segmentPrefix)) }

// ParseVolumeID reads the text form of a VolumeID.
func ParseVolumeID(text string) (VolumeID, error) {
	id, err := parseGID("volume", volumePrefix, text)
	return VolumeID(id), err
}

// ParseSegmentID reads the text form of a SegmentID.
func ParseSegmentID(text string) (SegmentID, error) {
	id, err := parseGID("segment", segmentPrefix, text)
	return SegmentID(id), err
}

// VolumeIDFromBytes reads the 16 bytes of a VolumeID.
func VolumeIDFromBytes(b []byte) (VolumeID, error) {
	id, err := gidFromBytes("volume", volumePrefix, b)
	return VolumeID(id), err
}

// SegmentIDFromBytes reads the 16 bytes of a SegmentID.
func SegmentIDFromBytes(b []byte) (SegmentID, error) {
	id, err := gidFromBytes("segment", segmentPrefix, b)
	return SegmentID(id), err
}

func (v VolumeID) String() string { return base58.Encode(v[:]) }

// IsZero tells whether v names nothing.
func (v VolumeID) IsZero() bool { return v == VolumeID{} }

// Time is when v was drawn, to the millisecond; for people, never for
// decisions.
func (v VolumeID) Time() time.Time { return gidTime(v) }

func (s SegmentID) String() string { return base58.Encode(s[:]) }

// IsZero tells whether s names nothing.
func (s SegmentID) IsZero() bool { return s == SegmentID{} }

// Time is when s was drawn, to the millisecond; for people, never for
// decisions.
func (s SegmentID) Time() time.Time { return gidTime(s) }

// Key is where the Segment lies in a bucket.
func (s SegmentID) Key() string { return "segments/" + s.String() }

func newGID(prefix byte) [gidSize]byte {
	var id [gidSize]byte
	rand.Read(id[8:])
	putMillis(&id, prefix, time.Now().UnixMilli())
	return id
}

func putMillis(id *[gidSize]byte, prefix byte, ms int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms))
	id[0], id[7] = prefix, prefix
	copy(id[1:7], b[2:])
}

func gidTime(id [gidSize]byte) time.Time {
	var b [8]byte
	copy(b[2:], id[1:7])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:])))
}

func parseGID(kind string, prefix byte, text string) ([gidSize]byte, error) {
	if len(text) != gidTextSize {
		return [gidSize]byte{}, fmt.Errorf("graft: %s id %q is not %d characters long", kind, text, gidTextSize)
	}
	b, err := base58.Decode(text)
	if err != nil {
		return [gidSize]byte{}, fmt.Errorf("graft: %s id %q: %w", kind, text, err)
	}
	return gidFromBytes(kind, prefix, b)
}

func gidFromBytes(kind string, prefix byte, b []byte) ([gidSize]byte, error) {
	if len(b) != gidSize || b[0] != prefix || b[7] != prefix {
		return [gidSize]byte{}, fmt.Errorf("graft: %x is not a %s id", b, kind)
	}
	return [gidSize]byte(b), nil
}
