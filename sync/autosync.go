package sync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"graft/snapshot"
)

// maxPause is how many ticks a Graft that goes on failing is left alone for, at
// most.
const maxPause = 64

// pace says when a Graft is synced again.
type pace struct {
	failures int
	pause    int // ticks
}

// due tells whether it is time, at each tick.
func (p *pace) due() bool {
	if p.pause > 0 {
		p.pause--
		return false
	}
	return true
}

// done notes how it went. After each failure in a row the Graft is left alone for
// up to twice as long, by chance, so that machines do not come back all at once.
func (p *pace) done(failed bool, random func(n int) int) {
	if !failed {
		p.failures = 0
		return
	}
	p.failures++
	p.pause = random(min(1<<min(p.failures, 10), maxPause))
}

// AutoSync pulls and pushes what heads gives, every interval, until ctx ends. A remote
// Volume costs one request at a tick when there is nothing new, however many of
// these Grafts are of it.
// A Graft that fails is logged and tried again, less and less often; one that has
// diverged waits for somebody to resolve that. Ticks of several machines are
// spread by a first wait of chance.
func (r *Remote) AutoSync(ctx context.Context, interval time.Duration, heads func(context.Context) ([]*snapshot.Head, error)) {
	wait := time.NewTimer(rand.N(interval))
	defer wait.Stop()
	paces := make(map[*snapshot.Head]*pace)
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		wait.Reset(interval)
		tick := r.turn()
		all, err := heads(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.Error("autosync", "error", err)
			continue
		}
		next := make(map[*snapshot.Head]*pace, len(all)) // without those that are gone
		for _, h := range all {
			p := paces[h]
			if p == nil {
				p = &pace{}
			}
			next[h] = p
			if !p.due() {
				continue
			}
			err := r.syncOnce(ctx, h, tick)
			if err != nil && ctx.Err() == nil {
				r.log.Error("autosync", "volume", h.State().Local, "error", err)
			}
			p.done(err != nil, rand.IntN)
		}
		paces = next
	}
}

// syncOnce pulls, unless a Writer is open, pushes, and has the pages of Pins here.
// Grafts of one remote Volume share the fetch of a tick.
func (r *Remote) syncOnce(ctx context.Context, h *snapshot.Head, tick turn) error {
	if h.State().Unpushed().IsZero() {
		_, err := r.pull(ctx, h, h.TryAdvance, tick)
		if errors.Is(err, snapshot.ErrBusy) {
			return nil // the next tick will do
		}
		if err != nil && !errors.Is(err, ErrDiverged) {
			return err
		}
	}
	if !h.State().Unpushed().IsZero() {
		if _, err := r.Push(ctx, h); err != nil {
			return err
		}
	}
	return r.refreshPins(ctx, h)
}
