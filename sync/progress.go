package sync

import (
	"context"
	"sync"

	"graft/volume"
)

// Phase is what an operation is busy with.
type Phase string

// The phases of operations. Each has some of them, in no fixed order; all end with
// PhaseDone, but for those that fail.
const (
	PhaseResolve    Phase = "resolve"    // find out what became of an earlier push
	PhaseFind       Phase = "find"       // look for new commits
	PhaseIndex      Phase = "index"      // get the page index
	PhasePages      Phase = "pages"      // move pages
	PhaseCheckpoint Phase = "checkpoint" // put a checkpoint
	PhaseCommit     Phase = "commit"     // put the commit
	PhaseDone       Phase = "done"       // it succeeded
)

// Progress is how far an operation is. Nothing in it ever falls while the
// operation goes on. When it has succeeded, the phase is PhaseDone and what is
// done is the total.
type Progress struct {
	Op    string          // push, pull, fetch, hydrate, pin, reset or clone
	Graft volume.VolumeID // local Volume, which is the key of the Graft; of a clone, zero
	Phase Phase

	Requests   int   // to the bucket that have ended; a listing counts once
	Bytes      int64 // moved to or from the bucket, as far as they were of use
	TotalBytes int64 // Bytes at the end, or 0 as long as that is not known
	Pages      int   // that were moved
	TotalPages int   // Pages at the end, or 0 as long as that is not known
}

// progressKey and meterKey are keys of a context.
type (
	progressKey struct{}
	meterKey    struct{}
)

// WithProgress gives a context whose operations tell fn how far they are: Push,
// Pull, Fetch, Hydrate, Pin, Reset and Clone. What only touches the local store, as a
// fork does, has nothing to tell. A later WithProgress replaces an earlier one.
//
// It is the context that carries fn, as it also carries cancellation, because it
// reaches every way to start an operation: a pragma run by ExecContext and
// autosync as well as a call.
//
// Each operation calls fn from one goroutine of its own, one call at a time, and
// returns after its last call; operations that run at the same time call it at the
// same time. No lock is held: fn may do whatever a program may do, with the same
// Graft as well, and may cancel the context. An operation does not wait for fn: one
// that is slow misses steps, but never the last.
func WithProgress(ctx context.Context, fn func(Progress)) context.Context {
	return context.WithValue(ctx, progressKey{}, fn)
}

// meter collects the progress of one operation. A nil meter does nothing. It is
// safe for concurrent use, also after the end of the operation.
type meter struct {
	fn      func(Progress)
	wake    chan struct{} // has room for one
	ended   chan struct{}
	stopped chan struct{}

	mu struct {
		sync.Mutex
		now  Progress
		told Progress // only the meter's goroutine sets it
		over bool     // nothing changes any more
	}
}

// begin starts the meter of an operation, if anybody wants to know. end must be
// deferred before the operation takes its first lock. An operation that is part of
// another one has no meter of its own.
func begin(ctx context.Context, op string, graft volume.VolumeID) (_ context.Context, end func(*error)) {
	fn, _ := ctx.Value(progressKey{}).(func(Progress))
	if fn == nil || meterOf(ctx) != nil {
		return ctx, func(*error) {}
	}
	m := &meter{fn: fn, wake: make(chan struct{}, 1), ended: make(chan struct{}), stopped: make(chan struct{})}
	m.mu.now = Progress{Op: op, Graft: graft}
	go m.run()
	return withMeter(ctx, m), m.end
}

func withMeter(ctx context.Context, m *meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// meterOf gives the meter of the operation that ctx belongs to, or nil.
func meterOf(ctx context.Context) *meter {
	m, _ := ctx.Value(meterKey{}).(*meter)
	return m
}

// run calls fn with what is new, until the end.
func (m *meter) run() {
	defer close(m.stopped)
	for {
		select {
		case <-m.wake:
			m.tell()
		case <-m.ended:
			m.tell()
			return
		}
	}
}

func (m *meter) tell() {
	m.mu.Lock()
	now, known := m.mu.now, m.mu.now == m.mu.told
	m.mu.told = now
	m.mu.Unlock()
	if !known {
		m.fn(now)
	}
}

// end waits until fn was told the last, with the error of the operation.
func (m *meter) end(err *error) {
	m.update(func(p *Progress) {
		if *err == nil {
			p.Pages = max(p.Pages, p.TotalPages)
			p.Phase, p.TotalBytes, p.TotalPages = PhaseDone, p.Bytes, p.Pages
		}
		m.mu.over = true
	})
	close(m.ended)
	<-m.stopped
}

// update lets fn change the progress, which then keeps what it promises.
func (m *meter) update(fn func(*Progress)) {
	if m == nil {
		return
	}
	m.change(fn)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *meter) change(fn func(*Progress)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.over {
		return
	}
	p := &m.mu.now
	fn(p)
	if p.TotalBytes > 0 {
		p.TotalBytes = max(p.TotalBytes, p.Bytes)
	}
	if p.TotalPages > 0 {
		p.TotalPages = max(p.TotalPages, p.Pages)
	}
}

func (m *meter) phase(phase Phase) { m.update(func(p *Progress) { p.Phase = phase }) }

// expect tells how much is to come.
func (m *meter) expect(bytes int64, pages int) {
	m.update(func(p *Progress) {
		if bytes > 0 {
			p.TotalBytes = p.Bytes + bytes
		}
		if pages > 0 {
			p.TotalPages = p.Pages + pages
		}
	})
}

// request tells that a request ended, which moved bytes.
func (m *meter) request(bytes int) {
	m.update(func(p *Progress) {
		p.Requests++
		p.Bytes += int64(bytes)
	})
}

// moved tells that pages were moved.
func (m *meter) moved(pages int) { m.update(func(p *Progress) { p.Pages += pages }) }

// further gives a function to call with how much of an upload is written, which is
// less again when it is repeated. It tells by how much that is more than ever.
func further(tell func(int)) func(int) {
	most := 0
	return func(n int) {
		if n > most {
			tell(n - most)
			most = n
		}
	}
}
