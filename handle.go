package graft

import (
	"context"
	"sync/atomic"

	"graft/snapshot"
)

// Graft is the database that a Tag names. It follows its Tag: after a Clone the
// same handle shows the clone. All methods are safe for concurrent use.
type Graft struct {
	dir    *directory
	tag    string
	head   atomic.Pointer[snapshot.Head]
	backup atomic.Pointer[backup] // nil: there is none to use again
}

// Tag is the name of the Graft.
func (g *Graft) Tag() string { return g.tag }

// Exists tells whether the Graft is stored: it is from its first commit or its
// Clone on.
func (g *Graft) Exists() bool { return !g.head.Load().State().Unborn }

// Info is what a Graft consists of and how it stands to its remote Volume.
type Info struct {
	Tag       string
	Graft     VolumeID // local Volume, which is the key of the Graft
	Remote    VolumeID
	SyncPoint SyncPoint
	LocalHead LSN // newest local commit
	Snapshot  *Snapshot
	Status    Status
	Exists    bool
}

// Info reads the local store alone.
func (g *Graft) Info() (Info, error) {
	head := g.head.Load()
	status, err := g.dir.remote.Status(head)
	if err != nil {
		return Info{}, err
	}
	st := head.State()
	return Info{
		Tag: g.tag, Graft: st.Local, Remote: st.Remote, SyncPoint: st.SyncPoint,
		LocalHead: st.LocalHead, Snapshot: st.Snapshot, Status: status, Exists: !st.Unborn,
	}, nil
}

// Reader reads the newest Snapshot of the Graft, whose pages stay in the data
// directory until the caller closes it.
func (g *Graft) Reader() *Reader { return g.head.Load().Reader() }

// View calls fn with a Reader of the newest Snapshot, which is closed when fn
// returns.
func (g *Graft) View(fn func(*Reader) error) error {
	r := g.Reader()
	defer r.Close()
	return fn(r)
}

// Writer waits until it is the only Writer of the Graft, or until ctx ends, and
// stands on the newest Snapshot. Discard must follow in every case, after
// Commit too.
func (g *Graft) Writer(ctx context.Context) (*Writer, error) {
	for {
		head := g.head.Load()
		w, err := head.Writer(ctx)
		if err != nil {
			return nil, err
		}
		if g.head.Load() == head {
			return w, nil
		}
		w.Discard() // the Tag moved while it waited
	}
}

// TryWriter gives a Writer that stands on the Snapshot of r. It does not wait:
// ErrBusy tells that another Writer is open, ErrStale that the Graft has newer
// content than r shows.
func (g *Graft) TryWriter(r *Reader) (*Writer, error) {
	head := g.head.Load()
	w, err := head.TryWriter(r)
	if err == nil && g.head.Load() != head {
		w.Discard()
		return nil, ErrStale
	}
	return w, err
}

// Busy tells whether a Writer of the Graft is open.
func (g *Graft) Busy() bool { return g.head.Load().Busy() }

// Update calls fn with a Writer, commits what it staged when fn returns nil,
// and discards it otherwise. It gives the LSN of the commit, or zero when
// nothing changed.
func (g *Graft) Update(ctx context.Context, fn func(*Writer) error) (LSN, error) {
	w, err := g.Writer(ctx)
	if err != nil {
		return 0, err
	}
	defer w.Discard()
	if err := fn(w); err != nil {
		return 0, err
	}
	return w.Commit(ctx)
}

// Fetch learns what others pushed to the remote Volume, without moving the
// Graft. It fetches no page.
func (g *Graft) Fetch(ctx context.Context) (Fetched, error) {
	return g.dir.remote.Fetch(ctx, g.head.Load())
}

// Pull moves the Graft to the newest commit of its remote Volume. It fetches no
// page, and waits for the open Writer: who has it must not call Pull. ErrDiverged tells that there are local commits that are not pushed;
// nothing changed then.
func (g *Graft) Pull(ctx context.Context) (Pulled, error) {
	return g.dir.remote.Pull(ctx, g.head.Load())
}

// Push makes all local commits that are not pushed one commit of the remote
// Volume. ErrDiverged tells that others pushed first; nothing changed then.
// After another error the push may have landed: the next Push or Pull finds
// out.
func (g *Graft) Push(ctx context.Context) (Pushed, error) {
	return g.dir.remote.Push(ctx, g.head.Load())
}

// Hydrate gets all pages of the newest Snapshot that are not stored here, so that
// it can be read without the bucket. Pages that were fetched stay when it is cut
// short.
func (g *Graft) Hydrate(ctx context.Context) (Hydrated, error) {
	return g.dir.remote.Hydrate(ctx, g.head.Load())
}

// Audit counts the pages of the remote Volume at the SyncPoint that are stored
// here. It reads the local store alone.
func (g *Graft) Audit(ctx context.Context) (Presence, error) {
	return g.head.Load().RemotePresence(ctx)
}
