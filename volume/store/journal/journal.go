package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"graft/internal/filesys"
)

var (
	// ErrFull is returned by Append when no file has room and none may be made
	// or filled anew: release records and try again.
	ErrFull = errors.New("graft: journal is full")

	// ErrPoisoned is returned by whatever writes or syncs, with the cause,
	// after a Sync has failed or a failed write could not be taken back:
	// nobody knows what is on the disk. It lasts until the journal is opened
	// again, which finds out. What failed with it may then be there or not.
	ErrPoisoned = errors.New("graft: journal is poisoned")
)

// The limits of Options.
const (
	minFileSize = 4 << 10
	maxFileSize = 256 << 20
	maxFiles    = 1 << 10
)

// Options bound the space that a journal takes. Zero fields mean the defaults.
type Options struct {
	FileSize int64 // bytes of one file, a multiple of 4 KiB; default 4 MiB
	Files    int   // at most so many; default 12

	step int64 // by which a file grows when it is filled for the first time; default 1 MiB, first a quarter of it
}

func (o Options) withDefaults() Options {
	if o.FileSize == 0 {
		o.FileSize = 4 << 20
	}
	if o.Files == 0 {
		o.Files = 12
	}
	if o.step == 0 {
		o.step = 1 << 20
	}
	return o
}

// Validate reports each field that is out of range.
func (o Options) Validate() error {
	var errs []error
	o = o.withDefaults()
	if o.FileSize < minFileSize || o.FileSize > maxFileSize || o.FileSize%minFileSize != 0 {
		errs = append(errs, fmt.Errorf("graft: journal FileSize %d is not a multiple of %d up to %d", o.FileSize, minFileSize, maxFileSize))
	}
	if o.Files < 1 || o.Files > maxFiles {
		errs = append(errs, fmt.Errorf("graft: journal Files %d is not within 1 to %d", o.Files, maxFiles))
	}
	return errors.Join(errs...)
}

// firstSize gives the bytes with which a file is made, and to which Close trims it.
func (o Options) firstSize() int64 { return min(o.step/4, o.FileSize) }

// Journal is an open journal. It is safe for concurrent use.
//
// Invariants, checked by check in tests:
//
//  1. released <= durable <= last < next
//  2. live holds the records above released, in order, and used is the sum of their sizes
//  3. files stand in the order in which they were filled: a file that holds records holds none below those of a file
//     before it, and Append writes to the last
//
// Lock order: append, the turn to sync, mu. The first two are held over I/O, of who writes and of who syncs a file; mu guards the fields beside it and is not.
type Journal struct {
	fs   filesys.FS
	opts Options

	append sync.Mutex
	buf    []byte // guarded by append

	mu struct {
		sync.Mutex
		files    []*file // changed only with append held too
		last     uint64  // newest record, or what Open was told is applied
		next     uint64  // sequence number of the next record
		durable  uint64  // all up to this are durable, here or where they are applied
		released uint64
		live     []size
		used     int64
		stopped  error // poisoned or closed
		syncing  bool  // somebody has the turn to sync
		shared   bool  // the last fdatasync made more than one record durable
	}
	synced sync.Cond // of mu: the turn is free, and durable may have moved
}

// size is the bytes that a record takes.
type size struct {
	seq   uint64
	bytes int64
}

// keepBuffer is the largest buffer that is kept for the next Append, in bytes.
const keepBuffer = 256 << 10

// Next gives the sequence number that the next Append gets.
func (j *Journal) Next() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.next
}

// Used gives the bytes that the records take which are not released.
func (j *Journal) Used() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.used
}

// Room gives the bytes that the records may take which are not released, about.
func (j *Journal) Room() int64 { return int64(j.opts.Files) * (j.opts.FileSize - fileHeader) }

// MaxPayload gives the length of the longest payload that Append takes, in bytes.
func (j *Journal) MaxPayload() int64 { return j.opts.FileSize - fileHeader - recordHeader }

// Release says that the records up to seq are applied, durably, so that their files may be filled anew: no later Open
// may be told that less is applied.
func (j *Journal) Release(seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.released = max(j.mu.released, min(seq, j.mu.last))
	j.mu.durable = max(j.mu.durable, j.mu.released)
	for len(j.mu.live) > 0 && j.mu.live[0].seq <= j.mu.released {
		j.mu.used -= j.mu.live[0].bytes
		j.mu.live = j.mu.live[1:]
	}
}

// stopped gives why nothing can be written, or nil.
func (j *Journal) stopped() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.stopped
}

// poison stops the journal, unless it is, and gives the error that says why.
func (j *Journal) poison(cause error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.stopped == nil {
		j.mu.stopped = fmt.Errorf("%w: %w", ErrPoisoned, cause)
	}
	return j.mu.stopped
}

// Trim gives space back to the file system: when all records are released it leaves one small file, as Close does. Else
// it does nothing. After an error the journal is as good as before.
func (j *Journal) Trim() error {
	j.append.Lock()
	defer j.append.Unlock()
	j.lockTurn()
	defer j.endTurn(0)
	files, err := j.takeReleased()
	if err != nil || len(files) == 0 {
		return err
	}
	files[0].pos = fileHeader
	if err := j.trim(files); err != nil {
		return fmt.Errorf("trim journal: %w", err)
	}
	return nil
}

// takeReleased gives all files, of which the journal keeps but the first, to be filled anew. It gives none when there
// are live records, or nothing to trim.
func (j *Journal) takeReleased() ([]*file, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	files := j.mu.files
	if j.mu.stopped != nil || j.mu.used > 0 || len(files) == 0 || len(files) == 1 && files[0].size <= j.opts.firstSize() {
		return nil, j.mu.stopped
	}
	files[0].last = 0
	j.mu.files = files[:1:1]
	return files, nil
}

// Close closes the files and syncs nothing. When all records are released it leaves one small file. It may be called
// again.
func (j *Journal) Close() error {
	j.append.Lock()
	defer j.append.Unlock()
	j.lockTurn()
	defer j.endTurn(0)
	j.mu.Lock()
	files, trim := j.mu.files, j.mu.stopped == nil && j.mu.used == 0 && len(j.mu.files) > 0
	j.mu.files = nil
	if j.mu.stopped == nil || errors.Is(j.mu.stopped, ErrPoisoned) {
		j.mu.stopped = fmt.Errorf("journal: %w", fs.ErrClosed)
	}
	j.mu.Unlock()
	if trim {
		return errors.Join(j.trim(files), files[0].Close())
	}
	return closeFiles(files)
}

// trim removes all files but the first, and cuts that. Their records are released: it matters to nobody how much of
// this a power cut undoes, and a leftover that comes back follows no record.
//
//   - While the journal is open, new records have higher numbers than all leftovers, and name none of them. What is left
//     of a file that could not be removed goes when another is made under its name, and its name and content are
//     durable then before a record is written.
//   - After the next Open numbers may begin below those of leftovers that are gone. That they are is decided before the
//     next record is written: recovery, 1 and 5.
func (j *Journal) trim(files []*file) error {
	var errs []error
	if first := files[0]; first.size > j.opts.firstSize() {
		first.size = j.opts.firstSize() // at least, should it fail
		errs = append(errs, first.Truncate(first.size))
	}
	for _, f := range files[1:] {
		errs = append(errs, f.Close(), j.fs.Remove(f.name))
	}
	return errors.Join(errs...)
}
