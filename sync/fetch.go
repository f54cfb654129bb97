package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// Fetched is what a fetch learned.
type Fetched struct {
	Head volume.LSN // newest commit of the remote Volume
	New  int        // commits that were not known before
}

// Fetch learns the newest commit of the remote Volume of h's Graft and stores its
// record; it fetches no page and moves no Graft. One request says that there is
// nothing new, a few find the newest commit, however many there are. It is shared
// with all Grafts of one remote Volume: who asks before the request is made gets its
// answer.
func (r *Remote) Fetch(ctx context.Context, h *snapshot.Head) (Fetched, error) {
	return r.fetch(ctx, h, r.turn())
}

// fetch is Fetch by who asked at a turn.
func (r *Remote) fetch(ctx context.Context, h *snapshot.Head, asked turn) (got Fetched, err error) {
	if r.bucket == nil {
		return Fetched{}, ErrNoRemote
	}
	ctx, end := begin(ctx, "fetch", h.State().Local)
	defer end(&err)
	unlock, err := h.LockSync(ctx)
	if err != nil {
		return Fetched{}, err
	}
	defer unlock()
	// First the pending commit, so that one of ours is never taken for
	// another's.
	if err := r.resolve(ctx, h); err != nil && !errors.Is(err, ErrDiverged) {
		return Fetched{}, err
	}
	return r.fetchVolume(ctx, h.State().Remote, asked)
}

// fetchVolume fetches v, unless another fetch has begun since asked, and nobody has
// moved on from there.
func (r *Remote) fetchVolume(ctx context.Context, v volume.VolumeID, asked turn) (Fetched, error) {
	meterOf(ctx).phase(PhaseFind)
	rv, err := r.lockVolume(ctx, v)
	if err != nil {
		return Fetched{}, err
	}
	defer rv.unlock()
	if rv.begun > asked {
		if head, err := r.store.Head(v); err != nil || head == rv.last.Head {
			return rv.last, err
		}
	}
	return r.fetchLocked(ctx, rv, v)
}

// nearby is how many new commits are read one after the other before a fetch jumps
// to the newest.
const nearby = 2

// fetchLocked is a fetch by who holds the lock of rv.
//
// A Volume that is known is read on from there: the first new commit names the
// newest known one as its parent, so that the bucket is the same. If there are
// more than a few it jumps to the newest, whose record says all that is needed.
func (r *Remote) fetchLocked(ctx context.Context, rv *remoteVolume, v volume.VolumeID) (Fetched, error) {
	begun := r.turn()
	got, err := r.readOn(ctx, rv, v)
	if err == nil {
		rv.last, rv.begun = got, begun
	}
	return got, err
}

// readOn does the work of a fetch.
func (r *Remote) readOn(ctx context.Context, rv *remoteVolume, v volume.VolumeID) (Fetched, error) {
	known, err := r.store.Head(v)
	if err != nil {
		return Fetched{}, err
	}
	if err := r.prove(ctx, rv, v, known, time.Time{}); err != nil {
		return Fetched{}, err
	}
	got := Fetched{Head: known}
	for range nearby {
		begin := r.look()
		rec, err := r.commit(ctx, v, got.Head.Next())
		if errors.Is(err, objstore.ErrNotExist) {
			return got, nil
		}
		if err == nil {
			err = r.checkParent(ctx, &rec.Commit)
		}
		if got, err = r.fetched(rv, begin, got, rec, err); err != nil {
			return got, err
		}
	}
	return r.jumpLocked(ctx, rv, v, got)
}

// jumpLocked fetches the newest commit of v, if there is one behind those that got
// tells of. The caller holds the lock of rv.
func (r *Remote) jumpLocked(ctx context.Context, rv *remoteVolume, v volume.VolumeID, got Fetched) (Fetched, error) {
	begin := r.look()
	rec, err := r.newest(ctx, v, got.Head)
	if errors.Is(err, objstore.ErrNotExist) {
		return got, nil
	}
	return r.fetched(rv, begin, got, rec, err)
}

// fetched stores a commit that was fetched by a request that began then, unless
// there is an error.
func (r *Remote) fetched(rv *remoteVolume, begin seen, got Fetched, rec volume.Record, err error) (Fetched, error) {
	if err == nil && rec.Commit.LSN > got.Head {
		// A Graft that moves there makes it durable; else it may be read again.
		err = r.store.Apply(store.Change{Commits: []volume.Record{rec}, Relaxed: true})
	}
	if err != nil {
		return got, fmt.Errorf("fetch: %w", err)
	}
	got.New += int(rec.Commit.LSN - got.Head)
	got.Head, rv.proved = rec.Commit.LSN, begin
	return got, nil
}

// checkParent tells whether c follows the commit before it, which is known. Where the
// bucket does not have that any more, c is of another history.
func (r *Remote) checkParent(ctx context.Context, c *volume.Commit) error {
	if c.LSN == 1 {
		return nil // it has none, or one in another Volume
	}
	parent, err := r.parentHash(ctx, c.Volume, c.LSN-1)
	if err != nil || c.Parent == parent {
		return err
	}
	if err = r.verify(ctx, c.Volume, c.LSN-1); err == nil {
		err = &volume.Error{Op: "fetch commit", Volume: c.Volume, LSN: c.LSN, Key: volume.CommitKey(c.Volume, c.LSN),
			Err: fmt.Errorf("%w: its parent is %s, not %s", volume.ErrCorrupt, c.Parent, parent)}
	}
	return err
}

// parentHash is what commit l.Next() of v must name as its parent.
func (r *Remote) parentHash(ctx context.Context, v volume.VolumeID, l volume.LSN) (volume.Hash, error) {
	if l == 0 {
		return volume.Hash{}, nil
	}
	rec, err := r.known(ctx, v, l)
	if err != nil {
		return volume.Hash{}, err
	}
	return rec.Hash(), nil
}

// newest reads the newest commit of v, of which commit known is there unless it is
// zero. It returns objstore.ErrNotExist when there is none after known.
//
// A listing is a hint: it names commits that exist. Where it is in order, or whole,
// the newest of them is the head. Else the head is searched from there.
func (r *Remote) newest(ctx context.Context, v volume.VolumeID, known volume.LSN) (volume.Record, error) {
	hint, isHead, err := r.hint(ctx, v)
	from := max(hint, known)
	if err == nil && from > 0 && (!isHead || hint < known) {
		from, err = r.search(ctx, v, from, expectedHead(hint, hintKeys))
	}
	if err != nil {
		return volume.Record{}, fmt.Errorf("find the newest commit of volume %s: %w", v, err)
	}
	if from == known {
		return volume.Record{}, objstore.ErrNotExist
	}
	return r.commit(ctx, v, from)
}

// hintKeys is how many keys of the log are listed at first.
const hintKeys = 100

// hint gives the newest commit that the first keys of a listing name, and whether
// that is the head.
func (r *Remote) hint(ctx context.Context, v volume.VolumeID) (newest volume.LSN, isHead bool, err error) {
	keys, whole, err := r.bucket.First(ctx, volume.LogPrefix(v), hintKeys)
	return newestOf(v, keys), whole || slices.IsSorted(keys), err
}

// newestOf gives the newest LSN that keys under the log of v name, or zero.
func newestOf(v volume.VolumeID, keys []string) (newest volume.LSN) {
	for _, key := range keys {
		newest = max(newest, lsnOf(v, key))
	}
	return newest
}

// lsnOf gives the LSN of the commit that a key under the log of v is of, or zero.
func lsnOf(v volume.VolumeID, key string) volume.LSN {
	complement, err := strconv.ParseUint(strings.TrimPrefix(key, volume.LogPrefix(v)), 16, 64)
	if l := volume.LSN(^complement); err == nil && volume.CommitKey(v, l) == key {
		return l
	}
	return 0
}

// search gives the newest commit of v from from on, which exists and should be near
// expected.
func (r *Remote) search(ctx context.Context, v volume.VolumeID, from, expected volume.LSN) (volume.LSN, error) {
	s := startSearch(from, expected)
	var refused error // of the last listing
	for q, ok := s.next(); ok; q, ok = s.next() {
		key := volume.CommitKey(v, lastOf(q.block, q.bits))
		if q.list {
			keys, whole, err := r.bucket.First(ctx, key[:len(key)-int(q.bits/4)], searchKeys)
			if refused = err; err != nil {
				s.refused()
				continue
			}
			s.listed(q, newestOf(v, keys), whole)
			continue
		}
		there, err := r.bucket.Exists(ctx, key)
		if err != nil {
			return 0, errors.Join(err, refused)
		}
		s.probed(q, there)
	}
	return s.newest, nil
}
