package store

import (
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// readTxns keeps one read transaction of Badger for all reads: to begin one costs
// as much as to read a page, and it waits for each write that is under way, while
// reads need only see those that have returned. So whoever has written begins the
// next one, and reads go on with the last until then.
//
// Nobody keeps one for long, for Badger does not forget what was deleted since.
//
// There is a current one in each write to Badger: when Badger's writer is held in it, no
// other can begin any more.
type readTxns struct {
	writer *writerHold

	epoch atomic.Uint64 // of the current transaction; goes up with each write, under mu

	written atomic.Uint64 // writes that are done

	turn struct { // held while a transaction begins; taken before mu
		sync.Mutex
		seen uint64 // how many of the writes the current one sees, at least
	}

	mu struct {
		sync.Mutex
		current *readTxn // nil until somebody reads or writes
	}
}

// readTxn is a transaction that many read in: Badger's are safe for that when they
// only read.
type readTxn struct {
	txn   *badger.Txn
	epoch uint64
	users int  // guarded by readTxns.mu
	over  bool // it is not the current one; guarded by readTxns.mu
}

// view runs fn in a read transaction that sees every write that has returned, and
// gives its epoch.
func (r *readTxns) view(db *badger.DB, fn func(*badger.Txn) error) (epoch uint64, err error) {
	t := r.get(db)
	defer r.giveBack(t)
	return t.epoch, fn(t.txn)
}

// keep sees to it that there is a current transaction.
func (r *readTxns) keep(db *badger.DB) { r.giveBack(r.get(db)) }

// get gives the current transaction, which it begins if there is none: then nothing is
// being written, nor is before it gives the turn back.
func (r *readTxns) get(db *badger.DB) *readTxn {
	if t := r.take(); t != nil {
		return t
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	t := r.take()
	if t == nil {
		r.turn.seen = r.written.Load()
		r.swap(&readTxn{txn: db.NewTransaction(false)})
		t = r.take()
	}
	return t
}

// take gives the current transaction, or nil when there is none.
func (r *readTxns) take() *readTxn {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.mu.current
	if t != nil {
		t.users++
	}
	return t
}

// swap puts t, or nil, in the place of the current transaction. The caller holds the
// turn.
func (r *readTxns) swap(t *readTxn) {
	r.mu.Lock()
	old := r.mu.current
	r.epoch.Add(1)
	if t != nil {
		t.epoch = r.epoch.Load()
	}
	r.mu.current = t
	idle := false
	if old != nil {
		old.over, idle = true, old.users == 0
	}
	r.mu.Unlock()
	if idle {
		old.txn.Discard()
	}
}

func (r *readTxns) giveBack(t *readTxn) {
	r.mu.Lock()
	t.users--
	idle := t.over && t.users == 0
	r.mu.Unlock()
	if idle {
		t.txn.Discard()
	}
}

// renew lets reads see a write. Call it when the write is done, before anybody relies
// on it. When Badger's writer is held, reads go on with the transaction that they have.
func (r *readTxns) renew(db *badger.DB) {
	n := r.written.Add(1)
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.turn.seen >= n { // somebody else's sees it too
		return
	}
	seen := r.written.Load()
	if txn := r.writer.begin(db, false); txn != nil {
		r.turn.seen = seen
		r.swap(&readTxn{txn: txn})
	}
}

// drop gives the current transaction up. Nobody writes then, or nobody reads any more.
func (r *readTxns) drop() {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.swap(nil)
}
