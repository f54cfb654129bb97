package vfs

import (
	"errors"
	"iter"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// Cause gives what is behind an error that SQLite has just returned on conn, or
// nil when that is not known: SQLite itself passes codes and texts on. So
// errors.Is(vfs.Cause(conn, err), graft.ErrDiverged) tells why a
// PRAGMA graft_push failed. The driver joins the two. It must not be called
// while conn runs a statement.
func Cause(conn *sqlite3.Conn, err error) error {
	for f := range files(conn) {
		if f.causes(err) {
			return f.cause
		}
	}
	return nil
}

// causes tells whether the cause that f has kept is that of an error: that of a
// pragma is its text, any other has given SQLite its code. A cause is kept until
// the file's next transaction: by then a file of another VFS may be the reason.
func (f *file) causes(err error) bool {
	var code sqlite3.ExtendedErrorCode
	if f.cause == nil || !errors.As(err, &code) || code != f.causeCode {
		return false
	}
	return code.Code() != sqlite3.ERROR || strings.Contains(err.Error(), f.cause.Error())
}

// files gives the files of graft that conn has open.
func files(conn *sqlite3.Conn) iter.Seq[*file] {
	return func(yield func(*file) bool) {
		for n := 0; ; n++ {
			schema := conn.DBName(n)
			if schema == "" {
				return
			}
			if f := fileOf(conn, schema); f != nil && !yield(f) {
				return
			}
		}
	}
}
