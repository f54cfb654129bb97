package snapshot

import (
	"context"
	"fmt"

	"graft/volume"
	"graft/volume/store"
)

// forkBatch is how many commits of a log are copied in one Change, and
// forkBatchSize from how many bytes of them on it is written.
const (
	forkBatch     = 500
	forkBatchSize = 1 << 20
)

// Fork makes a Graft with the content of the newest Snapshot of src, and tag to
// name it. It shares every page with src and copies none; the commits that src
// has not pushed are copied into its own log, and its remote Volume, which does
// not exist yet, will continue that of src at the SyncPoint.
//
// The steps, of which the last makes the Graft; a crash before it leaves nothing
// but garbage:
//
//  1. Pin the Snapshot, and have its pages in Badger.
//  2. Copy the commits that are not pushed.
//  3. Write the page index, if it is here.
//  4. Store the Graft and its Tag, and open its Head while the pin lasts.
//
// The end of ctx is no error once the Graft is stored.
func (hs *Heads) Fork(ctx context.Context, src *Head, tag string) (_ *Head, err error) {
	defer hs.store.Hold(src.State().Local)() // its log is read
	st, base, pinned := src.pinBase()        // 1
	defer pinned.Close()
	if pinned.closed.Load() {
		return nil, ErrDeleted
	}
	parent := PointOf(&st.GraftState)
	g := volume.GraftState{Local: volume.NewVolumeID(), Remote: volume.NewVolumeID(), Parent: parent.Volume, ParentLSN: parent.LSN, Base: st.Base}
	defer hs.store.Hold(g.Local)()
	defer func() {
		if err != nil {
			err = fmt.Errorf("fork graft %s: %w", st.Local, err)
		}
	}()
	if err := hs.store.AwaitApplied(ctx); err != nil {
		return nil, err
	}
	if err := hs.copyLog(ctx, g.Local, st); err != nil { // 2
		return nil, err
	}
	h := newHead(hs) // for its way to write an index
	h.mu.state, h.mu.base, h.mu.local = g, base, volume.LSN(st.Unpushed().Len())
	h.mu.snap = pinned.snap
	h.saved.record, h.saved.newest = emptyIndex(&g, base), base
	if err := h.save(ctx); err != nil { // 3
		return nil, err
	}
	change := store.Change{Grafts: []volume.GraftState{g}, Tags: []store.Tag{{Name: tag, Graft: g.Local}}}
	if err := hs.store.Apply(change); err != nil { // 4
		return nil, err
	}
	return hs.Open(context.WithoutCancel(ctx), g.Local)
}

// pinBase is Pin with the Root of the remote Volume at the SyncPoint.
func (h *Head) pinBase() (State, *Root, *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stateLocked(), h.mu.base, h.newestLocked()
}

// copyLog writes the commits that st has not pushed as the first of Volume to.
func (hs *Heads) copyLog(ctx context.Context, to volume.VolumeID, st State) error {
	var next store.Change
	size := 0
	write := func() error {
		next.Relaxed = true // what follows makes it durable
		err := hs.store.Apply(next)
		next, size = store.Change{}, 0
		return err
	}
	err := hs.store.Log(st.Local, st.Unpushed(), func(rec volume.Record) error {
		if ctx.Err() != nil {
			return fmt.Errorf("copy commits that are not pushed: %w", context.Cause(ctx))
		}
		c := rec.Commit
		c.Volume, c.LSN = to, c.LSN-st.SyncPoint.Local
		copied, err := volume.EncodeCommit(c)
		if err != nil {
			return err
		}
		next.Commits = append(next.Commits, copied)
		if size += len(copied.Bytes); len(next.Commits) < forkBatch && size < forkBatchSize {
			return nil
		}
		return write()
	})
	if err != nil {
		return err
	}
	return write()
}
