package vfs

import (
	"context"
	"errors"
	"io"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"

	"graft"
	"graft/internal/sqlitefile"
	"graft/volume"
)

// file is a database that one connection has open. SQLite calls its methods one
// at a time.
//
// Invariants:
//  1. reader is set from SHARED on, and is what SQLite sees until NONE.
//  2. writer is set from RESERVED on; it stands on the content of reader.
//  3. highest is the newest change counter that the connection ever saw; no
//     two contents that it saw have an equal counter.
//  4. No two Grafts that the connection saw have an equal schema cookie: SQLite
//     trusts the schema that it has in memory for as long as that stays.
type file struct {
	vfs      *graftVFS
	name     string // as SQLite has it
	db       *graft.DB
	graft    *graft.Graft
	conn     *sqlite3.Conn // nil until SQLite tells
	readOnly bool

	lock    sqlite3vfs.LockLevel
	relaxed bool // synchronous is NORMAL or OFF
	reader  *graft.Reader
	writer  *graft.Writer

	patience *patience     // how the connection waits; nil if another way, and on all its files but the first
	refused  bool          // RESERVED was refused last, of all files of the connection
	turn     *graft.Writer // for the next Lock(RESERVED); nil but between the busy handler and that

	shown   *graft.Reader // the content that counter stands for; nil before the first
	first   *graft.Page   // page 1 of shown, which SQLite looks at in each transaction, once it was read
	counter uint32
	highest uint32

	cookieSalt    uint32 // added to the stored schema cookie for SQLite; 0 before a switch
	unsalted      bool   // another Graft is shown, and no cookie of it yet: salt the first
	highestCookie uint32 // that SQLite saw

	// written is page 1 as SQLite wrote it in the open transaction. The buffer is
	// used again and again: what is published is another page.
	written *graft.Page

	// reversing is set while SQLite rolls a published transaction back.
	reversing bool

	// unpublished is set from a publish that failed for good to the end of the
	// transaction: SQLite rolls it back.
	unpublished bool

	// undone is what the transaction stood on, from its publishing to the end of
	// COMMIT: until then another database of it may fail, and SQLite roll back.
	undone *graft.Reader
	uncut  graft.PageCount // of the file that SQLite takes to be there as long as undone is set

	// cause is the error behind the last code that SQLite was given in this
	// transaction. SQLite goes on calling after it, so that go-sqlite3 forgets
	// it: it is handed over again with each Unlock, and with Close.
	keptCause

	guest guest

	foresees bool // there is a bucket to fetch from
	guide    guide

	stats fileStats
	dry   *dryRun // nil: pages are fetched
}

var (
	_ sqlite3vfs.FileLockState      = (*file)(nil)
	_ sqlite3vfs.FileSync           = (*file)(nil)
	_ sqlite3vfs.FileCommitPhaseTwo = (*file)(nil)
	_ sqlite3vfs.FilePragma         = (*file)(nil)
)

// SetDB is how go-sqlite3 tells a file its connection.
func (f *file) SetDB(conn any) { f.conn, _ = conn.(*sqlite3.Conn) }

// fail translates an error to what SQLite understands, and keeps it as the
// cause. It is the one place that does.
func (f *file) fail(err error, code sqlite3.ExtendedErrorCode) error {
	switch {
	case err == nil:
		return nil
	case f.interrupt().Err() != nil:
		return sqlite3.INTERRUPT
	case errors.Is(err, graft.ErrBusy):
		code = sqlite3.ExtendedErrorCode(sqlite3.BUSY)
	case errors.Is(err, graft.ErrStale):
		code = sqlite3.BUSY_SNAPSHOT
	case errors.Is(err, graft.ErrCorrupt):
		code = sqlite3.IOERR_DATA
	case errors.Is(err, graft.ErrFull):
		code = sqlite3.ExtendedErrorCode(sqlite3.FULL)
	}
	f.keepCause(err, code)
	if f.conn != nil && code.Code() != sqlite3.BUSY {
		f.conn.Log(code, "%v", err) // as SQLite's own VFSs do: a copy into a tag may have nobody else to tell
	}
	return sqlite3vfs.SystemError(err, code)
}

func (f *file) keepCause(err error, code sqlite3.ExtendedErrorCode) {
	f.keptCause = keptCause{err, code}
}

// withCause is success that hands the cause over again, if there is one.
func (f *file) withCause() error {
	return sqlite3vfs.SystemError(f.cause, sqlite3.ErrorCode(0))
}

// Close releases what the connection holds.
func (f *file) Close() error {
	_ = f.Unlock(sqlite3vfs.LOCK_NONE)
	f.vfs.names.add(f.name, -1)
	f.vfs.closed.note(f.conn, f.keptCause)
	if err := f.db.Close(); err != nil {
		return f.fail(err, sqlite3.IOERR_CLOSE)
	}
	return f.withCause()
}

// pages is what SQLite sees: the open transaction, or the pinned Snapshot, or
// without a lock the newest one.
type pages interface {
	PageCount() graft.PageCount
	Page(context.Context, graft.PageIdx) (*graft.Page, error)
	ReadPage(context.Context, graft.PageIdx, *graft.Page) error
}

// pages gives what SQLite sees until done is called.
func (f *file) pages() (src pages, done func()) {
	switch {
	case f.writer != nil:
		return f.writer, func() {}
	case f.reader != nil:
		return f.reader, func() {}
	}
	r := f.graft.Reader()
	return r, r.Close
}

// ReadAt reads what SQLite sees. Bytes past the end are io.EOF.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	if f.guest.unasked && f.reader != nil {
		f.keepNormal()
	}
	src, done := f.pages()
	defer done()
	for n < len(p) {
		at := off + int64(n)
		if at >= src.PageCount().Bytes() {
			return n, io.EOF
		}
		idx := graft.PageIdx(at/graft.PageSize) + 1
		in := int(at % graft.PageSize)
		part, err := f.readPage(src, p[n:], idx, in)
		if err != nil {
			other := f.dry.instead(idx, err)
			if other == nil {
				return n, f.fail(err, sqlite3.IOERR_READ)
			}
			part = copy(p[n:], other[in:])
		} else if in == 0 && part == graft.PageSize {
			f.dry.read(idx, p[n:n+part])
		}
		n += part
	}
	return n, nil
}

// readPage reads page idx of src from byte in on, as far as p goes.
func (f *file) readPage(src pages, p []byte, idx graft.PageIdx, in int) (int, error) {
	if idx != 1 && in == 0 && len(p) >= graft.PageSize {
		err := src.ReadPage(f.context(), idx, (*graft.Page)(p))
		if err == nil && f.foresees {
			f.guide.read(f, idx, p)
		}
		return graft.PageSize, err
	}
	page, err := f.page(src, idx)
	if err != nil {
		return 0, err
	}
	n := copy(p, page[in:])
	if idx == 1 && (f.writer == nil || !f.writer.Staged(1)) {
		sqlitefile.OverlayCounter(p[:n], in, f.counter)
		sqlitefile.OverlayCookie(p[:n], in, f.showCookie(sqlitefile.Header(page[:]).Cookie()))
	}
	return n, nil
}

// page gives a page of src, which is what SQLite sees.
func (f *file) page(src pages, idx graft.PageIdx) (*graft.Page, error) {
	if idx != 1 || f.writer != nil || f.reader == nil {
		return src.Page(f.context(), idx)
	}
	if f.first == nil {
		page, err := src.Page(f.context(), 1)
		if err != nil {
			return nil, err
		}
		f.first = page
	}
	return f.first, nil
}

// WriteAt stages whole pages.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if f.writer == nil {
		return 0, f.fail(errors.New("graft: write outside a transaction"), sqlite3.IOERR_WRITE)
	}
	if off%graft.PageSize != 0 || len(p)%graft.PageSize != 0 {
		return 0, f.fail(pageSizeError(len(p)), sqlite3.IOERR_WRITE)
	}
	if err := f.rollBack(); err != nil {
		return 0, f.fail(err, sqlite3.IOERR_WRITE)
	}
	for n := 0; n < len(p); n += graft.PageSize {
		idx := graft.PageIdx((off+int64(n))/graft.PageSize) + 1
		f.noteChange(idx)
		if err := f.writer.Write(idx, f.copyPage(idx, p[n:])); err != nil {
			return n, f.fail(err, sqlite3.IOERR_WRITE)
		}
	}
	return len(p), nil
}

// copyPage gives a copy of page idx as SQLite writes it.
func (f *file) copyPage(idx graft.PageIdx, p []byte) *graft.Page {
	if idx != 1 {
		return volume.CopyPage(p)
	}
	f.sawHeader(p)
	if f.written == nil {
		f.written = new(graft.Page)
	}
	copy(f.written[:], p)
	return f.written
}

// Truncate cuts the open transaction's database. After COMMIT has synced the
// page count is that of the header already; a larger one is a rollback.
func (f *file) Truncate(size int64) error {
	n := graft.PageCount(size / graft.PageSize)
	if f.writer == nil || n == f.writer.PageCount() {
		return nil
	}
	if err := f.rollBack(); err != nil {
		return f.fail(err, sqlite3.IOERR_TRUNCATE)
	}
	return f.fail(f.writer.SetPageCount(n), sqlite3.IOERR_TRUNCATE)
}

// Sync has nothing to do: SyncSuper came before.
func (f *file) Sync(sqlite3vfs.SyncFlag) error { return nil }

// Size is the size of what SQLite sees, in bytes. SQLite truncates a database
// when COMMIT is through, and not before.
func (f *file) Size() (int64, error) {
	src, done := f.pages()
	defer done()
	n := src.PageCount()
	if f.undone != nil {
		n = max(n, f.uncut)
	}
	return n.Bytes(), nil
}

// SectorSize is the size of a page.
func (f *file) SectorSize() int { return graft.PageSize }

// DeviceCharacteristics must never have IOCAP_BATCH_ATOMIC: SQLite would skip
// the change counter. With IOCAP_ATOMIC4K a transaction that changes one page
// opens no journal.
func (f *file) DeviceCharacteristics() sqlite3vfs.DeviceCharacteristic {
	return sqlite3vfs.IOCAP_ATOMIC4K | sqlite3vfs.IOCAP_POWERSAFE_OVERWRITE | sqlite3vfs.IOCAP_SAFE_APPEND |
		sqlite3vfs.IOCAP_SEQUENTIAL | sqlite3vfs.IOCAP_SUBPAGE_READ
}
