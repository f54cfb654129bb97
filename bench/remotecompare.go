package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"graft"
)

func remoteComparisons() []workload {
	all := []workload{{
		name: "remote-start", part: remotePart, what: "a new replica answers how many tables there are; 165 MB",
		run: func(ctx context.Context, e *env) ([]row, error) {
			return coldCompared(ctx, e, "remote-start", "a new replica answers how many tables there are; 165 MB", askTables)
		},
	}}
	for _, q := range coldQueries {
		name, what := "remote-"+q.name[len("cold-"):], q.what+", asked of a new replica; 165 MB"
		all = append(all, workload{
			name: name, part: remotePart, what: what,
			run: func(ctx context.Context, e *env) ([]row, error) { return coldCompared(ctx, e, name, what, q.ask) },
		})
	}
	return append(all, workload{
		name: "remote-push", part: remotePart, what: "a one-row transaction on 165 MB gets into the bucket", run: pushCompared,
	}, workload{
		name: "remote-follow", part: remotePart, what: "a replica that looks for news by itself shows a row that was pushed", run: followCompared,
	}, workload{
		name: "remote-idle", part: remotePart, what: "a replica looks for news when there are none", run: idleCompared,
	})
}

func askTables(ctx context.Context, db *sql.DB, _ int) (string, error) {
	const query = "SELECT count(*) FROM sqlite_schema WHERE name IN ('users', 'posts', 'follows', 'likes', 'comments')" // Litestream adds its own
	return askAll(ctx, db, query)
}

// figuresOf gives the metrics of trials.
func figuresOf(all []trial) []figure {
	figures := []figure{{"time", series{Unit: seconds}}, {"requests", series{Unit: requests}}, {"in a row", series{Unit: requests}},
		{"bytes", series{Unit: octets}}, {"dollars for 1,000", series{Unit: dollars}}}
	for _, t := range all {
		for i, v := range []float64{t.elapsed.Seconds(), float64(t.total()), t.inRow, float64(t.bytesIn + t.bytesOut), 1000 * t.usage.dollars()} {
			figures[i].Samples = append(figures[i].Samples, v)
		}
	}
	return figures
}

// dollars are S3's list prices, over the Internet.
func (u usage) dollars() float64 {
	s := graft.Stats{
		Gets: u.requests[getRequest] + u.requests[rangedRequest], Puts: u.requests[putRequest] + u.requests[partRequest],
		Lists: u.requests[listRequest], Heads: u.requests[headRequest], Deletes: u.requests[deleteRequest], BytesIn: u.bytesIn,
	}
	return s.RequestDollars() + s.TransferDollars()
}

const computedNote = "time is *computed*"

// line is the bucket's speed in comparisons.
func (e *env) line() speed { return speed{Latency: e.size.latency, Bandwidth: e.bandwidth} }

// lineNote says what it is.
func (e *env) lineNote() string {
	return fmt.Sprintf("A request takes %v before its first byte; the line has %g Gbit/s", e.size.latency, float64(e.bandwidth)/(1000*megabit))
}

// computed adds to a trial on a fast bucket what a slow one would have taken.
func (e *env) computed(t trial) trial {
	t.elapsed += time.Duration(t.inRow*float64(e.size.latency)) + time.Duration(float64(t.bytesIn+t.bytesOut)/float64(e.bandwidth)*float64(time.Second))
	return t
}

// coldCompared asks new replicas of each peer, in rounds of alternating order,
// about another user each.
func coldCompared(ctx context.Context, e *env, name, what string, ask func(context.Context, *sql.DB, int) (string, error)) ([]row, error) {
	pub, err := e.publish(ctx, e.size.social)
	if err != nil {
		return nil, err
	}
	c, err := coldRounds(ctx, e, pub, ask)
	if err != nil {
		return nil, err
	}
	c.What, c.Note = what, e.lineNote()
	return []row{{Name: name, Compared: &c}}, nil
}

func coldRounds(ctx context.Context, e *env, pub *published, ask func(context.Context, *sql.DB, int) (string, error)) (c comparison, err error) {
	file, err := openFile(ctx, pub.network.file)
	if err != nil {
		return c, err
	}
	defer file.Close() // it was only read
	users, err := members(ctx, file, e.rounds)
	if err != nil {
		return c, err
	}
	trials := make([][]trial, len(remotePeers))
	many := make([]bool, len(remotePeers))                   // requests in a row: few rounds say it, and the latency is added up
	for round, user := range append(users[:1:1], users...) { // the first one tells how many requests there are
		want, err := ask(ctx, file, user)
		if err != nil {
			return c, err
		}
		for i := range remotePeers {
			if round%2 == 1 {
				i = len(remotePeers) - 1 - i
			}
			p := &remotePeers[i]
			if p.missing(e, pub) != "" || many[i] && len(trials[i]) >= minRounds {
				continue
			}
			line := e.line()
			if round == 0 || many[i] {
				line = speed{}
			}
			e.rest(ctx)
			t, err := p.cold(ctx, e, pub, line, want, func(db *sql.DB) (string, error) { return ask(ctx, db, user) })
			if err != nil {
				return c, fmt.Errorf("%s: %w", p.name, err)
			}
			if round == 0 {
				many[i] = t.inRow > manyInRow
			}
			if many[i] {
				t = e.computed(t)
			}
			if round > 0 || many[i] {
				trials[i] = append(trials[i], t)
			}
		}
	}
	for i, p := range remotePeers {
		s := standing{System: p.name, Note: p.note, Missing: p.missing(e, pub)}
		if s.Missing == "" {
			s.Figures = figuresOf(trials[i])
		}
		if many[i] {
			s.Note += "; " + computedNote
		}
		c.Standings = append(c.Standings, s)
	}
	return c, nil
}
