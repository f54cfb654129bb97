package meter

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func begin(t *testing.T, ctx context.Context, own *Meter, bytes int64) *Request {
	t.Helper()
	r, err := Begin(ctx, own, Get, bytes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTripsAreTheLongestChain(t *testing.T) {
	var m Meter
	ctx := context.Background()
	a := begin(t, ctx, &m, 0)
	b := begin(t, ctx, &m, 0) // beside a
	b.End()
	c := begin(t, ctx, &m, 0) // behind b, beside a
	a.End()
	d := begin(t, ctx, &m, 0) // behind a and b, beside c
	c.End()
	begin(t, ctx, &m, 0).End() // behind c
	d.End()
	if s := m.Stats(); s.RoundTrips != 3 || s.Gets != 5 {
		t.Errorf("%d requests took %d round trips, want 5 and 3", s.Gets, s.RoundTrips)
	}
}

func TestABudgetCountsWhatIsUnderWay(t *testing.T) {
	var statement, own Meter
	ctx := With(context.Background(), Tab{Statement: &statement, Budget: Budget{Bytes: 100}})
	a := begin(t, ctx, &own, 60)
	if _, err := Begin(ctx, &own, Get, 41); !errors.Is(err, ErrBudget) {
		t.Errorf("41 bytes beside 60 of 100: %v", err)
	}
	a.In(30)
	b := begin(t, ctx, &own, 0)
	if err := b.Expect(41); !errors.Is(err, ErrBudget) {
		t.Errorf("41 bytes that an answer has, beside 60 of 100: %v", err)
	}
	if err := b.Expect(40); err != nil {
		t.Errorf("40 bytes beside 60 of 100: %v", err)
	}
	b.End() // without its bytes
	a.End() // without half of them
	begin(t, ctx, &own, 70).End()
	if s := own.Stats(); s.Gets != 3 || s.BytesIn != 30 {
		t.Errorf("counted %+v, want 3 requests and 30 bytes", s)
	}
}

// What nobody has asked for leaves half of the budget for what is asked for.
func TestSpeculationStopsAtHalfOfTheBudget(t *testing.T) {
	for _, b := range []Budget{{Requests: 5}, {Bytes: 500}, {Requests: 1}, {Bytes: 1}, {Requests: 4, Bytes: 500}} {
		var statement, own Meter
		ctx := With(context.Background(), Tab{Statement: &statement, Budget: b})
		ahead := Speculate(ctx)
		count := func(ctx context.Context) (n int) {
			for {
				r, err := Begin(ctx, &own, Get, 100)
				if errors.Is(err, ErrBudget) {
					return n
				}
				if n++; err != nil || n > 10 {
					t.Fatalf("%+v: request %d: %v", b, n, err)
				}
				r.In(100)
				r.End()
			}
		}
		most := 5
		if b.Requests > 0 {
			most = int(b.Requests)
		}
		if b.Bytes > 0 {
			most = min(most, int(b.Bytes/100))
		}
		if n := count(ahead); n != most/2 {
			t.Errorf("%+v: %d requests that nobody has asked for, want %d", b, n, most/2)
		}
		if n := count(ctx); n != most-most/2 {
			t.Errorf("%+v: %d requests are left, want %d", b, n, most-most/2)
		}
	}
}

func TestCost(t *testing.T) {
	s := Stats{Gets: 1000, Heads: 1000, Puts: 1000, Lists: 1000, Deletes: 1000, BytesIn: 2e9}
	if d := s.RequestDollars(); d < 0.01079 || d > 0.01081 {
		t.Errorf("requests cost %v, want 0.0108", d)
	}
	if d := s.TransferDollars(); d < 0.1799 || d > 0.1801 {
		t.Errorf("transfer costs %v, want 0.18", d)
	}
}

func TestTheErrorOfABudgetSaysWhatToDo(t *testing.T) {
	err := Budget{Requests: 2}.check(2, 5, 1, 7)
	for _, word := range []string{"budget=2requests", "2 requests and 5 bytes", "LIMIT", "graft_hydrate"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}
