package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// contender is a system that a workload has set up.
type contender interface {
	// name is that of the system.
	name() string
	// run does n operations. What is random comes from r, which is the same for
	// all contenders of a round.
	run(ctx context.Context, r *rand.Rand, n int) error
	// answer is what all contenders that did the same must agree on.
	answer(ctx context.Context) (string, error)
}

// preparer is a contender that needs something before each run, which is not
// measured.
type preparer interface {
	prepare(ctx context.Context) error
}

// contest runs the same operations on a subject and on what it is compared
// with, in rounds of alternating order.
type contest struct {
	subject    contender
	references []contender
	peers      []contender // what it is only shown beside
	rounds     int
	warm, ops  int                   // operations of a phase: first not measured, then measured
	rest       func(context.Context) // waits for a quiet machine
}

// rester is a contender whose process is not this one: it rests when its turn is over, so
// that nothing of it runs beside the next.
type rester interface {
	rest(ctx context.Context) error
}

// timer is a contender that measures its runs itself. Equal rounds and parts mean
// equal chances.
type timer interface {
	timed(ctx context.Context, round, part uint64, n int) (time.Duration, error)
}

func (c contest) all() []contender {
	return slices.Concat([]contender{c.subject}, c.references, c.peers)
}

// peerRounds is how many rounds peers take part in: nothing is judged by them.
const peerRounds = 3

// times gives the time of one operation, for each round, of the subject, and of
// each reference and peer.
func (c contest) times(ctx context.Context) (subject series, others []series, err error) {
	all := c.all()
	times := make([]series, len(all))
	for round := range c.rounds {
		for i := range all {
			if round%2 == 1 {
				i = len(all) - 1 - i
			}
			if i > len(c.references) && round >= peerRounds {
				continue
			}
			t, err := c.phase(ctx, all[i], round)
			if r, ok := all[i].(rester); ok && err == nil {
				err = r.rest(ctx)
			}
			if err != nil {
				return series{}, nil, fmt.Errorf("%s, round %d: %w", all[i].name(), round, err)
			}
			times[i].Unit = seconds
			times[i].Samples = append(times[i].Samples, t.Seconds()/float64(c.ops))
		}
	}
	return times[0], times[1:], agree(ctx, all)
}

func (c contest) phase(ctx context.Context, who contender, round int) (time.Duration, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	ctx = context.WithoutCancel(ctx) // a goroutine for each query is not what is measured
	p, prepares := who.(preparer)
	if prepares {
		if err := p.prepare(ctx); err != nil {
			return 0, err
		}
	}
	c.rest(ctx)
	if _, err := timed(ctx, who, uint64(round), 0, c.warm); err != nil {
		return 0, err
	}
	if prepares {
		if err := p.prepare(ctx); err != nil {
			return 0, err
		}
		c.rest(ctx)
	}
	return timed(ctx, who, uint64(round), 1, c.ops)
}

// timed runs n operations.
func timed(ctx context.Context, who contender, round, part uint64, n int) (time.Duration, error) {
	if t, ok := who.(timer); ok {
		return t.timed(ctx, round, part, n)
	}
	r := rand.New(rand.NewPCG(round, part))
	start := time.Now()
	err := who.run(ctx, r, n)
	return time.Since(start), err
}

// agree fails unless all give the same answer.
func agree(ctx context.Context, all []contender) error {
	var first string
	for i, who := range all {
		answer, err := who.answer(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", who.name(), err)
		}
		if i == 0 {
			first = answer
		} else if answer != first {
			return fmt.Errorf("%s answers %s, %s answers %s", all[0].name(), first, who.name(), answer)
		}
	}
	return nil
}

// row runs the contest. The reference of the row is the fastest one; the figure
// is how many times faster the subject is, or, when the target is a maximum,
// how many times slower. With peers the row has a comparison of all.
func (c contest) row(ctx context.Context, name string, t target) (row, error) {
	subject, others, err := c.times(ctx)
	if err != nil {
		return row{}, err
	}
	references := others[:len(c.references)]
	i := fastest(references)
	r := row{Name: name, Graft: subject, Reference: references[i], Against: c.references[i].name(), Target: t}
	if t.relation == atMost {
		r.Figure = over(r.Graft, r.Reference)
	} else {
		r.Figure = over(r.Reference, r.Graft)
	}
	if len(c.peers) > 0 {
		r.Compared = &comparison{}
		for i, s := range append([]series{subject}, others...) {
			r.Compared.Standings = append(r.Compared.Standings, standing{System: c.all()[i].name(), Figures: []figure{{"time", s}}})
		}
	}
	return r, nil
}
