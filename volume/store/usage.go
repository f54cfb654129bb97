package store

import (
	"sync"
	"sync/atomic"
)

// usage counts the calls that are under way, so that Badger is never closed
// under one. A call may make another.
type usage struct {
	n    atomic.Int64 // calls under way; and usageClosed
	once sync.Once
	idle chan struct{} // closed when the last call after close has ended
}

const usageClosed = 1 << 62

func newUsage() *usage { return &usage{idle: make(chan struct{})} }

// acquire keeps the store open until release. It fails once it is closed.
func (u *usage) acquire() error {
	if u.n.Add(1)&usageClosed != 0 {
		u.release()
		return ErrClosed
	}
	return nil
}

func (u *usage) release() {
	if u.n.Add(-1) == usageClosed {
		u.once.Do(func() { close(u.idle) })
	}
}

// close lets no new call begin and waits for those under way. It is true the
// first time.
func (u *usage) close() bool {
	if u.n.Or(usageClosed)&usageClosed != 0 {
		return false
	}
	if u.n.Load() != usageClosed {
		<-u.idle
	}
	return true
}
