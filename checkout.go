package graft

import (
	"context"
	"errors"
	"fmt"

	"graft/snapshot"
	"graft/volume/store"
)

// ForkHere lets the Tag of g name a fork of the Graft that it named, as
// [Graft.Fork] makes one. That Graft stays: Grafts lists it, and SetTag names it
// again. It waits for the open Writer.
func (g *Graft) ForkHere(ctx context.Context) error {
	err := g.forkOnto(ctx, func(old *snapshot.Head) (*snapshot.Head, func(), error) { return old, func() {}, nil })
	if err != nil {
		return fmt.Errorf("fork %q: %w", g.tag, err)
	}
	return nil
}

// Renew lets the Tag of g name a new, empty Graft. The one that it named stays,
// with what it has not pushed: Grafts lists it, and SetTag names it again. It
// waits for the open Writer.
func (g *Graft) Renew(ctx context.Context) error {
	old, unlock, err := g.lockHeadInTurn(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	head := old
	if !old.State().Unborn {
		head = g.dir.heads.New(g.tag)
	}
	if err := head.Create(); err != nil {
		return fmt.Errorf("renew %q: %w", g.tag, err)
	}
	g.head.Store(head)
	return nil
}

// Checkout points the Graft's Tag at a new Graft that is forked from commit lsn of
// Volume v: it has that content, and goes its own way from then on. v is a
// remote Volume; or the local one of a Graft, and lsn its newest commit that is
// not pushed: no others of its commits are held. It fetches no page, and waits
// for the open Writer. A Graft with commits that are not pushed is not given up:
// that is ErrUnpushed. ErrNotRetained tells that there is no such commit,
// ErrBusy or ErrStale that the Graft of v is written to meanwhile.
func (g *Graft) Checkout(ctx context.Context, v VolumeID, lsn LSN) error {
	if err := g.checkPushed(g.head.Load()); err != nil {
		return fmt.Errorf("checkout: %w", err) // before anything is stored
	}
	src, err := g.dir.heads.Open(ctx, v)
	if err == nil {
		err = g.checkoutLocal(ctx, src, lsn)
	} else if errors.Is(err, store.ErrNotFound) {
		err = g.checkoutRemote(ctx, snapshot.Point{Volume: v, LSN: lsn})
	}
	if err != nil {
		return fmt.Errorf("checkout: %w", err)
	}
	return nil
}

func (g *Graft) checkoutRemote(ctx context.Context, at snapshot.Point) error {
	state, err := g.dir.remote.Checkout(ctx, at)
	if err != nil {
		return err
	}
	return g.point(ctx, state.Local, g.checkPushed)
}

// checkoutLocal forks the newest Snapshot of src, if that is of commit lsn.
func (g *Graft) checkoutLocal(ctx context.Context, src *snapshot.Head, lsn LSN) error {
	return g.forkOnto(ctx, func(old *snapshot.Head) (*snapshot.Head, func(), error) {
		if err := g.checkPushed(old); err != nil {
			return nil, nil, err
		}
		st, r := src.Pin()
		defer r.Close()
		if st.Unpushed().IsZero() || st.LocalHead != lsn {
			return nil, nil, &Error{Op: "read commit", Volume: st.Local, LSN: lsn, Err: ErrNotRetained}
		}
		w, err := src.TryWriter(r) // so that nobody commits meanwhile; who waited here might wait for ever
		if err != nil {
			return nil, nil, err
		}
		return src, w.Discard, nil
	})
}

// CloneAs points the Graft's Tag at the Graft local of remote Volume v. If there is
// none it is made, as by [Graft.Clone]: another use of that VolumeID, here or in
// the bucket, is ErrVolumeUsed. The Graft that the Tag named stays, with what it
// has not pushed. It waits for the open Writer.
func (g *Graft) CloneAs(ctx context.Context, local, v VolumeID) error {
	state, err := g.dir.store.Graft(local)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = g.dir.remote.CloneAs(ctx, local, v)
	case err == nil && state.Remote != v:
		err = fmt.Errorf("%w: graft %s has the remote volume %s", ErrVolumeUsed, local, state.Remote)
	}
	if err != nil {
		return err
	}
	return g.dir.SetTag(ctx, g.tag, local)
}

// CommitInfo is what the record of a commit says.
type CommitInfo struct {
	Commit
	Hash   Hash  // of the record
	Record int64 // bytes of the record
	Bytes  int64 // of the record and the pages: compressed in a pushed commit, 4096 for each in a local one
}

// Commit gives the record of commit lsn of Volume v, local or remote. It is read
// from the bucket if it is not stored here; no page is read. ErrNotRetained
// tells that there is no such commit.
func (d *directory) Commit(ctx context.Context, v VolumeID, lsn LSN) (CommitInfo, error) {
	rec, err := d.remote.Commit(ctx, snapshot.Point{Volume: v, LSN: lsn})
	if err != nil {
		return CommitInfo{}, err
	}
	info := CommitInfo{Commit: rec.Commit, Hash: rec.Hash(), Record: int64(len(rec.Bytes)), Bytes: int64(len(rec.Bytes))}
	for i := range rec.Commit.Segments {
		info.Bytes += pagesSize(&rec.Commit.Segments[i], rec.Commit.PushID.IsZero())
	}
	return info, nil
}

// pagesSize is how many bytes the pages of a Segment take outside of the record.
func pagesSize(s *Segment, local bool) int64 {
	switch {
	case local:
		return int64(s.Pages.Len()) * PageSize
	case s.Inline:
		return 0
	case !s.Footer.IsZero():
		return s.Footer.Offset + s.Footer.Length
	}
	return s.Frames.Size()
}

// Log gives up to n commits that the newest Snapshot of g is the fold of, newest
// first: the local ones that are not pushed, then those of the remote Volume,
// then those of the one that g was forked from. Records that are not stored here are read
// from the bucket, one after the other; without a bucket the log ends there.
func (g *Graft) Log(ctx context.Context, n int) ([]CommitInfo, error) {
	head := g.head.Load()
	defer g.dir.store.Hold(head.State().Local)() // its log is read
	st := head.State()
	var commits []CommitInfo
	for _, l := range []Layer{
		{Volume: st.Local, LSNs: st.Unpushed()},
		{Volume: st.Remote, LSNs: LSNRange{First: 1, Last: st.SyncPoint.Remote}},
		{Volume: st.Parent, LSNs: LSNRange{First: 1, Last: st.ParentLSN}},
	} {
		for lsn := l.LSNs.Last; lsn >= l.LSNs.First && lsn > 0 && len(commits) < n; lsn-- {
			c, err := g.dir.Commit(ctx, l.Volume, lsn)
			if errors.Is(err, ErrNoRemote) {
				return commits, nil
			}
			if err != nil {
				return nil, fmt.Errorf("log: %w", err)
			}
			commits = append(commits, c)
		}
	}
	return commits, nil
}
