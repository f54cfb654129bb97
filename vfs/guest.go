package vfs

import (
	"errors"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"

	"graft"
)

// guest is what a file knows of a connection whose main database is not of
// graft. A pragma without the name of a database goes to the file of main alone,
// and SQLite applies it to all of them, so that Pragma cannot pin it. These two
// would do harm, and are taken back when SQLite locks the file:
//
//   - locking_mode EXCLUSIVE: no lock is ever released. A reader would see one
//     Snapshot for ever, a writer keep all others away.
//   - journal_mode OFF: a statement that fails half-way is not undone. MEMORY goes
//     too, as it could be changed to OFF in the transaction without being seen.
//
// What is set while a transaction is open is taken back at its end, if it was
// committed, or else in the next one.
type guest struct {
	schema  string // SQLite's name of the database; "": this is no guest, or not known yet
	known   bool
	asking  bool // a pragma of ours is for SQLite
	unasked bool // locking_mode may be EXCLUSIVE

	// What the open write transaction did.
	journaled bool          // a journal was begun
	changed   graft.PageIdx // a page of the Snapshot, not the first
	many      bool          // and another
}

// isGuest tells whether the main database of the connection is not of graft.
func (f *file) isGuest() bool {
	g := &f.guest
	if g.known || !f.isOpen() {
		return g.schema != ""
	}
	own := ""
	for n := 0; ; n++ {
		schema := f.conn.DBName(n)
		if schema == "" {
			break
		}
		other := fileOf(f.conn, schema)
		if n == 0 && other != nil {
			g.known = true
			return false
		}
		if other == f {
			own = schema
		}
	}
	g.schema, g.known = own, own != ""
	return g.known
}

// ask runs a pragma on the database of a guest, and gives what SQLite answers. It
// is not to make SQLite lock or read the file.
func (f *file) ask(pragma string) (string, error) {
	f.guest.asking = true
	defer func() { f.guest.asking = false }()
	stmt, _, err := f.conn.Prepare("PRAGMA " + sqlite3.QuoteIdentifier(f.guest.schema) + "." + pragma)
	if err != nil {
		return "", err
	}
	text := ""
	if stmt.Step() {
		text = stmt.ColumnText(0)
	}
	return text, stmt.Close()
}

// keepNormal lets SQLite release its locks at the end of the transaction. While
// it loads the schema, as it does in ATTACH, it runs no pragma: then the next
// read tries again.
func (f *file) keepNormal() {
	if f.guest.asking || !f.isGuest() {
		return
	}
	_, err := f.ask("locking_mode = normal")
	f.guest.unasked = err != nil
}

// keepJournal begins a write transaction: it lets SQLite have a journal.
func (f *file) keepJournal() {
	if f.guest.asking || !f.isGuest() {
		return
	}
	f.guest.journaled, f.guest.changed, f.guest.many = false, 0, false
	switch mode, err := f.ask("journal_mode"); {
	case err != nil: // then checkJournal is what there is
	case mode == "off" || mode == "memory":
		_, _ = f.ask("journal_mode = delete") // as above
	}
}

// noteChange notes that SQLite writes a page.
func (f *file) noteChange(idx graft.PageIdx) {
	g := &f.guest
	if g.schema == "" || idx == 1 || !f.reader.PageCount().Has(idx) {
		return
	}
	if g.changed == 0 {
		g.changed = idx
	}
	g.many = g.many || idx != g.changed
}

// checkJournal refuses to publish a transaction that SQLite could not have rolled
// back. It journals each page of the Snapshot that it changes, but for one alone,
// of which IOCAP_ATOMIC4K lets it keep the journal in memory.
func (f *file) checkJournal() error {
	if g := &f.guest; g.schema != "" && g.many && !g.journaled {
		return errors.New("graft: journal_mode was changed in the transaction: it has no rollback journal, and is rolled back")
	}
	return nil
}

// fileOf gives the file of a database of conn, or nil if it is not of graft.
func fileOf(conn *sqlite3.Conn, schema string) *file {
	p, err := conn.FileControl(schema, sqlite3.FCNTL_FILE_POINTER)
	if err != nil {
		return nil // temp, which has no file
	}
	if w, ok := p.(interface{ Unwrap() sqlite3vfs.File }); ok {
		p = w.Unwrap()
	}
	f, _ := p.(*file)
	return f
}
