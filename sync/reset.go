package sync

import (
	"context"
	"fmt"

	"graft/snapshot"
	"graft/volume"
)

// Reset fetches, and moves h's Graft to the newest commit of its remote Volume,
// giving up the local commits that are not pushed, up to local: whoever wants them
// has forked the Graft before. snapshot.ErrStale tells that there are later ones
// by now, ErrPending that a push has no known outcome; nothing changed then. It
// waits for the open Writer.
func (r *Remote) Reset(ctx context.Context, h *snapshot.Head, local volume.LSN) (moved Pulled, err error) {
	ctx, end := begin(ctx, "reset", h.State().Local)
	defer end(&err)
	defer r.store.HoldVolume(h.State().Remote)() // what is fetched may be older than what others use by then
	got, err := r.Fetch(ctx, h)
	if err != nil {
		return Pulled{}, fmt.Errorf("reset: %w", err)
	}
	st := h.State()
	moved = Pulled{From: st.SyncPoint.Remote, To: max(got.Head, st.SyncPoint.Remote)}
	if moved.To == 0 {
		return moved, &volume.Error{Op: "reset", Volume: st.Remote, Err: ErrNoVolume}
	}
	if err := h.Reset(ctx, moved.To, local); err != nil {
		return Pulled{}, fmt.Errorf("reset: %w", err)
	}
	return moved, nil
}
