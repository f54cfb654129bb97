package toxitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"graft/objstore"
)

var data = bytes.Repeat([]byte("0123456789abcdef"), 256)

// TestLatency has a slow line: with time enough all is right, and without each method ends with its context.
func TestLatency(t *testing.T) {
	l := newLine(t)
	l.put(t, "k", data)
	l.spoil(t, "latency", "downstream", "latency", 30, 1)
	for name, err := range l.calls(t.Context(), t, "k", data) {
		if err != nil {
			t.Errorf("slow line: %s: %v", name, err)
		}
	}
	l.mend(t)
	l.spoil(t, "latency", "downstream", "latency", 60_000, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for name, err := range l.calls(ctx, t, "k", data) {
		// The proxy may have cut a connection that was kept from before: a put whose outcome is unknown is not repeated.
		late := errors.Is(err, context.DeadlineExceeded) || name == "put" && err != nil
		if !late || errors.Is(err, objstore.ErrNotExist) || errors.Is(err, objstore.ErrRefused) || errors.Is(err, objstore.ErrExist) {
			t.Errorf("too slow a line: %s: %v", name, err)
		}
	}
}

// TestReset has every connection reset, before a request arrives or before its answer does.
func TestReset(t *testing.T) {
	for _, stream := range []string{"upstream", "downstream"} {
		l := newLine(t)
		l.put(t, "k", data)
		l.spoil(t, "reset_peer", stream, "timeout", 0, 1)
		errs := l.calls(t.Context(), t, "k", data)
		for name, err := range errs {
			if err == nil || errors.Is(err, objstore.ErrNotExist) || errors.Is(err, objstore.ErrRefused) || errors.Is(err, objstore.ErrExist) {
				t.Errorf("%s: %s: %v", stream, name, err)
			}
		}
		_, err := l.direct.Get(t.Context(), "put-k", 1<<20)
		if landed := err == nil; landed != (stream == "downstream") {
			t.Errorf("%s: the put's object: %v", stream, err)
		}
		l.mend(t)
		for name, err := range l.calls(t.Context(), t, "k", data) {
			landed := name == "put" && stream == "downstream"
			if err != nil && !(landed && errors.Is(err, objstore.ErrExist)) {
				t.Errorf("%s, mended: %s: %v", stream, name, err)
			}
		}
	}
}

// TestTruncatedAnswers cuts answers after each of many numbers of bytes: what is returned is an error, or right.
func TestTruncatedAnswers(t *testing.T) {
	var failed, succeeded int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := 0; n < 6000; n = n*5/4 + 37 {
		l := newLine(t)
		l.put(t, "k", data)
		l.spoil(t, "limit_data", "downstream", "bytes", n, 1)
		wg.Go(func() {
			errs := l.calls(t.Context(), t, "k", data)
			mu.Lock()
			defer mu.Unlock()
			for name, err := range errs {
				if err == nil {
					succeeded++
					continue
				}
				failed++
				if errors.Is(err, objstore.ErrNotExist) || errors.Is(err, objstore.ErrRefused) || errors.Is(err, objstore.ErrExist) {
					t.Errorf("after %d bytes: %s: %v", n, name, err)
				}
			}
			if errs["get"] == nil && n < len(data) {
				t.Errorf("after %d bytes: get succeeded", n)
			}
			checkWhole(t, l, "put-k", errs["put"], fmt.Sprintf("answers cut after %d bytes", n))
		})
	}
	wg.Wait()
	if failed < 20 || succeeded < 20 {
		t.Errorf("%d calls failed and %d succeeded: too few of one sort", failed, succeeded)
	}
}

// TestTruncatedRequests cuts requests: an object is whole or absent.
func TestTruncatedRequests(t *testing.T) {
	var wg sync.WaitGroup
	for n := 0; n < 6000; n = n*5/4 + 37 {
		l := newLine(t)
		l.put(t, "k", data)
		l.spoil(t, "limit_data", "upstream", "bytes", n, 1)
		wg.Go(func() {
			errs := l.calls(t.Context(), t, "k", data)
			what := fmt.Sprintf("requests cut after %d bytes", n)
			if errs["put"] == nil && n < len(data) {
				t.Errorf("%s: put succeeded", what)
			}
			checkWhole(t, l, "put-k", errs["put"], what)
			checkWhole(t, l, "uploaded-k", errs["upload"], what)
		})
	}
	wg.Wait()
}

// checkWhole wants the object at key to be whole, or absent if its put failed with putErr.
func checkWhole(t *testing.T, l *line, key string, putErr error, what string) {
	t.Helper()
	got, err := l.direct.Get(t.Context(), key, 1<<20)
	switch {
	case err == nil && !bytes.Equal(got, data):
		t.Errorf("%s: %q has %d bytes of %d", what, key, len(got), len(data))
	case err != nil && (putErr == nil || !errors.Is(err, objstore.ErrNotExist)):
		t.Errorf("%s: %q: %v, after a put with %v", what, key, err, putErr)
	}
}

// TestServerAway has the server away for good, and then for one attempt.
func TestServerAway(t *testing.T) {
	l := newLine(t)
	l.put(t, "k", data)
	l.proxy.Stop()
	for name, err := range l.calls(t.Context(), t, "k", data) {
		if err == nil || errors.Is(err, objstore.ErrNotExist) || errors.Is(err, objstore.ErrRefused) != (name == "put") {
			t.Errorf("away: %s: %v", name, err)
		}
	}
	before := l.bad.Stats()
	came := make(chan error)
	go func() {
		for l.bad.Stats().Sub(before).Requests() < 7 { // all methods have begun
			runtime.Gosched()
		}
		came <- l.proxy.Start()
	}()
	for name, err := range l.calls(t.Context(), t, "k", data) {
		if err != nil {
			t.Errorf("came back: %s: %v", name, err)
		}
	}
	if err := <-came; err != nil {
		t.Error(err)
	}
}

// TestRaceOverBadLines has conditional writers of which some lose their connections. Each outcome must be true: who
// landed is there alone, and who was refused or lost is not.
func TestRaceOverBadLines(t *testing.T) {
	l := newLine(t)
	l.spoil(t, "reset_peer", "downstream", "timeout", 1, 0.3)
	const writers, keys = 8, 30
	seen := map[string]int{}
	for k := range keys {
		key := fmt.Sprintf("log/%016x", k)
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { errs[w] = l.open(t, "http://"+l.proxy.Listen).PutIfAbsent(t.Context(), key, writer(w)) })
		}
		wg.Wait()
		got, getErr := l.direct.Get(t.Context(), key, 1<<10)
		for w, err := range errs {
			outcome := outcomeOf(err)
			seen[outcome]++
			there := getErr == nil && bytes.Equal(got, writer(w))
			if outcome == "landed" && !there || there && (outcome == "refused" || outcome == "exists") {
				t.Errorf("%s: writer %d: %s, but the object is %q, %v", key, w, outcome, got, getErr)
			}
		}
	}
	t.Log(seen)
	for _, outcome := range []string{"landed", "exists", "unknown"} {
		if seen[outcome] == 0 {
			t.Errorf("no outcome was %s: %v", outcome, seen)
		}
	}
}

func writer(w int) []byte { return fmt.Appendf(nil, "writer %d", w) }

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "landed"
	case errors.Is(err, objstore.ErrExist):
		return "exists"
	case errors.Is(err, objstore.ErrRefused):
		return "refused"
	}
	return "unknown"
}
