package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"
)

// sharedBy is how many connections share one Graft.
const sharedBy = 8

var (
	writersTarget = target{relation: atLeast, bound: 0.8, unit: ratio}
	waitsTarget   = target{relation: atMost, bound: 20, unit: ratio}
	readersTarget = target{relation: atLeast, bound: 0.9, unit: ratio}
)

var sharingSystem = graftSystem("", "synchronous(full)")

func sharingWorkloads() []workload {
	return []workload{{
		name: "writers-8",
		what: "8 connections write one tag by BEGIN IMMEDIATE, FULL, against one connection; the 99th of 100 waits against the median",
		want: fmt.Sprintf("%s; %s", writersTarget, waitsTarget),
		run:  writersShare,
	}, {
		name: "readers-7-writer",
		what: "point SELECTs by 7 connections while another writes the same tag, FULL, against 7 alone",
		want: readersTarget.String(),
		run:  readersShare,
	}}
}

// crew is connections to one Graft that work together.
type crew struct {
	title  string
	db     *sql.DB
	rows   int
	conns  []*sql.Conn
	work   func(ctx context.Context, conn *sql.Conn, key int, r *rand.Rand) error
	writer *sql.Conn // writes as long as the others work, if it is there

	mu struct {
		sync.Mutex
		took []time.Duration // each operation of the last run
	}
}

func (c *crew) name() string { return c.title }

// newCrew opens a new database for n connections, and one that writes beside
// them.
func newCrew(ctx context.Context, e *env, s system, title string, n int, writer bool) (_ *crew, stop func() error, err error) {
	dir, err := e.fresh(strings.ReplaceAll(title, " ", "-"))
	if err != nil {
		return nil, nil, err
	}
	c := &crew{title: title, rows: e.size.updateRows}
	end := func() error { return errors.Join(c.close(), os.RemoveAll(dir)) }
	defer func() {
		if err != nil {
			err = errors.Join(err, end())
		}
	}()
	if err := s.setUp(ctx, dir, c.rows); err != nil {
		return nil, nil, err
	}
	dbs, err := s.open(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	c.db = dbs[0]
	c.db.SetMaxOpenConns(n + 2) // answer takes another
	for range n {
		conn, err := c.db.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		c.conns = append(c.conns, conn)
	}
	if writer {
		c.writer, err = c.db.Conn(ctx)
	}
	return c, end, err
}

func (c *crew) close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	if c.writer != nil {
		errs = append(errs, c.writer.Close())
	}
	if c.db != nil {
		errs = append(errs, c.db.Close())
	}
	return errors.Join(errs...)
}

// run does n operations, together.
func (c *crew) run(ctx context.Context, r *rand.Rand, n int) error {
	c.mu.took = c.mu.took[:0]
	errs := make([]error, len(c.conns))
	var working sync.WaitGroup
	for i, conn := range c.conns {
		part, seed := n*(i+1)/len(c.conns)-n*i/len(c.conns), r.Uint64()
		working.Go(func() { errs[i] = c.workAlone(ctx, conn, rand.New(rand.NewPCG(seed, 0)), part) })
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- c.writeUntil(ctx, stop, rand.New(rand.NewPCG(r.Uint64(), 0))) }()
	working.Wait()
	close(stop)
	return errors.Join(append(errs, <-stopped)...)
}

func (c *crew) workAlone(ctx context.Context, conn *sql.Conn, r *rand.Rand, n int) error {
	took := make([]time.Duration, 0, n)
	for range n {
		start := time.Now()
		if err := c.work(ctx, conn, 1+r.IntN(c.rows), r); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.took = append(c.mu.took, took...)
	return nil
}

func (c *crew) writeUntil(ctx context.Context, stop <-chan struct{}, r *rand.Rand) error {
	for c.writer != nil {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := writeRow(ctx, c.writer, 1+r.IntN(c.rows), r); err != nil {
			return err
		}
	}
	return nil
}

// writeRow is a transaction of one row.
func writeRow(ctx context.Context, conn *sql.Conn, key int, r *rand.Rand) error {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "UPDATE t SET b = ? WHERE a = ?", text(key, r), key); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, "COMMIT")
	return err
}

// readRow is a query of one row.
func readRow(ctx context.Context, conn *sql.Conn, key int, _ *rand.Rand) error {
	var b string
	return conn.QueryRowContext(ctx, "SELECT b FROM t WHERE a = ?", key).Scan(&b)
}

// answer is that the table is whole.
func (c *crew) answer(ctx context.Context) (string, error) {
	return ask(ctx, c.db, "SELECT count(*), sum(a), sum(length(b)), sum(CAST(substr(b, 1, 8) AS INTEGER) <> a) FROM t", 4)
}

// waits is a crew that keeps how long its operations took.
type waits struct {
	*crew
	ops      int
	p50, p99 series
}

// run keeps the quantiles of measured runs, which are those of ops operations.
func (w *waits) run(ctx context.Context, r *rand.Rand, n int) error {
	if err := w.crew.run(ctx, r, n); err != nil || n != w.ops {
		return err
	}
	took := series{Unit: seconds}
	for _, d := range w.mu.took {
		took.Samples = append(took.Samples, d.Seconds())
	}
	w.p50.Samples = append(w.p50.Samples, took.quantile(0.5))
	w.p99.Samples = append(w.p99.Samples, took.quantile(0.99))
	return nil
}

// writersShare compares the throughput of many connections with that of one.
func writersShare(ctx context.Context, e *env) (_ []row, err error) {
	many, stopMany, err := newCrew(ctx, e, sharingSystem, "8 connections", sharedBy, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopMany()) }()
	one, stopOne, err := newCrew(ctx, e, sharingSystem, "one connection", 1, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopOne()) }()
	many.work, one.work = writeRow, writeRow
	n := e.size.updates
	w := &waits{crew: many, ops: n, p50: series{Unit: seconds}, p99: series{Unit: seconds}}
	c := contest{subject: w, references: []contender{one}, rounds: e.rounds, warm: max(n/5, 1), ops: n, rest: e.rest}
	throughput, err := c.row(ctx, "writers-8", writersTarget)
	if err != nil {
		return nil, err
	}
	latency := row{Name: "writers-8-p99", Graft: w.p99, Reference: w.p50, Against: "their p50", Figure: over(w.p99, w.p50), Target: waitsTarget}
	return []row{throughput, latency}, nil
}

// readersShare compares readers beside a writer with readers alone; and those of
// a file in WAL mode, which tells what the writer's share of the processors is.
func readersShare(ctx context.Context, e *env) ([]row, error) {
	r, err := readersOf(ctx, e, sharingSystem, "readers-7-writer", readersTarget)
	if err != nil {
		return nil, err
	}
	wal, err := readersOf(ctx, e, fileSystem("wal", "full"), "readers-7-writer-wal", target{})
	return []row{r, wal}, err
}

func readersOf(ctx context.Context, e *env, s system, name string, t target) (_ row, err error) {
	beside, stopBeside, err := newCrew(ctx, e, s, "7 readers beside a writer", sharedBy-1, true)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, stopBeside()) }()
	alone, stopAlone, err := newCrew(ctx, e, s, "7 readers alone", sharedBy-1, false)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, stopAlone()) }()
	beside.work, alone.work = readRow, readRow
	n := e.size.selects
	c := contest{subject: beside, references: []contender{alone}, rounds: e.rounds, warm: max(n/5, 1), ops: n, rest: e.rest}
	return c.row(ctx, name, t)
}
