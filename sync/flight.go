package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"

	counts "graft/internal/meter"
)

// errClosed is what waits for pages end with when the Remote is closed.
var errClosed = errors.New("graft: remote is closed")

// flights lets concurrent wants of the same bytes share one request. A request
// goes on for as long as somebody waits for it. Its key says which object it is to,
// so that the error of a damaged one is nobody's who wants equal bytes of another.
type flights[K comparable, T any] struct {
	what func(K) string // for errors
	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		closed bool
		under  map[K]*flight[T]
	}
}

// flight is one request. result and err are set before done is closed; waiters
// is guarded by flights.mu.
type flight[T any] struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	led     bool // by somebody who does not wait, but lands it
	result  T
	err     error
}

func newFlights[K comparable, T any](what func(K) string) *flights[K, T] {
	fs := &flights[K, T]{what: what}
	fs.ctx, fs.stop = context.WithCancelCause(context.Background())
	fs.mu.under = make(map[K]*flight[T])
	return fs
}

// do gives the result of the request for key that is under way, or else of
// fetch, which is called with a context of its own. The request is progress of the
// operation that made it, and counts for its statement alone.
func (fs *flights[K, T]) do(ctx context.Context, key K, fetch func(context.Context) (T, error)) (none T, err error) {
	for {
		f, mine, err := fs.join(ctx, key, fetch)
		if err != nil {
			return none, err
		}
		select {
		case <-f.done:
			if f.led && f.err != nil || !mine && errors.Is(f.err, counts.ErrBudget) {
				continue // whoever led it gave up, for reasons or a budget of its own
			}
			return f.result, f.err
		case <-ctx.Done():
			fs.leave(key, f)
			return none, fmt.Errorf("wait for %s: %w", fs.what(key), context.Cause(ctx))
		}
	}
}

// lead takes on the request for key, unless it is under way or the flights are
// closed: then ok is false. The caller calls land once, and then forget: until that
// whoever wants the result gets it.
func (fs *flights[K, T]) lead(key K) (land func(T, error), forget func(), ok bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.mu.closed || fs.mu.under[key] != nil {
		return nil, nil, false
	}
	f := &flight[T]{done: make(chan struct{}), cancel: func() {}, waiters: 1, led: true}
	fs.mu.under[key] = f
	land = func(result T, err error) {
		f.result, f.err = result, err
		close(f.done)
	}
	return land, func() { fs.forget(key, f) }, true
}

func (fs *flights[K, T]) join(by context.Context, key K, fetch func(context.Context) (T, error)) (f *flight[T], mine bool, err error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.mu.closed {
		return nil, false, errClosed
	}
	f = fs.mu.under[key]
	if mine = f == nil; mine {
		ctx, cancel := context.WithCancel(withMeter(counts.With(fs.ctx, *counts.Of(by)), meterOf(by)))
		f = &flight[T]{done: make(chan struct{}), cancel: cancel}
		fs.mu.under[key] = f
		fs.wg.Go(func() {
			f.result, f.err = fetch(ctx)
			fs.forget(key, f)
			cancel()
			close(f.done)
		})
	}
	f.waiters++
	return f, mine, nil
}

// leave ends the request when its last waiter goes.
func (fs *flights[K, T]) leave(key K, f *flight[T]) {
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

func (fs *flights[K, T]) forget(key K, f *flight[T]) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.mu.under[key] == f {
		delete(fs.mu.under, key)
	}
}

func (fs *flights[K, T]) close() {
	fs.mu.Lock()
	fs.mu.closed = true
	fs.mu.Unlock()
	fs.stop(errClosed)
	fs.wg.Wait()
}
