package sync

import (
	"context"
	"errors"
	"time"

	"graft/snapshot"
)

// AutoSync pulls and pushes what heads gives, every interval, until ctx ends.
// A Graft that fails is logged and tried again at the next tick; one that has
// diverged waits for somebody to resolve that.
func (r *Remote) AutoSync(ctx context.Context, interval time.Duration, heads func(context.Context) ([]*snapshot.Head, error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all, err := heads(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.Error("autosync", "error", err)
		}
		for _, h := range all {
			if err := r.syncOnce(ctx, h); err != nil && ctx.Err() == nil {
				r.log.Error("autosync", "volume", h.State().Local, "error", err)
			}
		}
	}
}

// syncOnce pulls, unless a Writer is open, and pushes.
func (r *Remote) syncOnce(ctx context.Context, h *snapshot.Head) error {
	if h.State().Unpushed().IsZero() {
		_, err := r.pull(ctx, h, h.TryAdvance)
		if errors.Is(err, snapshot.ErrBusy) {
			return nil // the next tick will do
		}
		if err != nil && !errors.Is(err, ErrDiverged) {
			return err
		}
	}
	if h.State().Unpushed().IsZero() {
		return nil
	}
	if _, err := r.Push(ctx, h); err != nil && !errors.Is(err, ErrForked) {
		return err
	}
	return nil
}
