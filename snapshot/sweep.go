package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"graft/volume"
	"graft/volume/store"
)

// Kick lets the background work look around soon. It never waits.
func (hs *Heads) Kick() {
	select {
	case hs.wake <- struct{}{}:
	default:
	}
}

// keep saves page indexes, evicts and sweeps, whenever there is need, until
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
		if err := hs.evict(ctx); err != nil && ctx.Err() == nil {
			hs.log.Error("evict", "error", err)
		}
		if !hs.store.NeedsSweep() {
			continue
		}
		if err := hs.Sweep(ctx); err != nil && ctx.Err() == nil {
			hs.log.Error("sweep", "error", err)
		}
	}
}

// evict removes pages that the bucket has when they are above the quota. What they took up on disk
// is garbage then, for a sweep to give back.
func (hs *Heads) evict(ctx context.Context) error {
	if !hs.store.NeedsEvict() {
		return nil
	}
	if hs.beforeEvict != nil {
		if err := hs.beforeEvict(ctx); err != nil {
			return err
		}
	}
	hs.sweeping.Lock()
	defer hs.sweeping.Unlock()
	evicted, err := hs.store.Evict(ctx)
	hs.log.Debug("evicted", "left", evicted.Left, "removed", evicted.Removed)
	return err
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
	points  []Point        // commits of remote Volumes
	record  *volume.Record // of the pending commit
	deleted bool           // what is stored of its index goes
}

// addSnapshots enters Snapshots that are read.
func (u *use) addSnapshots(snaps []*Snapshot) {
	for _, s := range snaps {
		u.others = append(u.others, s.root)
		u.points = append(u.points, s.base, s.opened)
	}
}

// mark finds what is live: see [store.Store.Sweep]. Every Graft that it does
// not see was stored after the sweep began, and is held.
func (hs *Heads) mark(ctx context.Context) (store.Live, error) {
	live := store.Live{
		Pages:   store.NewPageRefSet(),
		Unknown: new(store.LeafSet),
		Locals:  make(map[volume.VolumeID]volume.LSN),
		Remotes: make(map[volume.VolumeID]store.RemoteLog),
		Objects: make(map[volume.Hash]bool),
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
	points := make(map[Point]bool)
	kept, err := hs.keptUses(ctx)
	if err != nil {
		return live, err
	}
	for _, u := range append(hs.uses(live), kept...) {
		if err := m.mark(ctx, u); err != nil {
			return live, fmt.Errorf("mark what is live: %w", err)
		}
		for _, p := range u.points {
			points[p] = true
		}
		if u.record == nil {
			continue
		}
		if err := hs.remote.ObjectsOf(*u.record, func(sum volume.Hash) { live.Objects[sum] = true }); err != nil {
			return live, fmt.Errorf("mark what is live: %w", err)
		}
	}
	if err := hs.markPoints(live, points); err != nil {
		return live, fmt.Errorf("mark what is live: %w", err)
	}
	return live, nil
}

// keptUses gives the Snapshots that are kept: see Keep. One that cannot be read is of
// no use to anybody.
func (hs *Heads) keptUses(ctx context.Context) (all []use, err error) {
	if hs.kept == nil {
		return nil, nil
	}
	points, err := hs.kept()
	if err != nil {
		return nil, err
	}
	for _, p := range points {
		root, err := hs.baseRoot(ctx, p)
		if err != nil {
			hs.log.Error("keep snapshot", "volume", p.Volume, "lsn", p.LSN, "error", err)
			continue
		}
		all = append(all, use{newest: &Root{}, others: []*Root{root}, points: []Point{p}})
	}
	return all, nil
}

// markPoints enters what commits of remote Volumes that are in use need: the records,
// and what their page indexes are loaded from. What comes after the newest of a
// Volume was fetched, and stays.
func (hs *Heads) markPoints(live store.Live, points map[Point]bool) error {
	for p := range points {
		if p.IsZero() {
			continue
		}
		log := live.Remotes[p.Volume]
		if log.Before == nil {
			log.Before = make(map[volume.LSN]bool)
		}
		log.Before[p.LSN] = true
		log.From = max(log.From, p.LSN)
		live.Remotes[p.Volume] = log
		if err := hs.remote.Objects(p, func(sum volume.Hash) { live.Objects[sum] = true }); err != nil {
			return err
		}
	}
	return nil
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
		g := &h.mu.state
		u.points = append(u.points, PointOf(g), h.mu.opened)
		if g.Pending != nil {
			u.record = &g.Pending.Record
		}
		u.addSnapshots(slices.Collect(maps.Keys(h.mu.older)))
		u.addVolumes(g, live)
		live.Locals[g.Local] = min(g.SyncPoint.Local+1, h.mu.local) // the newest stays, to count on from
		h.mu.Unlock()
		all = append(all, u)
	}
	for h := range hs.mu.deleted {
		h.mu.Lock()
		u := use{newest: &Root{}, deleted: true}
		if read := h.readLocked(); len(read) > 0 {
			u.addSnapshots(read)
			u.addVolumes(&h.mu.state, live)
		} else {
			delete(hs.mu.deleted, h)
		}
		h.mu.Unlock()
		all = append(all, u)
	}
	return all
}

// addVolumes enters the remote Volumes of a Graft.
func (u *use) addVolumes(g *volume.GraftState, live store.Live) {
	live.Remotes[g.Remote] = store.RemoteLog{}
	if !g.Parent.IsZero() {
		live.Remotes[g.Parent] = store.RemoteLog{}
		u.points = append(u.points, Point{g.Parent, g.ParentLSN})
	}
}

// readLocked gives the Snapshots that have open Readers. The caller holds the
// state lock.
func (h *Head) readLocked() []*Snapshot {
	read := slices.Collect(maps.Keys(h.mu.older))
	if h.mu.snap.readers > 0 {
		read = append(read, h.mu.snap)
	}
	return read
}

// marker enters pages in Live.
type marker struct {
	store   *store.Store
	live    store.Live
	aliases map[volume.SegmentID][]volume.Alias // of every Segment that was met
}

func (m *marker) mark(ctx context.Context, u use) error {
	if err := u.newest.scan(ctx, m.leaf); err != nil {
		return err
	}
	for _, r := range u.others {
		if u.deleted {
			if err := r.top.settleAll(ctx, r.height, 0); err != nil {
				return err
			}
		}
		if err := r.scanOver(ctx, u.newest, m.leaf); err != nil {
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

// leaf enters leaf first, or any page that may be in those that are not here. It is
// a visitor.
func (m *marker) leaf(first, end volume.LeafIdx, l *leaf) error {
	if l == nil {
		m.live.Unknown.AddRange(first, end)
		return nil
	}
	for i, id := range l.written() {
		if err := m.add(firstPage(first)+volume.PageIdx(i), id); err != nil {
			return err
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

// names tells whether a Snapshot of h in use, or its pending commit, may have the
// page ref. It looks at what is in memory alone: the page was committed by h since
// it was opened.
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
		if id, known := r.known(ref.Idx); !known || id == ref.Segment {
			return true
		}
	}
	return false
}
