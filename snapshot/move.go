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

// publish stores c as the next local commit and makes its Snapshot the newest,
// of which it gives a Reader. The caller is the open Writer. The first commit of
// an unborn Graft stores the Graft and its Tag too.
func (h *Head) publish(ctx context.Context, c volume.Commit, change store.Change) (*Reader, volume.LSN, error) {
	h.mu.Lock()
	state, tag, root := h.mu.state, h.mu.unborn, h.mu.snap.root
	c.Volume, c.LSN = state.Local, h.mu.local.Next()
	h.mu.Unlock()

	rec, err := volume.EncodeCommit(c)
	if err != nil {
		return nil, 0, err
	}
	next, err := root.Apply(ctx, &c)
	if err != nil {
		return nil, 0, err
	}
	replaced, unseen := replacedPages(root, &c)
	change.Commits, change.Replaced = []volume.Record{rec}, replaced
	if tag != "" {
		h.heads.register(state.Local, h)
		change.Tags = []store.Tag{{Name: tag, Graft: state.Local}}
		change.Grafts = []volume.GraftState{state}
	}
	defer h.store.Hold(change.Segment)() // until the Snapshot is shown
	if err := h.store.Apply(change); err != nil {
		return nil, 0, err
	}
	h.store.ReplacedUnseen(unseen)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.local, h.mu.unborn = c.LSN, ""
	if h.mu.missed != nil {
		// An Adopt has begun: the Root is the base's with what it missed.
		h.mu.missed.commits = append(h.mu.missed.commits, c)
	}
	h.show(next, true)
	if h.mu.unsaved++; h.mu.unsaved >= saveEvery || h.store.NeedsSweep() {
		h.heads.Kick()
	}
	return h.pinLocked(h.mu.snap), c.LSN, nil
}

// replacedPages gives the pages of r that commit c takes the place of, and how
// many there may be that are in parts of r which are not loaded. Those that it
// cuts off are left out: they show at the next sweep.
func replacedPages(r *Root, c *volume.Commit) (refs []store.PageRef, unseen int) {
	count := min(c.Kept, r.PageCount())
	for i := range c.Segments {
		for p := range c.Segments[i].Pages.All() {
			if !count.Has(p) {
				break // all others are above as well
			}
			id, known := r.known(p)
			switch {
			case !known:
				unseen++
			case !id.IsZero():
				refs = append(refs, store.PageRef{Segment: id, Idx: p})
			}
		}
	}
	return refs, unseen
}

// show makes root the newest Snapshot. The caller holds the state lock.
func (h *Head) show(root *Root, changed bool) {
	old := h.mu.snap
	version := old.version
	if changed {
		version++
	}
	if old.readers > 0 {
		h.mu.older[old] = struct{}{}
	}
	h.mu.snap = newSnapshot(&h.mu.state, h.mu.opened, h.mu.local, root, version)
}

// SetPending stores p as the pending commit of the Graft, or none when p is
// nil; pages are the local ones that it was made of, which stay in the store as
// long as it is pending. When SetPending returns, p and all local commits
// before it are durable. The caller holds the sync lock.
func (h *Head) SetPending(p *volume.Pending, pages []volume.Alias) error {
	held := pagesBySegment(pages)
	h.mu.Lock()
	state := h.mu.state
	if p != nil {
		h.mu.pending = held
	}
	h.mu.Unlock()

	state.Pending = p
	if err := h.store.Apply(store.Change{Grafts: []volume.GraftState{state}}); err != nil {
		return fmt.Errorf("store pending commit: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.state, h.mu.pending = state, held
	return nil
}

// missed gathers the commits that are published while an Adopt makes its Root.
type missed struct{ commits []volume.Commit }

// Adopt moves the SyncPoint over a push of ours that is in the remote:
// p.Record is the next commit of the remote Volume, and aliases say where its
// pages are stored here. The content stays what it is, so it neither waits for
// a Writer nor disturbs one. The caller holds the sync lock.
//
// From then on the Root names the remote Segments, as it would if the Graft
// were opened anew.
func (h *Head) Adopt(ctx context.Context, p volume.Pending, aliases []volume.Alias) (err error) {
	later := &missed{}
	h.mu.Lock()
	state, base := h.mu.state, h.mu.base
	above := volume.LSNRange{First: p.Local + 1, Last: h.mu.local}
	h.mu.missed = later
	h.mu.Unlock()
	defer func() {
		if err != nil {
			h.mu.Lock()
			h.mu.missed = nil
			h.mu.Unlock()
			err = fmt.Errorf("adopt push: %w", err)
		}
	}()

	c := &p.Record.Commit
	if base, err = base.Apply(ctx, c); err != nil {
		return err
	}
	newest, err := h.replay(ctx, base, state.Local, above)
	if err != nil {
		return err
	}
	state.SyncPoint = volume.SyncPoint{Remote: c.LSN, Local: p.Local}
	state.Base = p.Record.Hash()
	state.Pending = nil
	change := store.Change{Grafts: []volume.GraftState{state}, Commits: []volume.Record{p.Record}}
	for _, seg := range c.Segments {
		change.Segments = append(change.Segments, volume.SegmentState{Volume: c.Volume, LSN: c.LSN, Segment: seg, Aliases: aliases})
	}
	// The pages are found through aliases now, which Names does not see: keep
	// them until they are in Badger, and from the sweep that runs.
	for _, a := range aliases {
		release := h.store.Hold(a.Segment)
		h.mu.Lock()
		h.mu.adopted = append(h.mu.adopted, release)
		h.mu.Unlock()
	}
	if err := h.store.Apply(change); err != nil {
		return err
	}
	return h.showAdopted(ctx, state, base, newest, later)
}

// showAdopted brings newest up to what was published meanwhile and shows it.
func (h *Head) showAdopted(ctx context.Context, state volume.GraftState, base, newest *Root, later *missed) (err error) {
	for {
		h.mu.Lock()
		commits := later.commits
		if later.commits = nil; len(commits) == 0 {
			h.mu.state, h.mu.base, h.mu.missed, h.mu.pending = state, base, nil, nil
			h.mu.unsaved = saveEvery // soon
			h.show(newest, false)
			h.mu.Unlock()
			h.heads.Kick()
			return nil
		}
		h.mu.Unlock()
		for i := range commits {
			if newest, err = newest.Apply(ctx, &commits[i]); err != nil {
				return err
			}
		}
	}
}

// replay applies a range of commits of a local Volume to a Root.
func (h *Head) replay(ctx context.Context, r *Root, v volume.VolumeID, lsns volume.LSNRange) (*Root, error) {
	err := h.store.Log(v, lsns, func(rec volume.Record) (err error) {
		r, err = r.Apply(ctx, &rec.Commit)
		return err
	})
	return r, err
}

// maxAdvance is how many commits Advance applies one by one. That keeps what is
// loaded of the Root; a longer way it begins anew.
const maxAdvance = 64

// maxAdvancePages is how many pages they may change, all together: a record of 1 MiB
// can name billions, and each takes 16 bytes of a Root that was applied to.
const maxAdvancePages = 1 << 20

// Advance moves the SyncPoint to LSN to of the remote Volume, whose commit is in
// the store. It makes no request. It waits for the open Writer, then looks again:
// local commits by now that are not pushed are ErrDiverged, and nothing changes.
// The caller holds no lock of h.
func (h *Head) Advance(ctx context.Context, to volume.LSN) error {
	return h.fromOutside(ctx, func() error { return h.advanceLocked(ctx, to) })
}

// Reset moves the SyncPoint to LSN to of the remote Volume, whose commit is in
// the store, and shows that, without a request. What is not pushed is given up:
// local is the newest local commit that the caller knows of, and ErrStale tells
// that it is another by now. A push in doubt is ErrPending. It waits for the open
// Writer. The caller holds no lock of h.
func (h *Head) Reset(ctx context.Context, to, local volume.LSN) error {
	return h.fromOutside(ctx, func() error { return h.resetLocked(ctx, to, local) })
}

// fromOutside calls move, which changes the content, with the write lock, again
// and again while it is ErrBusy because of the sync lock.
func (h *Head) fromOutside(ctx context.Context, move func() error) error {
	for {
		unlockWrite, err := h.LockWrite(ctx)
		if err != nil {
			return err
		}
		err = move()
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
func (h *Head) TryAdvance(ctx context.Context, to volume.LSN) error {
	select {
	case h.write <- struct{}{}:
		defer func() { <-h.write }()
		return h.advanceLocked(ctx, to)
	default:
		return ErrBusy
	}
}

// trySync takes the sync lock, or gives ErrBusy when it is taken.
func (h *Head) trySync() (unlock func(), err error) {
	select {
	case h.sync <- struct{}{}:
		return func() { <-h.sync }, nil
	default:
		return nil, ErrBusy
	}
}

// advanceLocked does the work of Advance, or gives ErrBusy when the sync lock is
// taken. The caller holds the write lock.
func (h *Head) advanceLocked(ctx context.Context, to volume.LSN) error {
	unlock, err := h.trySync()
	if err != nil {
		return err
	}
	defer unlock()
	h.mu.Lock()
	next, local, deleted := h.standLocked(), h.mu.local, h.mu.deleted
	h.mu.Unlock()

	switch {
	case deleted:
		return ErrDeleted
	case to <= next.state.SyncPoint.Remote:
		return nil
	case local > next.state.SyncPoint.Local:
		return ErrDiverged
	}
	if next, err = h.advanced(ctx, next, to); err == nil {
		err = h.stand(next)
	}
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	return nil
}

// stand is what a Head stands on.
type stand struct {
	state    volume.GraftState
	base     *Root
	opened   Point
	replaced int // pages that newer ones take the place of, at most
}

// standLocked gives what h stands on. The caller holds the state lock.
func (h *Head) standLocked() stand {
	return stand{state: h.mu.state, base: h.mu.base, opened: h.mu.opened}
}

// advanced gives s moved on to LSN to of the remote Volume: by its commits, if
// they are all here and not too many, nor their pages.
func (h *Head) advanced(ctx context.Context, s stand, to volume.LSN) (stand, error) {
	next := s
	from := s.state.SyncPoint.Remote
	if to-from > maxAdvance {
		return h.opened(ctx, s, to)
	}
	pages := 0
	for l := from + 1; l <= to; l++ {
		rec, err := h.store.Commit(s.state.Remote, l)
		if errors.Is(err, store.ErrNotFound) {
			return h.opened(ctx, s, to)
		}
		if err != nil {
			return s, err
		}
		next.state.Base = rec.Hash()
		for i := range rec.Commit.Segments {
			pages += rec.Commit.Segments[i].Pages.Len()
		}
		if pages > maxAdvancePages {
			return h.opened(ctx, s, to)
		}
		refs, unseen := replacedPages(next.base, &rec.Commit)
		next.replaced += len(refs) + unseen
		if next.base, err = next.base.Apply(ctx, &rec.Commit); err != nil {
			return s, err
		}
	}
	next.state.SyncPoint.Remote = to
	return next, nil
}

// opened gives s moved to LSN to of the remote Volume by its page index there.
func (h *Head) opened(ctx context.Context, s stand, to volume.LSN) (_ stand, err error) {
	s.replaced = int(s.base.PageCount())
	s.state.SyncPoint.Remote = to
	s.opened = PointOf(&s.state)
	if s.base, err = h.heads.baseRoot(ctx, s.opened); err != nil {
		return s, err
	}
	s.state.Base, err = h.hashAt(s.opened)
	return s, err
}

// hashAt gives the hash of the commit at a Point, or zero for none.
func (h *Head) hashAt(at Point) (volume.Hash, error) {
	if at.IsZero() {
		return volume.Hash{}, nil
	}
	rec, err := h.store.Commit(at.Volume, at.LSN)
	if err != nil {
		return volume.Hash{}, err
	}
	return rec.Hash(), nil
}

// stand moves h to s, which has other content. The caller holds the write lock
// and the sync lock.
func (h *Head) stand(s stand) error {
	if err := h.store.Apply(store.Change{Grafts: []volume.GraftState{s.state}}); err != nil {
		return err
	}
	h.store.ReplacedUnseen(s.replaced)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.state, h.mu.base, h.mu.opened = s.state, s.base, s.opened
	h.mu.unsaved = saveEvery
	h.show(s.base, true)
	h.heads.Kick()
	return nil
}

// resetLocked does the work of Reset, or gives ErrBusy when the sync lock is
// taken. The caller holds the write lock.
func (h *Head) resetLocked(ctx context.Context, to, local volume.LSN) error {
	unlock, err := h.trySync()
	if err != nil {
		return err
	}
	defer unlock()
	h.mu.Lock()
	next, head, deleted := h.standLocked(), h.mu.local, h.mu.deleted
	h.mu.Unlock()

	at := volume.SyncPoint{Remote: to, Local: head}
	switch {
	case deleted:
		return ErrDeleted
	case next.state.Pending != nil:
		return fmt.Errorf("reset: %w", ErrPending)
	case head != local:
		return fmt.Errorf("reset: %w", ErrStale)
	case at == next.state.SyncPoint:
		return nil
	}
	defer h.store.HoldVolume(next.state.Remote)() // its commit may be older than any in use
	if next, err = h.opened(ctx, next, to); err == nil {
		next.state.SyncPoint = at
		err = h.stand(next)
	}
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	return nil
}
