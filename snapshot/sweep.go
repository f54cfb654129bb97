package snapshot

import (
	"context"
	"errors"
	"fmt"

	"graft/volume"
	"graft/volume/store"
)

// kick lets the background work look around soon. It never waits.
func (hs *Heads) kick() {
	select {
	case hs.wake <- struct{}{}:
	default:
	}
}

// keep saves page indexes and sweeps the store, whenever there is need, until
// ctx ends.
func (hs *Heads) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hs.wake:
		}
		if err := hs.save(ctx, saveEvery); err != nil && ctx.Err() == nil {
			hs.log.Error("save page indexes", "error", err)
		}
		if !hs.store.NeedsSweep() {
			continue
		}
		if err := hs.Sweep(ctx); err != nil && ctx.Err() == nil {
			hs.log.Error("sweep", "error", err)
		}
	}
}

// Sweep removes from the store what no Snapshot in use and no push needs, and
// gives the space back to the file system. It works beside everything else.
func (hs *Heads) Sweep(ctx context.Context) error {
	hs.sweeping.Lock()
	defer hs.sweeping.Unlock()
	swept, err := hs.store.Sweep(ctx, hs.mark)
	if err != nil {
		return err
	}
	hs.log.Debug("swept", "kept", swept.Kept, "removed", swept.Removed)
	return hs.store.Compact(ctx)
}

// use is what one Graft has in use.
type use struct {
	newest  *Root
	others  []*Root // of the base and of open Snapshots
	pending map[volume.SegmentID]volume.PageSet
}

// mark finds what is live: see [store.Store.Sweep]. Every Graft that it does
// not see was stored after the sweep began, and is held.
func (hs *Heads) mark(ctx context.Context) (store.Live, error) {
	live := store.Live{
		Pages:   store.NewPageRefSet(),
		Locals:  make(map[volume.VolumeID]volume.LSN),
		Remotes: make(map[volume.VolumeID]bool),
	}
	grafts, err := hs.store.Grafts()
	if err != nil {
		return live, err
	}
	for _, g := range grafts {
		if _, err := hs.Open(ctx, g.Local); err != nil && !errors.Is(err, store.ErrNotFound) {
			return live, err
		}
	}
	m := marker{store: hs.store, live: live, aliases: make(map[volume.SegmentID][]volume.Alias)}
	for _, u := range hs.uses(live) {
		if err := m.mark(ctx, u); err != nil {
			return live, fmt.Errorf("mark what is live: %w", err)
		}
	}
	return live, nil
}

// uses gives what all Grafts have in use at one moment, so that whatever passes
// from one to another is seen on either side, and enters their Volumes in live.
func (hs *Heads) uses(live store.Live) []use {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	var all []use
	for _, h := range hs.mu.heads {
		h.mu.Lock()
		u := use{newest: h.mu.snap.root, others: []*Root{h.mu.base}, pending: h.mu.pending}
		for s := range h.mu.older {
			u.others = append(u.others, s.root)
		}
		g := &h.mu.state
		live.Locals[g.Local] = min(g.SyncPoint.Local+1, h.mu.local) // the newest stays, to count on from
		live.Remotes[g.Remote] = true
		if !g.Parent.IsZero() {
			live.Remotes[g.Parent] = true
		}
		h.mu.Unlock()
		all = append(all, u)
	}
	for h := range hs.mu.deleted {
		h.mu.Lock()
		u := use{newest: &Root{}, others: h.readLocked()}
		if g := &h.mu.state; len(u.others) > 0 {
			live.Remotes[g.Remote] = true
			if !g.Parent.IsZero() {
				live.Remotes[g.Parent] = true
			}
		}
		if len(u.others) == 0 {
			delete(hs.mu.deleted, h)
		}
		h.mu.Unlock()
		all = append(all, u)
	}
	return all
}

// readLocked gives the Roots of the Snapshots that have open Readers. The caller
// holds the state lock.
func (h *Head) readLocked() []*Root {
	var roots []*Root
	for s := range h.mu.older {
		roots = append(roots, s.root)
	}
	if h.mu.snap.readers > 0 {
		roots = append(roots, h.mu.snap.root)
	}
	return roots
}

// marker enters pages in Live.
type marker struct {
	store   *store.Store
	live    store.Live
	aliases map[volume.SegmentID][]volume.Alias // of every Segment that was met
}

func (m *marker) mark(ctx context.Context, u use) error {
	if err := u.newest.Each(ctx, m.add); err != nil {
		return err
	}
	for _, r := range u.others {
		err := Diff(ctx, u.newest, r, func(n volume.LeafIdx) error {
			leaf, err := r.Leaf(ctx, n)
			if err != nil || leaf == nil {
				return err
			}
			for i, id := range leaf {
				if !id.IsZero() {
					if err := m.add(firstPage(n)+volume.PageIdx(i), id); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for id, pages := range u.pending {
		for p := range pages.All() {
			m.live.Pages.Add(store.PageRef{Segment: id, Idx: p})
		}
	}
	return nil
}

// add enters page p of a Segment, and the page that stands for it.
func (m *marker) add(p volume.PageIdx, id volume.SegmentID) error {
	m.live.Pages.Add(store.PageRef{Segment: id, Idx: p})
	aliases, known := m.aliases[id]
	if !known {
		state, err := m.store.Segment(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			aliases = state.Aliases
		}
		m.aliases[id] = aliases
	}
	for _, a := range aliases {
		if a.Pages.Contains(p) {
			m.live.Pages.Add(store.PageRef{Segment: a.Segment, Idx: p})
		}
	}
	return nil
}

// names tells whether a Snapshot of h in use, or its pending commit, has the
// page ref. The leaves that it looks at are loaded: the page was committed by h
// since it was opened.
func (h *Head) names(ref store.PageRef) bool {
	h.mu.Lock()
	roots := []*Root{h.mu.snap.root}
	for s := range h.mu.older {
		roots = append(roots, s.root)
	}
	pending := h.mu.pending[ref.Segment].Contains(ref.Idx)
	h.mu.Unlock()
	if pending {
		return true
	}
	for _, r := range roots {
		if !r.PageCount().Has(ref.Idx) {
			continue
		}
		id, err := r.Lookup(context.Background(), ref.Idx)
		if err != nil || id == ref.Segment {
			return true
		}
	}
	return false
}
