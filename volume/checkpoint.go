package volume

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"

	"graft/internal/graftpb"
)

// The object of a checkpoint is:
//
//	offset  size  field
//	     0     4  magic "GRFT"
//	     4     1  kind 'H' (checkpoint)
//	     5     1  version, 1
//	     6     2  zero
//	     8        the chunks that are new, each a PageTable record in a Zstandard frame
//	              the CheckpointRoot record
//
// A commit names the root by offset, length and SHA-256, the root each chunk. The
// header serves people and tools. An object that is lost can be made again from
// the commits; who has its bytes still puts them back.
//
// A checkpoint that is not large has no object, but stands in that of its commit,
// without the header.
const kindCheckpointObject = 'H'

// MaxCheckpointRoot bounds the root record of a checkpoint, in bytes: it is enough
// for a Volume of 1 TiB.
const MaxCheckpointRoot = 64 << 20

// CheckpointKey names the object of a checkpoint, which gives the page index of
// Volume at LSN. Random keeps those apart that are written at once; it is zero where
// the checkpoint is embedded in commit LSN.
type CheckpointKey struct {
	Volume VolumeID
	LSN    LSN
	Random [8]byte
}

// Embedded tells whether the checkpoint stands in the object of its commit.
func (k CheckpointKey) Embedded() bool { return k.Random == [8]byte{} }

// NewCheckpointKey draws the key of a checkpoint that is an object of its own.
func NewCheckpointKey(v VolumeID, l LSN) CheckpointKey {
	k := CheckpointKey{Volume: v, LSN: l}
	for k.Embedded() {
		rand.Read(k.Random[:])
	}
	return k
}

// Key is where the object lies in a bucket.
func (k CheckpointKey) Key() string {
	if k.Embedded() {
		return CommitKey(k.Volume, k.LSN)
	}
	return fmt.Sprintf("volumes/%s/checkpoints/%016x-%x", k.Volume, ^uint64(k.LSN), k.Random)
}

// IsZero tells whether k names nothing.
func (k CheckpointKey) IsZero() bool { return k.Volume.IsZero() }

// CheckpointRef names a checkpoint and its root record.
type CheckpointRef struct {
	CheckpointKey
	Offset int64 // bytes from the start of the object
	Length int64 // bytes
	Sum    Hash  // of the root record
}

// Chunk says where the PageTable of some leaves in a row lies, each of which has a
// written page.
type Chunk struct {
	Leaf   LeafIdx // the first
	Leaves int
	Object CheckpointKey
	Offset int64 // bytes from the start of the object
	Length int64 // bytes
	Sum    Hash  // of these bytes
	Pages  int   // written pages in it
}

// last is the last leaf of ch.
func (ch *Chunk) last() LeafIdx { return ch.Leaf + LeafIdx(ch.Leaves) - 1 }

// All yields the leaves of ch.
func (ch *Chunk) All() iter.Seq[LeafIdx] {
	return func(yield func(LeafIdx) bool) {
		for i := range ch.Leaves {
			if !yield(ch.Leaf + LeafIdx(i)) {
				return
			}
		}
	}
}

// Checkpoint is the page index of a remote Volume at one LSN. It is immutable once
// it was built or decoded.
type Checkpoint struct {
	Key       CheckpointKey
	PageCount PageCount
	Chunks    []Chunk       // of all leaves with a written page, ascending
	Bundle    []BundledPage // ascending
}

// Chunk gives the chunk with leaf n, or nil when none of its pages was written.
func (c *Checkpoint) Chunk(n LeafIdx) *Chunk {
	i := c.search(n)
	if i == len(c.Chunks) || c.Chunks[i].Leaf > n {
		return nil
	}
	return &c.Chunks[i]
}

// NextLeaf gives the lowest leaf from n on that is in a chunk, and whether there is
// one.
func (c *Checkpoint) NextLeaf(n LeafIdx) (next LeafIdx, ok bool) {
	i := c.search(n)
	if i == len(c.Chunks) {
		return 0, false
	}
	return max(n, c.Chunks[i].Leaf), true
}

// search gives the number of the first chunk that does not end before leaf n.
func (c *Checkpoint) search(n LeafIdx) int {
	i, _ := slices.BinarySearchFunc(c.Chunks, n, func(c Chunk, n LeafIdx) int { return cmp.Compare(c.last(), n) })
	return i
}

// EncodeChunk gives a chunk of a checkpoint of Volume home: the pages of some
// leaves, of which there is one at least. A lost chunk can be rebuilt from the
// commits.
func EncodeChunk(home VolumeID, t PageTable) ([]byte, error) {
	if err := t.validate(); err != nil {
		return nil, err
	}
	record, err := EncodeRecord(KindPageTable, t.toProto(home))
	if err != nil {
		return nil, err
	}
	return compressChunk(record)
}

func compressChunk(record []byte) ([]byte, error) {
	if len(record) > maxChunkRecord {
		return nil, fmt.Errorf("graft: chunk of %d bytes is over the limit of %d", len(record), maxChunkRecord)
	}
	return compress(record), nil
}

// DecodeChunk verifies the bytes of chunk ch and gives its pages. It returns
// ErrCorrupt or ErrVersion.
func DecodeChunk(ch Chunk, b []byte) (PageTable, error) {
	if len(b) > MaxChunkSize || int64(len(b)) != ch.Length || HashOf(b) != ch.Sum {
		return PageTable{}, fmt.Errorf("%w: chunk of leaf %d: hash of %d bytes", ErrCorrupt, ch.Leaf, len(b))
	}
	record, err := decompress(b, maxChunkRecord)
	if err != nil {
		return PageTable{}, fmt.Errorf("%w: chunk of leaf %d: %w", ErrCorrupt, ch.Leaf, err)
	}
	var m graftpb.PageTable
	if err := DecodeRecord(KindPageTable, record, &m); err != nil {
		return PageTable{}, err
	}
	// The Volume that the record does not name is that of the object it lies in,
	// which may be an ancestor's.
	t, err := pageTableFromProto(&m, ch.Object.Volume)
	if err != nil {
		return PageTable{}, err
	}
	if !slices.Equal(slices.Collect(t.Leaves()), slices.Collect(ch.All())) || t.Len() != ch.Pages {
		return PageTable{}, fmt.Errorf("%w: chunk of %d leaves from leaf %d has %d pages instead of %d, or of others", ErrCorrupt, ch.Leaves, ch.Leaf, t.Len(), ch.Pages)
	}
	return t, nil
}

// BuildCheckpoint makes a checkpoint and its object: the chunks in kept lie in
// older checkpoints and are of leaves that are as they were there, changed gives
// the leaves that are new, in order, where one without pages stands for none; no
// leaf is in both. It gives what a commit says of it. Where it is embedded, it stands
// from offset at in the object of its commit, and the header is left out. What
// [DecodeCheckpoint] would refuse is an error.
func BuildCheckpoint(c Checkpoint, at int64, kept []Chunk, changed iter.Seq2[LeafIdx, PageTable]) (*Checkpoint, []byte, CheckpointRef, error) {
	var object []byte
	if !c.Key.Embedded() {
		object, at = objectHeader(kindCheckpointObject), 0
	}
	c.Chunks = slices.Clone(kept)
	for n, t := range changed {
		if t.Leaf(n).Truncated(c.PageCount).Len() != t.Len() {
			return nil, nil, CheckpointRef{}, fmt.Errorf("%w: leaf %d of a checkpoint of %d pages has pages of others", ErrCorrupt, n, c.PageCount)
		}
	}
	for ch, t := range packed(c.Key.Volume, changed) {
		b, err := EncodeChunk(c.Key.Volume, t)
		if err != nil {
			return nil, nil, CheckpointRef{}, err
		}
		ch.Object, ch.Offset, ch.Length, ch.Sum = c.Key, at+int64(len(object)), int64(len(b)), HashOf(b)
		c.Chunks = append(c.Chunks, ch)
		object = append(object, b...)
	}
	slices.SortFunc(c.Chunks, func(a, b Chunk) int { return cmp.Compare(a.Leaf, b.Leaf) })
	root, err := encodeCheckpoint(&c)
	if err != nil {
		return nil, nil, CheckpointRef{}, err
	}
	ref := CheckpointRef{CheckpointKey: c.Key, Offset: at + int64(len(object)), Length: int64(len(root)), Sum: HashOf(root)}
	if _, err := DecodeCheckpoint(ref, root); err != nil {
		return nil, nil, CheckpointRef{}, fmt.Errorf("build checkpoint: %w", err)
	}
	return &c, append(object, root...), ref, nil
}

// chunkSize is about how many bytes of addresses, before they are compressed, go
// into a chunk: so many pages that a reader seldom needs two, and so few that one
// that needs them all in pieces does not read much in vain.
const chunkSize = 16 << 10

// packed gives chunks of leaves that follow one another, as many as fit.
func packed(home VolumeID, leaves iter.Seq2[LeafIdx, PageTable]) iter.Seq2[Chunk, PageTable] {
	return func(yield func(Chunk, PageTable) bool) {
		var ch Chunk
		var all PageTable
		size := 0
		for n, t := range leaves {
			if t.Len() == 0 {
				continue
			}
			more := t.EncodedSize(home)
			if ch.Leaves > 0 && (n != ch.last()+1 || size+more > chunkSize) {
				if !yield(ch, all) {
					return
				}
				ch, all, size = Chunk{}, PageTable{}, 0
			}
			if ch.Leaves == 0 {
				ch.Leaf = n
			}
			ch.Leaves, ch.Pages, size = ch.Leaves+1, ch.Pages+t.Len(), size+more
			all = all.With(t)
		}
		if ch.Leaves > 0 {
			yield(ch, all)
		}
	}
}

// RebuildCheckpoint makes the object of a checkpoint again from its root record and
// the chunks that lie in it, which chunk gives.
func RebuildCheckpoint(ref CheckpointRef, root []byte, chunk func(*Chunk) ([]byte, error)) ([]byte, error) {
	_, b, err := rebuild(ref, objectHeaderSize, root, chunk)
	if err != nil {
		return nil, err
	}
	return append(objectHeader(kindCheckpointObject), b...), nil
}

// rebuild makes what lies from offset at on in the object of a checkpoint, if that is
// nothing but its chunks and the root, which it gives as well.
func rebuild(ref CheckpointRef, at int64, root []byte, chunk func(*Chunk) ([]byte, error)) (*Checkpoint, []byte, error) {
	c, err := DecodeCheckpoint(ref, root)
	if err != nil {
		return nil, nil, err
	}
	var object []byte
	for i := range c.Chunks {
		ch := &c.Chunks[i]
		if ch.Object != c.Key {
			continue
		}
		b, err := chunk(ch)
		if err != nil {
			return nil, nil, err
		}
		if ch.Offset != at+int64(len(object)) || ch.Length != int64(len(b)) || HashOf(b) != ch.Sum {
			return nil, nil, fmt.Errorf("%w: chunk of leaf %d at offset %d", ErrCorrupt, ch.Leaf, ch.Offset)
		}
		object = append(object, b...)
	}
	if ref.Offset != at+int64(len(object)) {
		return nil, nil, fmt.Errorf("%w: checkpoint root at offset %d instead of %d", ErrCorrupt, ref.Offset, at+int64(len(object)))
	}
	return c, append(object, root...), nil
}

func encodeCheckpoint(c *Checkpoint) ([]byte, error) {
	m := &graftpb.CheckpointRoot{Volume: c.Key.Volume[:], Lsn: uint64(c.Key.LSN), PageCount: uint32(c.PageCount)}
	objects := map[CheckpointKey]uint32{c.Key: 0}
	next := LeafIdx(0)
	for _, ch := range c.Chunks {
		n, ok := objects[ch.Object]
		if !ok {
			n = uint32(len(objects))
			objects[ch.Object] = n
			m.Objects = append(m.Objects, checkpointKeyToProto(ch.Object, c.Key.Volume))
		}
		m.ChunkGap = append(m.ChunkGap, uint32(ch.Leaf-next))
		m.ChunkObject = append(m.ChunkObject, n)
		m.ChunkOffset = append(m.ChunkOffset, uint64(ch.Offset))
		m.ChunkLength = append(m.ChunkLength, uint32(ch.Length))
		m.ChunkSha256 = append(m.ChunkSha256, ch.Sum[:]...)
		m.ChunkPages = append(m.ChunkPages, uint32(ch.Pages))
		m.ChunkLeaves = append(m.ChunkLeaves, uint32(ch.Leaves))
		next = ch.last() + 1
	}
	m.Bundle = encodeBundle(c.Bundle)
	b, err := EncodeRecord(KindCheckpoint, m)
	if err == nil && len(b) > MaxCheckpointRoot {
		err = fmt.Errorf("graft: checkpoint root of %d bytes is over the limit of %d", len(b), MaxCheckpointRoot)
	}
	return b, err
}

// DecodeCheckpoint reads the root record that ref names from its bytes. It returns
// ErrCorrupt or ErrVersion.
func DecodeCheckpoint(ref CheckpointRef, b []byte) (*Checkpoint, error) {
	if int64(len(b)) != ref.Length || HashOf(b) != ref.Sum {
		return nil, fmt.Errorf("%w: checkpoint root at offset %d: hash of %d bytes", ErrCorrupt, ref.Offset, len(b))
	}
	var m graftpb.CheckpointRoot
	if err := DecodeRecord(KindCheckpoint, b, &m); err != nil {
		return nil, err
	}
	if len(m.Features) > 0 {
		return nil, fmt.Errorf("%w: checkpoint needs feature %d", ErrVersion, m.Features[0])
	}
	if !bytes.Equal(m.Volume, ref.Volume[:]) || LSN(m.Lsn) != ref.LSN {
		return nil, fmt.Errorf("%w: checkpoint is of volume %x LSN %d", ErrCorrupt, m.Volume, m.Lsn)
	}
	c := &Checkpoint{Key: ref.CheckpointKey, PageCount: PageCount(m.PageCount)}
	if err := c.chunksFromProto(&m); err != nil {
		return nil, err
	}
	var err error
	if c.Bundle, err = decodeBundle(m.Bundle, c.PageCount); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Checkpoint) chunksFromProto(m *graftpb.CheckpointRoot) error {
	objects, err := c.objectsFromProto(m.Objects)
	if err != nil {
		return err
	}
	n := len(m.ChunkGap)
	if len(m.ChunkObject) != n || len(m.ChunkOffset) != n || len(m.ChunkLength) != n || len(m.ChunkPages) != n || len(m.ChunkLeaves) != n || len(m.ChunkSha256) != n*len(Hash{}) {
		return fmt.Errorf("%w: checkpoint of %d chunks: %d objects, %d offsets, %d lengths, %d and %d counts, %d hash bytes",
			ErrCorrupt, n, len(m.ChunkObject), len(m.ChunkOffset), len(m.ChunkLength), len(m.ChunkPages), len(m.ChunkLeaves), len(m.ChunkSha256))
	}
	c.Chunks = make([]Chunk, n)
	next, used := uint64(0), int64(1) // the checkpoint's own object need not be used
	for i := range c.Chunks {
		leaf := next + uint64(m.ChunkGap[i])
		object, length, pages, leaves := int64(m.ChunkObject[i]), m.ChunkLength[i], uint64(m.ChunkPages[i]), uint64(m.ChunkLeaves[i])
		// Each leaf has a page at least, and each page takes 2 bytes.
		last := leaf*LeafPages + max(pages, (leaves-1)*LeafPages+1) // or a later page
		if object > used || object >= int64(len(objects)) || m.ChunkOffset[i] > 1<<62 || length == 0 || length > MaxChunkSize ||
			leaves == 0 || pages < leaves || pages > min(leaves*LeafPages, maxChunkRecord/2) || last > uint64(c.PageCount) {
			return fmt.Errorf("%w: chunk of %d leaves from leaf %d: %d bytes, %d pages, object %d", ErrCorrupt, leaves, leaf, length, pages, object)
		}
		c.Chunks[i] = Chunk{LeafIdx(leaf), int(leaves), objects[object], int64(m.ChunkOffset[i]), int64(length), Hash(m.ChunkSha256[i*len(Hash{}):]), int(pages)}
		next, used = leaf+leaves, max(used, object+1)
	}
	if used != int64(len(objects)) {
		return fmt.Errorf("%w: checkpoint uses %d of %d objects", ErrCorrupt, used, len(objects))
	}
	return nil
}

// objectsFromProto gives the objects that chunks lie in, first the checkpoint's own.
func (c *Checkpoint) objectsFromProto(ms []*graftpb.Checkpoint) ([]CheckpointKey, error) {
	objects := append(make([]CheckpointKey, 0, len(ms)+1), c.Key)
	seen := map[CheckpointKey]bool{c.Key: true}
	for _, m := range ms {
		key, err := checkpointKeyFromProto(m, c.Key.Volume)
		if err != nil {
			return nil, err
		}
		if seen[key] || m.Offset > 0 || m.Length > 0 || len(m.Sha256) > 0 {
			return nil, fmt.Errorf("%w: checkpoint names object %s twice, or a root in it", ErrCorrupt, key.Key())
		}
		objects, seen[key] = append(objects, key), true
	}
	return objects, nil
}

// maxChunkRecord bounds the record of a chunk, in bytes: each page of a leaf may
// lie in a frame and an object of its own.
const maxChunkRecord = 64 << 10

// MaxChunkSize bounds a chunk, in bytes.
const MaxChunkSize = maxChunkRecord + 1<<10

func checkpointKeyToProto(k CheckpointKey, home VolumeID) *graftpb.Checkpoint {
	m := &graftpb.Checkpoint{Lsn: uint64(k.LSN)}
	if !k.Embedded() {
		m.Random = k.Random[:]
	}
	if k.Volume != home {
		m.Volume = k.Volume[:]
	}
	return m
}

func checkpointKeyFromProto(m *graftpb.Checkpoint, home VolumeID) (k CheckpointKey, err error) {
	k = CheckpointKey{Volume: home, LSN: LSN(m.GetLsn())}
	if len(m.GetVolume()) > 0 {
		if k.Volume, err = VolumeIDFromBytes(m.Volume); err != nil {
			return k, fmt.Errorf("%w: checkpoint: %w", ErrCorrupt, err)
		}
	}
	n := len(m.GetRandom())
	if n == len(k.Random) {
		k.Random = [8]byte(m.Random)
	}
	if n > 0 && k.Embedded() || k.LSN.IsZero() || len(m.GetVolume()) > 0 && k.Volume == home {
		return k, fmt.Errorf("%w: checkpoint of volume %s LSN %d with %d random bytes", ErrCorrupt, k.Volume, k.LSN, n)
	}
	return k, nil
}

func checkpointRefToProto(r CheckpointRef, home VolumeID) *graftpb.Checkpoint {
	m := checkpointKeyToProto(r.CheckpointKey, home)
	m.Offset, m.Length, m.Sha256 = uint64(r.Offset), uint32(r.Length), r.Sum[:]
	return m
}

func checkpointRefFromProto(m *graftpb.Checkpoint, home VolumeID) (r CheckpointRef, err error) {
	if r.CheckpointKey, err = checkpointKeyFromProto(m, home); err != nil {
		return r, err
	}
	if len(m.Sha256) != len(r.Sum) || m.Offset > 1<<62 {
		return r, fmt.Errorf("%w: checkpoint root at offset %d with %d hash bytes", ErrCorrupt, m.Offset, len(m.Sha256))
	}
	r.Offset, r.Length, r.Sum = int64(m.Offset), int64(m.Length), Hash(m.Sha256)
	return r, nil
}

// EncodePin gives the object of a pin: a fork tells by it that it continues o.
func EncodePin(fork VolumeID, o Origin) ([]byte, error) {
	return EncodeRecord(KindPin, &graftpb.Pin{Fork: fork[:], Origin: &graftpb.Origin{Volume: o.Volume[:], Lsn: uint64(o.LSN)}})
}

// validate reports whether r names a root that can be, or is zero.
func (r CheckpointRef) validate() error {
	if r == (CheckpointRef{}) {
		return nil
	}
	if r.Volume.IsZero() || r.LSN.IsZero() || r.Offset < 0 || r.Length <= 0 || r.Length > MaxCheckpointRoot {
		return fmt.Errorf("%w: checkpoint root of %d bytes at offset %d, of volume %s LSN %d", ErrCorrupt, r.Length, r.Offset, r.Volume, r.LSN)
	}
	return nil
}
