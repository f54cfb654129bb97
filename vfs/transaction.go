package vfs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"

	"graft"
	"graft/internal/sqlitefile"
)

// storedCounter is the change counter in stored pages. SQLite never sees it.
const storedCounter = 1

// checksumBytes is the number of reserved bytes by which go-sqlite3 tells a
// database with SQLite's checksum extension. It would verify the checksum of
// page 1, which covers the change counter. SQLite cannot reserve less than a
// database does, but more.
const checksumBytes = 8

// LockState tells SQLite what it locked.
func (f *file) LockState() sqlite3vfs.LockLevel { return f.lock }

// Lock pins the newest Snapshot at SHARED and opens a Writer over it at
// RESERVED or above. BUSY tells that another transaction writes, BUSY_SNAPSHOT
// that one has committed since SHARED.
func (f *file) Lock(level sqlite3vfs.LockLevel) error {
	switch {
	case level <= f.lock:
		return nil
	case f.dry != nil && level > sqlite3vfs.LOCK_SHARED:
		return f.fail(errors.New("graft: a query that is tried without the bucket writes"), sqlite3.IOERR_LOCK)
	}
	if level == sqlite3vfs.LOCK_SHARED {
		f.pin()
	} else if f.turn != nil {
		f.writer, f.turn = f.turn, nil
		f.foresee(f.writer)
	} else if f.writer == nil {
		w, err := f.graft.TryWriter(f.reader)
		if errors.Is(err, graft.ErrBusy) {
			f.refuse()
		}
		if err != nil {
			return f.fail(err, sqlite3.IOERR_LOCK)
		}
		f.writer = w
		f.foresee(w)
	}
	began := f.lock < sqlite3vfs.LOCK_RESERVED && level >= sqlite3vfs.LOCK_RESERVED
	f.lock = level
	if level == sqlite3vfs.LOCK_SHARED {
		f.keepNormal()
	} else if began {
		f.keepJournal()
	}
	return nil
}

// foresee has what src misses foreseen, and what it reads count as used.
func (f *file) foresee(src interface {
	OnMiss(func(graft.PageIdx))
	NoteUsed()
}) {
	if f.foresees {
		src.OnMiss(f.missed)
		src.NoteUsed()
	}
}

// missed foresees what follows a page that is going to be fetched.
func (f *file) missed(p graft.PageIdx) {
	if f.dry == nil {
		f.guide.missed(f, p)
	}
}

// pin shows the newest Snapshot, under another change counter if its content is
// not what the connection last saw, and under another schema cookie, when one is
// read, if it is of another Graft.
func (f *file) pin() {
	f.cause = nil
	f.stats.begin(f.interrupt())
	f.reader = f.graft.Reader()
	f.foresee(f.reader)
	if f.shown != nil && f.shown.SameContent(f.reader) {
		return
	}
	f.first = nil
	f.highest++
	f.counter = f.highest
	if f.shown != nil && !f.shown.SameGraft(f.reader) {
		f.unsalted = true
	}
	f.shown = f.reader
}

// showCookie gives the cookie that SQLite sees for a stored one.
func (f *file) showCookie(stored uint32) uint32 {
	if f.unsalted {
		f.unsalted = false
		f.cookieSalt = f.highestCookie + 1 - stored // so that it sees one that it never saw
	}
	cookie := stored + f.cookieSalt
	f.highestCookie = later(cookie, f.highestCookie)
	return cookie
}

// sawHeader notes the change counter and the schema cookie that SQLite itself
// chose.
func (f *file) sawHeader(page []byte) {
	h := sqlitefile.Header(page)
	f.highest = later(h.Counter(), f.highest)
	f.highestCookie = later(h.Cookie(), f.highestCookie)
}

// later gives that of two serial numbers which comes after the other, where they
// wrap around.
func later(a, b uint32) uint32 {
	if int32(a-b) > 0 {
		return a
	}
	return b
}

// Unlock gives up a transaction below RESERVED, with what it has not published,
// and the Snapshot at NONE.
func (f *file) Unlock(level sqlite3vfs.LockLevel) error {
	f.takeRefusal()
	if level < sqlite3vfs.LOCK_RESERVED && f.writer != nil {
		f.writer.Discard()
		f.forgetUndone()
		f.writer, f.reversing, f.unpublished = nil, false, false
	}
	if level == sqlite3vfs.LOCK_NONE && f.reader != nil {
		if f.foresees {
			f.guide.end()
		}
		f.reader.Close()
		f.reader = nil
	}
	if level == sqlite3vfs.LOCK_NONE {
		f.dropTurn()
	}
	f.lock = min(f.lock, level)
	return f.withCause()
}

// CheckReservedLock tells whether any connection writes.
func (f *file) CheckReservedLock() (bool, error) { return f.graft.Busy(), nil }

// SyncSuper publishes the transaction: SQLite calls it in COMMIT, where it still
// handles an error. It comes too after a rollback that had to write, with
// content that did not change; then there is no commit. A rollback of what could
// not be published is not looked at: it may have cut the file first, and then
// writes the same pages again.
func (f *file) SyncSuper(string) error {
	if f.writer == nil || !f.writer.Dirty() || f.unpublished {
		return nil
	}
	err := f.publish()
	f.unpublished = err != nil && !errors.Is(err, graft.ErrBusy) // which lets COMMIT be tried again
	return f.fail(err, sqlite3.IOERR_FSYNC)
}

func (f *file) publish() (err error) {
	ctx := f.context()
	if f.writer.PageCount() == 0 {
		return f.publishEmpty(ctx) // a rollback of what made the database
	}
	page, err := f.writer.Page(ctx, 1)
	if err != nil {
		return err
	}
	header := sqlitefile.Header(page[:])
	if err := errors.Join(checkHeader(header), f.checkJournal()); err != nil {
		return err
	}
	inWAL := header.IsWAL() // a copy of a database in WAL mode
	counter, salt := f.counter, f.cookieSalt
	before, uncut := f.writer.Base(), f.writer.PageCount()
	defer func() {
		if f.undone != before {
			before.Close()
		}
	}()
	if f.writer.Staged(1) {
		counter = header.Counter()
		if salt, err = f.stageFirstPage(page); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, f.writer.Write(1, page)) // as SQLite knows it
			}
		}()
	}
	// SQLite truncates after the sync: the header has the count already.
	f.writer.SetRelaxed(f.relaxed)
	lsn, err := f.writer.CommitCut(ctx, graft.PageCount(header.PageCount()))
	if err != nil {
		return err
	}
	f.showPublished()
	if f.counter = counter; inWAL {
		f.highest++
		f.counter = f.highest // SQLite is to read page 1 again, as it was stored
	}
	f.cookieSalt, f.unsalted, f.reversing = salt, false, false
	if !lsn.IsZero() {
		f.forgetUndone()
		f.undone, f.uncut = before, uncut
	}
	return nil
}

// showPublished lets SQLite see what the Writer has just published.
func (f *file) showPublished() {
	f.reader.Close()
	f.reader = f.writer.Base()
	f.shown, f.first = f.reader, nil
}

// forgetUndone gives up what a published transaction stood on.
func (f *file) forgetUndone() {
	if f.undone != nil {
		f.undone.Close()
		f.undone = nil
	}
}

// publishEmpty publishes a database without pages.
func (f *file) publishEmpty(ctx context.Context) error {
	if _, err := f.writer.CommitCut(ctx, 0); err != nil {
		return err
	}
	f.showPublished()
	f.unsalted, f.reversing = true, false
	f.highest++
	f.counter = f.highest
	return nil
}

// CommitPhaseTwo ends COMMIT: no database of the transaction can fail now.
func (f *file) CommitPhaseTwo() error {
	f.forgetUndone()
	f.keepNormal()
	return nil
}

// rollBack makes ready for what SQLite writes to roll a published transaction
// back, if there is one: it writes the pages that it changed, and takes those
// that it only cut off to be still in the file, so they are staged again. The
// reverse is a commit of its own; others may have seen the first.
func (f *file) rollBack() error {
	before := f.undone
	if before == nil {
		return nil
	}
	for p := graft.PageIdx(f.writer.PageCount()) + 1; before.PageCount().Has(p); p++ {
		page, err := before.Page(f.context(), p)
		if err != nil {
			return err
		}
		if err := f.writer.Write(p, page); err != nil {
			return err
		}
	}
	f.forgetUndone()
	f.reversing = true
	return nil
}

// stageFirstPage stages page 1 in the form that is stored: with the stored
// counter and the Graft's own schema cookie, and as it was if it differs in
// nothing but counters. It gives the salt of the cookie that holds when that is
// published.
//
// Others may have seen the schema that a rollback takes back, under its cookie:
// then the next cookie is stored, and SQLite goes on seeing its own.
func (f *file) stageFirstPage(page *graft.Page) (salt uint32, err error) {
	var old *graft.Page
	if f.reader.PageCount() > 0 { // the Writer stands on it
		if old, err = f.writer.BasePage(f.context(), 1); err != nil {
			return 0, err
		}
		if f.cookieSalt == 0 && !f.reversing && sqlitefile.EqualButCounters(old[:], page[:]) {
			return 0, f.writer.Write(1, old) // as in most transactions
		}
	}
	stored := *page
	header := sqlitefile.Header(stored[:])
	header.SetCounter(storedCounter)
	header.SetRollback()
	if old == nil {
		return 0, f.writer.Write(1, &stored) // the first cookie of a Graft is SQLite's
	}
	salt = f.cookieSalt
	published := sqlitefile.Header(old[:]).Cookie()
	if f.reversing && header.Cookie()-salt != published {
		salt = header.Cookie() - (published + 1)
	}
	header.SetCookie(header.Cookie() - salt)
	if sqlitefile.EqualButCounters(old[:], stored[:]) {
		stored = *old
	}
	return salt, f.writer.Write(1, &stored)
}

// checkHeader refuses what could not be opened again.
func checkHeader(h sqlitefile.Header) error {
	switch {
	case !h.IsDatabase():
		return errors.New("graft: page 1 is not that of a SQLite database")
	case h.PageSize() != graft.PageSize:
		return pageSizeError(h.PageSize())
	case h.Reserved() == checksumBytes:
		return fmt.Errorf("graft: the database has SQLite's checksums (%d reserved bytes), which graft cannot keep; its own cover every page", checksumBytes)
	}
	return nil
}

func pageSizeError(size int) error {
	return fmt.Errorf("graft: the database has pages of %d bytes, and graft of %d: take its file by PRAGMA graft_import, or run VACUUM INTO after PRAGMA page_size = %d", size, graft.PageSize, graft.PageSize)
}
