package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

var (
	// ErrNoRemote is returned by what needs a bucket when none is configured.
	ErrNoRemote = errors.New("graft: no remote configured")

	// ErrNoVolume is returned when the bucket has no Volume of that name.
	ErrNoVolume = errors.New("graft: no such volume in the bucket")

	// ErrRemoteMismatch is returned when the bucket does not have, byte for
	// byte, a commit that this data directory saw in it: it is another bucket,
	// or one that lost its history. No commit is put then, and nothing that was
	// uploaded beside the look stays.
	ErrRemoteMismatch = errors.New("graft: bucket is not the one that this data directory was synced with")

	// ErrExpired is returned when what is asked for was removed from the bucket
	// because it is older than its retention.
	ErrExpired = errors.New("graft: expired in the bucket")

	// ErrDiverged is returned when local commits that are not pushed stand
	// against commits of the remote Volume that are not pulled.
	ErrDiverged = snapshot.ErrDiverged
)

// Remote is a bucket seen from one local store. A Remote without a bucket
// answers everything with ErrNoRemote. It is safe for concurrent use.
type Remote struct {
	bucket  *bucket // nil: no remote
	store   *store.Store
	log     *slog.Logger
	frames  *flights[volume.Address, []volume.PageEntry]
	objects *flights[place, []byte]

	maxSince    int           // see the constant; tests set it
	maxEmbedded int           // see the constant; tests set it
	maxLoose    int           // see the constant; tests set it
	minLoose    int           // see the constant; tests set it
	packTimeout time.Duration // see the constant; tests set it
	maxPageSet  int           // volume.MaxPageSets; tests set it
	maxIndex    int           // volume.MaxInlineIndex; tests set it
	now         func() time.Time
	turns       atomic.Uint64 // the last turn that was given
	warm        bool          // a clone gets the newest warm set
	pins        pins

	mu struct {
		sync.Mutex
		// volumes has an entry for each remote Volume that was used; it is
		// full while somebody changes what the store knows of that Volume.
		// Taken after a Head's sync lock.
		volumes map[volume.VolumeID]*remoteVolume
		indexes map[snapshot.Point]*index // some of those in use

		embedded embedded // in the commit that was fetched last, until it is used

		packsFrom time.Time // no pack is made before
	}
}

type remoteVolume struct {
	lock   chan struct{}
	proved seen    // that the bucket has our newest commit; under lock
	unread unread  // under lock
	last   Fetched // what the last fetch learned; under lock
	begun  turn    // when that began; under lock
}

// NewRemote gives a Remote between a bucket, or nil, and a store. The caller
// closes both after the Remote.
func NewRemote(b *objstore.Bucket, st *store.Store, log *slog.Logger) *Remote {
	r := &Remote{maxSince: maxSince, maxEmbedded: maxEmbedded, maxLoose: maxLoose, minLoose: minLoose, packTimeout: packTimeout, maxPageSet: volume.MaxPageSets, maxIndex: volume.MaxInlineIndex, now: time.Now, store: st, log: log}
	r.objects = newFlights[place, []byte](place.String)
	r.frames = newFlights[volume.Address, []volume.PageEntry](func(a volume.Address) string { return partOf(snapshot.Point{}, &a).String() })
	if b != nil {
		r.bucket = &bucket{b}
	}
	r.pins.turn, r.pins.fetched = make(chan struct{}, 1), make(map[volume.VolumeID]snapshot.Point)
	r.mu.volumes = make(map[volume.VolumeID]*remoteVolume)
	r.mu.indexes = make(map[snapshot.Point]*index)
	return r
}

// WarmClones has each Clone get the newest warm set of the remote Volume, if there
// is one. It is called before the Remote is used.
func (r *Remote) WarmClones() { r.warm = true }

// Close cancels the requests for pages that are under way and waits for them.
func (r *Remote) Close() {
	r.frames.close()
	r.objects.close()
}

// turn orders what is asked of a Remote: what began at a later turn than somebody
// asked tells him how things are. The zero turn is before any.
type turn uint64

// turn gives the next turn.
func (r *Remote) turn() turn { return turn(r.turns.Add(1)) }

// seen says when a request began that showed something, or is zero.
type seen struct {
	at   time.Time
	turn turn
}

// look begins a request.
func (r *Remote) look() seen { return seen{r.now(), r.turn()} }

// lockVolume waits until it alone changes what the store knows of v.
func (r *Remote) lockVolume(ctx context.Context, v volume.VolumeID) (*remoteVolume, error) {
	if r.bucket == nil {
		return nil, ErrNoRemote
	}
	r.mu.Lock()
	rv := r.mu.volumes[v]
	if rv == nil {
		rv = &remoteVolume{lock: make(chan struct{}, 1)}
		r.mu.volumes[v] = rv
	}
	r.mu.Unlock()
	select {
	case rv.lock <- struct{}{}:
		return rv, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the sync of volume %s: %w", v, context.Cause(ctx))
	}
}

func (rv *remoteVolume) unlock() { <-rv.lock }

// commit reads and verifies commit l of v from the bucket. A commit that is not
// there is objstore.ErrNotExist.
func (r *Remote) commit(ctx context.Context, v volume.VolumeID, l volume.LSN) (volume.Record, error) {
	b, err := r.bucket.Get(ctx, volume.CommitKey(v, l), volume.MaxCommitSize)
	if err != nil {
		return volume.Record{}, err
	}
	rec, c, err := decodeCommit(v, l, b)
	if err == nil && c != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.mu.embedded = embedded{rec.Commit.Checkpoint.Sum, c}
	}
	return rec, err
}

// embedded is a checkpoint that came with a commit, by the sum of its root.
type embedded struct {
	sum        volume.Hash
	checkpoint *volume.Checkpoint
}

// takeEmbedded gives the checkpoint of the commit that was fetched last, if its root
// has that sum and nobody took it: to decode it takes some milliseconds. Else nil.
func (r *Remote) takeEmbedded(sum volume.Hash) *volume.Checkpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.mu.embedded
	if e.sum != sum {
		return nil
	}
	r.mu.embedded = embedded{}
	return e.checkpoint
}

// decodeCommit verifies the bytes that the bucket has as commit l of v, and gives the
// checkpoint that is embedded there, or nil.
func decodeCommit(v volume.VolumeID, l volume.LSN, b []byte) (rec volume.Record, c *volume.Checkpoint, err error) {
	rec, err = volume.DecodeCommit(b)
	if err == nil && (rec.Commit.Volume != v || rec.Commit.LSN != l) {
		err = fmt.Errorf("%w: it says volume %s LSN %d", volume.ErrCorrupt, rec.Commit.Volume, rec.Commit.LSN)
	}
	if err == nil && rec.Commit.PushID.IsZero() {
		err = fmt.Errorf("%w: it has no push id", volume.ErrCorrupt)
	}
	if err == nil {
		c, err = rec.Embedded()
	}
	if err != nil {
		return rec, nil, &volume.Error{Op: "read commit", Volume: v, LSN: l, Key: volume.CommitKey(v, l), Err: err}
	}
	return rec, c, nil
}

// verify reads commit l of v again, which is in the store, and returns
// ErrRemoteMismatch unless the bucket has the same bytes.
func (r *Remote) verify(ctx context.Context, v volume.VolumeID, l volume.LSN) error {
	known, err := r.known(ctx, v, l)
	if err != nil {
		return err
	}
	key := volume.CommitKey(v, l)
	found, err := r.bucket.Get(ctx, key, volume.MaxCommitSize)
	switch {
	case errors.Is(err, objstore.ErrNotExist):
		err = fmt.Errorf("%w: the commit is not there", ErrRemoteMismatch)
	case err != nil:
		return err
	case volume.HashOf(found) != known.Hash():
		err = fmt.Errorf("%w: the commit is another one", ErrRemoteMismatch)
	default:
		return nil
	}
	return &volume.Error{Op: "check " + r.bucket.String() + " against commit", Volume: v, LSN: l, Key: key, Err: err}
}

// prove verifies the newest commit of v that the store has, unless the bucket was
// seen to have it after since. The caller holds the lock of rv.
func (r *Remote) prove(ctx context.Context, rv *remoteVolume, v volume.VolumeID, head volume.LSN, since time.Time) error {
	if head == 0 || rv.proved.at.After(since) {
		return nil
	}
	begin := r.look()
	if err := r.verify(ctx, v, head); err != nil {
		return err
	}
	rv.proved = begin
	if head == rv.unread.first {
		rv.unread = unread{}
	}
	return nil
}
