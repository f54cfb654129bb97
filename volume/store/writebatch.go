package store

import "github.com/dgraph-io/badger/v4"

// maxTransaction is how many bytes of keys and values go into one transaction of
// Badger, nearly. Badger maps a file of its value log at twice the size at which it
// begins the next one, and looks at that between transactions alone: one that is longer
// than that size may outgrow the mapping, which Badger then moves while others read
// from it. The least size is 8 MiB.
const maxTransaction = 4 << 20

// writeBatch writes to Badger in as many transactions as it takes. It is not safe for
// concurrent use.
type writeBatch struct {
	db    *badger.DB
	wb    *badger.WriteBatch
	bytes int // in wb
}

func newWriteBatch(db *badger.DB) *writeBatch { return &writeBatch{db: db, wb: db.NewWriteBatch()} }

// Set sets a key. Neither slice may change before Flush has returned.
func (b *writeBatch) Set(key, value []byte) error { return b.SetEntry(badger.NewEntry(key, value)) }

// SetEntry is Set for an entry.
func (b *writeBatch) SetEntry(e *badger.Entry) error {
	if err := b.room(len(e.Key) + len(e.Value)); err != nil {
		return err
	}
	return b.wb.SetEntry(e)
}

// Delete deletes a key, which may not change before Flush has returned.
func (b *writeBatch) Delete(key []byte) error {
	if err := b.room(len(key)); err != nil {
		return err
	}
	return b.wb.Delete(key)
}

// room begins the next transaction when the current one has no room for so many bytes.
func (b *writeBatch) room(n int) error {
	if b.bytes > 0 && b.bytes+n > maxTransaction {
		if err := b.wb.Flush(); err != nil {
			return err
		}
		b.wb, b.bytes = b.db.NewWriteBatch(), 0
	}
	b.bytes += n
	return nil
}

// Flush ends the last transaction. All are durable when it returns nil.
func (b *writeBatch) Flush() error { return b.wb.Flush() }

// Cancel ends what Flush has not, which it must follow in every case.
func (b *writeBatch) Cancel() { b.wb.Cancel() }
