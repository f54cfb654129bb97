package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"graft/objstore"
	"graft/volume"
)

// unread is the commits of a remote Volume from first on, zero for none, that were
// put from here, the first of them at that time, and that nothing has read since.
// Each was the proof for the next, so that nobody has noticed if the bucket lost
// what was before.
type unread struct {
	first volume.LSN
	since time.Time
}

// put notes that a put of ours landed as commit l of rv, and how a look for gaps
// beside it went, if there was one. One that failed is made again as late as another.
func (rv *remoteVolume) put(l volume.LSN, begin seen, looked bool, gap error) {
	rv.proved = begin
	switch {
	case looked && gap != nil:
		rv.unread.since = begin.at
	case looked || rv.unread.first == 0:
		rv.unread = unread{l, begin.at}
	}
}

// lookForGaps begins to look whether the bucket has all commits before c, if those
// that nothing has read are due. The result, and whether it looked, is for who calls
// wait, once. The caller holds the lock of rv.
func (r *Remote) lookForGaps(ctx context.Context, rv *remoteVolume, c *volume.Commit) (wait func() (looked bool, err error)) {
	if rv.unread.first == 0 || r.now().Before(rv.unread.since.Add(proofLasts)) {
		return func() (bool, error) { return false, nil }
	}
	found := r.beginFindGap(ctx, c.Volume, rv.unread.first-1, c.LSN-1)
	return func() (bool, error) { return true, found() }
}

// beginFindGap begins findGap. The result is for who calls wait, once.
func (r *Remote) beginFindGap(ctx context.Context, v volume.VolumeID, first, last volume.LSN) (wait func() error) {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() { result <- r.findGap(ctx, v, first, last) }()
	return func() error {
		defer cancel()
		return <-result
	}
}

// lookOnce begins to look whether the bucket has all commits close before head, if
// nothing was seen in it since the data directory was opened: who had it open before
// may have put the last of them over a gap, and closed it too early to notice. A gap
// is for who calls wait, once; a look that failed is made again as late as another.
// The caller holds the lock of rv.
func (r *Remote) lookOnce(ctx context.Context, rv *remoteVolume, v volume.VolumeID, head volume.LSN) (wait func() error) {
	if rv.proved.turn != 0 || head <= 1 {
		return func() error { return nil }
	}
	first := head - min(head, 1<<blockBits-1)
	found := r.beginFindGap(ctx, v, first, head-1)
	return func() error {
		err := found()
		if err == nil || errors.Is(err, ErrRemoteMismatch) {
			return err
		}
		rv.unread = unread{first + 1, r.now()}
		return nil
	}
}

// maxLooked is how many commits findGap looks for, at most.
const maxLooked = 4 << blockBits

// findGap returns ErrRemoteMismatch if the bucket lacks one of the commits of v from
// first to last, which were all seen in it. A request lists 256 of them. A listing is
// a hint: what it leaves out is looked for, and one that is not whole says nothing.
func (r *Remote) findGap(ctx context.Context, v volume.VolumeID, first, last volume.LSN) error {
	first = max(first, 1)
	if last > maxLooked {
		first = max(first, last-maxLooked+1)
	}
	for first <= last {
		block := uint64(first) >> blockBits
		end := min(last, lastOf(block, blockBits))
		key := volume.CommitKey(v, end)
		keys, whole, err := r.bucket.First(ctx, key[:len(key)-blockBits/4], searchKeys)
		if err != nil {
			return err
		}
		named := make(map[volume.LSN]bool, len(keys))
		for _, key := range keys {
			named[lsnOf(v, key)] = true
		}
		for l := first; whole && l <= end; l++ {
			if !named[l] {
				if err := r.exists(ctx, v, l); err != nil {
					return err
				}
			}
		}
		first = end + 1
	}
	return nil
}

// exists returns ErrRemoteMismatch unless the bucket has a commit l of v.
func (r *Remote) exists(ctx context.Context, v volume.VolumeID, l volume.LSN) error {
	key := volume.CommitKey(v, l)
	_, err := r.bucket.Get(ctx, key, volume.MaxCommitSize)
	if errors.Is(err, objstore.ErrNotExist) {
		err = &volume.Error{Op: "check " + r.bucket.String() + " against commit", Volume: v, LSN: l, Key: key, Err: fmt.Errorf("%w: the commit is not there", ErrRemoteMismatch)}
	}
	return err
}

// verifyWhole verifies what a pending commit follows, which is in the bucket itself:
// the commit at the SyncPoint, and that none is missing close before it. The caller
// holds the lock of rv.
func (r *Remote) verifyWhole(ctx context.Context, rv *remoteVolume, st *volume.GraftState) error {
	if err := r.verifyBase(ctx, st); err != nil || st.SyncPoint.Remote == 0 {
		return err
	}
	last := st.SyncPoint.Remote
	first := last - min(last, 1<<blockBits-1)
	if n := rv.unread.first; n > 0 {
		first = min(first, n-1)
	}
	return r.findGap(ctx, st.Remote, first, last)
}
