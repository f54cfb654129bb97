package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"graft"
	"graft/vfs"
)

// The remote workloads run on a bucket that adds latency to each request and
// counts them. What they hold graft to are requests and sequential round trips.
func remoteWorkloads() []workload {
	return []workload{{
		name: "first-page",
		what: "requests of a new replica before the one for its first page, after 1, 1,000 and 10,000 remote commits; open and clone included",
		want: firstPageTarget.String() + "; " + sameTarget.String(),
		run:  firstPages,
	}, {
		name: "push-one-row",
		what: "requests of a push of a one-row transaction; then its time in round trips",
		want: pushTarget.String() + "; " + pushTimeTarget.String(),
		run:  pushOneRow,
	}, {
		name: "pull-1000",
		what: "requests of a pull of 1,000 commits made elsewhere",
		want: pullTarget.String(),
		run:  pullMany,
	}, {
		name: "idle",
		what: "requests of autosync for each tick, of one idle Graft; then how many of them are LIST",
		want: idleTarget.String() + "; " + idleListTarget.String(),
		run:  idle,
	}, {
		name: "push-165MB",
		what: "push of an import, against the upload of the same compressed bytes by gocloud alone; its memory; then at 1 Gbit/s",
		want: bulkTarget.String() + "; " + bulkMemoryTarget.String(),
		run:  pushImport,
	}, {
		name: "hydrate-165MB",
		what: "hydrate of the same import, against the download of the same bytes to a file; then at 1 Gbit/s",
		want: bulkTarget.String(),
		run:  hydrateImport,
	}}
}

// replica is a data directory with a Graft, its database, and the bucket that it
// syncs with.
type replica struct {
	db    *graft.DB
	graft *graft.Graft
	sql   *sql.DB // one connection; it reads the bucket like any program
}

func openReplica(ctx context.Context, dir string, opts *graft.Options) (_ *replica, err error) {
	r := &replica{}
	if r.db, r.graft, err = openGraftWith(ctx, dir, opts); err != nil {
		return nil, err
	}
	vfs.ConfigureEngine()
	name := "tag=" + tag + " dir=" + sqlite3.Quote(dir) + " _pragma=synchronous(normal)"
	if r.sql, err = sql.Open("graft", name); err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	r.sql.SetMaxOpenConns(1)
	return r, nil
}

func (r *replica) close() error { return errors.Join(r.sql.Close(), r.db.Close()) }

// updateRow is a one-row transaction.
func (r *replica) updateRow(ctx context.Context, random *rand.Rand, rows int) error {
	key := 1 + random.IntN(rows)
	result, err := r.sql.ExecContext(ctx, "UPDATE t SET b = ? WHERE a = ?", text(key, random), key)
	if err != nil {
		return err
	}
	if changed, err := result.RowsAffected(); err != nil || changed != 1 {
		return errors.Join(fmt.Errorf("update of row %d changed %d rows", key, changed), err)
	}
	return nil
}

// push pushes n commits, and fails unless they are n and become one.
func (r *replica) push(ctx context.Context, n uint64) error {
	pushed, err := r.graft.Push(ctx)
	if err == nil && pushed.Commits != n {
		err = fmt.Errorf("%d commits were pushed, not %d", pushed.Commits, n)
	}
	return err
}

// content is a hash of all pages of the newest Snapshot, and the first of them.
func (r *replica) content(ctx context.Context) (sum [sha256.Size]byte, first graft.Page, err error) {
	h := sha256.New()
	err = r.graft.View(func(reader *graft.Reader) error {
		for p := graft.PageIdx(1); uint64(p) <= uint64(reader.PageCount()); p++ {
			page, err := reader.Page(ctx, p)
			if err != nil {
				return err
			}
			if p == 1 {
				first = *page
			}
			h.Write(page[:])
		}
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil)), first, err
}

// site is a bucket with remote Volumes of several lengths. It is built once for
// all workloads, without latency.
type site struct {
	bucket  bucket
	dir     string
	rows    int
	volumes []siteVolume // ascending in length
	behind  string       // data directory of a replica of the last Volume, with no page
	missing int          // commits that it lacks
}

// siteVolume is a remote Volume, and what its newest commit shows.
type siteVolume struct {
	id      graft.VolumeID
	commits int
	sum     [sha256.Size]byte
	first   graft.Page
}

// remoteSite gives the site, which is built when it is first asked for.
func (e *env) remoteSite(ctx context.Context) (*site, error) {
	if e.site != nil {
		return e.site, nil
	}
	s := &site{bucket: memoryBucket(), rows: e.size.updateRows, missing: e.size.pulled}
	var err error
	s.dir, err = e.build("remote", func(dir string) error {
		for _, commits := range e.size.remoteCommits {
			if err := s.build(ctx, dir, commits); err != nil {
				return fmt.Errorf("volume of %d commits: %w", commits, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, s.bucket.Close())
	}
	e.site = s
	return s, nil
}

// build makes a table by one commit, and the others of one row. It does so in
// memory where it can: each push waits for the disk several times.
func (s *site) build(ctx context.Context, dir string, commits int) (err error) {
	working, err := os.MkdirTemp(memoryDir(), "graft-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(working)) }()
	source, err := openReplica(ctx, working, &graft.Options{Bucket: s.bucket.Bucket})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if err := fill(ctx, source.sql, s.rows); err != nil {
		return err
	}
	if _, err := source.graft.Push(ctx); err != nil {
		return err
	}
	info, err := source.graft.Info()
	if err != nil {
		return err
	}
	v := siteVolume{id: info.Remote, commits: commits}
	random := rand.New(rand.NewPCG(4, uint64(commits)))
	for n := 2; n <= commits; n++ {
		if err := source.updateRow(ctx, random, s.rows); err != nil {
			return err
		}
		if err := source.push(ctx, 1); err != nil {
			return err
		}
		if n == commits-s.missing {
			s.behind = filepath.Join(dir, fmt.Sprint("behind-", commits))
			if err := s.clone(ctx, s.behind, v.id); err != nil {
				return err
			}
		}
	}
	v.sum, v.first, err = source.content(ctx)
	s.volumes = append(s.volumes, v)
	return err
}

// clone makes a replica in a new data directory, and closes it.
func (s *site) clone(ctx context.Context, dir string, id graft.VolumeID) error {
	db, g, err := openGraftWith(ctx, dir, &graft.Options{Bucket: s.bucket.Bucket})
	if err != nil {
		return err
	}
	return errors.Join(g.Clone(ctx, id), db.Close())
}

// check fails unless a replica shows all that the Volume has.
func (v *siteVolume) check(ctx context.Context, r *replica) error {
	sum, first, err := r.content(ctx)
	if err == nil && (sum != v.sum || first != v.first) {
		err = fmt.Errorf("the replica's pages are not those of commit %d", v.commits)
	}
	return err
}

// trial is what one run of a workload asked of the bucket.
type trial struct {
	usage
	elapsed time.Duration
	inRow   float64 // sequential round trips
	figure  float64 // what is held to the target
}

// manyInRow is how many sequential round trips are patiently waited for.
const manyInRow = 100

// trials runs a workload in rounds, with latency unless there are so many
// requests in a row that it would take minutes. run sets the speed for what it
// measures.
func trials(ctx context.Context, e *env, run func(s speed) (trial, error)) (all []trial, note string, err error) {
	s := speed{Latency: e.size.latency}
	first, err := run(speed{})
	if err != nil {
		return nil, "", err
	}
	if first.inRow > manyInRow {
		s = speed{}
		note = "too many requests to add latency; "
	}
	for range e.rounds {
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		e.rest(ctx)
		t, err := run(s)
		if err != nil {
			return nil, "", err
		}
		all = append(all, t)
	}
	return all, note + all[len(all)-1].String(), nil
}

// trialRow judges the figures of trials, beside their times and round trips.
func trialRow(name string, all []trial, note string, t target) row {
	r := row{Name: name, Against: "in a row", Figure: figures(all), Target: t, Note: note}
	r.Graft.Unit, r.Reference.Unit = seconds, requests
	for _, t := range all {
		r.Graft.Samples = append(r.Graft.Samples, t.elapsed.Seconds())
		r.Reference.Samples = append(r.Reference.Samples, t.inRow)
	}
	return r
}

// measured runs f with a bucket of that speed.
func (b bucket) measured(s speed, f func() error) (t trial, err error) {
	b.slow.setSpeed(s)
	defer b.slow.setSpeed(speed{})
	before, start := b.slow.usage(), time.Now()
	err = f()
	t.elapsed = time.Since(start)
	t.usage = b.slow.usage().sub(before)
	t.inRow, t.figure = float64(t.chain), float64(t.total())
	return t, err
}

// figures are those of trials.
func figures(all []trial) series {
	s := series{Unit: requests}
	for _, t := range all {
		s.Samples = append(s.Samples, t.figure)
	}
	return s
}

// spread is the largest of some series over the smallest, round by round.
func spread(all []series) series {
	s := series{Unit: ratio}
	for i := range all[0].Samples {
		var round []float64
		for _, one := range all {
			round = append(round, one.Samples[i])
		}
		s.Samples = append(s.Samples, slices.Max(round)/slices.Min(round))
	}
	return s
}
