package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"graft/volume"
	"graft/volume/store"
)

// saveEvery is how many commits of a Graft go by before its page index is saved
// again: as many, at most, are replayed when it is opened after a crash. Saving has
// the journal applied, and the later that is, the fewer pages get to Badger: so it
// is little less than the commits of one page that the store applies together by
// itself.
const saveEvery = 12_000

// savedIndex is the state of the stored page index of a Head.
//
// The leaves of the newest Snapshot that are not those of the base are stored,
// each leaf under its number and over its older version. The base is the remote
// Volume at the SyncPoint, whose index the bucket has. The steps of saving, whose
// numbers stand in the code:
//
//  1. Take the Roots.
//  2. Have every commit that they fold in Badger.
//  3. Have each leaf that will be written in memory. One that is a patch over a
//     leaf that is not here puts the save off, with nothing written: opening goes
//     on to replay the log from where the index is.
//  4. Settle each leaf that will be written over, in the Root that the stored
//     leaves are of: no Root that shares it needs the stored one afterwards.
//  5. Mark the record of the index: leaves are being written. Then write those
//     that differ.
//  6. Write the record that says which SyncPoint and LSN they are of, without the
//     mark.
//
// After a crash between 5 and 6 some leaves are newer than the record says, and
// there may be leaves above its page count. Opening applies the commits since
// the record to them, which are all there; that what is newer is applied again
// changes nothing. The next save writes every leaf that is stored, so that none
// is left over to show when the Volume grows again.
//
// Leaves of another SyncPoint are worth nothing, for they lie over another base:
// opening replays the log over the base, and the next save writes or removes
// every leaf that is stored.
type savedIndex struct {
	sync.Mutex // held while the index is saved; taken before the Head's mu

	record volume.Index // as it is stored
	newest *Root        // that the stored leaves are of, unless they are unsure
	unsure bool         // any stored leaf may be of any Root
}

// storedLeaves are the stored leaves of a Graft.
type storedLeaves struct {
	store *store.Store
	graft volume.VolumeID
}

// Leaf implements [LeafSource].
func (s storedLeaves) Leaf(_ context.Context, n volume.LeafIdx) (*volume.Leaf, error) {
	leaf, err := s.store.Leaf(s.graft, n)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return leaf, err
}

// NextLeaf implements [LeafSource].
func (s storedLeaves) NextLeaf(_ context.Context, n volume.LeafIdx) (volume.LeafIdx, bool, error) {
	return s.store.NextLeaf(s.graft, n)
}

// load opens the Head of a stored Graft.
func (hs *Heads) load(ctx context.Context, local volume.VolumeID) (*Head, error) {
	state, err := hs.store.Graft(local)
	if err != nil {
		return nil, err
	}
	head, err := hs.store.Head(local)
	if err != nil {
		return nil, err
	}
	if head < state.SyncPoint.Local {
		hs.log.Warn("local log ends below what was pushed", "volume", local, "head", head, "pushed", state.SyncPoint.Local)
		head = state.SyncPoint.Local
	}
	h := newHead(hs)
	base, newest, err := h.openRoots(ctx, state, head)
	if err != nil {
		return nil, err
	}
	if err := h.openPending(state); err != nil {
		return nil, err
	}
	h.mu.state, h.mu.local = state, head
	h.mu.base, h.mu.opened = base, PointOf(&state)
	h.mu.snap = newSnapshot(&state, h.mu.opened, head, newest, 0)
	if newest != h.saved.newest || h.saved.unsure {
		h.mu.unsaved = 1
	}
	return h, nil
}

// openRoots gives the Roots of the base and of the newest Snapshot.
func (h *Head) openRoots(ctx context.Context, state volume.GraftState, head volume.LSN) (base, newest *Root, err error) {
	base, err = h.heads.baseRoot(ctx, PointOf(&state))
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: %v", volume.ErrCorrupt, err) // the Graft is there
	}
	if err != nil {
		return nil, nil, err
	}
	x, err := h.store.Index(state.Local)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, nil, err
	}
	if h.saved.record = x; err != nil {
		h.saved.record = emptyIndex(&state, base)
	}
	if err != nil || x.SyncPoint != state.SyncPoint {
		h.saved.newest, h.saved.unsure = base, true
		newest, err = h.replay(ctx, base, state.Local, volume.LSNRange{First: state.SyncPoint.Local + 1, Last: head})
		return base, newest, err
	}
	if x.Local > head {
		return nil, nil, fmt.Errorf("%w: page index is of local LSN %d, ahead of the log at %d", volume.ErrCorrupt, x.Local, head)
	}
	newest = OpenRootOver(base, x.NewestPages, storedLeaves{h.store, state.Local})
	h.saved.newest, h.saved.unsure = newest, x.Saving
	newest, err = h.replay(ctx, newest, state.Local, volume.LSNRange{First: x.Local + 1, Last: head})
	return base, newest, err
}

// emptyIndex says that no leaf is stored over base.
func emptyIndex(state *volume.GraftState, base *Root) volume.Index {
	return volume.Index{SyncPoint: state.SyncPoint, Local: state.SyncPoint.Local, NewestPages: base.PageCount()}
}

// openPending finds the pages that a pending commit was made of.
func (h *Head) openPending(state volume.GraftState) error {
	if state.Pending == nil {
		return nil
	}
	pages, err := h.Rollup(state.Local, volume.LSNRange{First: state.SyncPoint.Local + 1, Last: state.Pending.Local})
	if err != nil {
		return err
	}
	h.mu.pending = pagesBySegment(pages.Sources)
	return nil
}

// save stores the page index of every Head with at least so many commits since
// the last time. It goes on after an error.
func (hs *Heads) save(ctx context.Context, commits int) error {
	var errs []error
	for _, h := range hs.all() {
		h.mu.Lock()
		due := h.mu.unsaved >= commits && h.mu.unborn == "" && !h.mu.deleted
		h.mu.Unlock()
		if !due {
			continue
		}
		if err := h.save(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// save stores the page index of h as it is now, or puts that off.
func (h *Head) save(ctx context.Context) error {
	s := &h.saved
	s.Lock()
	defer s.Unlock()
	h.mu.Lock() // 1
	state, base, newest := h.mu.state, h.mu.base, h.mu.snap.root
	x := volume.Index{SyncPoint: state.SyncPoint, Local: h.mu.local, NewestPages: newest.PageCount()}
	adopted := h.mu.adopted
	h.mu.adopted, h.mu.unsaved = nil, 0
	h.mu.Unlock()

	err := h.store.AwaitApplied(ctx) // 2
	if err != nil {
		h.mu.Lock()
		h.mu.adopted = append(h.mu.adopted, adopted...)
		h.mu.Unlock()
		adopted = nil
	}
	for _, release := range adopted {
		release() // what aliases name is in Badger now, where the sweep sees it
	}
	if err == nil {
		err = h.saveLeaves(ctx, &state, base, newest)
	}
	if err == nil {
		err = h.store.PutIndex(state.Local, x) // 6
	}
	if err == nil {
		s.record, s.newest, s.unsure = x, newest, false
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.unsaved = max(h.mu.unsaved, 1)
	if errors.Is(err, ErrAbsent) {
		h.log.Debug("page index is not saved yet", "volume", state.Local, "error", err)
		return nil
	}
	return fmt.Errorf("save page index of graft %s: %w", state.Local, err)
}

// saveBatch is how many leaves are written together.
const saveBatch = 256

// saveLeaves is steps 3 to 5. The caller holds the lock of saved.
func (h *Head) saveLeaves(ctx context.Context, state *volume.GraftState, base, newest *Root) error {
	s := &h.saved
	changed, err := h.changedLeaves(ctx, state, base, newest)
	if err != nil || len(changed) == 0 {
		return err
	}
	for _, n := range changed {
		if _, err := leafEntry(ctx, base, newest, n); err != nil { // 3
			return err
		}
		if err := s.newest.settle(ctx, n); err != nil { // 4
			return err
		}
	}
	if err := h.markSaving(state.Local); err != nil {
		return err
	}
	for numbers := range slices.Chunk(changed, saveBatch) {
		if ctx.Err() != nil {
			return context.Cause(ctx) // the rest is unsure
		}
		entries := make([]store.LeafEntry, len(numbers))
		for i, n := range numbers {
			if entries[i], err = leafEntry(ctx, base, newest, n); err != nil {
				return err
			}
		}
		if err := h.store.PutLeaves(state.Local, entries); err != nil {
			return err
		}
	}
	return nil
}

// markSaving stores that leaves are being written.
func (h *Head) markSaving(local volume.VolumeID) error {
	s := &h.saved
	if !s.record.Saving {
		marked := s.record
		marked.Saving = true
		if err := h.store.PutIndex(local, marked); err != nil {
			return err
		}
		s.record = marked
	}
	s.unsure = true
	return nil
}

// changedLeaves gives the leaves whose stored form is not that of the Roots, or
// may not be.
func (h *Head) changedLeaves(ctx context.Context, state *volume.GraftState, base, newest *Root) (changed []volume.LeafIdx, err error) {
	s := &h.saved
	add := func(n volume.LeafIdx) error {
		changed = append(changed, n)
		return nil
	}
	if !s.unsure && s.record.SyncPoint == state.SyncPoint {
		err := Diff(ctx, s.newest, newest, add)
		return changed, err
	}
	stored := storedLeaves{h.store, state.Local}
	for n, ok, err := stored.NextLeaf(ctx, 0); ok || err != nil; n, ok, err = stored.NextLeaf(ctx, n+1) {
		if err != nil {
			return nil, err
		}
		changed = append(changed, n)
	}
	if err := Diff(ctx, base, newest, add); err != nil {
		return nil, err
	}
	slices.Sort(changed)
	return slices.Compact(changed), nil
}

// leafEntry gives what is to be stored of leaf n, which it loads. It is ErrAbsent
// when that would take a request.
func leafEntry(ctx context.Context, base, newest *Root, n volume.LeafIdx) (store.LeafEntry, error) {
	entry := store.LeafEntry{N: n}
	if SameLeaf(base, newest, n) {
		return entry, nil // none: it is that of the base
	}
	leaf, err := newest.loadLeaf(ctx, n, false)
	if err != nil {
		return entry, err
	}
	if entry.Leaf = leaf; leaf == nil {
		entry.Leaf = new(volume.Leaf) // over that of the base
	}
	return entry, nil
}
