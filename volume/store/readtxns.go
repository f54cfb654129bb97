package store

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// readTxns keeps read transactions of Badger for reuse: to begin one costs as
// much as to read a page. One that was begun before the newest write is given
// up, so that reads see every write that has returned, and Badger is not kept
// from forgetting what was deleted.
type readTxns struct {
	mu struct {
		sync.Mutex
		epoch uint64 // goes up with each write
		free  []*badger.Txn
	}
}

// maxFreeTxns is how many transactions are kept.
const maxFreeTxns = 8

// view runs fn in a read transaction that sees every write that has returned.
func (r *readTxns) view(db *badger.DB, fn func(*badger.Txn) error) error {
	txn, epoch := r.take()
	if txn == nil {
		txn = db.NewTransaction(false)
	}
	err := fn(txn)
	if !r.giveBack(txn, epoch) {
		txn.Discard()
	}
	return err
}

func (r *readTxns) take() (txn *badger.Txn, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.mu.free); n > 0 {
		txn, r.mu.free = r.mu.free[n-1], r.mu.free[:n-1]
	}
	return txn, r.mu.epoch
}

func (r *readTxns) giveBack(txn *badger.Txn, epoch uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if epoch != r.mu.epoch || len(r.mu.free) == maxFreeTxns {
		return false
	}
	r.mu.free = append(r.mu.free, txn)
	return true
}

// renew gives up the transactions that were begun before a write. Call it when
// the write is done, before anybody relies on it.
func (r *readTxns) renew() {
	r.mu.Lock()
	free := r.mu.free
	r.mu.free = nil
	r.mu.epoch++
	r.mu.Unlock()
	for _, txn := range free {
		txn.Discard()
	}
}
