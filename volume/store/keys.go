package store

import (
	"encoding/binary"

	"graft/volume"
)

// Keys of the key spaces, told apart by their first byte. Numbers are big
// endian, so that keys sort as what they name.
//
//	f                      format version of the directory
//	t NAME                 tag: VolumeID of the Graft
//	g VolumeID             Graft: volume.GraftState
//	l VolumeID LSN         log: volume.Record
//	s SegmentID            remote Segment: volume.SegmentState
//	p SegmentID PageIdx    page
var keyFormat = []byte("f")

const (
	spaceTag     = 't'
	spaceGraft   = 'g'
	spaceLog     = 'l'
	spaceSegment = 's'
	spacePage    = 'p'
)

func keyTag(name string) []byte { return append([]byte{spaceTag}, name...) }

func keyGraft(v volume.VolumeID) []byte { return append([]byte{spaceGraft}, v[:]...) }

func keyLog(v volume.VolumeID, l volume.LSN) []byte {
	return binary.BigEndian.AppendUint64(keyLogOf(v), uint64(l))
}

// keyLogOf is the prefix of the log of v.
func keyLogOf(v volume.VolumeID) []byte { return append([]byte{spaceLog}, v[:]...) }

func keySegment(id volume.SegmentID) []byte { return append([]byte{spaceSegment}, id[:]...) }

func keyPage(id volume.SegmentID, p volume.PageIdx) []byte {
	key := make([]byte, 0, 1+len(id)+4)
	key = append(key, spacePage)
	key = append(key, id[:]...)
	return binary.BigEndian.AppendUint32(key, uint32(p))
}
