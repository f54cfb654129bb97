package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"graft"
)

var (
	firstPageTarget = target{relation: atMost, bound: 3, unit: requests}
	sameTarget      = target{relation: atMost, bound: 1, unit: ratio, text: "the same for all"}
	pushTarget      = target{relation: atMost, bound: 1, unit: requests}
	pushTimeTarget  = target{relation: atMost, bound: 1.3, unit: ratio}
	pullTarget      = target{relation: atMost, bound: 10, unit: requests}
	idleTarget      = target{relation: atMost, bound: 1, unit: requests}
	idleListTarget  = target{relation: atMost, bound: 0, unit: requests}
)

// firstPages makes new replicas of Volumes of several lengths.
func firstPages(ctx context.Context, e *env) ([]row, error) {
	s, err := e.remoteSite(ctx)
	if err != nil {
		return nil, err
	}
	var rows []row
	var all []series
	for i, name := range []string{"first-page-1", "first-page-1000", "first-page"} {
		got, note, err := trials(ctx, e, func(sp speed) (trial, error) { return s.firstPage(ctx, e, &s.volumes[i], sp) })
		if err != nil {
			return rows, err
		}
		rows = append(rows, trialRow(name, got, note, firstPageTarget))
		all = append(all, figures(got))
	}
	same := row{Name: "first-page-same", Graft: all[2], Reference: all[0], Against: "after 1 commit", Figure: spread(all), Target: sameTarget}
	return append(rows, same), nil
}

// firstPage opens an empty data directory, clones a Volume and reads its first
// page. The figure is without the request for the page itself, if it takes one.
func (s *site) firstPage(ctx context.Context, e *env, v *siteVolume, sp speed) (t trial, err error) {
	dir, err := e.fresh("replica")
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var r *replica
	var first graft.Page
	var cloned usage
	t, err = s.bucket.measured(sp, func() (err error) {
		if r, err = openReplica(ctx, dir, &graft.Options{Bucket: s.bucket.Bucket}); err != nil {
			return err
		}
		if err := r.graft.Clone(ctx, v.id); err != nil {
			return err
		}
		cloned = s.bucket.slow.usage()
		return r.graft.View(func(reader *graft.Reader) error {
			page, err := reader.Page(ctx, 1)
			if err == nil {
				first = *page
			}
			return err
		})
	})
	if r != nil {
		defer func() { err = errors.Join(err, r.close()) }()
	}
	if err != nil {
		return t, err
	}
	if first != v.first {
		return t, errors.New("the first page of the replica is another")
	}
	if s.bucket.slow.usage().sub(cloned).total() > 0 {
		t.figure--
	}
	return t, v.check(ctx, r)
}

// pushOneRow pushes one-row transactions, one after the other.
func pushOneRow(ctx context.Context, e *env) (_ []row, err error) {
	s, err := e.remoteSite(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := e.fresh("pusher")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := openReplica(ctx, dir, &graft.Options{Bucket: s.bucket.Bucket})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := fill(ctx, r.sql, s.rows); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(5, 0))
	if _, err := s.pushes(ctx, r, random, 2, speed{}); err != nil { // the table, and the first of a Graft
		return nil, err
	}
	all, note, err := trials(ctx, e, func(sp speed) (trial, error) { return s.pushes(ctx, r, random, e.size.pushes, sp) })
	if err != nil {
		return nil, err
	}
	pushed := trialRow("push-one-row", all, fmt.Sprintf("%s for %d pushes", note, e.size.pushes), pushTarget)
	took := row{Name: "push-one-row-time", Graft: pushed.Graft, Reference: one(seconds, e.size.latency.Seconds()), Against: "latency", Target: pushTimeTarget}
	took.Figure = over(took.Graft, series{Samples: slices.Repeat([]float64{e.size.latency.Seconds()}, e.rounds)})
	return []row{pushed, took}, s.checkPushed(ctx, e, r)
}

// pushes does n one-row transactions, and measures the push after each. The
// requests are those of all, the rest is the mean.
func (s *site) pushes(ctx context.Context, r *replica, random *rand.Rand, n int, sp speed) (sum trial, err error) {
	for range n {
		if err := r.updateRow(ctx, random, s.rows); err != nil {
			return sum, err
		}
		info, err := r.graft.Info()
		if err != nil {
			return sum, err
		}
		t, err := s.bucket.measured(sp, func() error { return r.push(ctx, info.Status.Unpushed) })
		if err != nil {
			return sum, err
		}
		sum.usage = sum.add(t.usage)
		sum.elapsed += t.elapsed / time.Duration(n)
		sum.inRow += t.inRow
		sum.figure += t.figure
	}
	sum.inRow /= float64(n)
	sum.figure /= float64(n)
	return sum, nil
}

// checkPushed fails unless a replica of what was pushed shows the same.
func (s *site) checkPushed(ctx context.Context, e *env, source *replica) (err error) {
	info, err := source.graft.Info()
	if err != nil {
		return err
	}
	v := siteVolume{id: info.Remote, commits: int(info.SyncPoint.Remote)}
	if v.sum, v.first, err = source.content(ctx); err != nil {
		return err
	}
	_, err = s.firstPage(ctx, e, &v, speed{})
	return err
}

// pullMany pulls what a replica lacks.
func pullMany(ctx context.Context, e *env) ([]row, error) {
	s, err := e.remoteSite(ctx)
	if err != nil {
		return nil, err
	}
	all, note, err := trials(ctx, e, func(sp speed) (trial, error) { return s.pull(ctx, e, sp) })
	if err != nil {
		return nil, err
	}
	return []row{trialRow("pull-1000", all, note, pullTarget)}, nil
}

// pull opens a copy of the replica that is behind, and lets it pull.
func (s *site) pull(ctx context.Context, e *env, sp speed) (t trial, err error) {
	dir := filepath.Join(e.dir, "puller")
	if err := copyDir(dir, s.behind); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := openReplica(ctx, dir, &graft.Options{Bucket: s.bucket.Bucket})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	v := &s.volumes[len(s.volumes)-1]
	t, err = s.bucket.measured(sp, func() error {
		moved, err := r.graft.Pull(ctx)
		if want := (graft.Pulled{From: graft.LSN(v.commits - s.missing), To: graft.LSN(v.commits)}); err == nil && moved != want {
			err = fmt.Errorf("it pulled %v, not %v", moved, want)
		}
		return err
	})
	if err != nil {
		return t, err
	}
	return t, v.check(ctx, r)
}

// copyDir makes a copy of a directory that nobody has open, in the place of what
// there is.
func copyDir(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}

// idle counts the requests of autosync for a Graft that nothing happens to.
func idle(ctx context.Context, e *env) (_ []row, err error) {
	s, err := e.remoteSite(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := e.fresh("idle")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	v := &s.volumes[0]
	if err := s.clone(ctx, dir, v.id); err != nil {
		return nil, err
	}
	r, err := openReplica(ctx, dir, &graft.Options{Bucket: s.bucket.Bucket, AutoSync: e.size.tick})
	if err != nil {
		return nil, err
	}
	all, err := s.idleRounds(ctx, e)
	if err := errors.Join(err, r.close()); err != nil {
		return nil, err
	}
	perTick := row{Name: "idle", Figure: figures(all), Target: idleTarget}
	perTick.Note = fmt.Sprintf("%v in %d ticks", all[len(all)-1], e.size.ticks)
	lists := row{Name: "idle-list", Figure: series{Unit: requests}, Target: idleListTarget}
	for _, t := range all {
		lists.Figure.Samples = append(lists.Figure.Samples, float64(t.requests[listRequest]))
	}
	return []row{perTick, lists}, nil
}

// idleRounds watches the bucket for some ticks, in rounds.
func (s *site) idleRounds(ctx context.Context, e *env) (all []trial, err error) {
	for i := range 1 + e.rounds {
		if err := s.betweenTicks(ctx, e.size.tick); err != nil {
			return nil, err
		}
		t, err := s.bucket.measured(speed{Latency: e.size.latency}, func() error {
			return sleep(ctx, time.Duration(e.size.ticks)*e.size.tick)
		})
		if err != nil {
			return nil, err
		}
		t.figure /= float64(e.size.ticks)
		if i > 0 { // the first one is the first of a Graft that was opened
			all = append(all, t)
		}
	}
	return all, nil
}

// betweenTicks waits until half an interval after a request, so that what
// follows has a whole number of ticks. It does not wait for ever: ticks without
// a request are fine.
func (s *site) betweenTicks(ctx context.Context, interval time.Duration) error {
	seen := s.bucket.slow.usage().total()
	for start := time.Now(); s.bucket.slow.usage().total() == seen && time.Since(start) < 20*interval; {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return sleep(ctx, interval/2)
}
