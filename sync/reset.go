package sync

import (
	"context"
	"fmt"

	"graft/snapshot"
	"graft/volume"
)

// Reset fetches, and moves h's Graft to the newest commit of its remote Volume,
// giving up the local commits that are not pushed. Before that, when the bucket has
// said all that it is asked, keep is told how the Graft stands, and may fork it; it
// may be nil. snapshot.ErrStale tells that there are later local commits than keep
// was told of, ErrPending that a push has no known outcome; nothing changed then. It
// waits for the open Writer.
func (r *Remote) Reset(ctx context.Context, h *snapshot.Head, keep func(context.Context, snapshot.State) error) (moved Pulled, err error) {
	ctx, end := begin(ctx, "reset", h.State().Local)
	defer end(&err)
	defer func() {
		if err != nil {
			err = fmt.Errorf("reset: %w", err)
		}
	}()
	defer r.store.HoldVolume(h.State().Remote)() // what is fetched may be older than what others use by then
	st, head, err := r.readyToReset(ctx, h)
	if err != nil {
		return Pulled{}, err
	}
	moved = Pulled{From: st.SyncPoint.Remote, To: max(head, st.SyncPoint.Remote)}
	if moved.To == 0 {
		return moved, &volume.Error{Op: "reset", Volume: st.Remote, Err: ErrNoVolume}
	}
	if keep != nil {
		if err := keep(ctx, st); err != nil {
			return Pulled{}, err
		}
	}
	if err := h.Reset(ctx, moved.To, st.LocalHead); err != nil {
		return Pulled{}, err
	}
	return moved, nil
}

// readyToReset fetches, makes sure that the bucket has what a reset moves to, and
// gives that and how the Graft stands.
func (r *Remote) readyToReset(ctx context.Context, h *snapshot.Head) (snapshot.State, volume.LSN, error) {
	asked := r.turn()
	got, err := r.fetch(ctx, h, asked)
	st := h.State()
	if st.Pending != nil {
		if err == nil { // begun since
			return st, 0, snapshot.ErrPending
		}
		return st, 0, fmt.Errorf("%w: %w", snapshot.ErrPending, err)
	}
	if err == nil && got.Head > st.SyncPoint.Remote {
		err = r.proveSince(ctx, st.Remote, got.Head, asked)
	}
	return st, got.Head, err
}
