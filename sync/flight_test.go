package sync

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	counts "graft/internal/meter"
)

// TestALedFlightLandsForWhoWaits has a wait begin before the flight lands, another
// before it is forgotten, and one after.
func TestALedFlightLandsForWhoWaits(t *testing.T) {
	fs := newFlights[string, int](strings.ToUpper)
	defer fs.close()
	land, forget, ok := fs.lead("a")
	if _, _, again := fs.lead("a"); !ok || again {
		t.Fatalf("took it on: %t, and again: %t", ok, again)
	}
	got := make(chan int)
	go func() {
		n, err := fs.do(context.Background(), "a", func(context.Context) (int, error) { return 0, errors.New("a request of its own") })
		if err != nil {
			t.Error(err)
		}
		got <- n
	}()
	awaitWaiters(fs, "a", 2)
	land(7, nil)
	if n := <-got; n != 7 {
		t.Errorf("got %d", n)
	}
	own := func(context.Context) (int, error) { return 8, nil }
	if n, err := fs.do(context.Background(), "a", own); n != 7 || err != nil {
		t.Errorf("before it is forgotten: %d, %v", n, err)
	}
	forget()
	if n, err := fs.do(context.Background(), "a", own); n != 8 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

// TestWhoWaitsForAFlightThatIsGivenUpGoesAlone has the leader fail.
func TestWhoWaitsForAFlightThatIsGivenUpGoesAlone(t *testing.T) {
	fs := newFlights[string, int](strings.ToUpper)
	defer fs.close()
	led := newLed(fs)
	led.take("a", func() bool { return false })
	got := make(chan int)
	go func() {
		n, err := fs.do(context.Background(), "a", func(context.Context) (int, error) { return 9, nil })
		if err != nil {
			t.Error(err)
		}
		got <- n
	}()
	awaitWaiters(fs, "a", 2)
	led.giveUp()
	if n := <-got; n != 9 {
		t.Errorf("got %d", n)
	}
}

// Who leaves is told what he waited for, and why he left.
func TestAWaitThatEndsSaysForWhat(t *testing.T) {
	fs := newFlights[string, int](strings.ToUpper)
	defer fs.close()
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(context.Background())
	_, err := fs.do(ctx, "frame", func(by context.Context) (int, error) {
		cancel(why)
		<-by.Done()
		return 0, by.Err()
	})
	if !errors.Is(err, why) || err.Error() != "wait for FRAME: why" {
		t.Errorf("error is %v", err)
	}
}

func awaitWaiters(fs *flights[string, int], key string, n int) {
	for ; ; runtime.Gosched() {
		fs.mu.Lock()
		f := fs.mu.under[key]
		there := f != nil && f.waiters >= n
		fs.mu.Unlock()
		if there {
			return
		}
	}
}

// Who waits for another's request is not bound by the other's budget, and not
// charged for the request.
func TestASharedRequestIsOfWhoMadeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlights[string, int](strings.ToUpper)
		defer fs.close()
		refuse := make(chan struct{})
		fetch := func(ctx context.Context) (int, error) {
			if counts.Of(ctx).Budget.IsZero() {
				r, err := counts.Begin(ctx, nil, counts.Get, 0)
				if err == nil {
					r.End()
				}
				return 7, err
			}
			<-refuse
			return 0, counts.ErrBudget
		}
		var poor, rich counts.Meter
		first := make(chan error)
		go func() {
			_, err := fs.do(counts.With(context.Background(), counts.Tab{Statement: &poor, Budget: counts.Budget{Requests: 1}}), "a", fetch)
			first <- err
		}()
		synctest.Wait()
		second := make(chan error)
		go func() {
			n, err := fs.do(counts.With(context.Background(), counts.Tab{Statement: &rich}), "a", fetch)
			if err == nil && n != 7 {
				t.Errorf("got %d", n)
			}
			second <- err
		}()
		synctest.Wait()
		close(refuse)
		if err := <-first; !errors.Is(err, counts.ErrBudget) {
			t.Errorf("whose budget it was: %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("who waited: %v", err)
		}
		if poor.Stats().Requests() != 0 || rich.Stats().Requests() != 1 {
			t.Errorf("charged %d and %d", poor.Stats().Requests(), rich.Stats().Requests())
		}
	})
}

// Readers of one frame who come while it is under way make one request.
func TestReadersOfOneFrameShareOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlights[string, int](strings.ToUpper)
		defer fs.close()
		requests := 0
		arrive := make(chan struct{})
		got := make(chan int)
		for range 8 {
			go func() {
				n, err := fs.do(t.Context(), "a", func(context.Context) (int, error) {
					requests++
					<-arrive
					return 7, nil
				})
				if err != nil {
					t.Error(err)
				}
				got <- n
			}()
		}
		synctest.Wait() // all eight wait
		close(arrive)
		for range 8 {
			if n := <-got; n != 7 {
				t.Errorf("got %d", n)
			}
		}
		if requests != 1 {
			t.Errorf("there were %d requests", requests)
		}
	})
}

// Readers of one frame who give up, he who made the request among them, take it from
// nobody who waits; when all give up it ends, and the next one makes his own.
func TestASharedRequestEndsWithItsLastReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFlights[string, int](strings.ToUpper)
		defer fs.close()
		for _, left := range []int{1, 3, 0} { // who do not give up
			var requests, cancelled atomic.Int32
			arrive := make(chan struct{})
			fetch := func(ctx context.Context) (int, error) {
				requests.Add(1)
				select {
				case <-arrive:
					return 7, nil
				case <-ctx.Done():
					cancelled.Add(1)
					return 0, context.Cause(ctx)
				}
			}
			ctx, giveUp := context.WithCancel(t.Context())
			var running sync.WaitGroup
			read := func(ctx context.Context, want error) {
				running.Go(func() {
					n, err := fs.do(ctx, "a", fetch)
					if !errors.Is(err, want) || err == nil && n != 7 {
						t.Errorf("%d stay: got %d, %v; want %v", left, n, err, want)
					}
				})
			}
			read(ctx, context.Canceled)
			synctest.Wait() // his is the request
			for range 4 {
				read(ctx, context.Canceled)
			}
			for range left {
				read(t.Context(), nil)
			}
			synctest.Wait()
			go giveUp()
			read(t.Context(), nil) // comes at the same time
			synctest.Wait()
			close(arrive)
			running.Wait()
			if got, ended := requests.Load(), cancelled.Load(); got > 2 || got != ended+1 || left > 0 && got != 1 {
				t.Errorf("%d stay: %d requests, %d were cancelled", left, got, ended)
			}
		}
	})
}
