package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

func transactionWorkloads() []workload {
	return []workload{{
		name: "transaction-2GB",
		what: "one transaction of 524,288 pages and its peak memory, into nothing and over existing pages; no SQL",
		want: transactionTarget.String(),
		run:  largeTransactions,
	}}
}

var transactionTarget = target{relation: atMost, bound: 256 << 20, unit: octets}

// largeTransactions does it as often as it takes to judge.
func largeTransactions(ctx context.Context, e *env) ([]row, error) {
	if e.size.transactionPages == 0 {
		return nil, skipped("it is part of -size full")
	}
	return repeated(min(e.rounds, minRounds), func() ([]row, error) { return writtenTwice(ctx, e) })
}

// writtenTwice writes all pages twice, each time in a process of its own.
func writtenTwice(ctx context.Context, e *env) (_ []row, err error) {
	dir, err := e.fresh("transaction")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var rows []row
	for version, name := range []string{"transaction-2GB", "transaction-2GB-overwrite"} {
		e.rest(ctx)
		o, err := child(ctx, job{Kind: "transaction", Dir: dir, Pages: e.size.transactionPages, Version: version})
		if err != nil {
			return rows, err
		}
		peak := one(octets, float64(o.Peak))
		rows = append(rows,
			row{Name: name, Graft: one(seconds, o.Seconds)},
			row{Name: name + "-memory", Graft: peak, Figure: peak, Target: transactionTarget})
	}
	return rows, nil
}

// transactionJob writes all pages in one transaction.
func transactionJob(ctx context.Context, j job) (outcome, error) {
	db, g, err := openGraft(ctx, j.Dir)
	if err != nil {
		return outcome{}, err
	}
	memory := watchMemory()
	start := time.Now()
	err = writeAll(ctx, g, j.Pages, j.Version)
	o, watchErr := memory.end(time.Since(start))
	if err = errors.Join(err, watchErr); err == nil {
		reader := g.Reader()
		want := slices.Repeat([]int{j.Version}, j.Pages+1)
		err = errors.Join(checkPages(ctx, reader, want), closeReader(reader))
	}
	return o, errors.Join(err, db.Close())
}
