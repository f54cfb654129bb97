package objstore

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"graft/internal/meter"
)

// slowReads is a driver whose n-th answer, from 0, begins after a while, and fails or
// has 4 bytes.
type slowReads struct {
	stub
	answer  func(n int) (time.Duration, error)
	asked   atomic.Int64
	current atomic.Int64 // that are under way
}

type fourBytes struct {
	io.Reader
	s *slowReads
}

func (r *fourBytes) Close() error { r.s.current.Add(-1); return nil }
func (r *fourBytes) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: 4}
}
func (r *fourBytes) As(any) bool { return false }

func (s *slowReads) ErrorAs(error, any) bool { return false }

func (s *slowReads) NewRangeReader(ctx context.Context, _ string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	wait, err := s.answer(int(s.asked.Add(1)) - 1)
	s.current.Add(1)
	select {
	case <-time.After(wait):
		if err == nil {
			return &fourBytes{strings.NewReader("data"), s}, nil
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.current.Add(-1)
	return nil, err
}

// hedgedBucket gives a bucket whose last answers began after 10 ms each. Those that
// follow are as answer says.
func hedgedBucket(percentile int, answer func(n int) (time.Duration, error)) (*Bucket, *slowReads) {
	s := &slowReads{stub: stub{code: gcerrors.Unknown}, answer: answer}
	b := New(blob.NewBucket(s))
	b.SetWait(NoWait)
	if b.Hedge(percentile); b.hedge != nil {
		for range hedgeSample {
			b.hedge.note(10 * ms)
		}
		b.hedge.mu.credit = 100
	}
	return b, s
}

// get makes one get, of a range or of all, and gives how long it took.
func get(t *testing.T, ctx context.Context, b *Bucket) time.Duration {
	t.Helper()
	start := time.Now()
	data, err := b.GetRange(ctx, "key", 0, 4)
	if err != nil || string(data) != "data" {
		t.Fatalf("got %q, %v", data, err)
	}
	return time.Since(start)
}

const ms = time.Millisecond

func TestASlowGetIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := hedgedBucket(85, func(n int) (time.Duration, error) {
			return []time.Duration{time.Minute / 4, 20 * ms}[n], nil
		})
		before := b.Stats()
		data, err := b.Get(t.Context(), "key", 100)
		if err != nil || string(data) != "data" {
			t.Errorf("got %q, %v", data, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if n := s.current.Load(); n != 0 {
			t.Errorf("%d requests go on after Close", n)
		}
		if made := b.Stats().Sub(before); made.Gets != 2 || made.BytesIn != 4 {
			t.Errorf("counted %+v, want 2 gets and 4 bytes", made)
		}
	})
}

// What is not slow is asked for once, and which answer is taken is that which begins
// first.
func TestWhichAnswerIsTaken(t *testing.T) {
	fail := errors.New("broken")
	for name, tt := range map[string]struct {
		first, second       time.Duration
		firstErr, secondErr error
		took                time.Duration
		asked               int64
	}{
		"in time":                        {5 * ms, 0, nil, nil, 5 * ms, 1},
		"the second":                     {90 * ms, 30 * ms, nil, nil, 40 * ms, 2},
		"the first, although late":       {30 * ms, 90 * ms, nil, nil, 30 * ms, 2},
		"the first, as the second fails": {90 * ms, 10 * ms, nil, fail, 90 * ms, 2},
		"the second, as the first fails": {30 * ms, 90 * ms, fail, nil, 100 * ms, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, s := hedgedBucket(85, func(n int) (time.Duration, error) {
					if n == 0 {
						return tt.first, tt.firstErr
					}
					return tt.second, tt.secondErr
				})
				if took := get(t, t.Context(), b); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if err := b.Close(); err != nil || s.asked.Load() != tt.asked || s.current.Load() != 0 {
					t.Errorf("%d requests, of which %d go on: %v", s.asked.Load(), s.current.Load(), err)
				}
			})
		})
	}
}

// A bucket that becomes slow is not asked for everything twice.
func TestHedgesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := hedgedBucket(95, func(n int) (time.Duration, error) { return time.Duration(1000+100*n) * ms, nil })
		for range 100 {
			get(t, t.Context(), b)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if hedges := s.asked.Load() - 100; hedges < 8 || hedges > hedgeBurst+10 {
			t.Errorf("%d of 100 gets were hedged, want from 8 to %d", hedges, hedgeBurst+10)
		}
	})
}

func TestWithoutAHedgeAndWithoutSamplesAGetIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := hedgedBucket(0, func(int) (time.Duration, error) { return 10 * time.Second, nil })
		get(t, t.Context(), b)
		b.Hedge(95)
		for range hedgeLeast {
			get(t, t.Context(), b)
		}
		if n := s.asked.Load(); n != hedgeLeast+1 {
			t.Errorf("%d requests for %d gets", n, hedgeLeast+1)
		}
	})
}

// A budget without room for the second request leaves the first alone.
func TestAHedgeKeepsTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := hedgedBucket(85, func(int) (time.Duration, error) { return 90 * ms, nil })
		ctx := meter.With(t.Context(), meter.Tab{Statement: &meter.Meter{}, Budget: meter.Budget{Requests: 1}})
		if took := get(t, ctx, b); took != 90*ms || s.asked.Load() != 1 {
			t.Errorf("%d requests, %v", s.asked.Load(), took)
		}
	})
}

// Both are given up with the context.
func TestAHedgeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := hedgedBucket(85, func(int) (time.Duration, error) { return time.Second, nil })
		ctx, cancel := context.WithTimeout(t.Context(), 200*ms)
		defer cancel()
		_, err := b.GetRange(ctx, "key", 0, 4)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := b.Close(); err != nil || s.asked.Load() != 2 || s.current.Load() != 0 {
			t.Errorf("%d requests, of which %d go on: %v", s.asked.Load(), s.current.Load(), err)
		}
	})
}
