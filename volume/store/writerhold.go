package store

import (
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// errHeld is returned by who would wait for Badger's writer, which is held.
var errHeld = fmt.Errorf("%w: badger's writer is held", ErrPoisoned)

// writerHold is how Badger's writer is kept from going on, and how everybody else waits for it.
//
// The writer is the one goroutine of Badger's that writes: values to the value log, which it
// syncs, and then pointers to them. When that sync fails it only says so, to its Logger,
// and would go on to point to what may not be on disk: a power cut then leaves
// damage, although the redo journal has everything. So it is held at that word until the
// process ends (docs/adr/0009). Nothing points to what was written; what was written
// before is read as ever. It is held, too, when it would write on behind what it could not sync.
//
// Whoever waits for the writer returns then, and the goroutine that he waits with stays
// behind. It touches nothing of his any more: the writer has copied what it
// was to write, and what is queued behind it is never looked at.
type writerHold struct {
	once sync.Once
	held chan struct{}  // is closed when the writer is held
	goOn chan struct{}  // lets the writer go on: only tests do
	left sync.WaitGroup // of those who wait for the writer, and of whom nobody waits
}

func newWriterHold() *writerHold {
	return &writerHold{held: make(chan struct{}), goOn: make(chan struct{})}
}

// hold holds the goroutine that calls it, Badger's writer.
func (h *writerHold) hold() {
	h.once.Do(func() { close(h.held) })
	<-h.goOn
}

// isHeld tells whether the writer is held.
func (h *writerHold) isHeld() bool {
	select {
	case <-h.held:
		return true
	default:
		return false
	}
}

// begin begins a transaction, which waits for all that are being written. It gives nil
// when the writer is held: those never end.
func (h *writerHold) begin(db *badger.DB, update bool) *badger.Txn {
	begun := make(chan *badger.Txn, 1)
	h.left.Go(func() { begun <- db.NewTransaction(update) })
	select {
	case txn := <-begun:
		return txn
	case <-h.held:
		return nil
	}
}

// commit commits a transaction, durably when it returns nil. What was set in it may be
// changed when it returns.
func (h *writerHold) commit(txn *badger.Txn) error {
	done := make(chan error, 1)
	txn.CommitWith(func(err error) { done <- err }) // which reads the keys before it returns, and leaves the values to the writer
	select {
	case err := <-done:
		return err
	case <-h.held:
		return errHeld
	}
}

// update commits what fn does in a transaction.
func (h *writerHold) update(db *badger.DB, fn func(*badger.Txn) error) error {
	txn := h.begin(db, true)
	if txn == nil {
		return errHeld
	}
	defer txn.Discard()
	if err := fn(txn); err != nil {
		return err
	}
	return h.commit(txn)
}

// run runs what waits for the writer, but not when that is held already.
func (h *writerHold) run(fn func() error) error {
	if h.isHeld() {
		return errHeld
	}
	done := make(chan error, 1)
	h.left.Go(func() { done <- fn() })
	select {
	case err := <-done:
		return err
	case <-h.held:
		return errHeld
	}
}
