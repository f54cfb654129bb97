package objstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// hedgeSample is how many of the last gets say how long one takes.
	hedgeSample = 128
	// hedgeLeast is how many there must be before any is hedged.
	hedgeLeast = 20
	// hedgeBurst is how many gets in a row may be hedged, whatever their share.
	hedgeBurst = 8
)

// errHedged ends a get whose twin was answered first.
var errHedged = errors.New("another request for the same was answered first")

// A hedge asks for the same once more when the answer to a get does not begin within the time in which those of most
// others have, and takes the answer that begins first ("hedged requests", from Jeffrey Dean and Luiz André Barroso's
// "The Tail at Scale", CACM 56(2), 2013). It looks at the begin of an answer alone: how long the rest takes depends on
// its size. Over time no more than twice the share that is slower is asked for twice, so that a bucket that becomes slow
// is not asked for twice as much. A nil hedge asks once. It is safe for concurrent use.
type hedge struct {
	percentile int // 1 to 99
	running    sync.WaitGroup

	mu struct {
		sync.Mutex
		recent [hedgeSample]time.Duration
		count  int // of all that were noted
		credit int // in hundredths of a request
	}
}

// Hedge has gets hedged that are slower than the given percentile of recent ones, from 50 to 99; zero: none. Hedges
// count as requests, in budgets as well. It is called before the Bucket is used.
func (b *Bucket) Hedge(percentile int) {
	b.hedge = nil
	if percentile > 0 {
		b.hedge = &hedge{percentile: percentile}
	}
}

// note notes after which time an answer began.
func (h *hedge) note(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.recent[h.mu.count%hedgeSample] = took
	h.mu.count++
}

// delay gives the time after which a get that begins now is to be hedged; ok is false while it is not known.
func (h *hedge) delay() (d time.Duration, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.credit = min(h.mu.credit+2*(100-h.percentile), 100*hedgeBurst)
	if h.mu.count < hedgeLeast {
		return 0, false
	}
	recent := slices.Clone(h.mu.recent[:min(h.mu.count, hedgeSample)])
	slices.Sort(recent)
	return recent[len(recent)*h.percentile/100], true
}

// spend tells whether one more get may be hedged.
func (h *hedge) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.credit < 100 {
		return false
	}
	h.mu.credit -= 100
	return true
}

// A getter makes one get. It calls began when its answer begins, and ends with errHedged if that is false.
type getter func(ctx context.Context, began func() bool) ([]byte, error)

// get gets by fetch, which may be called twice at once.
func (h *hedge) get(ctx context.Context, fetch getter) ([]byte, error) {
	if h == nil {
		return fetch(ctx, func() bool { return true })
	}
	start := time.Now()
	after, ok := h.delay()
	if !ok {
		return fetch(ctx, func() bool { h.note(time.Since(start)); return true })
	}
	r := &hedged{h: h, start: start, fetch: fetch, winner: -1, ended: make(chan hedgedEnd, 2)}
	r.ask(ctx)
	timer := time.NewTimer(after)
	defer timer.Stop()
	defer r.cancel()
	return r.wait(ctx, timer.C)
}

// hedged is one get with its twin.
type hedged struct {
	h     *hedge
	start time.Time
	fetch getter
	ended chan hedgedEnd

	mu      sync.Mutex
	cancels []context.CancelFunc // one for each request
	winner  int                  // whose answer began, or -1
}

type hedgedEnd struct {
	request int
	data    []byte
	err     error
}

// ask begins the next request, unless an answer has begun.
func (r *hedged) ask(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.winner >= 0 || len(r.cancels) > 0 && !r.h.spend() {
		return
	}
	n := len(r.cancels)
	ctx, cancel := context.WithCancel(ctx)
	r.cancels = append(r.cancels, cancel)
	r.h.running.Go(func() {
		data, err := r.fetch(ctx, func() bool { return r.began(n) })
		r.ended <- hedgedEnd{n, data, err}
	})
}

// began tells that the answer to a request has begun, and whether it is the one that is taken: the other one is given up.
func (r *hedged) began(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.winner < 0 {
		r.winner = n
		r.h.note(time.Since(r.start)) // of the first request, if that is slower, at least
		for i, cancel := range r.cancels {
			if i != n {
				cancel()
			}
		}
	}
	return r.winner == n
}

func (r *hedged) cancel() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, cancel := range r.cancels {
		cancel()
	}
}

// asked gives how many requests there are, and whose answer began, or -1.
func (r *hedged) asked() (requests, winner int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.cancels), r.winner
}

// wait gives the answer that is taken, or the error of the first request when there is none.
func (r *hedged) wait(ctx context.Context, slow <-chan time.Time) (data []byte, err error) {
	for ended := 0; ; {
		select {
		case <-slow:
			r.ask(ctx)
		case e := <-r.ended:
			ended++
			requests, winner := r.asked()
			if e.err == nil || winner == e.request {
				return e.data, e.err
			}
			if e.request == 0 {
				err = e.err
			}
			if ended == requests {
				return nil, err
			}
		}
	}
}
