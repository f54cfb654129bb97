package vfs

import (
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"weak"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"
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
	if v, ok := sqlite3vfs.Find(Name).(*graftVFS); ok {
		return v.closed.take(conn, err)
	}
	return nil
}

// keptCause is the error behind a code that SQLite was given.
type keptCause struct {
	cause     error
	causeCode sqlite3.ExtendedErrorCode
}

// causes tells whether the cause is that of an error: that of a pragma is its text,
// any other has given SQLite its code. A cause is kept until the file's next
// transaction: by then a file of another VFS may be the reason.
func (k *keptCause) causes(err error) bool {
	var code sqlite3.ExtendedErrorCode
	if k.cause == nil || !errors.As(err, &code) || code != k.causeCode {
		return false
	}
	return code.Code() != sqlite3.ERROR || strings.Contains(err.Error(), k.cause.Error())
}

// closedCause is that of a file which is no more when SQLite reports the error: one
// that VACUUM INTO or a backup has written.
type closedCause struct {
	conn weak.Pointer[sqlite3.Conn]
	keptCause
}

// lastClosed has the cause of the file that was closed last with one, of whatever
// connection: who is told of an error asks at once, and another's is not his.
type lastClosed struct{ atomic.Pointer[closedCause] }

func (l *lastClosed) note(conn *sqlite3.Conn, k keptCause) {
	if conn != nil && k.cause != nil {
		l.Store(&closedCause{weak.Make(conn), k})
	}
}

// take gives the cause of an error of conn, once, or nil.
func (l *lastClosed) take(conn *sqlite3.Conn, err error) error {
	c := l.Load()
	if c == nil || c.conn != weak.Make(conn) {
		return nil
	}
	l.CompareAndSwap(c, nil)
	if !c.causes(err) {
		return nil
	}
	return c.cause
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
