package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"graft/volume"
)

// stallingHandler keeps whoever logs a message waiting, once it is armed, and once.
type stallingHandler struct {
	slog.Handler
	message       string
	armed         atomic.Bool
	stalled, goOn chan struct{}
}

func newStallingHandler(message string) *stallingHandler {
	return &stallingHandler{Handler: slog.DiscardHandler, message: message, stalled: make(chan struct{}), goOn: make(chan struct{})}
}

func (h *stallingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *stallingHandler) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.message) && h.armed.CompareAndSwap(true, false) {
		close(h.stalled)
		<-h.goOn
	}
	return nil
}

// midWrite is what Badger says in the middle of a write.
const midWrite = "writeRequests called. Writing to value log"

// TestReadsDoNotWaitForWrites reads while Badger is in the middle of a write.
func TestReadsDoNotWaitForWrites(t *testing.T) {
	h := newStallingHandler(midWrite)
	s, err := Open(t.TempDir(), Options{Logger: slog.New(h)})
	must(t, err)
	defer closeStore(t, s)
	id := volume.NewSegmentID()
	must(t, s.Stage(id, pages(1, 8, 1)))
	readAll(t, s, id, pages(1, 1, 1))
	must(t, s.Stage(id, pages(9, 9, 1))) // reads need another transaction now
	h.armed.Store(true)
	written := make(chan error, 1)
	go func() { written <- s.Stage(id, pages(10, 19, 1)) }()
	<-h.stalled
	read := make(chan struct{})
	go func() {
		defer close(read)
		readAll(t, s, id, pages(2, 9, 1))
		if has, err := s.HasPage(id, 20); err != nil || has {
			t.Errorf("page 20 is here: %v, %v", has, err)
		}
		if head, err := s.Head(someVolume); head != 0 || err != nil {
			t.Errorf("head %d, %v", head, err)
		}
	}()
	select {
	case <-read:
	case <-time.After(10 * time.Second):
		t.Error("a read waits for a write")
	}
	close(h.goOn)
	<-read
	must(t, <-written)
	readAll(t, s, id, pages(10, 19, 1))
}

// TestReadsSeeEveryWriteThatHasReturned has several writers, each of which looks for
// what it has stored.
func TestReadsSeeEveryWriteThatHasReturned(t *testing.T) {
	s := openNew(t)
	var running sync.WaitGroup
	for w := range uint64(4) {
		running.Go(func() {
			id := volume.NewSegmentID()
			for p := range volume.PageIdx(50) {
				want := pages(p+1, p+1, w)
				if err := s.Stage(id, want); err != nil {
					t.Error(err)
					return
				}
				if got, err := s.StagedPage(id, p+1); err != nil || *got != *want[0].Page {
					t.Errorf("page %d that was stored: other content, or %v", p+1, err)
				}
				if has, err := s.HasPage(id, p+2); err != nil || has {
					t.Errorf("page %d is here: %v, %v", p+2, has, err)
				}
			}
		})
	}
	running.Wait()
}
