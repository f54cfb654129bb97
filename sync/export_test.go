package sync

import (
	"context"
	"time"

	"graft/snapshot"
	"graft/volume"
)

// KeepsEmbedded tells whether a checkpoint that came with a commit is there to be taken.
func (r *Remote) KeepsEmbedded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.embedded.checkpoint != nil
}

// SetMaxEmbedded sets how many bytes of a checkpoint are embedded in its commit.
func (r *Remote) SetMaxEmbedded(n int) { r.maxEmbedded = n }

// SetMaxSince sets how many bytes of addresses a commit carries.
func (r *Remote) SetMaxSince(n int) { r.maxSince = n }

// SetLoose sets of how many commits a push packs the pages, without a checkpoint and with
// one.
func (r *Remote) SetLoose(most, least int) { r.maxLoose, r.minLoose = most, least }

// SetPackTimeout sets how long the upload of a pack may take.
func (r *Remote) SetPackTimeout(d time.Duration) { r.packTimeout = d }

// SetMaxPageSet sets how many bytes of a commit its page set may take.
func (r *Remote) SetMaxPageSet(n int) { r.maxPageSet = n }

// SetMaxIndex sets how many bytes of a commit the frame index of a Segment may take.
func (r *Remote) SetMaxIndex(n int) { r.maxIndex = n }

// ForgetIndexes forgets what was decoded.
func (r *Remote) ForgetIndexes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.indexes = make(map[snapshot.Point]*index)
}

// NextLeaves gives the leaves that the index at a Point knows of without a request.
func (r *Remote) NextLeaves(ctx context.Context, at snapshot.Point) (leaves []volume.LeafIdx, err error) {
	x, err := r.index(ctx, at)
	if err != nil {
		return nil, err
	}
	for n := volume.LeafIdx(0); ; n++ {
		next, ok, err := x.NextLeaf(ctx, n)
		if err != nil || !ok {
			return leaves, err
		}
		leaves, n = append(leaves, next), next
	}
}

// SetNow sets the clock.
func (r *Remote) SetNow(now func() time.Time) { r.now = now }

// FindGap is findGap.
func (r *Remote) FindGap(ctx context.Context, v volume.VolumeID, first, last volume.LSN) error {
	return r.findGap(ctx, v, first, last)
}

// SyncTick syncs as AutoSync does at a tick.
func (r *Remote) SyncTick(ctx context.Context, heads ...*snapshot.Head) error {
	tick := r.turn()
	for _, h := range heads {
		if err := r.syncOnce(ctx, h, tick); err != nil {
			return err
		}
	}
	return nil
}

// ProofLasts is proofLasts.
const ProofLasts = proofLasts

// FitAliases is fitAliases.
var FitAliases = fitAliases
