package store

import (
	"encoding/binary"

	"graft/volume"
)

// Keys of the key spaces, told apart by their first byte. Numbers are big
// endian, so that keys sort as what they name.
//
//	t NAME                 tag: VolumeID of the Graft
//	g VolumeID             Graft: volume.GraftState
//	l VolumeID LSN         log: volume.Record
//	s SegmentID            remote Segment: volume.SegmentState
//	p SegmentID PageIdx    page; its user meta is metaFetched when the bucket has it
//	i VolumeID             page index of a Graft: volume.Index
//	n VolumeID number      leaf of that index, where it is not that of the base:
//	                       volume.Leaf
//	c SHA-256              cached object of the bucket, which never changes
//	k VolumeID TEXT        pin of a Graft
//	j                      volume.Applied
const (
	spaceTag     = 't'
	spaceGraft   = 'g'
	spaceLog     = 'l'
	spaceSegment = 's'
	spacePage    = 'p'
	spaceIndex   = 'i'
	spaceLeaf    = 'n'
	spaceObject  = 'c'
	spacePin     = 'k'
)

func keyTag(name string) []byte { return append([]byte{spaceTag}, name...) }

func keyGraft(v volume.VolumeID) []byte { return append([]byte{spaceGraft}, v[:]...) }

func keyLog(v volume.VolumeID, l volume.LSN) []byte {
	return binary.BigEndian.AppendUint64(keyLogOf(v), uint64(l))
}

// keyLogOf is the prefix of the log of v.
func keyLogOf(v volume.VolumeID) []byte { return append([]byte{spaceLog}, v[:]...) }

func keySegment(id volume.SegmentID) []byte { return append([]byte{spaceSegment}, id[:]...) }

// pageKeySize is the length of the key of a page, in bytes.
const pageKeySize = 1 + len(volume.SegmentID{}) + 4

func keyPage(id volume.SegmentID, p volume.PageIdx) []byte {
	return appendKeyPage(make([]byte, 0, pageKeySize), id, p)
}

func appendKeyPage(b []byte, id volume.SegmentID, p volume.PageIdx) []byte {
	b = append(b, spacePage)
	b = append(b, id[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(p))
}

// keyPagesOf is the prefix of the pages of a Segment.
func keyPagesOf(id volume.SegmentID) []byte { return append([]byte{spacePage}, id[:]...) }

func keyPin(p Pin) []byte { return append(append([]byte{spacePin}, p.Graft[:]...), p.What...) }

// PageRef names a stored page.
type PageRef struct {
	Segment volume.SegmentID
	Idx     volume.PageIdx
}

// parseKeyPage reads a key of a page.
func parseKeyPage(key []byte) (ref PageRef, ok bool) {
	if len(key) != pageKeySize || key[0] != spacePage {
		return ref, false
	}
	copy(ref.Segment[:], key[1:])
	ref.Idx = volume.PageIdx(binary.BigEndian.Uint32(key[1+len(ref.Segment):]))
	return ref, true
}

// parseKeyLog reads a key of the log.
func parseKeyLog(key []byte) (v volume.VolumeID, l volume.LSN, ok bool) {
	if len(key) != 1+len(v)+8 || key[0] != spaceLog {
		return v, 0, false
	}
	copy(v[:], key[1:])
	return v, volume.LSN(binary.BigEndian.Uint64(key[1+len(v):])), true
}

func keyIndex(v volume.VolumeID) []byte { return append([]byte{spaceIndex}, v[:]...) }

// keyLeafOf is the prefix of the leaves of a Graft.
func keyLeafOf(v volume.VolumeID) []byte { return append([]byte{spaceLeaf}, v[:]...) }

func keyLeaf(v volume.VolumeID, n volume.LeafIdx) []byte {
	return binary.BigEndian.AppendUint32(keyLeafOf(v), uint32(n))
}

// parseLeafNumber reads the number of a leaf from its key.
func parseLeafNumber(key, prefix []byte) (volume.LeafIdx, bool) {
	if len(key) != len(prefix)+4 {
		return 0, false
	}
	return volume.LeafIdx(binary.BigEndian.Uint32(key[len(prefix):])), true
}

func keyObject(sum volume.Hash) []byte { return append([]byte{spaceObject}, sum[:]...) }

// parseKeyObject reads a key of a cached object.
func parseKeyObject(key []byte) (sum volume.Hash, ok bool) {
	if len(key) != 1+len(sum) || key[0] != spaceObject {
		return sum, false
	}
	copy(sum[:], key[1:])
	return sum, true
}
