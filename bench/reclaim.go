package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"graft"
)

// A commit that waits for space to be given back waits for a file of the value log, at
// least: that is a tenth of the whole. The 99th of 100 is held to nothing: a disk that has
// to bring both down waits that long with no graft above it.
var (
	reclaimMedianTarget  = target{relation: atMost, bound: 3, unit: ratio}
	reclaimLongestTarget = target{relation: atMost, bound: 0.1, unit: ratio}
)

func reclaimWorkloads() []workload {
	return []workload{{
		name: "space-commits",
		what: "one-row transactions, FULL, while the space of a deleted Graft of 40 MB is given back, every file of which holds as much that lives, against the same alone: the median and the 99th of 100; and the longest against all of the time that it takes",
		want: fmt.Sprintf("%s; %s", reclaimMedianTarget, reclaimLongestTarget),
		run:  reclaim,
	}}
}

// reclaim compares the times of commits in as many rounds as there are.
func reclaim(ctx context.Context, e *env) ([]row, error) {
	round := -1
	return repeated(e.rounds, func() ([]row, error) {
		round++
		return reclaimOnce(ctx, e, round)
	})
}

// reclaimOnce has its commits alone come first in every second round.
func reclaimOnce(ctx context.Context, e *env, round int) (_ []row, err error) {
	r, stop, err := newReclaimer(ctx, e, round)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	n := max(e.size.updates/4, 1)
	var alone, beside series
	for i := range 2 {
		e.rest(ctx)
		if (i+round)%2 == 0 {
			alone, err = r.commit(ctx, func(done int) (bool, error) { return done >= n, nil })
		} else {
			beside, err = r.besideReclaim(ctx, e)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := r.check(ctx, e.size.overwritten); err != nil {
		return nil, err
	}
	line := func(name string, q float64, t target) row {
		a, b := one(seconds, alone.quantile(q)), one(seconds, beside.quantile(q))
		return row{Name: name, Graft: b, Reference: a, Against: "alone", Figure: over(b, a), Target: t, Note: r.note}
	}
	all := 0.0
	for _, t := range beside.Samples {
		all += t
	}
	longest, whole := one(seconds, beside.quantile(1)), one(seconds, all)
	return []row{
		line("space-commits", 0.5, reclaimMedianTarget),
		line("space-commits-p99", 0.99, target{}),
		{Name: "space-commits-longest", Graft: longest, Reference: whole, Against: "all of them", Figure: over(longest, whole), Target: reclaimLongestTarget, Note: r.note},
	}, nil
}

// reclaimer is a data directory with a table that transactions go to, and two Grafts
// whose pages lie beside each other.
type reclaimer struct {
	dir  string
	sql  []*sql.DB
	conn *sql.Conn
	db   *graft.DB
	kept *graft.Graft
	rows int
	r    *rand.Rand
	note string
}

const keptTag, goneTag = "kept", "gone"

func newReclaimer(ctx context.Context, e *env, round int) (_ *reclaimer, stop func() error, err error) {
	dir, err := e.fresh("space-commits")
	if err != nil {
		return nil, nil, err
	}
	r := &reclaimer{dir: dir, rows: e.size.updateRows, r: rand.New(rand.NewPCG(uint64(round), 3))}
	stop = func() error { return errors.Join(r.close(), os.RemoveAll(dir)) }
	defer func() {
		if err != nil {
			err = errors.Join(err, stop())
		}
	}()
	if err := sharingSystem.setUp(ctx, dir, r.rows); err != nil {
		return nil, nil, err
	}
	if r.sql, err = sharingSystem.open(ctx, dir); err != nil {
		return nil, nil, err
	}
	if r.conn, err = r.sql[0].Conn(ctx); err != nil {
		return nil, nil, err
	}
	if r.db, err = graft.Open(ctx, dir, nil); err != nil {
		return nil, nil, err
	}
	return r, stop, r.fill(ctx, e.size.overwritten)
}

func (r *reclaimer) close() error {
	var errs []error
	if r.conn != nil {
		errs = append(errs, r.conn.Close())
	}
	errs = append(errs, closeAll(r.sql))
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	return errors.Join(errs...)
}

// fill writes two Grafts in turns.
func (r *reclaimer) fill(ctx context.Context, pages int) error {
	gone, err := r.db.Graft(ctx, goneTag)
	if err != nil {
		return err
	}
	if r.kept, err = r.db.Graft(ctx, keptTag); err != nil {
		return err
	}
	const step = 512 // more than a redo record takes
	for first := 1; first <= pages; first += step {
		for _, g := range []*graft.Graft{gone, r.kept} {
			_, err := g.Update(ctx, func(w *graft.Writer) error {
				for p := first; p < first+step && p <= pages; p++ {
					if err := w.Write(graft.PageIdx(p), makePage(graft.PageIdx(p), 0)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// commit makes transactions until enough says so, and gives how long each took.
func (r *reclaimer) commit(ctx context.Context, enough func(done int) (bool, error)) (series, error) {
	took := series{Unit: seconds}
	for {
		if stop, err := enough(len(took.Samples)); stop || err != nil {
			return took, err
		}
		start := time.Now()
		if err := writeRow(ctx, r.conn, 1+r.r.IntN(r.rows), r.r); err != nil {
			return took, err
		}
		took.Samples = append(took.Samples, time.Since(start).Seconds())
	}
}

// besideReclaim deletes a Graft, and makes transactions until half of its space is given
// back, of which some goes to the journal and to what the transactions leave, or
// nothing has come of it for long.
func (r *reclaimer) besideReclaim(ctx context.Context, e *env) (series, error) {
	before, err := blocks(r.dir)
	if err != nil {
		return series{}, err
	}
	if err := deleteGraft(ctx, r.db, goneTag); err != nil {
		return series{}, err
	}
	start := time.Now()
	looked, wanted := start, before-int64(e.size.overwritten)*graft.PageSize/2
	took, err := r.commit(ctx, func(done int) (bool, error) {
		now := time.Now()
		if now.Sub(looked) < 20*time.Millisecond {
			return false, nil
		}
		looked = now
		used, err := blocks(r.dir)
		if used > wanted && now.Sub(start) > 5*e.size.quiet {
			r.note = "not given back"
			return done > 0, err
		}
		return used <= wanted && done > 0, err
	})
	return took, err
}

// check finds what was kept, and the table, whole.
func (r *reclaimer) check(ctx context.Context, pages int) error {
	reader := r.kept.Reader()
	err := checkPages(ctx, reader, make([]int, pages+1))
	if err := errors.Join(err, closeReader(reader)); err != nil {
		return err
	}
	const wrong = "SELECT count(*) - ?, coalesce(sum(CAST(substr(b, 1, 8) AS INTEGER) <> a), 0) FROM t"
	var missing, damaged int
	if err := r.conn.QueryRowContext(ctx, wrong, r.rows).Scan(&missing, &damaged); err != nil {
		return err
	}
	if missing != 0 || damaged != 0 {
		return fmt.Errorf("%d rows are missing, and %d are of other keys", missing, damaged)
	}
	return nil
}
