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
// again: as many, at most, are replayed when it is opened after a crash.
const saveEvery = 2000

// savedIndex is the state of the stored page index of a Head.
//
// The index of the base and the leaves of the newest Snapshot that are not
// those of the base are stored, each leaf under its number and over its older
// version. The steps of saving, whose numbers stand in the code:
//
//  1. Take the Roots.
//  2. Have every commit that they fold in Badger.
//  3. Load each leaf that will be written over, in the Roots that the stored
//     leaves are of: no Root that shares it needs the stored one afterwards.
//  4. Mark the record of the index: leaves are being written. Then write those
//     that differ.
//  5. Write the record that says which LSNs they are of, without the mark.
//
// After a crash between 4 and 5 some leaves are newer than the record says, and
// there may be leaves above its page count. Opening applies the commits since
// the record to them, which are all there; that what is newer is applied again
// changes nothing. The next save writes every leaf that is stored, so that none
// is left over to show when the Volume grows again.
type savedIndex struct {
	sync.Mutex // held while the index is saved; taken before the Head's mu

	record       volume.Index // as it is stored
	base, newest *Root        // that the stored leaves are of, unless they are unsure
	unsure       bool         // any stored leaf may be of any Root
}

// storedLeaves are the leaves of one stored index.
type storedLeaves struct {
	store *store.Store
	graft volume.VolumeID
	space store.IndexSpace
}

// Leaf implements [LeafSource].
func (s storedLeaves) Leaf(_ context.Context, n volume.LeafIdx) (*volume.Leaf, error) {
	leaf, err := s.store.Leaf(s.graft, s.space, n)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return leaf, err
}

// NextLeaf implements [LeafSource].
func (s storedLeaves) NextLeaf(_ context.Context, n volume.LeafIdx) (volume.LeafIdx, bool, error) {
	return s.store.NextLeaf(s.graft, s.space, n)
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
	h.mu.state, h.mu.local, h.mu.base = state, head, base
	h.mu.snap = newSnapshot(&state, head, newest, 0)
	if base != h.saved.base || newest != h.saved.newest {
		h.mu.unsaved = 1
	}
	return h, nil
}

// openRoots gives the Roots of the base and of the newest Snapshot. An index
// that was saved before the SyncPoint moved holds for the base alone.
func (h *Head) openRoots(ctx context.Context, state volume.GraftState, head volume.LSN) (base, newest *Root, err error) {
	x, err := h.store.Index(state.Local)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, nil, err
	}
	if x.SyncPoint.Remote > state.SyncPoint.Remote || x.Local > head {
		return nil, nil, fmt.Errorf("%w: page index is of remote LSN %d and local LSN %d, ahead of the logs at %d and %d",
			volume.ErrCorrupt, x.SyncPoint.Remote, x.Local, state.SyncPoint.Remote, head)
	}
	h.saved.record, h.saved.unsure = x, x.Saving
	base = OpenRoot(x.BasePages, storedLeaves{h.store, state.Local, store.BaseIndex})
	newest = OpenRootOver(base, x.NewestPages, storedLeaves{h.store, state.Local, store.NewestIndex})
	h.saved.base, h.saved.newest = base, newest
	if x.SyncPoint == state.SyncPoint {
		newest, err = h.replay(ctx, newest, state.Local, volume.LSNRange{First: max(x.Local, x.SyncPoint.Local) + 1, Last: head})
		return base, newest, err
	}
	base, err = h.replay(ctx, base, state.Remote, volume.LSNRange{First: x.SyncPoint.Remote + 1, Last: state.SyncPoint.Remote})
	if err != nil {
		return nil, nil, err
	}
	h.saved.unsure = true
	newest, err = h.replay(ctx, base, state.Local, volume.LSNRange{First: state.SyncPoint.Local + 1, Last: head})
	return base, newest, err
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

// save stores the page index of h as it is now.
func (h *Head) save(ctx context.Context) error {
	s := &h.saved
	s.Lock()
	defer s.Unlock()
	h.mu.Lock() // 1
	state, base, newest := h.mu.state, h.mu.base, h.mu.snap.root
	x := volume.Index{SyncPoint: state.SyncPoint, Local: h.mu.local, BasePages: base.PageCount(), NewestPages: newest.PageCount()}
	adopted := h.mu.adopted
	h.mu.adopted, h.mu.unsaved = nil, 0
	h.mu.Unlock()

	err := h.store.Flush() // 2
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
		err = h.saveLeaves(ctx, state.Local, base, newest)
	}
	if err == nil {
		err = h.store.PutIndex(state.Local, x) // 5
	}
	if err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.mu.unsaved = max(h.mu.unsaved, 1)
		return fmt.Errorf("save page index of graft %s: %w", state.Local, err)
	}
	s.record, s.base, s.newest, s.unsure = x, base, newest, false
	return nil
}

// saveBatch is how many leaves are written together.
const saveBatch = 256

// saveLeaves is steps 3 and 4. The caller holds the lock of saved.
func (h *Head) saveLeaves(ctx context.Context, local volume.VolumeID, base, newest *Root) error {
	changed, err := h.changedLeaves(ctx, local, base, newest)
	if err != nil || len(changed) == 0 {
		return err
	}
	sure, err := h.markSaving(local)
	if err != nil {
		return err
	}
	for numbers := range slices.Chunk(changed, saveBatch) {
		entries := make([]store.LeafEntry, 0, 2*len(numbers))
		for _, n := range numbers {
			add, err := h.leafEntries(ctx, base, newest, n, sure)
			if err != nil {
				return err
			}
			entries = append(entries, add...)
		}
		if err := h.store.PutLeaves(local, entries); err != nil {
			return err
		}
	}
	return nil
}

// markSaving stores that leaves are being written, and tells whether those that
// are stored were sure to be those of the saved Roots before.
func (h *Head) markSaving(local volume.VolumeID) (sure bool, err error) {
	s := &h.saved
	if !s.record.Saving {
		marked := s.record
		marked.Saving = true
		if err := h.store.PutIndex(local, marked); err != nil {
			return false, err
		}
		s.record = marked
	}
	sure, s.unsure = !s.unsure, true
	return sure, nil
}

// changedLeaves gives the leaves whose stored form is not that of the Roots.
func (h *Head) changedLeaves(ctx context.Context, local volume.VolumeID, base, newest *Root) (changed []volume.LeafIdx, err error) {
	s := &h.saved
	add := func(n volume.LeafIdx) error {
		changed = append(changed, n)
		return nil
	}
	err = errors.Join(Diff(ctx, s.base, base, add), Diff(ctx, s.newest, newest, add))
	if err != nil {
		return nil, err
	}
	if s.unsure {
		for _, space := range []store.IndexSpace{store.BaseIndex, store.NewestIndex} {
			stored := storedLeaves{h.store, local, space}
			for n, ok, err := stored.NextLeaf(ctx, 0); ok || err != nil; n, ok, err = stored.NextLeaf(ctx, n+1) {
				if err != nil {
					return nil, err
				}
				changed = append(changed, n)
			}
		}
		if err := Diff(ctx, base, newest, add); err != nil {
			return nil, err
		}
	}
	slices.Sort(changed)
	return slices.Compact(changed), nil
}

// leafEntries gives what is to be stored of leaf n. What is stored may be anything
// unless it is sure to be that of the saved Roots.
func (h *Head) leafEntries(ctx context.Context, base, newest *Root, n volume.LeafIdx, sure bool) ([]store.LeafEntry, error) {
	s := &h.saved
	for _, r := range []*Root{s.base, s.newest} { // 3
		if _, err := r.Leaf(ctx, n); err != nil {
			return nil, err
		}
	}
	var entries []store.LeafEntry
	if !sure || !SameLeaf(s.base, base, n) {
		leaf, err := base.Leaf(ctx, n)
		if err != nil {
			return nil, err
		}
		entries = append(entries, store.LeafEntry{Space: store.BaseIndex, N: n, Leaf: leaf})
	}
	entry := store.LeafEntry{Space: store.NewestIndex, N: n} // none, where it is that of the base
	if !SameLeaf(base, newest, n) {
		leaf, err := newest.Leaf(ctx, n)
		if err != nil {
			return nil, err
		}
		if leaf == nil {
			leaf = new(volume.Leaf) // over that of the base
		}
		entry.Leaf = leaf
	}
	return append(entries, entry), nil
}
