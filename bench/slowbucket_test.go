package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"graft"
)

const latency = 25 * time.Millisecond

// inBubble runs f with a bucket in memory of that speed, and a clock that jumps.
func inBubble(t *testing.T, s speed, f func(t *testing.T, b bucket)) {
	synctest.Test(t, func(t *testing.T) {
		b := memoryBucket()
		b.slow.setSpeed(s)
		f(t, b)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// cost is what f asks of b, and how long it takes.
func cost(b bucket, f func()) (usage, time.Duration) {
	before, start := b.slow.usage(), time.Now()
	f()
	return b.slow.usage().sub(before), time.Since(start)
}

func put(t *testing.T, b bucket, key string, data []byte, opts blob.WriterOptions) error {
	t.Helper()
	opts.ContentType = "application/octet-stream"
	return b.Upload(t.Context(), key, bytes.NewReader(data), &opts)
}

func get(t *testing.T, b bucket, key string, offset, length int64) []byte {
	t.Helper()
	r, err := b.NewRangeReader(t.Context(), key, offset, length, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRequestsAreCounted(t *testing.T) {
	inBubble(t, speed{Latency: latency}, func(t *testing.T, b bucket) {
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			do   func()
			want string
			in   int64
			out  int64
		}{
			{func() { must(put(t, b, "k", []byte("hello"), blob.WriterOptions{})) }, "1 PUT", 0, 5},
			{func() { get(t, b, "k", 0, -1) }, "1 GET", 5, 0},
			{func() { get(t, b, "k", 1, 3) }, "1 ranged GET", 3, 0},
			{func() { get(t, b, "k", 2, -1) }, "1 ranged GET", 3, 0},
			{func() { _, err := b.Attributes(t.Context(), "k"); must(err) }, "1 HEAD", 0, 0},
			{func() { _, err := b.NewReader(t.Context(), "absent", nil); must(wantCode(err, gcerrors.NotFound)) }, "1 GET", 0, 0},
			{func() { _, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, nil); must(err) }, "1 LIST", 0, 0},
			{func() { must(b.Delete(t.Context(), "k")) }, "1 DELETE", 0, 0},
			{func() {}, "no request", 0, 0},
		} {
			u, elapsed := cost(b, test.do)
			if u.String() != test.want || u.bytesIn != test.in || u.bytesOut != test.out {
				t.Errorf("%v, %d bytes in, %d out; not %s, %d, %d", u, u.bytesIn, u.bytesOut, test.want, test.in, test.out)
			}
			if want := time.Duration(u.total()) * latency; elapsed != want {
				t.Errorf("%v took %v, not %v", u, elapsed, want)
			}
			if u.chain != u.total() {
				t.Errorf("%v: %d in a row", u, u.chain)
			}
		}
	})
}

func wantCode(err error, want gcerrors.ErrorCode) error {
	if gcerrors.Code(err) == want {
		return nil
	}
	return errors.Join(errors.New("another error than "+want.String()), err)
}

// TestChain has requests that overlap: those in flight together are one round
// trip, and what begins when one of them has ended is another.
func TestChain(t *testing.T) {
	for _, test := range []struct {
		begin []time.Duration // of requests of 25 ms
		want  int64
	}{
		{[]time.Duration{0}, 1},
		{[]time.Duration{0, 0, 0}, 1},
		{[]time.Duration{0, 10, 20}, 1},
		{[]time.Duration{0, 30}, 2},
		{[]time.Duration{0, 10, 26}, 2}, // the third while the second is in flight
		{[]time.Duration{0, 10, 26, 36, 52}, 3},
		{[]time.Duration{0, 30, 60, 90}, 4},
	} {
		inBubble(t, speed{Latency: latency}, func(t *testing.T, b bucket) {
			var running sync.WaitGroup
			for _, at := range test.begin {
				running.Go(func() {
					time.Sleep(at * time.Millisecond)
					if ok, err := b.Exists(t.Context(), "k"); ok || err != nil {
						t.Error(ok, err)
					}
				})
			}
			running.Wait()
			if got := b.slow.usage().chain; got != test.want {
				t.Errorf("%v: %d in a row, not %d", test.begin, got, test.want)
			}
		})
	}
}

func TestBandwidth(t *testing.T) {
	const size = 10 << 20
	data := bytes.Repeat([]byte("graft"), size/5)
	inBubble(t, speed{Latency: latency, Bandwidth: 10 << 20}, func(t *testing.T, b bucket) {
		// Requests in flight together share the line.
		u, elapsed := cost(b, func() {
			var running sync.WaitGroup
			for _, key := range []string{"a", "b"} {
				running.Go(func() {
					if err := put(t, b, key, data, blob.WriterOptions{}); err != nil {
						t.Error(err)
					}
				})
			}
			running.Wait()
		})
		if elapsed < 1990*time.Millisecond || elapsed > 2100*time.Millisecond || u.chain != 1 {
			t.Errorf("put %v in %v, %d in a row", u, elapsed, u.chain)
		}
		u, elapsed = cost(b, func() {
			if !bytes.Equal(get(t, b, "b", 0, -1), data) {
				t.Error("other bytes came back")
			}
		})
		if elapsed < 990*time.Millisecond || elapsed > 1100*time.Millisecond || u.bytesIn != size {
			t.Errorf("got %v, %d bytes in %v", u, u.bytesIn, elapsed)
		}
	})
}

// TestUploadInParts sends an object that is too large for one request.
func TestUploadInParts(t *testing.T) {
	const part = 5 << 20
	data := make([]byte, 4*part+1)
	for i := range data {
		data[i] = byte(i * 7 / 5)
	}
	for _, test := range []struct {
		size, atATime int
		want          string
		chain         int64
	}{
		{size: part, want: "1 PUT", chain: 1},
		{size: 3 * part, want: "1 PUT", chain: 1},
		// To begin, the parts, to complete.
		{size: 4*part + 1, atATime: 5, want: "7 PUT of a part", chain: 3},
		{size: 4*part + 1, atATime: 2, want: "7 PUT of a part", chain: 5},
		{size: 4*part + 1, atATime: 1, want: "7 PUT of a part", chain: 7},
	} {
		inBubble(t, speed{Latency: latency}, func(t *testing.T, b bucket) {
			u, elapsed := cost(b, func() {
				if err := put(t, b, "k", data[:test.size], blob.WriterOptions{BufferSize: part, MaxConcurrency: test.atATime}); err != nil {
					t.Error(err)
				}
			})
			if u.String() != test.want || u.chain != test.chain || u.bytesOut != int64(test.size) {
				t.Errorf("%+v: %v, %d in a row, %d bytes", test, u, u.chain, u.bytesOut)
			}
			if want := time.Duration(test.chain) * latency; elapsed != want {
				t.Errorf("%+v: it took %v, not %v", test, elapsed, want)
			}
			if !bytes.Equal(get(t, b, "k", 0, -1), data[:test.size]) {
				t.Errorf("%+v: other bytes came back", test)
			}
		})
	}
}

// TestCancelledUpload leaves nothing, of whatever size it was.
func TestCancelledUpload(t *testing.T) {
	for _, size := range []int{10, 40 << 20} {
		for _, s := range []speed{{}, {Latency: latency}} {
			inBubble(t, s, func(t *testing.T, b bucket) {
				ctx, cancel := context.WithCancel(t.Context())
				w, err := b.NewWriter(ctx, "k", &blob.WriterOptions{ContentType: "x"})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(make([]byte, size)); err != nil {
					t.Error(err)
				}
				cancel()
				if err := w.Close(); !errors.Is(err, context.Canceled) {
					t.Errorf("%d bytes: error %v", size, err)
				}
				if _, err := b.Exists(ctx, "k"); !errors.Is(err, context.Canceled) {
					t.Errorf("%+v: a request that was cancelled: error %v", s, err)
				}
				if ok, err := b.Exists(t.Context(), "k"); ok || err != nil {
					t.Errorf("%d bytes: it exists: %t, %v", size, ok, err)
				}
			})
		}
	}
}

// fullBucket has no space for what is written first.
type fullBucket struct {
	driver.Bucket
	failed, appeared bool
}

type fullWriter struct {
	bucket *fullBucket
	ctx    context.Context
}

var errFull = errors.New("no space")

func (b *fullBucket) NewTypedWriter(ctx context.Context, _, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &fullWriter{b, ctx}, nil
}

func (b *fullBucket) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.ResourceExhausted }

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.bucket.failed {
		return len(p), nil
	}
	w.bucket.failed = true
	return 0, errFull
}

func (w *fullWriter) Close() error {
	w.bucket.appeared = w.ctx.Err() == nil
	return w.ctx.Err()
}

// TestFailedUpload makes no object with a hole.
func TestFailedUpload(t *testing.T) {
	for _, size := range []int{10, 40 << 20} {
		full := &fullBucket{}
		b := newBucket(blob.NewBucket(full))
		if err := put(t, b, "k", make([]byte, size), blob.WriterOptions{}); !errors.Is(err, errFull) {
			t.Errorf("%d bytes: error %v", size, err)
		}
		if full.appeared {
			t.Errorf("%d bytes: the object appeared", size)
		}
	}
}

// TestConditionalPut lets writers race for keys, in memory and in a folder.
func TestConditionalPut(t *testing.T) {
	folder, err := folderBucket(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]bucket{"memory": memoryBucket(), "folder": folder} {
		for i := range 300 {
			race(t, b, fmt.Sprint(name, i))
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// race has one winner, whose bytes are there.
func race(t *testing.T, b bucket, key string) {
	t.Helper()
	errs := make([]error, 8)
	var running sync.WaitGroup
	start := make(chan struct{})
	for i := range errs {
		running.Go(func() {
			<-start
			errs[i] = put(t, b, key, []byte{byte(i)}, blob.WriterOptions{IfNotExist: true})
		})
	}
	close(start)
	running.Wait()
	var winners []int
	for i, err := range errs {
		if err == nil {
			winners = append(winners, i)
		} else if err := wantCode(err, gcerrors.FailedPrecondition); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if got := get(t, b, key, 0, -1); len(winners) != 1 || got[0] != byte(winners[0]) {
		t.Errorf("%s: %d won, the object is %d", key, winners, got)
	}
}

// TestCountsAgree holds what the bucket counts to what graft counts.
func TestCountsAgree(t *testing.T) {
	b := memoryBucket()
	db, g, err := openGraftWith(t.Context(), t.TempDir(), &graft.Options{Bucket: b.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	for version := range 3 {
		if err := writeAll(t.Context(), g, 40, version); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Push(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, want := b.slow.usage(), db.RemoteStats()
	gets := got.requests[getRequest] + got.requests[rangedRequest]
	if gets != want.Gets || got.requests[putRequest] != want.Puts || got.total() != want.Requests() {
		t.Errorf("the bucket counts %v, graft %+v", got, want)
	}
	if got.bytesIn != want.BytesIn || got.bytesOut != want.BytesOut || got.bytesOut == 0 {
		t.Errorf("the bucket counts %d bytes in, %d out, graft %+v", got.bytesIn, got.bytesOut, want)
	}
	if !strings.Contains(got.String(), "PUT") {
		t.Errorf("it says %q", got)
	}
	if err := errors.Join(db.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

// TestWatched watches two requests in flight together, then one.
func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memoryBucket()
		b.slow.setSpeed(speed{Latency: latency})
		b.slow.watch()
		done := make(chan error)
		ask := func(key string) {
			_, err := b.Exists(t.Context(), key)
			done <- err
		}
		go ask("a")
		time.Sleep(latency / 2)
		go ask("b")
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		go ask("c")
		if err := <-done; err != nil {
			t.Error(err)
		}
		var got []string
		for _, a := range b.slow.watched() {
			got = append(got, fmt.Sprint(a.key, " ", a.kind, " ", a.place, " ", a.flying, " ", a.ended.Sub(a.begun)))
		}
		want := []string{"a HEAD 1 1 25ms", "b HEAD 1 2 25ms", "c HEAD 2 1 25ms"}
		if !slices.Equal(got, want) {
			t.Errorf("watched %q, not %q", got, want)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}
