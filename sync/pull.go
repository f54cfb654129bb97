package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// Pulled is what a pull did: it moved the Graft from one LSN of the remote
// Volume to another, which are equal when there was nothing new.
type Pulled struct{ From, To volume.LSN }

// Pull fetches, and moves h's Graft to the newest commit of its remote Volume.
// No page is fetched. It waits for the open Writer. ErrDiverged tells that
// there are local commits that are not pushed; nothing changed then.
func (r *Remote) Pull(ctx context.Context, h *snapshot.Head) (Pulled, error) {
	return r.pull(ctx, h, h.Advance, r.turn())
}

// pull is Pull with one of the ways to advance, by who asked at a turn.
func (r *Remote) pull(ctx context.Context, h *snapshot.Head, move func(context.Context, volume.LSN) error, asked turn) (moved Pulled, err error) {
	ctx, end := begin(ctx, "pull", h.State().Local)
	defer end(&err)
	defer r.store.HoldVolume(h.State().Remote)() // what is fetched may be older than what others use by then
	got, err := r.fetch(ctx, h, asked)
	if errors.Is(err, ErrNoRemote) {
		return Pulled{}, err
	}
	if err != nil {
		return Pulled{}, fmt.Errorf("pull: %w", err)
	}
	st := h.State()
	moved = Pulled{From: st.SyncPoint.Remote, To: st.SyncPoint.Remote}
	now := standingOf(&st, got.Head)
	if now.seen, err = r.seenSince(ctx, st.Remote, asked); err != nil {
		return moved, err
	}
	switch now.pull() {
	case nothing:
		return moved, nil
	case diverged:
		return moved, divergence("pull", h, got.Head)
	case proveHead:
		if err := r.proveHead(ctx, st.Remote, got.Head); err != nil {
			return moved, fmt.Errorf("pull: %w", err)
		}
	}
	err = move(ctx, got.Head) // it looks again
	if errors.Is(err, ErrDiverged) {
		return moved, divergence("pull", h, got.Head)
	}
	if err != nil {
		return moved, err
	}
	moved.To = got.Head
	return moved, nil
}

// seenSince tells whether the bucket was seen to have the newest commit of v that the
// store has, since somebody asked.
func (r *Remote) seenSince(ctx context.Context, v volume.VolumeID, asked turn) (bool, error) {
	rv, err := r.lockVolume(ctx, v)
	if err != nil {
		return false, err
	}
	defer rv.unlock()
	return rv.proved.turn > asked, nil
}

// proveHead verifies the newest commit of v that the store has. Nobody waits for that:
// others may move on meanwhile.
func (r *Remote) proveHead(ctx context.Context, v volume.VolumeID, head volume.LSN) error {
	begin := r.look()
	if err := r.verify(ctx, v, head); err != nil {
		return err
	}
	rv, err := r.lockVolume(ctx, v)
	if err != nil {
		return err
	}
	defer rv.unlock()
	known, err := r.store.Head(v)
	if err == nil && known == head && rv.proved.turn < begin.turn {
		rv.proved = begin
	}
	return err
}

// proveSince verifies the newest commit of v that the store has, unless the bucket was
// seen to have it since somebody asked.
func (r *Remote) proveSince(ctx context.Context, v volume.VolumeID, head volume.LSN, asked turn) error {
	seen, err := r.seenSince(ctx, v, asked)
	if err != nil || seen {
		return err
	}
	return r.proveHead(ctx, v, head)
}

// divergence says how far both sides are apart.
func divergence(op string, h *snapshot.Head, remote volume.LSN) error {
	st := h.State()
	ahead := volume.LSNRange{First: st.SyncPoint.Remote + 1, Last: remote}
	return &volume.Error{Op: op, Volume: st.Local, Err: fmt.Errorf("%w: %d local commits are not pushed, and the remote volume %s is %d commits ahead",
		ErrDiverged, st.Unpushed().Len(), st.Remote, ahead.Len())}
}

// findVolume is a fetch of a Volume of which nothing may be known.
func (r *Remote) findVolume(ctx context.Context, v volume.VolumeID) (Fetched, error) {
	meterOf(ctx).phase(PhaseFind)
	rv, err := r.lockVolume(ctx, v)
	if err != nil {
		return Fetched{}, err
	}
	defer rv.unlock()
	known, err := r.store.Head(v)
	if err != nil {
		return Fetched{}, err
	}
	if known > 0 {
		return r.fetchLocked(ctx, rv, v)
	}
	return r.jumpLocked(ctx, rv, v, Fetched{})
}

// cloneSize is for how many bytes of redo records a clone makes room beforehand: for a
// commit with the checkpoint in it, mostly.
const cloneSize = maxEmbedded + 32<<10

// prepareStore makes room for the record of a commit while the bucket is asked for it.
// wait is called before the store is closed. What goes wrong is met again.
func (r *Remote) prepareStore() (wait func()) {
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.store.Prepare(cloneSize); err != nil {
			r.log.Debug("prepare the local store", "error", err)
		}
	})
	return running.Wait
}

// Clone stores a new Graft of remote Volume v at its newest commit, without a
// Tag. It is durable with what is stored next, such as its Tag. ErrNoVolume tells that
// the bucket has no such Volume. No page is fetched.
func (r *Remote) Clone(ctx context.Context, v volume.VolumeID) (volume.GraftState, error) {
	return r.clone(ctx, volume.NewVolumeID(), v)
}

// clone is Clone under a local Volume that is new.
func (r *Remote) clone(ctx context.Context, local, v volume.VolumeID) (g volume.GraftState, err error) {
	ctx, end := begin(ctx, "clone", volume.VolumeID{})
	defer end(&err)
	defer r.store.HoldVolume(v)() // until the Graft refers to it
	warm, giveUp := r.startWarm(ctx, v)
	defer giveUp()
	defer r.prepareStore()()
	asked := r.turn()
	got, err := r.findVolume(ctx, v)
	if err != nil {
		return volume.GraftState{}, fmt.Errorf("clone: %w", err)
	}
	if got.Head == 0 {
		return volume.GraftState{}, &volume.Error{Op: "clone", Volume: v, Err: ErrNoVolume}
	}
	if err := r.proveSince(ctx, v, got.Head, asked); err != nil { // it may be known from before
		return volume.GraftState{}, fmt.Errorf("clone: %w", err)
	}
	base, err := r.parentHash(ctx, v, got.Head)
	if err != nil {
		return volume.GraftState{}, fmt.Errorf("clone: %w", err)
	}
	set := warm()
	g = volume.GraftState{Local: local, Remote: v, SyncPoint: volume.SyncPoint{Remote: got.Head}, Base: base}
	// The Tag that gets it makes it durable.
	if err := r.store.Apply(store.Change{Grafts: []volume.GraftState{g}, Relaxed: true}); err != nil {
		return g, fmt.Errorf("clone: %w", err)
	}
	if set != nil {
		if _, err := r.stageWarm(ctx, snapshot.Point{Volume: v, LSN: got.Head}, set); err != nil {
			r.log.Warn("warm set is not used", "volume", v, "error", err)
		}
	}
	return g, nil
}
