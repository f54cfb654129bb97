package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"graft/internal/meter"
	"graft/volume"
	"graft/volume/store"
)

// Heads are the open Heads of one store, one for each Graft, and what keeps
// order behind them: it saves their page indexes and sweeps the store, in the
// background. All methods are safe for concurrent use.
type Heads struct {
	store  *store.Store
	remote Remote
	log    *slog.Logger
	pages  meter.Meter // where pages that were read came from

	wake    chan struct{} // has room for one kick
	stop    context.CancelFunc
	stopped chan struct{}

	sweeping sync.Mutex // held by the sweep that runs

	kept        func() ([]Point, error)     // see Keep; nil: none
	beforeEvict func(context.Context) error // or nil

	// opening is held while a Head is opened, so that a Graft has one.
	opening sync.Mutex

	mu struct { // taken before a Head's mu
		sync.Mutex
		heads   map[volume.VolumeID]*Head
		deleted map[*Head]struct{} // that have Readers still
	}
}

// NewHeads gives Heads without a store, which Start gives them.
func NewHeads(log *slog.Logger) *Heads {
	hs := &Heads{log: log, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	hs.mu.heads = make(map[volume.VolumeID]*Head)
	hs.mu.deleted = make(map[*Head]struct{})
	return hs
}

// Keep has sweeps keep the Snapshots of remote Volumes at the commits that points
// gives, and calls beforeEvict before each eviction, which an error of it puts off.
// It is called before Start.
func (hs *Heads) Keep(points func() ([]Point, error), beforeEvict func(context.Context) error) {
	hs.kept, hs.beforeEvict = points, beforeEvict
}

// Start begins the work in the background. The store was opened with
// [Heads.Live]; the caller closes it after Close.
func (hs *Heads) Start(st *store.Store, remote Remote) {
	hs.store, hs.remote = st, remote
	ctx, stop := context.WithCancel(context.Background())
	hs.stop = stop
	go func() {
		defer close(hs.stopped)
		hs.keep(ctx)
	}()
	if st.NeedsSweep() {
		hs.Kick()
	}
}

// Close ends the background work and saves all indexes, so that the next open
// has no log to replay. No Head may be used afterwards.
func (hs *Heads) Close() error {
	hs.stop()
	<-hs.stopped
	return hs.save(context.Background(), 1)
}

// Live tells whether some Snapshot in use may read a page that the local Volume
// owner committed, as [store.Options] wants it. A page of which it cannot be
// sure is live.
func (hs *Heads) Live(owner volume.VolumeID, ref store.PageRef) bool {
	hs.mu.Lock()
	h := hs.mu.heads[owner]
	hs.mu.Unlock()
	return h == nil || h.names(ref)
}

// New gives the Head of a Graft that does not exist yet: its first commit
// stores it, and tag with it.
func (hs *Heads) New(tag string) *Head {
	h := newHead(hs)
	h.mu.state = volume.GraftState{Local: volume.NewVolumeID(), Remote: volume.NewVolumeID()}
	h.mu.unborn = tag
	h.mu.base = &Root{}
	h.mu.snap = &Snapshot{root: h.mu.base}
	h.saved.newest = h.mu.base
	return h
}

// register makes h the Head of its Graft.
func (hs *Heads) register(local volume.VolumeID, h *Head) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.mu.heads[local] = h
}

// Open gives the Head of the Graft whose local Volume is local. It reads its
// index as far as that goes, and the local commits since. It makes no request, unless
// the record of the commit that the Graft stands on is damaged here.
func (hs *Heads) Open(ctx context.Context, local volume.VolumeID) (*Head, error) {
	hs.opening.Lock()
	defer hs.opening.Unlock()
	if h := hs.opened(local); h != nil {
		return h, nil
	}
	h, err := hs.load(ctx, local)
	if err != nil {
		return nil, fmt.Errorf("open graft %s: %w", local, err)
	}
	hs.register(local, h)
	return h, nil
}

func (hs *Heads) opened(local volume.VolumeID) *Head {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.mu.heads[local]
}

// all gives the open Heads of Grafts that are not deleted.
func (hs *Heads) all() []*Head {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	all := make([]*Head, 0, len(hs.mu.heads))
	for _, h := range hs.mu.heads {
		all = append(all, h)
	}
	return all
}

// Delete removes the Graft of h and the tags that name it from the store, in
// one Change; its Readers go on. What it had is swept when nothing else refers
// to it. A push in doubt is refused: it may have landed. The caller holds the
// write lock and the sync lock of h.
func (hs *Heads) Delete(h *Head, tags []string) error {
	st := h.State()
	if st.Pending != nil {
		return fmt.Errorf("delete graft %s: %w", st.Local, ErrPending)
	}
	if !st.Unborn {
		c := store.Change{DeleteTags: tags, DeleteGrafts: []volume.VolumeID{st.Local}}
		if err := hs.store.Apply(c); err != nil {
			return fmt.Errorf("delete graft %s: %w", st.Local, err)
		}
	}
	hs.mu.Lock()
	h.mu.Lock()
	h.mu.deleted = true
	delete(hs.mu.heads, st.Local)
	hs.mu.deleted[h] = struct{}{}
	for _, release := range h.mu.adopted {
		release()
	}
	h.mu.adopted = nil
	h.mu.Unlock()
	hs.mu.Unlock()
	hs.store.SweepDue()
	hs.Kick()
	return nil
}

// ErrPending is returned when a push has no known outcome and would have to
// have one.
var ErrPending = errors.New("graft: a push has no known outcome yet; push or pull to find out")

// Create stores an unborn Graft and its Tag, without a commit. The caller holds
// the write lock.
func (h *Head) Create() error {
	h.mu.Lock()
	state, tag := h.mu.state, h.mu.unborn
	h.mu.Unlock()
	h.heads.register(state.Local, h)
	change := store.Change{Grafts: []volume.GraftState{state}, Tags: []store.Tag{{Name: tag, Graft: state.Local}}}
	if err := h.store.Apply(change); err != nil {
		return fmt.Errorf("create graft: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.unborn = ""
	return nil
}

// Stats counts the pages that were read, by where they came from.
func (hs *Heads) Stats() meter.Stats { return hs.pages.Stats() }
