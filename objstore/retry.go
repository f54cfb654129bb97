package objstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// A backoff plans the attempts of one request: how many there are, and how long to wait between them. The wait is drawn
// evenly from zero up to a ceiling that doubles with each attempt ("full jitter", from Marc Brooker's "Exponential
// Backoff And Jitter", AWS Architecture Blog, 2015), so that clients that failed together do not come back together.
type backoff struct {
	attempts int
	first    time.Duration // ceiling of the wait after the first attempt
	most     time.Duration // no ceiling is above it

	random func(n time.Duration) time.Duration // evenly from [0, n)
	wait   func(ctx context.Context, d time.Duration) error
}

func newBackoff() backoff {
	return backoff{attempts: 5, first: 200 * time.Millisecond, most: 5 * time.Second, random: rand.N[time.Duration], wait: wait}
}

// delay returns the wait after attempt n, counted from 1.
func (p backoff) delay(n int) time.Duration {
	ceiling := p.first
	for range n - 1 {
		ceiling = min(2*ceiling, p.most)
	}
	return p.random(ceiling + 1)
}

// run makes attempts until one succeeds, one says not to go on, there were enough, or ctx ends.
func (p backoff) run(ctx context.Context, attempt func() (again bool, err error)) error {
	for n := 1; ; n++ {
		again, err := attempt()
		switch {
		case err == nil:
			return nil
		case again && n >= p.attempts:
			return fmt.Errorf("%w (attempt %d, the last)", err, n)
		case !again && n > 1:
			return fmt.Errorf("%w (attempt %d)", err, n)
		case !again:
			return err
		}
		if end := p.wait(ctx, p.delay(n)); end != nil {
			return fmt.Errorf("%w (attempt %d, to be repeated): %w", err, n, end)
		}
	}
}

// wait returns after d, or with the error of ctx when that ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
