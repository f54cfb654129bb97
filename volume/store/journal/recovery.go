package journal

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"graft/internal/filesys"
	"graft/volume"
)

// recovery is one Open. The caller's store holds all records up to applied.
//
//	1 names   sync the directory, so that the names that are seen are durable, and those removed stay away
//	2 scan    read each file whole, look for records at each multiple of 64 bytes
//	3 chain   follow the records from applied on, each naming the one before. The first may name one at or below
//	          applied: those need not be here. The chain ends where no intact record names its last one
//	4 judge   if an intact header anywhere says that a record above the chain was durable, or that one above applied
//	          was released, that is ErrCorrupt and nothing is changed. Else the records above the chain are leftovers
//	          of a power cut: written after one that was lost
//	5 settle  write back each file as it was read, and sync it, so that what was cut off stays away too
//	6 tidy    remove what is half made
//	7 replay  the chain; the next record names its last one, and gets a number above every header seen
//
// 5 is there because after a failed fdatasync the kernel shows pages that are not on the disk, and calls them clean. It
// changes no byte that was read, so a crash in it is harmless; and so is one between any two steps, because the next
// Open sees the same chain. Leftovers stay: their numbers are never given again, and no record of theirs names one that
// a later chain holds, because all that come after a jump name the last one of the chain or newer ones.
type recovery struct {
	fs      filesys.FS
	opts    Options
	applied uint64
	buf     []byte // of the file that is read

	files    []*file
	sums     []uint32 // checksum of each file as it was read
	temps    []string // half made
	found    []found  // intact records above applied
	seen     uint64   // highest number in an intact header
	durable  claim
	released claim
}

// found is an intact record.
type found struct {
	header
	place
}

// place is where a record starts.
type place struct {
	file *file
	off  int64
}

func (p place) String() string { return fmt.Sprintf("%s at offset %d", p.file.name, p.off) }

// claim is the highest number of its kind, and the record that says so.
type claim struct {
	seq uint64
	by  found
}

func (c *claim) raise(seq uint64, by found) {
	if seq > c.seq {
		*c = claim{seq, by}
	}
}

// Open opens the journal in a directory, where a first Append makes it, and calls replay for each record above applied,
// in order; payload is valid during the call. applied is 0 or the number of the newest record that is applied, durably,
// or any number up to the next record; records up to it may be lost or damaged. It returns volume.ErrCorrupt if a record is missing that was durable, and
// volume.ErrVersion; then it has changed nothing. An error of replay ends Open and is returned. All records that were
// replayed are durable when Open returns.
func Open(fsys filesys.FS, applied uint64, opts Options, replay func(seq uint64, payload []byte) error) (_ *Journal, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if applied > maxSeq {
		return nil, fmt.Errorf("graft: open journal: record %d cannot be applied", applied)
	}
	r := &recovery{fs: fsys, opts: opts.withDefaults(), applied: applied}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open journal: %w", err), closeFiles(r.files))
		}
	}()
	if err := r.open(); err != nil {
		return nil, err
	}
	for _, f := range r.files {
		if err := r.scan(f); err != nil {
			return nil, err
		}
	}
	chain, err := r.chain()
	if err != nil {
		return nil, err
	}
	if err := r.settle(); err != nil {
		return nil, err
	}
	if err := r.replay(chain, replay); err != nil {
		return nil, err
	}
	return r.journal(chain), nil
}

// open opens the files.
func (r *recovery) open() error {
	if err := r.fs.SyncDir(); err != nil {
		return err
	}
	names, err := r.fs.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if base, ok := strings.CutSuffix(name, newSuffix); ok {
			if _, ok := parseName(base); ok {
				r.temps = append(r.temps, name)
			}
			continue
		}
		number, ok := parseName(name)
		if !ok {
			continue
		}
		f, err := r.fs.Open(name)
		if err != nil {
			return err
		}
		r.files = append(r.files, &file{File: f, name: name, number: number, pos: fileHeader})
	}
	return nil
}

// read gives the bytes of f, valid until the next call.
func (r *recovery) read(f *file) ([]byte, error) {
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > maxFileSize {
		return nil, fmt.Errorf("%w: %s has %d bytes", volume.ErrCorrupt, f.name, n)
	}
	r.buf = slices.Grow(r.buf[:0], int(n))[:n]
	if got, err := f.ReadAt(r.buf, 0); int64(got) < n {
		return nil, fmt.Errorf("read %s: %w", f.name, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	return r.buf, nil
}

// scan looks for records in f.
func (r *recovery) scan(f *file) error {
	b, err := r.read(f)
	if err != nil {
		return err
	}
	if f.salt, err = decodeFileHeader(b); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.size = int64(len(b))
	r.sums = append(r.sums, crc32.Checksum(b, castagnoli))
	for off := int64(fileHeader); off < f.size; {
		n, err := r.record(b[off:], place{f, off})
		if err != nil {
			return fmt.Errorf("%s: %w", place{f, off}, err)
		}
		off += n
	}
	return nil
}

// record takes the record at the start of b, if there is one. It gives the distance to where the next can be.
func (r *recovery) record(b []byte, p place) (int64, error) {
	h, ok, err := decodeHeader(b, p.file.salt)
	if err != nil || !ok {
		return slot, err
	}
	rec := found{h, p}
	r.seen = max(r.seen, h.seq)
	r.durable.raise(h.durable, rec)
	r.released.raise(h.released, rec)
	if _, whole := payloadOf(b, h); !whole {
		return slot, nil
	}
	if h.seq > r.applied {
		r.found = append(r.found, rec)
	}
	return recordSize(int64(h.length)), nil
}

// chain gives the records to replay, or ErrCorrupt.
func (r *recovery) chain() ([]found, error) {
	slices.SortFunc(r.found, func(a, b found) int { return cmp.Compare(a.seq, b.seq) })
	last := found{header: header{seq: r.applied}}
	var chain []found
	for i, rec := range r.found {
		if i > 0 && rec.seq == r.found[i-1].seq {
			return nil, fmt.Errorf("%w: record %d is in %s and in %s", volume.ErrCorrupt, rec.seq, r.found[i-1].place, rec.place)
		}
		if rec.prev == last.seq || len(chain) == 0 && rec.prev < r.applied {
			chain = append(chain, rec)
			last = rec
		}
	}
	switch {
	case r.released.seq > r.applied:
		return nil, fmt.Errorf("%w: %s says that record %d was applied, but the store has %d", volume.ErrCorrupt, r.released.by.place, r.released.seq, r.applied)
	case r.durable.seq > last.seq && len(chain) == 0:
		return nil, fmt.Errorf("%w: %s says that record %d was durable, but none follows the applied %d", volume.ErrCorrupt, r.durable.by.place, r.durable.seq, r.applied)
	case r.durable.seq > last.seq:
		return nil, fmt.Errorf("%w: %s says that record %d was durable, but none follows %d, which is in %s", volume.ErrCorrupt, r.durable.by.place, r.durable.seq, last.seq, last.place)
	}
	return chain, nil
}

// settle makes durable what was read, and removes the rest.
func (r *recovery) settle() error {
	for i, f := range r.files {
		b, err := r.read(f)
		if err != nil {
			return err
		}
		if crc32.Checksum(b, castagnoli) != r.sums[i] {
			return fmt.Errorf("%w: %s reads differently the second time", volume.ErrCorrupt, f.name)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			return fmt.Errorf("write back %s: %w", f.name, err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("write back %s: %w", f.name, err)
		}
	}
	r.buf = nil
	for _, name := range r.temps {
		if err := r.fs.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// replay reads the chain again and hands it out.
func (r *recovery) replay(chain []found, fn func(seq uint64, payload []byte) error) error {
	var buf []byte
	for _, rec := range chain {
		n := recordHeader + int(rec.length)
		buf = slices.Grow(buf[:0], n)[:n]
		if got, err := rec.file.ReadAt(buf, rec.off); got < n {
			return fmt.Errorf("read %s: %w", rec.place, cmp.Or(err, io.ErrUnexpectedEOF))
		}
		payload, whole := payloadOf(buf, rec.header)
		if !whole {
			return fmt.Errorf("%w: %s reads differently the second time", volume.ErrCorrupt, rec.place)
		}
		if err := fn(rec.seq, payload); err != nil {
			return fmt.Errorf("replay record %d: %w", rec.seq, err)
		}
	}
	return nil
}

// journal gives the open journal, which goes on behind the chain.
func (r *recovery) journal(chain []found) *Journal {
	j := &Journal{fs: r.fs, opts: r.opts}
	j.synced.L = &j.mu
	last := r.applied
	for _, rec := range chain {
		n := recordSize(int64(rec.length))
		last = rec.seq
		rec.file.last, rec.file.pos = last, rec.off+n
		j.mu.live = append(j.mu.live, size{rec.seq, n})
		j.mu.used += n
	}
	slices.SortStableFunc(r.files, func(a, b *file) int { return cmp.Compare(a.last, b.last) })
	j.mu.files = r.files
	j.mu.last, j.mu.durable, j.mu.released = last, last, r.applied
	j.mu.next = max(last, r.seen) + 1
	return j
}
