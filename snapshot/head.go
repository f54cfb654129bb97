package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"graft/volume"
	"graft/volume/store"
)

var (
	// ErrBusy is returned by TryWriter and TryAdvance while a Writer of the
	// Graft is open.
	ErrBusy = errors.New("graft: another writer is open")

	// ErrStale is returned by TryWriter when the Graft has newer content than
	// the Reader shows.
	ErrStale = errors.New("graft: snapshot is not the newest")

	// ErrDiverged is returned when local commits that are not pushed stand
	// against commits of the remote Volume that are not pulled.
	ErrDiverged = errors.New("graft: diverged")
)

// Head is the newest Snapshot of one Graft and what moves it.
//
// There are three locks. The write lock is held by the one open Writer, and by
// whatever changes content from outside. The sync lock is held by what moves
// the SyncPoint or the pending commit, for as long as that takes. The state
// lock mu guards the fields and is held for moments, never over I/O. They are
// taken in this order: a program that has a Writer open may fetch and push,
// and so nobody waits for a Writer while holding the sync lock.
type Head struct {
	store  *store.Store
	source PageSource
	log    *slog.Logger

	sync  chan struct{} // full while the sync lock is held
	write chan struct{} // full while the write lock is held

	mu struct {
		sync.Mutex
		state  volume.GraftState
		unborn string     // the Tag that the first commit makes, or ""
		local  volume.LSN // newest local commit
		snap   *Snapshot
		base   *Root // of the remote Volume at the SyncPoint
	}
}

// State is a consistent copy of what a Head knows of its Graft.
type State struct {
	volume.GraftState
	LocalHead volume.LSN // newest local commit
	Snapshot  *Snapshot  // newest
	Unborn    bool       // no commit and no Tag is stored yet
}

// Unpushed is the local commits that are not in the remote.
func (s State) Unpushed() volume.LSNRange {
	return volume.LSNRange{First: s.SyncPoint.Local + 1, Last: s.LocalHead}
}

func newHead(st *store.Store, source PageSource, log *slog.Logger) *Head {
	return &Head{store: st, source: source, log: log, sync: make(chan struct{}, 1), write: make(chan struct{}, 1)}
}

// NewHead gives the Head of a Graft that does not exist yet: its first commit
// stores it, and tag with it.
func NewHead(st *store.Store, source PageSource, log *slog.Logger, tag string) *Head {
	h := newHead(st, source, log)
	h.mu.state = volume.GraftState{Local: volume.NewVolumeID(), Remote: volume.NewVolumeID()}
	h.mu.unborn = tag
	h.mu.base = &Root{}
	h.mu.snap = &Snapshot{root: h.mu.base}
	return h
}

// OpenHead gives the Head of the Graft whose local Volume is local. It reads
// both logs.
func OpenHead(st *store.Store, source PageSource, log *slog.Logger, local volume.VolumeID) (*Head, error) {
	state, err := st.Graft(local)
	if err != nil {
		return nil, fmt.Errorf("open graft %s: %w", local, err)
	}
	head, err := st.Head(local)
	if err != nil {
		return nil, fmt.Errorf("open graft %s: %w", local, err)
	}
	if head < state.SyncPoint.Local {
		log.Warn("local log ends below what was pushed", "volume", local, "head", head, "pushed", state.SyncPoint.Local)
		head = state.SyncPoint.Local
	}
	h := newHead(st, source, log)
	base, err := h.replay(&Root{}, state.Remote, volume.LSNRange{First: 1, Last: state.SyncPoint.Remote})
	if err != nil {
		return nil, fmt.Errorf("open graft %s: %w", local, err)
	}
	root, err := h.replay(base, local, volume.LSNRange{First: state.SyncPoint.Local + 1, Last: head})
	if err != nil {
		return nil, fmt.Errorf("open graft %s: %w", local, err)
	}
	h.mu.state, h.mu.local, h.mu.base = state, head, base
	h.mu.snap = &Snapshot{layers: layersOf(state, head), root: root}
	return h, nil
}

// replay applies a range of commits of one Volume to a Root.
func (h *Head) replay(r *Root, v volume.VolumeID, lsns volume.LSNRange) (*Root, error) {
	err := h.store.Log(v, lsns, func(rec volume.Record) error {
		r = r.Apply(&rec.Commit)
		return nil
	})
	return r, err
}

// State gives the state of the Graft now.
func (h *Head) State() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return State{GraftState: h.mu.state, LocalHead: h.mu.local, Snapshot: h.mu.snap, Unborn: h.mu.unborn != ""}
}

// Reader reads the newest Snapshot.
func (h *Head) Reader() *Reader { return &Reader{head: h, snap: h.State().Snapshot} }

// Writer waits until it is the only Writer, or until ctx ends, and stands on
// the newest Snapshot.
func (h *Head) Writer(ctx context.Context) (*Writer, error) {
	if _, err := h.LockWrite(ctx); err != nil { // Discard unlocks
		return nil, err
	}
	return newWriter(h, h.State().Snapshot), nil
}

// TryWriter gives a Writer that stands on r's Snapshot. It does not wait:
// ErrBusy tells that another Writer is open, ErrStale that the Graft has newer
// content than r.
func (h *Head) TryWriter(r *Reader) (*Writer, error) {
	if r.head != h {
		return nil, ErrStale
	}
	select {
	case h.write <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	snap := h.State().Snapshot
	if snap.version != r.snap.version {
		<-h.write
		return nil, ErrStale
	}
	return newWriter(h, snap), nil
}

// Busy tells whether a Writer is open.
func (h *Head) Busy() bool { return len(h.write) > 0 }

// LockSync takes the sync lock, or fails when ctx ends.
func (h *Head) LockSync(ctx context.Context) (unlock func(), err error) {
	return lock(ctx, h.sync, "wait for the sync of the graft")
}

// LockWrite takes the write lock, so that no Writer is open until unlock.
func (h *Head) LockWrite(ctx context.Context) (unlock func(), err error) {
	return lock(ctx, h.write, "wait for the writer of the graft")
}

func lock(ctx context.Context, c chan struct{}, op string) (unlock func(), err error) {
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", op, context.Cause(ctx))
	}
}

// presence counts the pages of r that are stored here.
func (h *Head) presence(ctx context.Context, r *Root) (p Presence, err error) {
	for idx := volume.PageIdx(1); r.count.Has(idx); idx++ {
		if idx%1024 == 0 && ctx.Err() != nil {
			return p, context.Cause(ctx)
		}
		id, err := r.Lookup(ctx, idx)
		if err != nil {
			return p, err
		}
		if id.IsZero() {
			continue
		}
		has, err := h.store.HasPage(id, idx)
		if err != nil {
			return p, err
		}
		p.Written++
		if has {
			p.Present++
		}
	}
	return p, nil
}

// RemotePresence counts the pages of the remote Volume at the SyncPoint that
// are stored here, as [Reader.Presence] does.
func (h *Head) RemotePresence(ctx context.Context) (Presence, error) {
	h.mu.Lock()
	base := h.mu.base
	h.mu.Unlock()
	return h.presence(ctx, base)
}
