package objstore_test

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"graft/internal/faultbucket"
	"graft/objstore"
	"graft/objstore/objstoretest"
)

// TestFlakyRace has writers whose connections mostly do not come about, and a reader whose connections mostly break.
func TestFlakyRace(t *testing.T) {
	inner := faultbucket.New()
	var requests atomic.Int64
	inner.Fail(func(r faultbucket.Request) error {
		switch n := requests.Add(1); {
		case n%3 == 0:
			return nil
		case r.Op == "put":
			return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		default:
			return &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
		}
	}, nil)
	open := func() *objstore.Bucket {
		b := objstore.New(inner.Blob())
		b.SetWait(objstore.NoWait)
		b.SetAttempts(1000) // other requests may take the turns at which one succeeds
		return b
	}
	const keys = 200
	var puts []objstoretest.PutFunc
	for range 8 {
		puts = append(puts, open().PutIfAbsent)
	}
	for _, finding := range objstoretest.Race(t.Context(), open(), "", keys, puts) {
		t.Error(finding)
	}
	if n := requests.Load(); n < 2*9*keys {
		t.Errorf("%d requests: hardly any was repeated", n)
	}
}
