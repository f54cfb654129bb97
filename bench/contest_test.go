package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sleeper takes a time for each operation.
type sleeper struct {
	label string
	each  time.Duration
	says  string
	log   *[]string
}

func (s sleeper) name() string { return s.label }

func (s sleeper) run(_ context.Context, r *rand.Rand, n int) error {
	if s.log != nil {
		*s.log = append(*s.log, fmt.Sprintf("%s %d %d", s.label, n, r.IntN(1000)))
	}
	time.Sleep(time.Duration(n) * s.each)
	return nil
}

func (s sleeper) answer(context.Context) (string, error) { return s.says, nil }

func contestOf(subject contender, references ...contender) contest {
	return contest{subject: subject, references: references, rounds: 3, warm: 2, ops: 10, rest: func(context.Context) {}}
}

// TestPlantedRegression lets systems that take too long, or just not, compete.
func TestPlantedRegression(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		graft, first, second time.Duration
		target               target
		figure               float64
		want                 verdict
	}{
		{10 * ms, 10 * ms, 20 * ms, target{relation: atLeast, bound: 0.9, unit: ratio}, 1, met},
		{20 * ms, 80 * ms, 19 * ms, target{relation: atLeast, bound: 0.9, unit: ratio}, 0.95, met},
		{11 * ms, 9 * ms, 20 * ms, target{relation: atLeast, bound: 0.9, unit: ratio}, 9.0 / 11, missed},
		{100 * ms, 20 * ms, 9 * ms, target{relation: atLeast, bound: 0.9, unit: ratio}, 0.09, missed},
		{11 * ms, 10 * ms, 10 * ms, target{relation: atMost, bound: 1.2, unit: ratio}, 1.1, met},
		{13 * ms, 10 * ms, 20 * ms, target{relation: atMost, bound: 1.2, unit: ratio}, 1.3, missed},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := contestOf(sleeper{label: "graft", each: test.graft}, sleeper{label: "a", each: test.first}, sleeper{label: "b", each: test.second})
			r, err := c.row(t.Context(), "planted", test.target)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Figure.median(); got < test.figure*0.999 || got > test.figure*1.001 {
				t.Errorf("%v: figure %v", test, got)
			}
			if got := judge(r.Figure, r.Target); got != test.want {
				t.Errorf("%v: %s", test, got)
			}
			graft, reference := r.Graft.median()/test.graft.Seconds(), r.Reference.median()/min(test.first, test.second).Seconds()
			if math.Abs(graft-1) > 1e-9 || math.Abs(reference-1) > 1e-9 {
				t.Errorf("%v: times %v and %v of one operation", test, r.Graft, r.Reference)
			}
			if want := map[bool]string{true: "a", false: "b"}[test.first <= test.second]; r.Against != want {
				t.Errorf("%v: against %s", test, r.Against)
			}
		})
	}
}

func TestRoundsAlternate(t *testing.T) {
	var log []string
	c := contestOf(sleeper{label: "x", log: &log}, sleeper{label: "y", log: &log})
	if _, _, err := c.times(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order strings.Builder
	for i, line := range log {
		order.WriteString(line[:1])
		if n := strings.Fields(line)[1]; n != []string{"2", "10"}[i%2] {
			t.Errorf("phase %d: %s", i, line)
		}
	}
	if order.String() != "xxyyyyxxxxyy" {
		t.Errorf("order %s", &order)
	}
	if x, y := log[1][1:], log[3][1:]; x != y {
		t.Errorf("random numbers differ within a round: %s, %s", x, y)
	}
	if first, second := log[3][1:], log[5][1:]; first == second {
		t.Errorf("random numbers are the same in two rounds: %s", first)
	}
}

// resting is a sleeper of another process.
type resting struct{ sleeper }

func (r resting) rest(context.Context) error {
	*r.log = append(*r.log, "rest of "+r.label)
	return nil
}

// TestPeersRest has a peer rest before the next one works.
func TestPeersRest(t *testing.T) {
	var log []string
	c := contestOf(sleeper{label: "x", log: &log}, sleeper{label: "y", log: &log})
	c.peers, c.rounds = []contender{resting{sleeper{label: "p", log: &log}}, resting{sleeper{label: "q", log: &log}}}, 2
	if _, _, err := c.times(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order strings.Builder
	for _, line := range log {
		if name, ok := strings.CutPrefix(line, "rest of "); ok {
			order.WriteString(strings.ToUpper(name))
		} else {
			order.WriteString(line[:1])
		}
	}
	if order.String() != "xxyyppPqqQ"+"qqQppPyyxx" {
		t.Errorf("order %s", &order)
	}
}

func TestOtherAnswerFails(t *testing.T) {
	c := contestOf(sleeper{label: "x", says: "1"}, sleeper{label: "y", says: "1"}, sleeper{label: "z", says: "2"})
	_, err := c.row(t.Context(), "planted", target{})
	if err == nil || !strings.Contains(err.Error(), "x answers 1, z answers 2") {
		t.Errorf("error %v", err)
	}
}

// TestPeersAreShown lets a peer compete that is faster than the reference.
func TestPeersAreShown(t *testing.T) {
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := contestOf(sleeper{label: "graft", each: 10 * ms}, sleeper{label: "a", each: 20 * ms})
		c.peers, c.rounds = []contender{sleeper{label: "b", each: 5 * ms}}, peerRounds+2
		r, err := c.row(t.Context(), "planted", target{relation: atLeast, bound: 0.9, unit: ratio})
		if err != nil {
			t.Fatal(err)
		}
		if r.Against != "a" || judge(r.Figure, r.Target) != met || len(r.Figure.Samples) != c.rounds {
			t.Errorf("the row is judged against %s: %v", r.Against, r.Figure)
		}
		lost, _ := r.Compared.losses()
		if len(lost) != 1 || len(lost[0].peers) != 1 || lost[0].peers[0].system != "b" || math.Abs(lost[0].most()-2) > 1e-9 {
			t.Errorf("lost is %+v", lost)
		}
		if n := len(r.Compared.Standings[2].Figures[0].Samples); n != peerRounds {
			t.Errorf("the peer took part in %d rounds", n)
		}
	})
}
