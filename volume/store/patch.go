package store

import (
	"encoding/binary"
	"fmt"

	"graft/volume"
)

// A patch says how a page differs from an older version of it, its base. It is the
// SegmentID of the base and runs, to the end: the number of words of 8 bytes that
// are equal, the number of words after them that are not, of at least one, and
// these words. Numbers are varints. After the last run all are equal.
//
// A redo record may have a patch of a page whose base has a record that is not
// applied either: who replays the one has replayed the other. Full pages after each
// application, and differences to them, are how PostgreSQL bounds its log (its
// full_page_writes).
const (
	wordSize  = 8
	pageWords = volume.PageSize / wordSize
	joinWords = 2                   // runs with no more equal words between them are one
	maxPatch  = volume.PageSize / 2 // bytes; else the page is written

	usualPatch = 384 // bytes of a patch that need no second allocation
)

// appendPatch appends the patch of page over old, which is of Segment base, to b. It
// tells whether it is shorter than a page by far; otherwise it appends nothing.
func appendPatch(b []byte, base volume.SegmentID, old, page *volume.Page) ([]byte, bool) {
	patch := append(b, base[:]...)
	end := 0 // of the last run
	for {
		first, next := nextRun(old, page, end)
		if first == pageWords {
			return patch, true
		}
		patch = binary.AppendUvarint(patch, uint64(first-end))
		patch = binary.AppendUvarint(patch, uint64(next-first))
		patch = append(patch, page[first*wordSize:next*wordSize]...)
		if len(patch)-len(b) > maxPatch {
			return b, false
		}
		end = next
	}
}

// nextRun gives the words, from and up to, in which the pages differ next.
func nextRun(old, page *volume.Page, from int) (first, end int) {
	equal := func(i int) bool {
		return binary.NativeEndian.Uint64(old[i*wordSize:]) == binary.NativeEndian.Uint64(page[i*wordSize:])
	}
	for first = from; first < pageWords && equal(first); first++ {
	}
	if first == pageWords {
		return first, first
	}
	end = first + 1
	for i := end; i < pageWords && i-end <= joinWords; i++ {
		if !equal(i) {
			end = i + 1
		}
	}
	return first, end
}

// checkPatch finds out whether patch is one.
func checkPatch(patch []byte) error {
	_, runs, err := cutBase(patch)
	if err != nil {
		return err
	}
	return applyRuns(new(volume.Page), runs)
}

// cutBase gives the Segment of the base of a patch, and its runs.
func cutBase(patch []byte) (base volume.SegmentID, runs []byte, err error) {
	if len(patch) < len(base) {
		return base, nil, corruptf("patch of %d bytes", len(patch))
	}
	return volume.SegmentID(patch[:len(base)]), patch[len(base):], nil
}

// applyRuns writes runs over page, which has the base.
func applyRuns(page *volume.Page, runs []byte) error {
	for at := 0; len(runs) > 0; {
		skip, rest, okSkip := cutUvarint(runs)
		length, rest, okLength := cutUvarint(rest)
		left := uint64(pageWords - at)
		if !okSkip || !okLength || skip > left || length == 0 || length > left-skip || length*wordSize > uint64(len(rest)) {
			return corruptf("patch: run at word %d", at)
		}
		n := int(length) * wordSize
		at += int(skip)
		copy(page[at*wordSize:], rest[:n])
		at += int(length)
		runs = rest[n:]
	}
	return nil
}

// patch gives each page of ops that takes the place of one of replaced its patch,
// where it has one, and gives the generation in which they hold. Both are in the
// order of page indexes.
func (o *overlay) patch(ops []op, replaced []PageRef) (generation uint64) {
	generation, bases := o.bases(replaced)
	for i := range ops {
		ref, ok := parseKeyPage(ops[i].key)
		if !ok {
			continue
		}
		for len(replaced) > 0 && replaced[0].Idx < ref.Idx {
			replaced, bases = replaced[1:], bases[1:]
		}
		if len(replaced) == 0 || replaced[0].Idx != ref.Idx || bases[0] == nil {
			continue
		}
		b, ok := appendPatch(make([]byte, 0, usualPatch), replaced[0].Segment, bases[0], (*volume.Page)(ops[i].value))
		if ok {
			ops[i].patch = b
		}
	}
	return generation
}

// bases gives the pages of refs that are in the active memtable, nil for others, and
// its generation. Pages are compared without the lock, for which all who read wait.
func (o *overlay) bases(refs []PageRef) (generation uint64, bases []*volume.Page) {
	bases = make([]*volume.Page, len(refs))
	o.RLock()
	defer o.RUnlock()
	for i, ref := range refs {
		bases[i] = o.active.page(ref)
	}
	return o.generation, bases
}

// replay enters what a redo record says, which it keeps. The caller is alone, and has
// replayed all records before.
func (o *overlay) replay(seq uint64, payload []byte) error {
	ops, err := decodeOps(payload)
	if err == nil {
		err = o.unpatch(ops)
	}
	if err == nil {
		o.add(seq, ops)
	}
	return err
}

// unpatch gives the ops of a redo record, which have patches, their pages. The caller
// is alone, and has replayed all records before.
func (o *overlay) unpatch(ops []op) error {
	for i := range ops {
		if ops[i].patch == nil {
			continue
		}
		ref, _ := parseKeyPage(ops[i].key)
		base, runs, err := cutBase(ops[i].patch)
		if err != nil {
			return err
		}
		old := o.active.page(PageRef{Segment: base, Idx: ref.Idx})
		if old == nil {
			return corruptf("patch of page %s of segment %s over one of segment %s, which no earlier record has", ref.Idx, ref.Segment, base)
		}
		page := *old
		if err := applyRuns(&page, runs); err != nil {
			return fmt.Errorf("page %s of segment %s: %w", ref.Idx, ref.Segment, err)
		}
		ops[i].value, ops[i].patch = page[:], nil
	}
	return nil
}
