package sync

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// Pushed is what a push did.
type Pushed struct {
	LSN     volume.LSN // newest commit of the remote Volume that is ours now
	Commits uint64     // local commits that went into it; 0: there was nothing to push
	Pages   int        // pages that were uploaded
}

// Push makes one remote commit of all local commits of h's Graft that are not
// pushed. ErrDiverged tells that another commit took the LSN; nothing changed
// then. After any other error the push may have landed or not: it stays
// pending, and the next Push or Pull finds out. It never waits for a Writer.
// volume.ErrTooLarge tells that the pages are too many, too widely scattered, for
// one commit; nothing was uploaded then.
//
// The steps, whose numbers stand in the code:
//
//  1. Resolve the pending commit of an earlier push, if there is one.
//  2. Roll up the unpushed commits. Upload their pages as a Segment, unless the
//     commit itself has room for them, a checkpoint if one is due, and a pack if
//     small pushes before have left enough for one, without which it goes on as well. Beside
//     that look whether the bucket has the commit at the SyncPoint still, unless it was
//     seen there a moment ago.
//  3. Store the record as pending. It and the local log are durable now.
//  4. Put the record at the LSN after the SyncPoint, if that is absent. Beside that
//     look for a gap below it, if our commits of the last seconds were put and never
//     read; where there is one the push stays pending.
//  5. It landed: adopt it, in one change of the local store.
//  6. The LSN is taken: read it. Our bytes are a success, others a divergence.
//  7. Otherwise the outcome is unknown; the record stays pending.
//  8. The one attempt that was ever made was refused: the record is not pending.
func (r *Remote) Push(ctx context.Context, h *snapshot.Head) (pushed Pushed, err error) {
	if r.bucket == nil {
		return Pushed{}, ErrNoRemote
	}
	ctx, end := begin(ctx, "push", h.State().Local)
	defer end(&err)
	unlock, err := h.LockSync(ctx)
	if err != nil {
		return Pushed{}, err
	}
	defer unlock()
	pushed, err = r.push(ctx, h)
	if err != nil {
		return pushed, fmt.Errorf("push: %w", err)
	}
	return pushed, nil
}

func (r *Remote) push(ctx context.Context, h *snapshot.Head) (Pushed, error) {
	before := h.State()
	if err := r.resolve(ctx, h); err != nil { // 1
		return Pushed{}, err
	}
	st, pinned := h.Pin() // its pages are needed until the push is pending
	defer pinned.Close()
	done := Pushed{LSN: st.SyncPoint.Remote, Commits: uint64(st.SyncPoint.Local - before.SyncPoint.Local)}
	if next, err := r.checkBase(ctx, h, st); err != nil || next == nothing {
		return done, err
	}
	plan, err := rollup(h, st, st.LocalHead)
	if err != nil {
		return done, err
	}
	if st.Unpushed().IsZero() { // a fork that changed nothing
		plan.PageCount, plan.Kept = pinned.PageCount(), pinned.PageCount()
	}
	c, err := r.pushRollup(ctx, h, st, pinned, plan)
	if err != nil {
		return done, err
	}
	pages := c.Pages()
	return Pushed{LSN: c.LSN, Commits: done.Commits + st.Unpushed().Len(), Pages: pages.Len()}, nil
}

// pushRollup takes the steps from the second on for a rollup, and gives the commit
// that landed. What it uploaded for one that cannot land any more it deletes.
func (r *Remote) pushRollup(ctx context.Context, h *snapshot.Head, st snapshot.State, pinned *snapshot.Reader, plan snapshot.Rollup) (*volume.Commit, error) {
	var p prepared
	defer p.release()
	defer func() { r.deleteUploads(ctx, p.gone) }()
	g, both := errgroup.WithContext(ctx) // 2
	g.Go(func() error { return r.proveAgain(both, &st.GraftState) })
	g.Go(func() error { return r.prepare(both, st, pinned, plan, &p) })
	err := g.Wait()
	pending := volume.Pending{Record: p.rec, Local: st.LocalHead}
	if err == nil {
		meterOf(ctx).phase(PhaseCommit)
		meterOf(ctx).expect(int64(len(p.rec.Bytes)), 0)
		err = h.SetPending(&pending, plan.Sources) // 3
	}
	if err != nil {
		// A record that is pending nevertheless is put after they are uploaded again.
		r.deleteUploads(ctx, p.keys)
		return nil, err
	}
	err = r.put(ctx, h, pending, plan) // 4 to 7
	if errors.Is(err, objstore.ErrRefused) {
		if forgot := h.SetPending(nil, nil); forgot != nil { // 8
			return nil, errors.Join(err, forgot)
		}
		r.deleteUploads(ctx, p.keys)
	}
	return &p.rec.Commit, err
}

// checkBase says what a push of what h had in state st does next. Before that it makes
// sure that the bucket is the one that the Graft was synced with, the first time.
func (r *Remote) checkBase(ctx context.Context, h *snapshot.Head, st snapshot.State) (action, error) {
	rv, err := r.lockVolume(ctx, st.Remote)
	if err != nil {
		return nothing, err
	}
	defer rv.unlock()
	head, err := r.store.Head(st.Remote)
	if err != nil {
		return nothing, err
	}
	next := standingOf(&st, head).push()
	switch {
	case next == nothing:
		return next, nil
	case next == putFirst:
		return next, r.verifyBase(ctx, &st.GraftState)
	}
	look := r.lookOnce(ctx, rv, st.Remote, head)
	err = r.prove(ctx, rv, st.Remote, head, time.Time{})
	if err = cmp.Or(err, look()); err != nil {
		return next, err
	}
	if next == diverged {
		return next, divergence("push", h, head)
	}
	return next, nil
}

// proofLasts is for how long a bucket is taken to have a commit that was seen in it.
const proofLasts = 10 * time.Second

// proveAgain verifies the commit at the SyncPoint, if there is one, unless that was
// seen a moment ago.
func (r *Remote) proveAgain(ctx context.Context, st *volume.GraftState) error {
	rv, err := r.lockVolume(ctx, st.Remote)
	if err != nil {
		return err
	}
	defer rv.unlock()
	return r.prove(ctx, rv, st.Remote, st.SyncPoint.Remote, r.now().Add(-proofLasts))
}

// rollup folds the commits of st that are not pushed, up to one.
func rollup(h *snapshot.Head, st snapshot.State, upTo volume.LSN) (snapshot.Rollup, error) {
	return h.Rollup(st.Local, volume.LSNRange{First: st.SyncPoint.Local + 1, Last: upTo})
}

// resolve finds out what became of the pending commit, if there is one: it
// adopts it, puts it again, or forgets it with ErrDiverged because another took
// its LSN. The caller holds the sync lock of h.
func (r *Remote) resolve(ctx context.Context, h *snapshot.Head) error {
	st := h.State()
	if st.Pending == nil {
		return nil
	}
	meterOf(ctx).phase(PhaseResolve)
	p := *st.Pending
	plan, err := rollup(h, st, p.Local)
	if err != nil {
		return err
	}
	c := &p.Record.Commit
	found, err := r.bucket.Get(ctx, volume.CommitKey(c.Volume, c.LSN), volume.MaxCommitSize)
	switch {
	case err == nil:
		rv, err := r.lockVolume(ctx, c.Volume)
		if err != nil {
			return err
		}
		defer rv.unlock()
		if bytes.Equal(found, p.Record.Bytes) { // what it follows may be gone
			if err := r.verifyWhole(ctx, rv, &st.GraftState); err != nil {
				return err
			}
		}
		return r.conclude(ctx, rv, h, p, plan, found)
	case !errors.Is(err, objstore.ErrNotExist):
		return fmt.Errorf("resolve pending commit: %w", err)
	}
	if err := r.verifyBase(ctx, &st.GraftState); err != nil {
		return err
	}
	if err := r.restore(ctx, c, snapshot.PointOf(&st.GraftState), plan); err != nil {
		return fmt.Errorf("resolve pending commit: %w", err)
	}
	return r.put(ctx, h, p, plan)
}

// verifyBase verifies the remote commit that a Graft rests on, if there is one.
func (r *Remote) verifyBase(ctx context.Context, st *volume.GraftState) error {
	at := snapshot.PointOf(st)
	if at.IsZero() {
		return nil
	}
	return r.verify(ctx, at.Volume, at.LSN)
}

// put sends the record of a pending commit, and acts on what became of it.
func (r *Remote) put(ctx context.Context, h *snapshot.Head, p volume.Pending, plan snapshot.Rollup) error {
	c := &p.Record.Commit
	rv, err := r.lockVolume(ctx, c.Volume)
	if err != nil {
		return err
	}
	defer rv.unlock()
	key, begin := volume.CommitKey(c.Volume, c.LSN), r.look()
	look := r.lookForGaps(ctx, rv, c)
	err = r.bucket.PutIfAbsent(ctx, key, p.Record.Bytes) // 4
	looked, gap := look()
	switch outcomeOf(err) {
	case landed:
		if errors.Is(gap, ErrRemoteMismatch) {
			return gap // it stays pending: resolve finds the same
		}
		rv.put(c.LSN, begin, looked, gap)
		return r.adopt(ctx, h, p, plan) // 5
	case taken:
		found, err := r.bucket.Get(ctx, key, volume.MaxCommitSize)
		if err != nil {
			return fmt.Errorf("read the commit that took LSN %d: %w", c.LSN, err)
		}
		return r.conclude(ctx, rv, h, p, plan, found) // 6
	case refused:
		return err
	}
	return fmt.Errorf("outcome is not known yet: %w", err) // 7
}

// maxAliases is how many local Segments may stand for one remote Segment, and
// maxAliasSize how many bytes their page sets may take. The state of a Segment is
// one record, which stands in one Change with the commit, and every read through
// it looks at them.
const (
	maxAliases   = 1000
	maxAliasSize = 1 << 20
)

// fitAliases tells whether all sources of a rollup may be aliases.
func fitAliases(sources []volume.Alias) bool {
	size := 0
	for _, a := range sources {
		size += a.Pages.EncodedSize()
	}
	return len(sources) <= maxAliases && size <= maxAliasSize
}

// adopt adopts a push that landed. Pages that lie in very many local Segments
// are first stored once more, under one.
func (r *Remote) adopt(ctx context.Context, h *snapshot.Head, p volume.Pending, plan snapshot.Rollup) error {
	if fitAliases(plan.Sources) {
		return h.Adopt(ctx, p, plan.Sources)
	}
	all := volume.Alias{Segment: volume.NewSegmentID()}
	defer r.store.Hold(all.Segment)()
	for refs := range slices.Chunk(pageRefs(plan), store.MaxChangePages) {
		pages := make([]volume.PageEntry, 0, len(refs))
		for _, ref := range refs {
			page, err := r.store.Page(plan.Sources[ref.source].Segment, ref.idx)
			if err != nil {
				return fmt.Errorf("adopt push: %w", err)
			}
			pages = append(pages, volume.PageEntry{Idx: ref.idx, Page: page})
			all.Pages.Add(ref.idx)
		}
		if err := r.store.Stage(all.Segment, pages); err != nil {
			return fmt.Errorf("adopt push: %w", err)
		}
	}
	return h.Adopt(ctx, p, []volume.Alias{all})
}

// maxCleanUp is how long the uploads of a lost push may take to be deleted, after
// the push was cancelled as well.
const maxCleanUp = 5 * time.Second

// deleteUploads deletes what was uploaded for a commit that will never land. Space
// alone is at stake.
func (r *Remote) deleteUploads(ctx context.Context, keys []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxCleanUp)
	defer cancel()
	for _, key := range keys {
		if err := r.bucket.Delete(ctx, key); err != nil && !errors.Is(err, objstore.ErrNotExist) {
			r.log.Warn("delete what a lost push uploaded", "key", key, "error", err)
		}
	}
}

// conclude compares what lies at the LSN of a pending commit with it. Equal
// bytes are ours and are adopted; other bytes are a divergence, and the
// pending commit and its Segment go. The caller holds the lock of rv.
func (r *Remote) conclude(ctx context.Context, rv *remoteVolume, h *snapshot.Head, p volume.Pending, plan snapshot.Rollup, found []byte) error {
	ours, err := isOurs(p.Record, found)
	if err != nil {
		return err
	}
	if ours {
		return r.adopt(ctx, h, p, plan)
	}
	c := &p.Record.Commit
	st := h.State()
	if err := r.verifyBase(ctx, &st.GraftState); err != nil {
		return err // another bucket's commit decides nothing
	}
	if err := h.SetPending(nil, nil); err != nil {
		return err
	}
	r.deleteUploads(ctx, uploads(c))
	got, err := r.fetchLocked(ctx, rv, c.Volume) // for the next push, and for status
	if err != nil {
		r.log.Warn("fetch after a lost push", "volume", c.Volume, "error", err)
	}
	return divergence("push", h, max(got.Head, c.LSN))
}
