package journal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"graft/volume"
)

const (
	fileMagic     = "GRFTJRNL"
	recordMagic   = "GREC"
	formatVersion = 1

	slot         = 64 // records start at multiples of it, in bytes
	fileHeader   = slot
	recordHeader = 48

	maxSeq = 1 << 62 // so that sums of sequence numbers do not overflow
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// salt is of one file, and in the checksum of each of its records.
type salt [8]byte

func newSalt() (s salt) {
	rand.Read(s[:]) // never fails
	return s
}

// encodeFileHeader puts the header of a file into b.
func encodeFileHeader(b []byte, s salt) {
	clear(b[:fileHeader])
	copy(b, fileMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	copy(b[16:], s[:])
	binary.LittleEndian.PutUint32(b[12:], fileChecksum(b))
}

// decodeFileHeader reads the header at the start of b. It returns ErrCorrupt or ErrVersion.
func decodeFileHeader(b []byte) (salt, error) {
	switch {
	case len(b) < fileHeader:
		return salt{}, fmt.Errorf("%w: %d bytes are no file header", volume.ErrCorrupt, len(b))
	case string(b[:8]) != fileMagic:
		return salt{}, fmt.Errorf("%w: not a file of the journal", volume.ErrCorrupt)
	case binary.LittleEndian.Uint32(b[12:]) != fileChecksum(b):
		return salt{}, fmt.Errorf("%w: checksum of the file header", volume.ErrCorrupt)
	case binary.LittleEndian.Uint32(b[8:]) != formatVersion:
		return salt{}, fmt.Errorf("%w: %d instead of %d", volume.ErrVersion, binary.LittleEndian.Uint32(b[8:]), formatVersion)
	}
	return salt(b[16:24]), nil
}

func fileChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:fileHeader])
}

// header is the header of a record without its magic.
type header struct {
	length   uint32 // of the payload
	seq      uint64
	prev     uint64
	durable  uint64
	released uint64
	payload  uint32 // checksum of the payload
}

// recordSize gives the bytes that a record with a payload of n bytes takes.
func recordSize(n int64) int64 { return (recordHeader + n + slot - 1) / slot * slot }

// encodeRecord appends the record of h and payload, padded, to b; it fills in the length and the checksum of h.
func encodeRecord(b []byte, s salt, h header, payload []byte) []byte {
	start := len(b)
	b = append(b, recordMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint64(b, h.seq)
	b = binary.LittleEndian.AppendUint64(b, h.prev)
	b = binary.LittleEndian.AppendUint64(b, h.durable)
	b = binary.LittleEndian.AppendUint64(b, h.released)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	b = binary.LittleEndian.AppendUint32(b, headerChecksum(s, b[start:]))
	b = append(b, payload...)
	return append(b, make([]byte, recordSize(int64(len(payload)))-int64(len(b)-start))...)
}

// decodeHeader reads the record header at the start of b. It tells whether there is one, and returns ErrCorrupt for an
// intact one that makes no sense.
func decodeHeader(b []byte, s salt) (h header, ok bool, err error) {
	if len(b) < recordHeader || string(b[:4]) != recordMagic || binary.LittleEndian.Uint32(b[44:]) != headerChecksum(s, b) {
		return header{}, false, nil
	}
	h = header{
		length:   binary.LittleEndian.Uint32(b[4:]),
		seq:      binary.LittleEndian.Uint64(b[8:]),
		prev:     binary.LittleEndian.Uint64(b[16:]),
		durable:  binary.LittleEndian.Uint64(b[24:]),
		released: binary.LittleEndian.Uint64(b[32:]),
		payload:  binary.LittleEndian.Uint32(b[40:]),
	}
	if h.seq > maxSeq || h.prev >= h.seq || h.durable > h.prev || h.released > h.durable {
		return header{}, false, fmt.Errorf("%w: record %d after %d, durable %d, released %d", volume.ErrCorrupt, h.seq, h.prev, h.durable, h.released)
	}
	return h, true, nil
}

// payloadOf gives the payload of the record at the start of b, whose header is h, or nil and false if it is not whole.
func payloadOf(b []byte, h header) ([]byte, bool) {
	if int64(len(b)) < recordHeader+int64(h.length) {
		return nil, false
	}
	p := b[recordHeader : recordHeader+int64(h.length)]
	return p, crc32.Checksum(p, castagnoli) == h.payload
}

func headerChecksum(s salt, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b[:44])
}
