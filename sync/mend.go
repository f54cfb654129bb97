package sync

import (
	"context"
	"errors"
	"fmt"

	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// known gives the record of commit l of remote Volume v, which is in the local log.
// One that is damaged there, or lost, it gets from the bucket, and stores it.
func (r *Remote) known(ctx context.Context, v volume.VolumeID, l volume.LSN) (volume.Record, error) {
	rec, damage := r.store.Commit(v, l)
	if r.bucket == nil || !errors.Is(damage, volume.ErrCorrupt) && !errors.Is(damage, store.ErrNotFound) {
		return rec, damage
	}
	rec, mended, err := r.mend(ctx, snapshot.Point{Volume: v, LSN: l})
	if err == nil && !mended {
		err = errNotProved
	}
	if err != nil {
		return volume.Record{}, fmt.Errorf("%w; and as the bucket has it: %w", damage, err)
	}
	r.log.Warn("commit is damaged in the local log and is fetched again", "volume", v, "lsn", l, "error", damage)
	return rec, nil
}

// errNotProved is why a record is not taken from the bucket.
var errNotProved = errors.New("graft: the commit is not known to be the one that was here")

// mend stores the record of a remote commit again that is damaged in the local log,
// as the bucket has it. It leaves it as it is, and tells so, unless that is known to
// be the record that was there.
func (r *Remote) mend(ctx context.Context, at snapshot.Point) (rec volume.Record, mended bool, err error) {
	if rec, err = r.commit(ctx, at.Volume, at.LSN); err != nil {
		return rec, false, err
	}
	if proved, err := r.isKnown(at, rec.Hash()); err != nil || !proved {
		return rec, false, err
	}
	return rec, true, r.store.Apply(store.Change{Commits: []volume.Record{rec}, Relaxed: true})
}

// isKnown tells whether a commit is known by its hash: by what was read of it
// before, by the commit after it, or by a Graft that stands on it.
func (r *Remote) isKnown(at snapshot.Point, hash volume.Hash) (bool, error) {
	r.mu.Lock()
	x := r.mu.indexes[at]
	r.mu.Unlock()
	if x != nil && x.rec.Hash() == hash {
		return true, nil
	}
	next, err := r.store.Commit(at.Volume, at.LSN.Next())
	if err == nil && next.Commit.Parent == hash {
		return true, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, volume.ErrCorrupt) {
		return false, err
	}
	grafts, err := r.store.Grafts()
	for i := range grafts {
		if snapshot.PointOf(&grafts[i]) == at && grafts[i].Base == hash {
			return true, nil
		}
	}
	return false, err
}
