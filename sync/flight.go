package sync

import (
	"context"
	"errors"
	"sync"

	"graft/volume"
)

// errClosed is what waits for pages end with when the Remote is closed.
var errClosed = errors.New("graft: remote is closed")

// flights lets concurrent reads of one frame share one request. A request goes
// on for as long as somebody waits for it.
type flights struct {
	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		closed bool
		under  map[frameKey]*flight
	}
}

type frameKey struct {
	segment volume.SegmentID
	frame   int
}

// flight is one request. pages and err are set before done is closed; waiters
// is guarded by flights.mu.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	pages   []volume.PageEntry
	err     error
}

func newFlights() *flights {
	fs := &flights{}
	fs.ctx, fs.stop = context.WithCancelCause(context.Background())
	fs.mu.under = make(map[frameKey]*flight)
	return fs
}

// do gives the pages of a frame: of the request that is under way, or else of
// fetch, which is called with a context of its own.
func (fs *flights) do(ctx context.Context, key frameKey, fetch func(context.Context) ([]volume.PageEntry, error)) ([]volume.PageEntry, error) {
	f, err := fs.join(key, fetch)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.pages, f.err
	case <-ctx.Done():
		fs.leave(key, f)
		return nil, context.Cause(ctx)
	}
}

func (fs *flights) join(key frameKey, fetch func(context.Context) ([]volume.PageEntry, error)) (*flight, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.mu.closed {
		return nil, errClosed
	}
	f := fs.mu.under[key]
	if f == nil {
		ctx, cancel := context.WithCancel(fs.ctx)
		f = &flight{done: make(chan struct{}), cancel: cancel}
		fs.mu.under[key] = f
		fs.wg.Go(func() {
			f.pages, f.err = fetch(ctx)
			fs.forget(key, f)
			cancel()
			close(f.done)
		})
	}
	f.waiters++
	return f, nil
}

// leave ends the request when its last waiter goes.
func (fs *flights) leave(key frameKey, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if fs.mu.under[key] == f {
		delete(fs.mu.under, key)
	}
}

func (fs *flights) forget(key frameKey, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.mu.under[key] == f {
		delete(fs.mu.under, key)
	}
}

func (fs *flights) close() {
	fs.mu.Lock()
	fs.mu.closed = true
	fs.mu.Unlock()
	fs.stop(errClosed)
	fs.wg.Wait()
}
