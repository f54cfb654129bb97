package main

import (
	"context"
	"errors"
	"os"
)

// warmTrips are the most round trips of a cold query after a warm set, open and
// clone included.
const warmTrips = 5

// otherUsers is how many other users a warm set is of.
const otherUsers = 3

func warmWorkloads() []workload {
	var all []workload
	for _, q := range warmQueries() {
		all = append(all, workload{
			name: q.name, what: q.what + ", on 165 MB; open and clone included", want: q.wants(),
			run: func(ctx context.Context, e *env) ([]row, error) { return q.run(ctx, e) },
		})
	}
	return all
}

// warmQueries are cold queries of replicas that get a warm set: of a replica that
// was asked the same, or about others.
func warmQueries() []coldQuery {
	var all []coldQuery
	for _, q := range coldQueries {
		if !q.pattern {
			continue
		}
		same, others := q, q
		same.name, same.what, same.warm = q.name+"-warm", q.what+", after a warm set of the same", publishSame
		same.requests, same.trips = warmTrips, warmTrips
		others.name, others.what, others.warm = q.name+"-warm-others", q.what+", after a warm set of other users", publishOthers
		all = append(all, same, others)
	}
	return all
}

func publishSame(ctx context.Context, e *env, n *network, q *coldQuery, user int) error {
	return q.publish(ctx, e, n, []int{user})
}

// publishOthers has a warm set of users of whom no trial is.
func publishOthers(ctx context.Context, e *env, n *network, q *coldQuery, _ int) (err error) {
	file, err := openFile(ctx, n.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	users, err := members(ctx, file, e.rounds+otherUsers)
	if err != nil {
		return err
	}
	return q.publish(ctx, e, n, users[e.rounds:])
}

// publish has a new replica that is asked about users publish what it used.
func (q *coldQuery) publish(ctx context.Context, e *env, n *network, users []int) (err error) {
	dir, err := e.fresh("publisher")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return n.with(ctx, dir, func(_ bucket, r *replica) error {
		if err := r.graft.Clone(ctx, n.remote); err != nil {
			return err
		}
		for _, user := range users {
			if _, err := q.ask(ctx, r.sql, user); err != nil {
				return err
			}
		}
		_, err := r.graft.PublishWarm(ctx, 0)
		return err
	})
}
