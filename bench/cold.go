package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"graft"
)

// coldQuery is what a program asks a replica that it has just made.
type coldQuery struct {
	name, what string
	ask        func(ctx context.Context, db *sql.DB, user int) (string, error)

	requests, bytes, trips float64 // at most; 0: no bound
	pattern                bool    // whose requests count at other sizes, too

	// warm has another replica publish a warm set before a user is asked about,
	// which the new one gets; nil: there is none.
	warm func(ctx context.Context, e *env, n *network, q *coldQuery, user int) error
}

var coldQueries = []coldQuery{
	{name: "cold-point-join", what: "a user by primary key with the five latest posts", ask: askPointJoin, requests: 7, bytes: 150e3, trips: 6, pattern: true},
	{name: "cold-profile", what: "five queries over five tables and their indexes", ask: askProfile, bytes: 400e3, trips: 12, pattern: true},
	{name: "cold-scan", what: "a scan of the table of posts, half of the database", ask: askScan, requests: 100, trips: 40},
}

const (
	coldSlack = 1.3 // of the round trips
	moreTrips = 1   // at the large size
	coldRatio = 1.5 // after small pushes, to a fresh import
	large     = "1.5GB"
)

var (
	coldTimeTarget  = target{relation: atMost, bound: 1, unit: share, text: fmt.Sprintf("≤ %v × round trips + hydrated", coldSlack)}
	coldMoreTarget  = target{relation: atMost, bound: moreTrips, unit: requests}
	coldRatioTarget = target{relation: atMost, bound: coldRatio, unit: ratio}
)

func coldWorkloads() []workload {
	var all []workload
	for _, q := range coldQueries {
		all = append(all, workload{
			name: q.name, what: q.what + ", on 165 MB; open and clone included", want: q.wants(),
			run: func(ctx context.Context, e *env) ([]row, error) { return q.run(ctx, e) },
		})
	}
	for _, q := range coldQueries {
		if q.pattern {
			all = append(all, workload{
				name: q.name + "-" + large, what: "the same on 1.5 GB; how many more requests, then round trips", want: coldMoreTarget.String(),
				run: func(ctx context.Context, e *env) ([]row, error) { return q.runLarge(ctx, e) },
			})
		}
	}
	for _, q := range coldQueries {
		all = append(all, workload{
			name: q.name + "-pushed", what: "the same after 10,000 small pushes to all tables, over a fresh import", want: coldRatioTarget.String(),
			run: func(ctx context.Context, e *env) ([]row, error) { return q.runPushed(ctx, e) },
		})
	}
	return all
}

// bounded holds to at most bound, or to nothing when it is 0.
func bounded(bound float64, u unit) target {
	t := target{relation: atMost, bound: bound, unit: u}
	switch {
	case bound == 0:
		return target{}
	case u == octets:
		t.text = fmt.Sprintf("≤ %.0f KB", bound/1e3)
	}
	return t
}

// wants are the targets of q.
func (q *coldQuery) wants() string {
	parts := []string{coldTimeTarget.String()}
	for _, t := range []target{bounded(q.requests, requests), bounded(q.bytes, octets)} {
		if t.relation != "" {
			parts = append(parts, t.String())
		}
	}
	return strings.Join(append(parts, bounded(q.trips, requests).String()+" in a row"), "; ")
}

// askPointJoin is a point query with one join.
func askPointJoin(ctx context.Context, db *sql.DB, user int) (string, error) {
	return askAll(ctx, db, "SELECT u.name, u.display, p.id, p.created, p.body FROM users u JOIN posts p ON p.author = u.id "+
		"WHERE u.id = ? ORDER BY p.created DESC LIMIT 5", user)
}

// askProfile is what the page of a user shows: who, what they wrote and liked,
// who follows, and what was said to their latest post.
func askProfile(ctx context.Context, db *sql.DB, user int) (string, error) {
	var answers []string
	for _, query := range []string{
		"SELECT * FROM users WHERE id = ?",
		"SELECT id, created, body FROM posts WHERE author = ? ORDER BY created DESC LIMIT 10",
		"SELECT follower, created FROM follows WHERE followee = ? ORDER BY created DESC LIMIT 20",
		"SELECT post, created FROM likes WHERE liker = ? ORDER BY created DESC LIMIT 20",
		"SELECT author, created, body FROM comments WHERE post = (SELECT id FROM posts WHERE author = ? ORDER BY created DESC LIMIT 1) " +
			"ORDER BY created LIMIT 20",
	} {
		answer, err := askAll(ctx, db, query, user)
		if err != nil {
			return "", err
		}
		answers = append(answers, answer)
	}
	return strings.Join(answers, "\n"), nil
}

func askScan(ctx context.Context, db *sql.DB, _ int) (string, error) {
	return askAll(ctx, db, "SELECT count(*), sum(author), sum(created), sum(length(body)) FROM posts")
}

// askAll gives the rows of a query, as text.
func askAll(ctx context.Context, db *sql.DB, query string, args ...any) (string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values, pointers := make([]string, len(columns)), make([]any, len(columns))
	for i := range values {
		pointers[i] = &values[i]
	}
	var all strings.Builder
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return "", err
		}
		fmt.Fprintln(&all, strings.Join(values, "\t"))
	}
	return all.String(), rows.Err()
}

// coldTrials are runs of a cold query, and of the same on a hydrated replica.
type coldTrials struct {
	cold     []trial
	hydrated series // seconds
	bytes    series
	latency  time.Duration
}

// trials asks q of a new replica of n in each round, about another user. There is
// one round alone if it takes too many round trips.
func (q *coldQuery) trials(ctx context.Context, e *env, n *network) (all coldTrials, err error) {
	file, err := openFile(ctx, n.file)
	if err != nil {
		return all, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	users, err := members(ctx, file, e.rounds)
	if err != nil {
		return all, err
	}
	all = coldTrials{latency: e.size.latency, hydrated: series{Unit: seconds}, bytes: series{Unit: octets}}
	for i, user := range users {
		want, err := q.ask(ctx, file, user)
		if err != nil {
			return all, err
		}
		if i == 0 { // SQLite and all that a process does once
			if _, err := q.hydrated(ctx, n, user, want); err != nil {
				return all, err
			}
		}
		e.rest(ctx)
		took, err := q.hydrated(ctx, n, user, want)
		if err != nil {
			return all, err
		}
		if q.warm != nil {
			if err := q.warm(ctx, e, n, q, user); err != nil {
				return all, err
			}
		}
		t, err := q.cold(ctx, e, n, user, want)
		if err != nil {
			return all, err
		}
		all.cold = append(all.cold, t)
		all.hydrated.Samples = append(all.hydrated.Samples, took.Seconds())
		all.bytes.Samples = append(all.bytes.Samples, float64(t.bytesIn))
		if t.inRow > manyInRow { // one round says it
			break
		}
	}
	return all, nil
}

// hydrated gives the time of q on a replica that was opened before and has all
// pages.
func (q *coldQuery) hydrated(ctx context.Context, n *network, user int, want string) (took time.Duration, err error) {
	err = n.with(ctx, n.hydrated, func(b bucket, r *replica) error {
		if err := r.sql.PingContext(ctx); err != nil {
			return err
		}
		start := time.Now()
		got, err := q.ask(ctx, r.sql, user)
		took = time.Since(start)
		if used := b.slow.usage(); used.total() > 0 {
			err = errors.Join(err, fmt.Errorf("a hydrated replica asked for %v", used))
		}
		return errors.Join(err, same(got, want))
	})
	return took, err
}

// cold opens an empty data directory, clones n and asks q.
func (q *coldQuery) cold(ctx context.Context, e *env, n *network, user int, want string) (t trial, err error) {
	dir, err := e.fresh("cold")
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := folderBucket(n.bucket)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if e.trace != nil {
		b.slow.watch()
	}
	var r *replica
	var got string
	t, err = b.measured(speed{Latency: e.size.latency}, func() (err error) {
		if r, err = openReplica(ctx, dir, &graft.Options{Bucket: b.Bucket, Warm: q.warm != nil}); err != nil {
			return err
		}
		if err := r.graft.Clone(ctx, n.remote); err != nil {
			return err
		}
		got, err = q.ask(ctx, r.sql, user)
		return err
	})
	if r != nil {
		defer func() { err = errors.Join(err, r.close()) }()
	}
	if err != nil {
		return t, err
	}
	return t, errors.Join(same(got, want), e.writeTrace(ctx, fmt.Sprintf("%s of %s, user %d", q.name, n.name, user), n, b.slow.watched()))
}

func same(got, want string) error {
	if got != want || want == "" {
		return fmt.Errorf("the answer is %.200q, not %.200q", got, want)
	}
	return nil
}

func (c coldTrials) trips() series {
	s := series{Unit: requests}
	for _, t := range c.cold {
		s.Samples = append(s.Samples, t.inRow)
	}
	return s
}

func (c coldTrials) elapsed() series {
	s := series{Unit: seconds}
	for _, t := range c.cold {
		s.Samples = append(s.Samples, t.elapsed.Seconds())
	}
	return s
}

// allowed is how long the trials may take.
func (c coldTrials) allowed() series {
	return combine(seconds, c.trips(), c.hydrated, func(trips, hydrated float64) float64 {
		return coldSlack*trips*c.latency.Seconds() + hydrated
	})
}

// time is the row of the time, for which every cold query has the same target.
func (c coldTrials) time(name string) row {
	figure := combine(share, c.elapsed(), c.allowed(), func(took, allowed float64) float64 { return took / allowed })
	return row{Name: name + "-time", Graft: c.elapsed(), Reference: c.hydrated, Against: "hydrated", Figure: figure, Target: coldTimeTarget}
}

func (q *coldQuery) run(ctx context.Context, e *env) ([]row, error) {
	n, err := e.network(ctx, e.size.social)
	if err != nil {
		return nil, err
	}
	c, err := q.trials(ctx, e, n)
	if err != nil {
		return nil, err
	}
	return []row{
		trialRow(q.name, c.cold, c.cold[len(c.cold)-1].String(), bounded(q.requests, requests)),
		{Name: q.name + "-bytes", Figure: c.bytes, Target: bounded(q.bytes, octets)},
		{Name: q.name + "-trips", Figure: c.trips(), Target: bounded(q.trips, requests)},
		c.time(q.name),
	}, nil
}

// runLarge compares the medians of the large network and the other one, for each
// has other users.
func (q *coldQuery) runLarge(ctx context.Context, e *env) ([]row, error) {
	if e.size.socialLarge == 0 {
		return nil, skipped("it is part of -size full")
	}
	var both [2]coldTrials
	for i, size := range []int64{e.size.social, e.size.socialLarge} {
		n, err := e.network(ctx, size)
		if err != nil {
			return nil, err
		}
		if both[i], err = q.trials(ctx, e, n); err != nil {
			return nil, err
		}
	}
	name := q.name + "-" + large
	return []row{
		moreRow(name, figures(both[1].cold), figures(both[0].cold)),
		moreRow(name+"-trips", both[1].trips(), both[0].trips()),
		{Name: name + "-bytes", Figure: both[1].bytes},
		both[1].time(name),
	}, nil
}

// moreRow judges by how much the median of the large network's requests is above
// that of the other's; 0 if it is not. It is one figure of all rounds, given for each.
func moreRow(name string, large, other series) row {
	more := max(large.median()-other.median(), 0)
	figure := series{Unit: requests, Samples: slices.Repeat([]float64{more}, min(len(large.Samples), len(other.Samples)))}
	return row{Name: name, Graft: large, Reference: other, Against: "165 MB", Figure: figure, Target: coldMoreTarget}
}

// runPushed compares the network after small pushes with one that has the same
// pages by one.
func (q *coldQuery) runPushed(ctx context.Context, e *env) ([]row, error) {
	if e.size.smallPushes == 0 {
		return nil, skipped("it is part of -size full")
	}
	n, err := e.pushedNetwork(ctx, e.size.social)
	if err != nil {
		return nil, err
	}
	fresh, err := e.reimported(ctx, n)
	if err != nil {
		return nil, err
	}
	pushed, err := q.trials(ctx, e, n)
	if err != nil {
		return nil, err
	}
	once, err := q.trials(ctx, e, fresh)
	if err != nil {
		return nil, err
	}
	versus := func(name string, a, b series) row {
		return row{Name: q.name + "-pushed" + name, Graft: a, Reference: b, Against: "fresh", Figure: over(a, b), Target: coldRatioTarget}
	}
	rows := []row{
		versus("", figures(pushed.cold), figures(once.cold)),
		versus("-bytes", pushed.bytes, once.bytes),
		versus("-trips", pushed.trips(), once.trips()),
		versus("-time", pushed.elapsed(), once.elapsed()),
	}
	return rows, nil
}
