package sync

import (
	"context"
	"errors"
	"runtime"
	"testing"
)

// TestALedFlightLandsForWhoWaits has a wait begin before the flight lands.
func TestALedFlightLandsForWhoWaits(t *testing.T) {
	fs := newFlights[string, int]()
	defer fs.close()
	land, ok := fs.lead("a")
	if _, again := fs.lead("a"); !ok || again {
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
}

// TestWhoWaitsForAFlightThatIsGivenUpGoesAlone has the leader fail.
func TestWhoWaitsForAFlightThatIsGivenUpGoesAlone(t *testing.T) {
	fs := newFlights[string, int]()
	defer fs.close()
	led := newLed(fs)
	led.take("a")
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
