package vfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/ncruces/go-sqlite3"

	"graft"
)

// The rollback journal of SQLite is a header of one sector, then records: a page
// number and a checksum of 4 bytes each around the page as it was before the
// transaction. https://sqlite.org/fileformat.html#the_rollback_journal
const (
	journalHeader = 512 // the sector size where IOCAP_POWERSAFE_OVERWRITE is
	recordPage    = 4   // where in a record the page is
	recordSum     = recordPage + graft.PageSize
	recordSize    = recordSum + 4

	// superPage is the number of the page with the byte at 1 GiB, which no
	// database uses: it begins the name of a super-journal.
	superPage = 1<<30/graft.PageSize + 1
)

// journal is the rollback journal of an open transaction. In the place of a page
// it keeps that the Snapshot which the transaction stands on has it, as most that
// SQLite puts there are what it has read. Others are kept as bytes: page 1, whose
// counters are the file's own, and free pages that SQLite did not care to write,
// but has in its cache. A crash leaves no journal:
// nothing of a transaction is seen before it is published.
//
// The name of the super-journal is dropped, with which a COMMIT of several
// databases ends each of their journals: SQLite would look for that file, which
// may be another VFS's, and not roll back where it is not found.
//
// With locking_mode EXCLUSIVE and journal_mode TRUNCATE or PERSIST, which come
// through a main database that is not of graft, SQLite keeps the file for the
// next transaction. What is written at its start, or a cut to nothing, ends one.
//
// SQLite calls its methods one at a time.
type journal struct {
	tempFile               // everything but what refs stand for
	file     *file         // the database
	base     *graft.Reader // what the transaction stands on; nil before the first record
	refs     []reference   // one for each record up to the last that came in order
	size     int64
	ended    bool // a super-journal was named; until the next transaction
}

// reference stands for a record whose page is in base.
type reference struct {
	state  refState
	pageNo uint32
	sum    uint32 // SQLite's checksum
}

type refState uint8

const (
	inFile refState = iota // the bytes of the record are in the file
	begun                  // its page number is here, and nothing else was written
	inBase                 // its page is in base, and the rest here
)

// span is the part of one record, or of the header, that a read or a write goes
// through.
type span struct {
	record int // -1: the header
	from   int // bytes from its start
	n      int // bytes
}

// spanAt gives the first part of n bytes at off.
func spanAt(off int64, n int) span {
	if off < journalHeader {
		return span{-1, int(off), int(min(int64(n), journalHeader-off))}
	}
	off -= journalHeader
	from := int(off % recordSize)
	return span{int(off / recordSize), from, min(n, recordSize-from)}
}

func recordOffset(i int) int64 { return journalHeader + int64(i)*recordSize }

// state is that of record i, which is -1 for the header.
func (j *journal) state(i int) refState {
	if i < 0 || i >= len(j.refs) {
		return inFile
	}
	return j.refs[i].state
}

// WriteAt keeps what SQLite writes.
func (j *journal) WriteAt(p []byte, off int64) (n int, err error) {
	if off == 0 {
		if err := j.restart(); err != nil {
			return 0, err
		}
		j.file.guest.journaled = true
	}
	if len(p) == recordPage && off >= j.size && binary.BigEndian.Uint32(p) == superPage {
		j.ended = true
	}
	if j.ended {
		return len(p), nil
	}
	for n < len(p) {
		at := spanAt(off+int64(n), len(p)-n)
		if err := j.write(at, p[n:n+at.n], off+int64(n)); err != nil {
			return n, err
		}
		n += at.n
	}
	j.size = max(j.size, off+int64(n))
	return n, nil
}

// restart forgets the transaction that the journal was of. The header of one is
// written once: with IOCAP_SAFE_APPEND it has no number of records.
func (j *journal) restart() error {
	if j.size == 0 && !j.ended {
		return nil
	}
	if j.base != nil {
		j.base.Close()
		j.base = nil
	}
	j.refs, j.size, j.ended = nil, 0, false
	return j.tempFile.Truncate(0)
}

func (j *journal) write(at span, p []byte, off int64) error {
	rec := at.record
	switch {
	case rec < 0:
	case at.from == 0 && at.n == recordSize:
		if j.begin(rec, p) && j.refer(rec, p[recordPage:recordSum]) {
			j.refs[rec].sum = binary.BigEndian.Uint32(p[recordSum:])
			return nil
		}
	case at.from == 0 && at.n == recordPage:
		if j.begin(rec, p) {
			return nil
		}
	case at.from == recordPage && at.n == graft.PageSize && j.state(rec) == begun:
		if j.refer(rec, p) {
			return nil
		}
	case at.from == recordSum && at.n == recordSize-recordSum && j.state(rec) == inBase:
		j.refs[rec].sum = binary.BigEndian.Uint32(p)
		return nil
	}
	if err := j.store(rec); err != nil {
		return err
	}
	_, err := j.tempFile.WriteAt(p, off)
	return err
}

// begin takes the page number that record i starts with, if it is the next
// record. It tells whether its page can be one of base.
func (j *journal) begin(i int, p []byte) bool {
	if i != len(j.refs) {
		return false
	}
	r := reference{pageNo: binary.BigEndian.Uint32(p)}
	if j.base == nil && j.file.writer != nil {
		j.base = j.file.writer.Base()
	}
	if j.base != nil && r.pageNo > 1 && j.base.PageCount().Has(graft.PageIdx(r.pageNo)) {
		r.state = begun
	}
	j.refs = append(j.refs, r)
	return r.state == begun
}

// refer lets base stand for the page of record i, if it has the same there and
// that can be told without a request.
func (j *journal) refer(i int, page []byte) bool {
	old, err := j.base.Local(j.file.context(), graft.PageIdx(j.refs[i].pageNo))
	if err != nil || old == nil || !bytes.Equal(old[:], page) {
		return false
	}
	j.refs[i].state = inBase
	return true
}

// store puts the bytes of record i, of which something is to change, into the
// file.
func (j *journal) store(i int) error {
	state := j.state(i)
	if state == inFile {
		return nil
	}
	var b [recordSize]byte
	if err := j.record(j.refs[i], &b, true); err != nil {
		return err
	}
	n := recordSize
	if state == begun {
		n = recordPage
	}
	if _, err := j.tempFile.WriteAt(b[:n], recordOffset(i)); err != nil {
		return err
	}
	j.refs[i].state = inFile
	return nil
}

// record gives the bytes of a record, of its page only if that is wanted.
func (j *journal) record(r reference, b *[recordSize]byte, wantPage bool) error {
	binary.BigEndian.PutUint32(b[:], r.pageNo)
	binary.BigEndian.PutUint32(b[recordSum:], r.sum)
	if r.state == begun || !wantPage {
		return nil
	}
	page, err := j.base.Page(j.file.context(), graft.PageIdx(r.pageNo))
	if err != nil {
		return j.file.fail(err, sqlite3.IOERR_READ)
	}
	copy(b[recordPage:], page[:])
	return nil
}

// ReadAt reads as [io.ReaderAt] does.
func (j *journal) ReadAt(p []byte, off int64) (n int, err error) {
	end := min(int64(len(p)), max(j.size-off, 0))
	for n < int(end) {
		at := spanAt(off+int64(n), int(end)-n)
		if err := j.read(at, p[n:n+at.n], off+int64(n)); err != nil {
			return n, err
		}
		n += at.n
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (j *journal) read(at span, p []byte, off int64) error {
	if j.state(at.record) == inFile {
		n, err := j.tempFile.ReadAt(p, off)
		clear(p[n:])
		if err == io.EOF {
			return nil // never written
		}
		return err
	}
	var b [recordSize]byte
	wantPage := at.from < recordSum && at.from+at.n > recordPage
	if err := j.record(j.refs[at.record], &b, wantPage); err != nil {
		return err
	}
	copy(p, b[at.from:])
	return nil
}

// Truncate cuts the journal, or grows it by zeros.
func (j *journal) Truncate(size int64) error {
	switch {
	case size == 0:
		return j.restart()
	case j.ended:
		return nil
	}
	if size < j.size {
		keep := 0
		if size > journalHeader {
			keep = int((size - journalHeader) / recordSize)
			if err := j.store(keep); err != nil {
				return err
			}
		}
		j.refs = j.refs[:min(keep, len(j.refs))]
		if n, err := j.tempFile.Size(); err != nil || n > size {
			if err := errors.Join(err, j.tempFile.Truncate(size)); err != nil {
				return err
			}
		}
	}
	j.size = size
	return nil
}

// Size is in bytes.
func (j *journal) Size() (int64, error) { return j.size, nil }

// Close drops the journal.
func (j *journal) Close() error {
	if j.base != nil {
		j.base.Close()
		j.base = nil
	}
	j.refs = nil
	return j.tempFile.Close()
}
