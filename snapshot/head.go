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
	// the Reader shows, and by Reset when it has other local commits than the
	// caller knows of.
	ErrStale = errors.New("graft: snapshot is not the newest")

	// ErrDiverged is returned when local commits that are not pushed stand
	// against commits of the remote Volume that are not pulled.
	ErrDiverged = errors.New("graft: diverged")

	// ErrDeleted is returned by what would write to a Graft that was deleted.
	ErrDeleted = errors.New("graft: the graft was deleted")
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
	heads *Heads
	store *store.Store
	log   *slog.Logger

	sync  chan struct{} // full while the sync lock is held
	write chan struct{} // full while the write lock is held

	saved savedIndex
	used  usedPages

	mu struct {
		sync.Mutex
		state   volume.GraftState
		unborn  string     // the Tag that the first commit makes, or ""
		deleted bool       // it takes no writes, and is there for its Readers
		local   volume.LSN // newest local commit
		snap    *Snapshot
		base    *Root // of the remote Volume at the SyncPoint, or of the parent of a fork
		opened  Point // of the page index that what is not loaded of base comes from

		older   map[*Snapshot]struct{}              // not the newest, and with open Readers
		pending map[volume.SegmentID]volume.PageSet // pages of the pending commit
		adopted []func()                            // ends the hold on local Segments that an alias names; see Adopt
		missed  *missed                             // commits since an Adopt began; nil when none runs
		unsaved int                                 // commits since the index was saved
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

func newHead(hs *Heads) *Head {
	h := &Head{heads: hs, store: hs.store, log: hs.log, sync: make(chan struct{}, 1), write: make(chan struct{}, 1)}
	h.mu.older = make(map[*Snapshot]struct{})
	return h
}

// State gives the state of the Graft now.
func (h *Head) State() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stateLocked()
}

func (h *Head) stateLocked() State {
	return State{GraftState: h.mu.state, LocalHead: h.mu.local, Snapshot: h.mu.snap, Unborn: h.mu.unborn != ""}
}

// Reader reads the newest Snapshot. The caller closes it.
func (h *Head) Reader() *Reader {
	r := &Reader{head: h} // made before the lock, which all who read ask for
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.readNewestLocked(r)
}

// Pin gives the state of the Graft now together with a Reader of its Snapshot,
// which the caller closes.
func (h *Head) Pin() (State, *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stateLocked(), h.newestLocked()
}

// pinLocked gives a Reader of s. The caller holds the state lock, and s is the
// newest Snapshot or pinned by somebody.
func (h *Head) pinLocked(s *Snapshot) *Reader {
	s.readers++
	return &Reader{head: h, snap: s}
}

// newestLocked gives a Reader of the newest Snapshot, as readNewestLocked does.
func (h *Head) newestLocked() *Reader { return h.readNewestLocked(&Reader{head: h}) }

// readNewestLocked has r, which is new, read the newest Snapshot. That of a deleted
// Graft is closed: its pages may be gone.
func (h *Head) readNewestLocked(r *Reader) *Reader {
	if r.snap = h.mu.snap; h.mu.deleted {
		r.closed.Store(true)
		return r
	}
	r.snap.readers++
	return r
}

func (h *Head) pin(s *Snapshot) *Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pinLocked(s)
}

func (h *Head) unpin(s *Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.readers--; s.readers == 0 && s != h.mu.snap {
		delete(h.mu.older, s)
	}
}

// Writer waits until it is the only Writer, or until ctx ends, and stands on
// the newest Snapshot.
func (h *Head) Writer(ctx context.Context) (*Writer, error) {
	if _, err := h.LockWrite(ctx); err != nil { // Discard unlocks
		return nil, err
	}
	return h.newWriter()
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
	if h.State().Snapshot.version != r.snap.version {
		<-h.write
		return nil, ErrStale
	}
	return h.newWriter()
}

// newWriter gives the Writer of a caller that holds the write lock.
func (h *Head) newWriter() (*Writer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.deleted {
		<-h.write
		return nil, ErrDeleted
	}
	return newWriter(h.pinLocked(h.mu.snap)), nil
}

// Busy tells whether a Writer is open.
func (h *Head) Busy() bool { return len(h.write) > 0 }

// LockSync takes the sync lock, or fails when ctx ends. That of a deleted Graft
// is not given: ErrDeleted.
func (h *Head) LockSync(ctx context.Context) (unlock func(), err error) {
	unlock, err = lock(ctx, h.sync, "wait for the sync of the graft")
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.deleted {
		unlock()
		return nil, ErrDeleted
	}
	return unlock, nil
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

// presence counts the pages of r that are stored here. It makes no request.
func (h *Head) presence(ctx context.Context, r *Root) (p Presence, err error) {
	err = r.scan(ctx, func(first, end volume.LeafIdx, l *leaf) error {
		if l == nil {
			p.Unknown += pagesIn(first, end, r.PageCount())
			return nil
		}
		for i, id := range l.written() {
			has, err := h.store.HasPage(id, firstPage(first)+volume.PageIdx(i))
			if err != nil {
				return err
			}
			p.Written++
			if has {
				p.Present++
			}
		}
		return nil
	})
	return p, err
}

// RemotePresence counts the pages of the remote Volume at the SyncPoint that
// are stored here, as [Reader.Presence] does.
func (h *Head) RemotePresence(ctx context.Context) (Presence, error) {
	_, base, pinned := h.pinBase() // a deleted Graft has none
	defer pinned.Close()
	if pinned.closed.Load() {
		return Presence{}, ErrDeleted
	}
	return h.presence(ctx, base)
}
