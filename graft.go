// Package graft is a transactional storage engine for lazy, partial replication
// of SQLite databases through object storage. It needs no server: every client
// talks to a bucket.
//
// The nouns:
//
//   - A [DB] is an open data directory: everything that graft stores on this
//     machine, and the one bucket that it syncs with.
//   - A [Graft] is a database in it that has a Tag, a name like "main". As a git
//     branch has an upstream, it has a remote Volume in the bucket.
//   - A [Reader] reads the pages of one Snapshot of a Graft, a [Writer] stages
//     pages over the newest one and commits them.
//
// Most programs use none of them: they import graft/driver and open
// sql.Open("graft", "tag=main").
//
// A commit is local until it is pushed, and may still lose against another
// machine's push: then [Graft.Push] and [Graft.Pull] return [ErrDiverged].
// Within one data directory transactions are serializable; across machines, a
// push is one unit in the order of the remote Volume.
package graft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"graft/objstore"
	"graft/snapshot"
	graftsync "graft/sync"
	"graft/volume/store"
)

// DB is a hold on an open data directory. Several holds of one process share
// one store: the last Close closes it. All methods are safe for concurrent use.
type DB struct {
	*directory
	closeOnce sync.Once
	closeErr  error
}

// directory is an open data directory, shared by all DBs of it.
type directory struct {
	path    string
	opts    Options
	log     *slog.Logger
	bucket  *objstore.Bucket // nil: no remote
	store   *store.Store
	heads   *snapshot.Heads
	remote  *graftsync.Remote
	stop    context.CancelFunc // ends autosync
	stopped chan struct{}      // closed when autosync has ended

	// turn is held while a Graft is opened or a Tag moves. A Head's write lock
	// is taken before it, so that nobody waits for a Writer while holding it.
	turn chan struct{}

	mu struct {
		sync.Mutex
		grafts map[string]*Graft
	}
}

// Open opens the data directory at path, which it makes if need be. It does not
// reach for the bucket. Another process that holds the directory is ErrInUse, as is
// this one when its last DB could not be closed: the error says to restart it;
// another DB of this process with other Options is an error that names the
// option.
func Open(ctx context.Context, path string, opts *Options) (*DB, error) {
	o := opts.clone()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("graft: no data directory given")
	}
	real, err := makeDirectory(path)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	d, err := directories.acquire(ctx, real, o)
	if err != nil {
		return nil, err
	}
	return &DB{directory: d}, nil
}

// makeDirectory makes a directory if need be, and gives the one path that all
// its names lead to.
func makeDirectory(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(abs, 0o777); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// Close gives up this hold on the data directory. The last one ends what runs
// in the background, and closes the store and the bucket. Grafts, Readers and
// Writers of the DB must not be used afterwards. It does nothing the second
// time.
func (db *DB) Close() error {
	db.closeOnce.Do(func() { db.closeErr = directories.release(db.directory) })
	return db.closeErr
}

// openDirectory opens what a data directory consists of.
func openDirectory(ctx context.Context, path string, o Options) (_ *directory, err error) {
	o = o.opening()
	d := &directory{path: path, opts: o, log: o.logger(), turn: make(chan struct{}, 1), stopped: make(chan struct{})}
	d.mu.grafts = make(map[string]*Graft)
	d.heads = snapshot.NewHeads(d.log)
	d.store, err = store.Open(path, store.Options{
		CacheSize: o.PageCache,
		Quota:     o.quota(),
		OverQuota: d.heads.Kick,
		Live:      d.heads.Live,
		Logger:    o.Logger,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.store.Close())
		}
	}()
	if err := d.clearTempDir(); err != nil {
		return nil, err
	}
	if o.AutoSync > 0 && !o.hasBucket() {
		return nil, fmt.Errorf("graft: autosync: %w", ErrNoRemote)
	}
	d.bucket, err = o.openBucket(ctx)
	if err != nil {
		return nil, err
	}
	if d.bucket != nil {
		d.bucket.Hedge(o.Hedge)
	}
	d.remote = graftsync.NewRemote(d.bucket, d.store, d.log)
	if o.Warm {
		d.remote.WarmClones()
	}
	d.remote.UseHeads(d.heads.Open)
	d.heads.Keep(d.remote.PinnedPoints, func(ctx context.Context) error { return d.remote.HoldPins(ctx, false) })
	d.heads.Start(d.store, d.remote)
	auto, stop := context.WithCancel(context.Background())
	d.stop = stop
	if o.Progress != nil {
		auto = WithProgress(auto, o.Progress)
	}
	go func() {
		defer close(d.stopped)
		if o.AutoSync > 0 {
			d.remote.AutoSync(auto, o.AutoSync, d.taggedHeads)
		}
	}()
	return d, nil
}

func (d *directory) clearTempDir() error {
	if err := os.RemoveAll(d.TempDir()); err != nil {
		return fmt.Errorf("clear temporary files: %w", err)
	}
	if err := os.MkdirAll(d.TempDir(), 0o777); err != nil {
		return fmt.Errorf("make folder of temporary files: %w", err)
	}
	return nil
}

func (d *directory) close() error {
	d.stop()
	<-d.stopped
	d.remote.Close()
	err := errors.Join(d.heads.Close(), d.store.Close())
	if d.bucket != nil {
		err = errors.Join(err, d.bucket.Close())
	}
	return err
}

// Path is the absolute path of the data directory.
func (d *directory) Path() string { return d.path }

// TempDir is a folder of the data directory for temporary files. What a crash
// left in it is removed when the directory is opened.
func (d *directory) TempDir() string { return filepath.Join(d.path, "tmp") }

// HasRemote tells whether a bucket is configured.
func (d *directory) HasRemote() bool { return d.bucket != nil }

// RemoteStats counts the requests to the bucket since the directory was opened,
// and the bytes that they moved. It is zero without a bucket.
func (d *directory) RemoteStats() RemoteStats {
	if d.bucket == nil {
		return RemoteStats{}
	}
	return d.bucket.Stats()
}

// Stats counts requests to the bucket and pages that were read, by everybody in the
// process, since the data directory was opened. The pages of a Reader count when it
// is closed. Nothing resets it: take two and subtract.
func (d *directory) Stats() Stats {
	s := d.heads.Stats()
	if d.bucket == nil {
		return s
	}
	r := d.bucket.Stats()
	s.Gets, s.Puts, s.Lists, s.Heads, s.Deletes = r.Gets, r.Puts, r.Lists, r.Heads, r.Deletes
	s.BytesIn, s.BytesOut, s.RoundTrips = r.BytesIn, r.BytesOut, d.bucket.RoundTrips()
	return s
}

// Graft gives the Graft that tag names. Where there is none, it gives an empty
// one that the first commit stores together with its Tag: [Graft.Exists] tells
// the two apart. It reads no page.
func (d *directory) Graft(ctx context.Context, tag string) (*Graft, error) {
	if err := ValidateTag(tag); err != nil {
		return nil, err
	}
	d.mu.Lock()
	g := d.mu.grafts[tag]
	d.mu.Unlock()
	if g != nil {
		return g, nil
	}
	unlock, err := d.lockTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return d.openGraftLocked(ctx, tag)
}

// openGraftLocked opens the Graft of a tag. The caller holds the turn.
func (d *directory) openGraftLocked(ctx context.Context, tag string) (*Graft, error) {
	d.mu.Lock()
	g := d.mu.grafts[tag]
	d.mu.Unlock()
	if g != nil {
		return g, nil
	}
	head, err := d.openTagLocked(ctx, tag)
	if err != nil {
		return nil, err
	}
	g = &Graft{dir: d, tag: tag}
	g.head.Store(head)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.grafts[tag] = g
	return g, nil
}

func (d *directory) openTagLocked(ctx context.Context, tag string) (*snapshot.Head, error) {
	local, err := d.store.Tag(tag)
	if errors.Is(err, store.ErrNotFound) {
		return d.heads.New(tag), nil
	}
	if err != nil {
		return nil, err
	}
	return d.heads.Open(ctx, local)
}

func (d *directory) lockTurn(ctx context.Context) (unlock func(), err error) {
	select {
	case d.turn <- struct{}{}:
		return func() { <-d.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("open graft: %w", context.Cause(ctx))
	}
}

// taggedHeads gives the Heads of all Tags, for autosync. One that cannot be
// opened is logged and left out.
func (d *directory) taggedHeads(ctx context.Context) ([]*snapshot.Head, error) {
	tags, err := d.store.Tags()
	if err != nil {
		return nil, err
	}
	heads := make([]*snapshot.Head, 0, len(tags))
	for _, t := range tags {
		g, err := d.Graft(ctx, t.Name)
		if err != nil {
			d.log.Error("open graft", "tag", t.Name, "error", err)
			continue
		}
		heads = append(heads, g.head.Load())
	}
	return heads, nil
}
