package volume

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"graft/internal/sqlitefile"
)

// The bundle of a checkpoint is of parts, each behind its length, of bundlePart pages
// but for the last: a reader waits for all of them, and takes them apart side by side.
// A number, as that length, is a varint of package encoding/binary, without a sign. A
// part is a Zstandard frame of:
//
//	number of pages n, number of Segments m
//	m SegmentIDs of 16 bytes, no two equal
//	for each page: page index less that of the page before, number of its Segment from 0
//	the length of each of the seven streams that sqlitefile.Pack makes of the pages
//	these streams, one after the other
//
// It is a help for readers. Whatever is bundled stands in its Segment as well.

// BundledPage is a page that lies in a checkpoint itself, with the Segment whose
// page it is.
type BundledPage struct {
	PageEntry
	Segment SegmentID
}

const (
	// maxBundle is how many pages a checkpoint bundles, at most.
	maxBundle = 4096
	// bundlePart is how many pages a part of a bundle has.
	bundlePart = 256
	// maxPartPlain bounds a part before it is compressed: pages, which grow by a
	// few bytes at most when they are taken apart, and 30 bytes for each.
	maxPartPlain = bundlePart * (PageSize + 64)
)

// Bundled gives page p if it is bundled.
func (c *Checkpoint) Bundled(p PageIdx) (BundledPage, bool) {
	i, ok := slices.BinarySearchFunc(c.Bundle, p, func(b BundledPage, p PageIdx) int { return cmp.Compare(b.Idx, p) })
	if !ok {
		return BundledPage{}, false
	}
	return c.Bundle[i], true
}

// encodeBundle gives nothing for no pages.
func encodeBundle(bundle []BundledPage) (b []byte) {
	for pages := range slices.Chunk(bundle, bundlePart) {
		part := encodePart(pages)
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}

// encodePart gives a part of up to bundlePart pages.
func encodePart(bundle []BundledPage) []byte {
	var ids []byte
	numbers := make(map[SegmentID]uint64)
	var where []byte
	pages := make([][]byte, len(bundle))
	prev := PageIdx(0)
	for i, b := range bundle {
		n, ok := numbers[b.Segment]
		if !ok {
			n = uint64(len(numbers))
			numbers[b.Segment] = n
			ids = append(ids, b.Segment[:]...)
		}
		where = binary.AppendUvarint(binary.AppendUvarint(where, uint64(b.Idx-prev)), n)
		pages[i], prev = b.Page[:], b.Idx
	}
	head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(bundle))), uint64(len(numbers)))
	streams := sqlitefile.Pack(pages)
	parts := [][]byte{head, ids, where}
	for _, s := range streams {
		parts = append(parts, binary.AppendUvarint(nil, uint64(len(s))))
	}
	return compress(slices.Concat(append(parts, streams[:]...)...))
}

// decodeBundle reads what encodeBundle gave for a checkpoint of so many pages.
func decodeBundle(b []byte, count PageCount) ([]BundledPage, error) {
	var parts [][]byte
	for r := (numberReader{b: b}); len(r.b) > 0; {
		parts = append(parts, r.cut(int(min(r.next(), uint64(len(b))))))
		if r.bad || len(parts) > maxBundle/bundlePart {
			return nil, fmt.Errorf("%w: bundle of %d parts or more in %d bytes", ErrCorrupt, len(parts), len(b))
		}
	}
	decoded, errs := make([][]BundledPage, len(parts)), make([]error, len(parts))
	var running sync.WaitGroup
	for i, part := range parts {
		running.Go(func() { decoded[i], errs[i] = decodePart(part, count) })
	}
	running.Wait()
	var bundle []BundledPage
	for i, pages := range decoded {
		switch {
		case errs[i] != nil:
			return nil, errs[i]
		case i < len(parts)-1 && len(pages) < bundlePart:
			return nil, fmt.Errorf("%w: part %d of bundle has %d pages", ErrCorrupt, i, len(pages))
		case i > 0 && pages[0].Idx <= bundle[len(bundle)-1].Idx:
			return nil, fmt.Errorf("%w: bundled page %d after page %d", ErrCorrupt, pages[0].Idx, bundle[len(bundle)-1].Idx)
		}
		bundle = append(bundle, pages...)
	}
	return bundle, nil
}

// decodePart reads what encodePart gave.
func decodePart(b []byte, count PageCount) ([]BundledPage, error) {
	plain, err := decompress(b, maxPartPlain)
	if err != nil {
		return nil, fmt.Errorf("%w: bundle: %w", ErrCorrupt, err)
	}
	r := numberReader{b: plain}
	n, m := r.next(), r.next()
	if r.bad || n == 0 || n > bundlePart || m == 0 || m > n {
		return nil, fmt.Errorf("%w: bundle of %d pages of %d segments", ErrCorrupt, n, m)
	}
	bundle, err := r.pages(int(n), int(m), count)
	if err != nil {
		return nil, err
	}
	var streams sqlitefile.Streams
	var lengths [len(streams)]int
	for i := range lengths {
		lengths[i] = int(min(r.next(), maxPartPlain))
	}
	for i := range streams {
		streams[i] = r.cut(lengths[i])
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: bundle with %d bytes behind it", ErrCorrupt, len(r.b))
	}
	pages, err := sqlitefile.Unpack(streams, len(bundle), PageSize)
	if err != nil {
		return nil, fmt.Errorf("%w: bundle: %w", ErrCorrupt, err)
	}
	for i := range bundle {
		bundle[i].Page = (*Page)(pages[i])
	}
	return bundle, nil
}

// pages reads which n pages of m Segments are bundled, without their bytes.
func (r *numberReader) pages(n, m int, count PageCount) ([]BundledPage, error) {
	ids := make([]SegmentID, m)
	seen := make(map[SegmentID]bool, m)
	for i := range ids {
		id, err := SegmentIDFromBytes(r.cut(gidSize))
		if err != nil || seen[id] {
			return nil, fmt.Errorf("%w: bundle: segment %d is %s: %v", ErrCorrupt, i, id, err)
		}
		ids[i], seen[id] = id, true
	}
	bundle := make([]BundledPage, n)
	prev, used := uint64(0), uint64(0)
	for i := range bundle {
		gap, number := r.next(), r.next()
		if r.bad || gap == 0 || gap > uint64(count)-prev || number > used || number >= uint64(m) {
			return nil, fmt.Errorf("%w: bundled page %d after page %d, of segment %d", ErrCorrupt, gap, prev, number)
		}
		prev, used = prev+gap, max(used, number+1)
		bundle[i] = BundledPage{PageEntry{Idx: PageIdx(prev)}, ids[number]}
	}
	if used != uint64(m) {
		return nil, fmt.Errorf("%w: bundle uses %d of %d segments", ErrCorrupt, used, m)
	}
	return bundle, nil
}

// numberReader reads numbers and bytes from the front of b. bad tells that there were
// too few.
type numberReader struct {
	b   []byte
	bad bool
}

func (r *numberReader) next() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *numberReader) cut(n int) []byte {
	if n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}
