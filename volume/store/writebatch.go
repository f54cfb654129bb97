package store

import (
	"errors"

	"github.com/dgraph-io/badger/v4"
)

// maxTransaction is how many bytes of keys and values go into one transaction of
// Badger, nearly. Badger maps a file of its value log at twice the size at which it
// begins the next one, and looks at that between transactions alone: one that is longer
// than that size may outgrow the mapping, which Badger then moves while others read
// from it. The least size is 8 MiB.
const maxTransaction = 4 << 20

// writeBatch writes to Badger in as many transactions as it takes, one after the other.
// Badger's own does the same, but waits for ever when Badger's writer is held. It is not
// safe for concurrent use.
type writeBatch struct {
	db     *badger.DB
	writer *writerHold
	txn    *badger.Txn // nil while nothing is in it
	bytes  int         // in txn
}

func newWriteBatch(db *badger.DB, w *writerHold) *writeBatch { return &writeBatch{db: db, writer: w} }

// Set sets a key. Neither slice may change before Flush has returned.
func (b *writeBatch) Set(key, value []byte) error { return b.SetEntry(badger.NewEntry(key, value)) }

// SetEntry is Set for an entry.
func (b *writeBatch) SetEntry(e *badger.Entry) error {
	return b.write(len(e.Key)+len(e.Value), func(txn *badger.Txn) error { return txn.SetEntry(e) })
}

// Delete deletes a key, which may not change before Flush has returned.
func (b *writeBatch) Delete(key []byte) error {
	return b.write(len(key), func(txn *badger.Txn) error { return txn.Delete(key) })
}

// write writes n bytes, in the next transaction when the current one has no room for them.
func (b *writeBatch) write(n int, do func(*badger.Txn) error) error {
	if b.bytes+n > maxTransaction {
		if err := b.Flush(); err != nil {
			return err
		}
	}
	err := b.try(do)
	if errors.Is(err, badger.ErrTxnTooBig) && b.bytes > 0 { // there are too many keys in it
		if err = b.Flush(); err == nil {
			err = b.try(do)
		}
	}
	b.bytes += n
	return err
}

// try writes in the current transaction, or in a new one if there is none.
func (b *writeBatch) try(do func(*badger.Txn) error) error {
	if b.txn == nil {
		b.txn = b.writer.begin(b.db, true)
	}
	if b.txn == nil {
		return errHeld
	}
	return do(b.txn)
}

// Flush ends the last transaction. All are durable when it returns nil.
func (b *writeBatch) Flush() error {
	if b.txn == nil {
		return nil
	}
	err := b.writer.commit(b.txn)
	b.txn, b.bytes = nil, 0
	return err
}

// Cancel ends what Flush has not, which it must follow in every case.
func (b *writeBatch) Cancel() {
	if b.txn != nil {
		b.txn.Discard()
	}
}
