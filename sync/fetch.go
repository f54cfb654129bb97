package sync

import (
	"context"
	"errors"
	"fmt"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// Fetched is what a fetch learned.
type Fetched struct {
	Head volume.LSN // newest commit of the remote Volume
	New  int        // commits that were not known before
}

// Fetch learns the new commits of the remote Volume of h's Graft and stores
// their records; it fetches no page and moves no Graft. One request says that
// there is nothing new.
func (r *Remote) Fetch(ctx context.Context, h *snapshot.Head) (Fetched, error) {
	if r.bucket == nil {
		return Fetched{}, ErrNoRemote
	}
	unlock, err := h.LockSync(ctx)
	if err != nil {
		return Fetched{}, err
	}
	defer unlock()
	// First the pending commit, so that one of ours is never taken for
	// another's.
	if err := r.resolve(ctx, h); err != nil && !errors.Is(err, ErrDiverged) {
		return Fetched{}, err
	}
	return r.fetchVolume(ctx, h.State().Remote)
}

func (r *Remote) fetchVolume(ctx context.Context, v volume.VolumeID) (Fetched, error) {
	rv, err := r.lockVolume(ctx, v)
	if err != nil {
		return Fetched{}, err
	}
	defer rv.unlock()
	return r.fetchLocked(ctx, rv, v)
}

func (r *Remote) fetchLocked(ctx context.Context, rv *remoteVolume, v volume.VolumeID) (Fetched, error) {
	head, err := r.store.Head(v)
	if err != nil {
		return Fetched{}, err
	}
	if err := r.verifyOnce(ctx, rv, v, head); err != nil {
		return Fetched{}, err
	}
	got := Fetched{Head: head}
	parent, err := r.parentHash(v, head)
	if err != nil {
		return got, err
	}
	for {
		rec, err := r.commit(ctx, v, got.Head.Next())
		if errors.Is(err, objstore.ErrNotExist) {
			return got, nil
		}
		if err != nil {
			return got, fmt.Errorf("fetch: %w", err)
		}
		if rec.Commit.Parent != parent {
			return got, &volume.Error{Op: "fetch commit", Volume: v, LSN: rec.Commit.LSN, Key: volume.CommitKey(v, rec.Commit.LSN),
				Err: fmt.Errorf("%w: its parent is %s, not %s", volume.ErrCorrupt, rec.Commit.Parent, parent)}
		}
		if err := r.store.Apply(remoteCommit(rec)); err != nil {
			return got, fmt.Errorf("fetch: %w", err)
		}
		got.Head, parent, rv.verified = rec.Commit.LSN, rec.Hash(), true
		got.New++
	}
}

// parentHash is what commit l.Next() of v must name as its parent.
func (r *Remote) parentHash(v volume.VolumeID, l volume.LSN) (volume.Hash, error) {
	if l == 0 {
		return volume.Hash{}, nil
	}
	rec, err := r.store.Commit(v, l)
	if err != nil {
		return volume.Hash{}, err
	}
	return rec.Hash(), nil
}

// remoteCommit stores a fetched commit and what it says of its Segments.
func remoteCommit(rec volume.Record) store.Change {
	c := &rec.Commit
	change := store.Change{Commits: []volume.Record{rec}}
	for _, seg := range c.Segments {
		change.Segments = append(change.Segments, volume.SegmentState{Volume: c.Volume, LSN: c.LSN, Segment: seg})
	}
	return change
}
