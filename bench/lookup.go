package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"graft"
)

func historyWorkloads() []workload {
	return []workload{{
		name: "lookup-history",
		what: "read of a random page after 100,000 commits of one page, against after 10; 250,000 pages, no SQL",
		want: lookupTarget.String(),
		run:  lookupHistory,
	}}
}

var lookupTarget = target{relation: atMost, bound: 1.2, unit: ratio}

// lookupHistory compares a history with a short one.
func lookupHistory(ctx context.Context, e *env) (_ []row, err error) {
	h, err := e.killedHistory(ctx)
	if err != nil {
		return nil, err
	}
	short, err := e.fresh("short-history")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(short)) }()
	if _, err := child(ctx, job{Kind: "build", Dir: short, Pages: e.size.pages, Commits: e.size.fewCommits}); err != nil {
		return nil, err
	}
	var all []contender
	for _, of := range []struct {
		dir     string
		commits int
	}{{h.dir, e.size.commits}, {short, e.size.fewCommits}} {
		l, err := newLooker(ctx, of.dir, e.size.pages, of.commits)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.db.Close()) }()
		all = append(all, l)
	}
	n := e.size.lookups
	c := contest{subject: all[0], references: all[1:], rounds: e.rounds, warm: max(n/5, 1), ops: n, rest: e.rest}
	r, err := c.row(ctx, "lookup-history", lookupTarget)
	return []row{r}, err
}

// looker reads pages of a history.
type looker struct {
	db       *graft.DB
	graft    *graft.Graft
	commits  int
	versions []int
}

func newLooker(ctx context.Context, dir string, pages, commits int) (*looker, error) {
	db, g, err := openGraft(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &looker{db: db, graft: g, commits: commits, versions: versions(pages, commits)}, nil
}

func (l *looker) name() string { return fmt.Sprintf("after %d commits", l.commits) }

// run reads n random pages of one Snapshot.
func (l *looker) run(ctx context.Context, r *rand.Rand, n int) (err error) {
	reader := l.graft.Reader()
	defer func() { err = errors.Join(err, closeReader(reader)) }()
	for range n {
		p := graft.PageIdx(1 + r.IntN(len(l.versions)-1))
		page, err := reader.Page(ctx, p)
		if err != nil {
			return err
		}
		if err := checkPage(page, p, l.versions[p]); err != nil {
			return err
		}
	}
	return nil
}

// answer is the number of pages.
func (l *looker) answer(context.Context) (string, error) {
	reader := l.graft.Reader()
	return fmt.Sprint(reader.PageCount(), " pages"), closeReader(reader)
}
