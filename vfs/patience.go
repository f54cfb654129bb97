package vfs

import (
	"context"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// patience is the busy handler of a connection with PRAGMA busy_timeout. Where
// SQLite's own asks again and again, this one waits in the fair queue of the
// Graft's writers, and has the turn in hand when SQLite tries again:
//
//  1. Lock(RESERVED) of a file is refused: another connection writes.
//  2. SQLite, where it may wait at all, unlocks the file and calls the handler.
//  3. The handler waits for a Writer, until the timeout or the statement's
//     context ends, and leaves it with the file.
//  4. SQLite locks again: SHARED pins what the Writer stands on, RESERVED takes
//     the Writer. An Unlock to NONE instead gives it back.
type patience struct {
	conn    *sqlite3.Conn
	timeout time.Duration
	until   time.Time // of the statement that waits
}

// pollInterval is how often a lock that is not a Graft's is tried again.
const pollInterval = time.Millisecond

// wait is the busy handler. SQLite counts the calls in one statement.
func (p *patience) wait(ctx context.Context, count int) (again bool) {
	if count == 0 {
		p.until = time.Now().Add(p.timeout)
	}
	ctx, cancel := context.WithDeadline(ctx, p.until)
	defer cancel()
	f := p.refused()
	if f == nil {
		select { // a file of another VFS
		case <-time.After(pollInterval):
			return time.Now().Before(p.until)
		case <-ctx.Done():
			return false
		}
	}
	f.refused = false
	if p.writes(f) {
		return false // it would wait for itself
	}
	w, err := f.graft.Writer(ctx)
	if err != nil {
		return ctx.Err() == nil // Lock tells the error
	}
	f.turn = w
	return true
}

// refused gives the file of the connection that was refused last.
func (p *patience) refused() *file {
	for f := range files(p.conn) {
		if f.refused {
			return f
		}
	}
	return nil
}

// writes tells whether another file of the connection has the Writer of the
// Graft that f is to write to.
func (p *patience) writes(f *file) bool {
	r := f.graft.Reader()
	defer r.Close()
	for other := range files(p.conn) {
		if other.writer != nil && other.reader.SameGraft(r) {
			return true
		}
	}
	return false
}

// refuse notes that f was refused, and no other file of the connection.
func (f *file) refuse() {
	if f.conn == nil {
		return
	}
	for other := range files(f.conn) {
		other.refused = false
	}
	f.refused = true
}

// dropTurn gives up a turn that SQLite did not take.
func (f *file) dropTurn() {
	if f.turn != nil {
		f.turn.Discard()
		f.turn = nil
	}
}

// busyTimeout answers PRAGMA busy_timeout once the connection is open: until
// then it has no handle to set a handler on, and SQLite's own is set.
func (f *file) busyTimeout(value string) (string, error) {
	if !f.isOpen() {
		return "", sqlite3.NOTFOUND
	}
	main := f
	for first := range files(f.conn) {
		main = first
		break
	}
	if value == "" {
		if main.patience == nil {
			return "", sqlite3.NOTFOUND
		}
		return strconv.FormatInt(main.patience.timeout.Milliseconds(), 10), nil
	}
	ms := max(leadingNumber(value), 0)
	p := &patience{conn: f.conn, timeout: time.Duration(ms) * time.Millisecond}
	handler := p.wait
	if ms == 0 {
		handler = nil
	}
	if err := f.conn.BusyHandler(handler); err != nil {
		return "", err
	}
	main.patience = p
	return strconv.FormatInt(ms, 10), nil
}
