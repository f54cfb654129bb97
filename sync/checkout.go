package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// ErrNotRetained is returned when a commit is asked for that is not there: it
// never was, or it is a local one that nothing holds any more.
var ErrNotRetained = errors.New("graft: no such commit, or it is not retained")

// Commit gives the record of a commit: of the local store, or else of the
// bucket, without keeping it. ErrNotRetained tells that there is none.
func (r *Remote) Commit(ctx context.Context, at snapshot.Point) (volume.Record, error) {
	rec, err := r.store.Commit(at.Volume, at.LSN)
	if !errors.Is(err, store.ErrNotFound) {
		return rec, err
	}
	rec, err = r.pushedCommit(ctx, at)
	if err != nil && (errors.Is(err, ErrNotRetained) || errors.Is(err, ErrNoRemote)) {
		err = &volume.Error{Op: "read commit", Volume: at.Volume, LSN: at.LSN, Err: err}
	}
	return rec, err
}

// pushedCommit reads a commit from the bucket, which is the one that the data
// directory was synced with.
func (r *Remote) pushedCommit(ctx context.Context, at snapshot.Point) (volume.Record, error) {
	if _, err := r.store.Graft(at.Volume); err == nil {
		return volume.Record{}, ErrNotRetained // a local Volume: no bucket has it
	}
	rv, err := r.lockVolume(ctx, at.Volume)
	if err != nil {
		return volume.Record{}, fmt.Errorf("%w here: %w", ErrNotRetained, err)
	}
	defer rv.unlock()
	known, err := r.store.Head(at.Volume)
	if err != nil {
		return volume.Record{}, err
	}
	if err := r.prove(ctx, rv, at.Volume, known, time.Time{}); err != nil {
		return volume.Record{}, err
	}
	rec, err := r.commit(ctx, at.Volume, at.LSN)
	if !errors.Is(err, objstore.ErrNotExist) {
		return rec, err
	}
	if at.LSN < known { // it must be there
		if err := r.verify(ctx, at.Volume, known); err != nil {
			return rec, err
		}
	}
	return rec, ErrNotRetained
}

// Checkout stores a new Graft, without a Tag, that is forked from a commit of a
// remote Volume: it has that content, and a remote Volume of its own, which its
// first push makes. No page is fetched. ErrNotRetained tells that the bucket has
// no such commit.
func (r *Remote) Checkout(ctx context.Context, at snapshot.Point) (volume.GraftState, error) {
	defer r.store.HoldVolume(at.Volume)() // until the Graft refers to it
	rec, err := r.Commit(ctx, at)
	if err != nil {
		return volume.GraftState{}, err
	}
	if rec.Commit.PushID.IsZero() {
		return volume.GraftState{}, &volume.Error{Op: "read commit", Volume: at.Volume, LSN: at.LSN, Err: ErrNotRetained}
	}
	g := volume.GraftState{Local: volume.NewVolumeID(), Remote: volume.NewVolumeID(), Parent: at.Volume, ParentLSN: at.LSN, Base: rec.Hash()}
	return g, r.store.Apply(store.Change{Commits: []volume.Record{rec}, Grafts: []volume.GraftState{g}})
}

// CloneAs is Clone under a chosen local Volume, which must be new: ErrVolumeUsed
// tells that something has that name, here or in the bucket. Local and remote
// Volumes must never share one.
func (r *Remote) CloneAs(ctx context.Context, local, v volume.VolumeID) error {
	rv, err := r.lockVolume(ctx, local) // of two with one name, one is first
	if err != nil {
		return err
	}
	defer rv.unlock()
	if err := r.checkUnused(ctx, local, v); err != nil {
		return fmt.Errorf("clone: %w", err)
	}
	_, err = r.clone(ctx, local, v)
	return err
}

// ErrVolumeUsed is returned when a new Volume is to have the name of another.
var ErrVolumeUsed = errors.New("graft: the volume id is in use")

// checkUnused returns ErrVolumeUsed if anything here or in the bucket has the name
// of a new local Volume, which will be a clone of remote.
func (r *Remote) checkUnused(ctx context.Context, local, remote volume.VolumeID) error {
	used := local == remote
	head, err := r.store.Head(local)
	if err != nil {
		return err
	}
	grafts, err := r.store.Grafts()
	if err != nil {
		return err
	}
	for _, g := range grafts {
		used = used || g.Local == local || g.Remote == local || g.Parent == local
	}
	if used || head > 0 {
		return fmt.Errorf("%w: %s", ErrVolumeUsed, local)
	}
	_, err = r.newest(ctx, local, 0)
	switch {
	case errors.Is(err, objstore.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: %s is a remote volume", ErrVolumeUsed, local)
}
