package store

import (
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// readTxns keeps read transactions of Badger for reuse: to begin one costs as
// much as to read a page. One that was begun before the newest write is given
// up, so that reads see every write that has returned, and Badger is not kept
// from forgetting what was deleted.
type readTxns struct {
	epoch atomic.Uint64 // goes up with each write, under mu

	mu struct {
		sync.Mutex
		free []*badger.Txn
	}
}

// maxFreeTxns is how many transactions are kept.
const maxFreeTxns = 8

// view runs fn in a read transaction that sees every write that has returned, and
// gives its epoch.
func (r *readTxns) view(db *badger.DB, fn func(*badger.Txn) error) (epoch uint64, err error) {
	txn, epoch := r.take()
	if txn == nil {
		txn = db.NewTransaction(false)
	}
	err = fn(txn)
	if !r.giveBack(txn, epoch) {
		txn.Discard()
	}
	return epoch, err
}

func (r *readTxns) take() (txn *badger.Txn, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.mu.free); n > 0 {
		txn, r.mu.free = r.mu.free[n-1], r.mu.free[:n-1]
	}
	return txn, r.epoch.Load()
}

func (r *readTxns) giveBack(txn *badger.Txn, epoch uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if epoch != r.epoch.Load() || len(r.mu.free) == maxFreeTxns {
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
	r.epoch.Add(1)
	r.mu.Unlock()
	for _, txn := range free {
		txn.Discard()
	}
}
