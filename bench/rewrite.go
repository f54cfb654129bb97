package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// rewriteText is the length of a text that fills a page: there is no room for a
// second row.
const rewriteText = 3900

func rewriteWorkloads() []workload {
	return []workload{{
		name: "rewrite-2GB",
		what: "one SQL transaction that rewrites 524,288 pages, rolled back, committed, and VACUUM; peak memory",
		want: transactionTarget.String(),
		run:  rewrites,
	}}
}

// rewriteSteps are the jobs, in order. Each is one statement, or a transaction,
// in a process of its own.
var rewriteSteps = []string{"fill", "rollback", "rewrite", "vacuum"}

// rewriteName is that of the row of a step.
func rewriteName(step string) string {
	if step == "rewrite" {
		return "rewrite-2GB"
	}
	return "rewrite-2GB-" + step
}

// rewrites does them as often as it takes to judge.
func rewrites(ctx context.Context, e *env) ([]row, error) {
	if e.size.transactionPages == 0 {
		return nil, skipped("it is part of -size full")
	}
	return repeated(min(e.rounds, minRounds), func() ([]row, error) { return rewrittenOnce(ctx, e) })
}

func rewrittenOnce(ctx context.Context, e *env) (_ []row, err error) {
	dir, err := e.fresh("rewrite")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var rows []row
	for _, step := range rewriteSteps {
		e.rest(ctx)
		o, err := child(ctx, job{Kind: "sql-" + step, Dir: dir, Pages: e.size.transactionPages})
		if err != nil {
			return rows, err
		}
		name := rewriteName(step)
		peak := one(octets, float64(o.Peak))
		rows = append(rows,
			row{Name: name, Graft: one(seconds, o.Seconds)},
			row{Name: name + "-memory", Graft: peak, Figure: peak, Target: transactionTarget})
	}
	return rows, nil
}

// sqlJob gives the job of a step.
func sqlJob(step string) func(context.Context, job) (outcome, error) {
	return func(ctx context.Context, j job) (o outcome, err error) {
		dbs, err := graftSystem("").open(ctx, j.Dir)
		if err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, closeAll(dbs)) }()
		statements, first := rewriteStatements(step, j.Pages)
		memory := watchMemory()
		start := time.Now()
		for _, s := range statements {
			if _, err := dbs[0].ExecContext(ctx, s); err != nil {
				return o, fmt.Errorf("%s: %w", s, err)
			}
		}
		o, err = memory.end(time.Since(start))
		if err != nil {
			return o, err
		}
		const content = "SELECT count(*), coalesce(sum(substr(b, 1, 1) = '%s'), 0), coalesce(sum(length(b)), 0) FROM t"
		got, err := ask(ctx, dbs[0], fmt.Sprintf(content, first), 3)
		if want := fmt.Sprint(j.Pages, " ", j.Pages, " ", j.Pages*rewriteText); err == nil && got != want {
			err = fmt.Errorf("the table has %s, not %s", got, want)
		}
		return o, err
	}
}

// rewriteStatements are those of a step, and what every text begins with after
// them.
func rewriteStatements(step string, rows int) (statements []string, first string) {
	update := fmt.Sprintf("UPDATE t SET b = printf('%%.%dc', 'y')", rewriteText)
	switch step {
	case "fill":
		return []string{"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)",
			fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO t SELECT i, printf('%%.%dc', 'x') FROM n", rows, rewriteText)}, "x"
	case "rollback":
		return []string{"BEGIN", update, "ROLLBACK"}, "x"
	case "rewrite":
		return []string{update}, "y"
	}
	return []string{"VACUUM"}, "y"
}
