package snapshot

import (
	"context"
	"errors"
	"fmt"

	"graft/volume"
	"graft/volume/store"
)

// The steps that move a Head. Each writes one Change to the store and then
// shows it under the state lock, so that a crash between the two loses nothing.

// publish stores c as the next local commit and makes its Snapshot the newest.
// The caller is the open Writer. The first commit of an unborn Graft stores the
// Graft and its Tag too.
func (h *Head) publish(c volume.Commit, change store.Change) (*Snapshot, volume.LSN, error) {
	h.mu.Lock()
	state, tag, root := h.mu.state, h.mu.unborn, h.mu.snap.root
	c.Volume, c.LSN = state.Local, h.mu.local.Next()
	h.mu.Unlock()

	rec, err := volume.EncodeCommit(c)
	if err != nil {
		return nil, 0, err
	}
	change.Commits = []volume.Record{rec}
	if tag != "" {
		change.Tags = []store.Tag{{Name: tag, Graft: state.Local}}
		change.Grafts = []volume.GraftState{state}
	}
	if err := h.store.Apply(change); err != nil {
		return nil, 0, err
	}
	next := root.Apply(&c)

	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.local, h.mu.unborn = c.LSN, ""
	h.show(next, true)
	return h.mu.snap, c.LSN, nil
}

// show makes root the newest Snapshot. The caller holds the state lock.
func (h *Head) show(root *Root, changed bool) {
	version := h.mu.snap.version
	if changed {
		version++
	}
	h.mu.snap = &Snapshot{layers: layersOf(h.mu.state, h.mu.local), root: root, version: version}
}

// SetPending stores p as the pending commit of the Graft, or none when p is
// nil. When it returns, p and all local commits before it are durable. The
// caller holds the sync lock.
func (h *Head) SetPending(p *volume.Pending) error {
	state := h.State().GraftState
	state.Pending = p
	if err := h.store.Apply(store.Change{Grafts: []volume.GraftState{state}}); err != nil {
		return fmt.Errorf("store pending commit: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.state = state
	return nil
}

// Adopt moves the SyncPoint over a push of ours that is in the remote:
// p.Record is the next commit of the remote Volume, and aliases say where its
// pages are stored here. The content stays what it is, so it neither waits for
// a Writer nor disturbs one. The caller holds the sync lock.
func (h *Head) Adopt(p volume.Pending, aliases []volume.Alias) error {
	h.mu.Lock()
	state, base := h.mu.state, h.mu.base
	h.mu.Unlock()

	c := &p.Record.Commit
	state.SyncPoint = volume.SyncPoint{Remote: c.LSN, Local: p.Local}
	state.Pending = nil
	change := store.Change{Grafts: []volume.GraftState{state}, Commits: []volume.Record{p.Record}}
	for _, seg := range c.Segments {
		change.Segments = append(change.Segments, volume.SegmentState{Volume: c.Volume, LSN: c.LSN, Segment: seg, Aliases: aliases})
	}
	if err := h.store.Apply(change); err != nil {
		return fmt.Errorf("adopt push: %w", err)
	}
	base = base.Apply(c)

	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.state, h.mu.base = state, base
	h.show(h.mu.snap.root, false)
	return nil
}

// Advance moves the SyncPoint to LSN to of the remote Volume, whose commits up
// to there are in the store. It waits for the open Writer, then looks again:
// local commits by now that are not pushed are ErrDiverged, and nothing
// changes. The caller holds no lock of h.
func (h *Head) Advance(ctx context.Context, to volume.LSN) error {
	for {
		unlockWrite, err := h.LockWrite(ctx)
		if err != nil {
			return err
		}
		err = h.advanceLocked(to)
		unlockWrite()
		if !errors.Is(err, ErrBusy) {
			return err
		}
		// Something syncs, maybe over a slow network: wait for it without
		// keeping writers from their work.
		unlockSync, err := h.LockSync(ctx)
		if err != nil {
			return err
		}
		unlockSync()
	}
}

// TryAdvance is Advance that does not wait: ErrBusy tells that a Writer is open
// or that something else syncs the Graft.
func (h *Head) TryAdvance(to volume.LSN) error {
	select {
	case h.write <- struct{}{}:
		defer func() { <-h.write }()
		return h.advanceLocked(to)
	default:
		return ErrBusy
	}
}

// advanceLocked does the work of Advance, or gives ErrBusy when the sync lock is
// taken. The caller holds the write lock.
func (h *Head) advanceLocked(to volume.LSN) error {
	select {
	case h.sync <- struct{}{}:
		defer func() { <-h.sync }()
	default:
		return ErrBusy
	}
	h.mu.Lock()
	state, base, local := h.mu.state, h.mu.base, h.mu.local
	h.mu.Unlock()

	if to <= state.SyncPoint.Remote {
		return nil
	}
	if local > state.SyncPoint.Local {
		return ErrDiverged
	}
	base, err := h.replay(base, state.Remote, volume.LSNRange{First: state.SyncPoint.Remote + 1, Last: to})
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	state.SyncPoint.Remote = to
	if err := h.store.Apply(store.Change{Grafts: []volume.GraftState{state}}); err != nil {
		return fmt.Errorf("pull: %w", err)
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.state, h.mu.base = state, base
	h.show(base, true)
	return nil
}
