package volume

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"
)

// Every record stands in an envelope, little endian:
//
//	offset  size  field
//	     0     4  magic "GRFT"
//	     4     1  kind: 'A' Applied, 'C' Commit, 'F' FrameIndex, 'G' Graft,
//	              'I' Index, 'K' CheckpointRoot, 'L' Leaf, 'N' Pin,
//	              'P' PageTable, 'S' SegmentState, 'W' WarmSet
//	     5     1  version, 1
//	     6     2  zero
//	     8     4  length of the payload, n
//	    12     4  CRC-32C of bytes 0 to 11 and of the payload
//	    16     n  payload: the protobuf message of graft.proto, in which no
//	              field stands twice but repeated messages: repeated numbers
//	              are packed
//
// The checksum finds damage to a record that nothing else names. Where a hash
// names a record (the parent hash, a Footer) it covers the whole envelope.
const (
	magic         = "GRFT"
	formatVersion = 1
	envelopeSize  = 16
)

// objectHeaderSize is how many bytes come before what an object in the bucket holds that
// is no record: a Segment, a checkpoint or a pack.
const objectHeaderSize = 8

// objectHeader gives these bytes. They serve people and tools.
func objectHeader(kind byte) []byte {
	return append([]byte(magic), kind, formatVersion, 0, 0)
}

// Kind is the kind of a record.
type Kind byte

// The kinds of records.
const (
	KindApplied      Kind = 'A'
	KindCommit       Kind = 'C'
	KindFrameIndex   Kind = 'F'
	KindGraft        Kind = 'G'
	KindIndex        Kind = 'I'
	KindCheckpoint   Kind = 'K'
	KindLeaf         Kind = 'L'
	KindPageTable    Kind = 'P'
	KindPin          Kind = 'N'
	KindSegmentState Kind = 'S'
	KindWarmSet      Kind = 'W'
)

// Hash is a SHA-256. The commit hash is that of the stored record bytes.
type Hash [sha256.Size]byte

// HashOf gives the SHA-256 of b.
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero tells whether h is unset.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash reads 64 hex digits.
func ParseHash(text string) (Hash, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != sha256.Size {
		return Hash{}, fmt.Errorf("graft: hash %q is not %d hex digits", text, 2*sha256.Size)
	}
	return Hash(b), nil
}

func hashFromBytes(b []byte) (Hash, error) {
	switch len(b) {
	case 0:
		return Hash{}, nil
	case sha256.Size:
		return Hash(b), nil
	}
	return Hash{}, fmt.Errorf("%w: hash of %d bytes", ErrCorrupt, len(b))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeRecord puts m into an envelope. Equal messages give equal bytes within
// one version of the protobuf library; nothing relies on more.
func EncodeRecord(kind Kind, m proto.Message) ([]byte, error) {
	b := make([]byte, envelopeSize, envelopeSize+proto.Size(m))
	b, err := proto.MarshalOptions{Deterministic: true, UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		return nil, fmt.Errorf("encode %c record: %w", kind, err)
	}
	copy(b, magic)
	b[4], b[5] = byte(kind), formatVersion
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-envelopeSize))
	binary.LittleEndian.PutUint32(b[12:], envelopeChecksum(b))
	return b, nil
}

// DecodeRecord reads an envelope of the given kind into m. It returns
// ErrCorrupt for damaged bytes and ErrVersion for those of another version. It
// takes memory for what the format allows in as many bytes, some 16 times as much.
func DecodeRecord(kind Kind, b []byte, m proto.Message) error {
	switch {
	case len(b) < envelopeSize || string(b[:4]) != magic:
		return fmt.Errorf("%w: not a record of graft", ErrCorrupt)
	case binary.LittleEndian.Uint32(b[12:]) != envelopeChecksum(b):
		return fmt.Errorf("%w: record checksum", ErrCorrupt)
	case Kind(b[4]) != kind:
		return fmt.Errorf("%w: record of kind %q instead of %q", ErrCorrupt, b[4], kind)
	case b[6] != 0 || b[7] != 0:
		return fmt.Errorf("%w: record with %x where zeros are", ErrCorrupt, b[6:8])
	case b[5] != formatVersion:
		return fmt.Errorf("%w: %d instead of %d", ErrVersion, b[5], formatVersion)
	case uint64(binary.LittleEndian.Uint32(b[8:])) != uint64(len(b)-envelopeSize):
		return fmt.Errorf("%w: record of %d bytes says %d", ErrCorrupt, len(b)-envelopeSize, binary.LittleEndian.Uint32(b[8:]))
	}
	if err := checkFloors(b[envelopeSize:], m.ProtoReflect().Descriptor()); err != nil {
		return err
	}
	if err := proto.Unmarshal(b[envelopeSize:], m); err != nil {
		return fmt.Errorf("%w: record: %w", ErrCorrupt, err)
	}
	return nil
}

func envelopeChecksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:12])
	return crc32.Update(sum, castagnoli, b[envelopeSize:])
}
