package objstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"graft/internal/faultbucket"
)

var (
	errDial  = &url.Error{Op: "Put", URL: "http://host", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}
	errReset = &url.Error{Op: "Put", URL: "http://host", Err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}}
)

func TestDelays(t *testing.T) {
	p := newBackoff()
	p.random = func(n time.Duration) time.Duration { return n - 1 } // the most that it may give
	want := []time.Duration{200, 400, 800, 1600, 3200, 5000, 5000}
	for i, ms := range want {
		if got := p.delay(i + 1); got != ms*time.Millisecond {
			t.Errorf("after attempt %d: at most %v, want %d ms", i+1, got, ms)
		}
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		d := newBackoff().delay(1)
		seen[d] = true
		if d < 0 || d > 200*time.Millisecond {
			t.Errorf("got %v", d)
		}
	}
	if len(seen) < 50 {
		t.Errorf("%d of 100 delays differ: there is no jitter", len(seen))
	}
}

// TestWaits has the clock show how long a request that always fails is waited for.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(blob.NewBucket(&stub{fail: func(context.Context) error { return errReset }}))
		b.backoff.random = func(n time.Duration) time.Duration { return n - 1 }
		start := time.Now()
		_, err := b.Get(t.Context(), "k", 1)
		if took := time.Since(start); took != 3*time.Second || !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), "attempt 5") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestAttempts counts the attempts of each method at each sort of error.
func TestAttempts(t *testing.T) {
	const once, again = 1, 5
	for _, test := range []struct {
		err    error
		others int // attempts of all but put
		put    int
		result error // of put
	}{
		{errDial, again, again, ErrRefused},
		{&net.DNSError{Err: "no such host", Name: "host", IsNotFound: true}, again, again, ErrRefused},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, once, once, ErrRefused},
		{errReset, again, once, nil},
		{&url.Error{Op: "Get", URL: "http://host", Err: errors.New("malformed HTTP response")}, again, once, nil},
		{fmt.Errorf("read: %w", syscall.EPIPE), again, once, nil},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), again, once, nil},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, again, once, nil},
		{&serviceError{"RequestTimeout", 408}, again, once, nil},
		{&serviceError{"TooManyRequests", 429}, again, once, nil},
		{&serviceError{"InternalError", 500}, again, once, nil},
		{&serviceError{"SlowDown", 503}, again, once, nil},
		{&serviceError{"", 599}, again, once, nil},
		{&serviceError{"NotImplemented", 501}, once, once, nil},
		{&serviceError{"PermanentRedirect", 301}, once, once, nil},
		{&serviceError{"InvalidRequest", 400}, once, once, ErrRefused},
		{&serviceError{"AccessDenied", 403}, once, once, ErrRefused},
		{&serviceError{"NoSuchBucket", 404}, once, once, ErrRefused},
		{&serviceError{"ConditionalRequestConflict", 409}, once, once, nil},
		{&serviceError{"PreconditionFailed", 412}, once, once, ErrExist},
		{&fs.PathError{Op: "write", Path: "k", Err: syscall.ENOSPC}, once, once, nil},
		{errors.New("whatever"), once, once, nil},
	} {
		n := 0
		b := New(blob.NewBucket(&stub{code: gcerrors.Unknown, fail: func(context.Context) error { n++; return test.err }}))
		b.SetWait(NoWait)
		for name, call := range methods(b) {
			n = 0
			err, want := call(t.Context()), test.others
			if name == "put" {
				want = test.put
				for _, sentinel := range []error{ErrRefused, ErrExist} {
					if errors.Is(err, sentinel) != (sentinel == test.result) {
						t.Errorf("put at %v: got %v, want %v", test.err, err, test.result)
					}
				}
			} else if errors.Is(err, ErrRefused) {
				t.Errorf("%s at %v: got %v", name, test.err, err)
			}
			if err == nil || n != want {
				t.Errorf("%s at %v: %d attempts, want %d; %v", name, test.err, n, want, err)
			}
		}
	}
}

// methods returns the methods of b that send requests, by name.
func methods(b *Bucket) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"put":    func(ctx context.Context) error { return b.PutIfAbsent(ctx, "k", []byte("data")) },
		"upload": func(ctx context.Context) error { return b.Upload(ctx, "k", func(io.Writer) error { return nil }) },
		"get":    func(ctx context.Context) error { _, err := b.Get(ctx, "k", 100); return err },
		"range":  func(ctx context.Context) error { _, err := b.GetRange(ctx, "k", 0, 1); return err },
		"stat":   func(ctx context.Context) error { _, err := b.Exists(ctx, "k"); return err },
		"delete": func(ctx context.Context) error { return b.Delete(ctx, "k") },
		"list": func(ctx context.Context) (err error) {
			for _, err = range b.List(ctx, "k") {
			}
			return err
		},
	}
}

// TestAttemptThatSucceeds lets the last attempt through.
func TestAttemptThatSucceeds(t *testing.T) {
	for name := range methods(nil) {
		inner := faultbucket.New()
		if name != "put" {
			inner.SetObject("k", []byte("data"))
		}
		n := 0
		inner.Fail(func(faultbucket.Request) error {
			if n++; n < Attempts {
				return errDial
			}
			return nil
		}, nil)
		b := New(inner.Blob())
		b.SetWait(NoWait)
		if err := methods(b)[name](t.Context()); err != nil || n != Attempts {
			t.Errorf("%s: %v, %d attempts", name, err, n)
		}
		if got := b.Stats().Requests(); got != int64(n) {
			t.Errorf("%s: %d requests counted, want %d", name, got, n)
		}
	}
}

// TestPutAfterAll has an attempt that never connected before one of each outcome: what counts is the last.
func TestPutAfterAll(t *testing.T) {
	for _, test := range []struct {
		answer error
		lost   bool // the put happens, but the answer is lost
		want   error
	}{
		{errReset, false, nil}, {errReset, true, nil}, {&serviceError{"SlowDown", 503}, false, nil},
		{&serviceError{"AccessDenied", 403}, false, ErrRefused}, {&serviceError{"PreconditionFailed", 412}, false, ErrExist},
	} {
		inner := faultbucket.New()
		n := 0
		inner.Fail(func(faultbucket.Request) error {
			if n++; n == 1 {
				return errDial
			}
			if test.lost {
				return nil
			}
			return test.answer
		}, func(faultbucket.Request) error { return test.answer })
		b := New(inner.Blob())
		b.SetWait(NoWait)
		err := b.PutIfAbsent(t.Context(), "k", []byte("data"))
		if err == nil || n != 2 || errors.Is(err, ErrRefused) != (test.want == ErrRefused) || errors.Is(err, ErrExist) != (test.want == ErrExist) {
			t.Errorf("%+v: %d attempts, %v", test, n, err)
		}
		if landed := inner.Object("k") != nil; landed != test.lost {
			t.Errorf("%+v: landed: %v", test, landed)
		}
	}
}

// TestPutNotBegun has puts that nothing was sent for.
func TestPutNotBegun(t *testing.T) {
	b := New(faultbucket.New().Blob())
	closed := New(faultbucket.New().Blob())
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"cancelled": b.PutIfAbsent(canceled(), "k", nil),
		"no key":    b.PutIfAbsent(t.Context(), "", nil),
		"too large": b.PutIfAbsent(t.Context(), "k", make([]byte, MaxConditional+1)),
		"closed":    closed.PutIfAbsent(t.Context(), "k", nil),
	} {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.Stats().Requests() + closed.Stats().Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestContextEndsWait cancels while an attempt is waited for.
func TestContextEndsWait(t *testing.T) {
	b := New(blob.NewBucket(&stub{fail: func(context.Context) error { return errDial }}))
	for name, call := range methods(b) {
		ctx, cancel := context.WithCancel(t.Context())
		b.SetWait(func(ctx context.Context, d time.Duration) error {
			cancel()
			return wait(ctx, time.Hour)
		})
		err := call(ctx)
		cancel()
		if !errors.Is(err, context.Canceled) || !errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ErrRefused) != (name == "put") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestContextEndsAttempt cancels within an attempt, which is the last then.
func TestContextEndsAttempt(t *testing.T) {
	for name := range methods(nil) {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		b := New(blob.NewBucket(&stub{fail: func(context.Context) error { n++; cancel(); return errReset }}))
		err := methods(b)[name](ctx)
		cancel()
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrRefused) || n != 1 || strings.Contains(err.Error(), "repeated") {
			t.Errorf("%s: %d attempts, %v", name, n, err)
		}
	}
}

// TestUploadAgain has uploads fail while they are written and at their end, and sources that cannot start again.
func TestUploadAgain(t *testing.T) {
	inner := faultbucket.New()
	fails := 2
	inner.Fail(func(faultbucket.Request) error {
		if fails--; fails >= 0 {
			return errReset
		}
		return nil
	}, nil)
	b := New(inner.Blob())
	b.SetWait(NoWait)
	calls := 0
	err := b.Upload(t.Context(), "k", func(w io.Writer) error {
		calls++
		for _, part := range []string{"some ", "text"} {
			if _, err := io.WriteString(w, part); err != nil {
				return err
			}
		}
		return nil
	})
	if got := string(inner.Object("k")); err != nil || calls != 3 || got != "some text" {
		t.Errorf("%d calls, %v, %q", calls, err, got)
	}

	fails, calls = 1, 0
	errOnce := errors.New("cannot start again")
	err = b.Upload(t.Context(), "other", func(w io.Writer) error {
		if calls++; calls > 1 {
			return errOnce
		}
		_, err := io.WriteString(w, "text")
		return err
	})
	if !errors.Is(err, errOnce) || calls != 2 || inner.Object("other") != nil {
		t.Errorf("source that does not start again: %d calls, %v", calls, err)
	}
}

// TestUploadAgainByTheWriter has a callback that hides the writer's error.
func TestUploadAgainByTheWriter(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{{errReset, Attempts}, {errors.New("lost"), 1}} {
		b := New(blob.NewBucket(&lossyBucket{err: test.err}))
		b.SetWait(NoWait)
		calls := 0
		err := b.Upload(t.Context(), "k", func(w io.Writer) error {
			calls++
			_, _ = w.Write([]byte("a")) // taken before the bucket fails
			if _, err := w.Write([]byte("a")); err == nil {
				t.Error("the write was taken")
			}
			return errors.New("something else")
		})
		if err == nil || calls != test.want {
			t.Errorf("%v: %d calls, %v", test.err, calls, err)
		}
	}
}

// TestPageAgain lets each page of a listing fail twice, and wants every key once.
func TestPageAgain(t *testing.T) {
	inner := faultbucket.New()
	var want []string
	for i := range 1250 {
		key := fmt.Sprintf("log/%04d", i)
		want = append(want, key)
		inner.SetObject(key, []byte{})
	}
	n := 0
	inner.Fail(func(faultbucket.Request) error {
		if n++; n%3 != 0 {
			return errReset
		}
		return nil
	}, nil)
	b := New(inner.Blob())
	b.SetWait(NoWait)
	var got []string
	for key, err := range b.List(t.Context(), "log/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if !slices.Equal(got, want) || n < 9 {
		t.Errorf("%d keys in %d requests, want %d in 9", len(got), n, len(want))
	}
}
