package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// calls calls each method of b that sends requests, once, on key.
func calls(ctx context.Context, b *Bucket, key string) map[string]error {
	errs := map[string]error{
		"put":    b.PutIfAbsent(ctx, key, []byte("data")),
		"upload": b.Upload(ctx, key, func(w io.Writer) error { return nil }),
		"delete": b.Delete(ctx, key),
	}
	_, errs["get"] = b.Get(ctx, key, 100)
	_, errs["range"] = b.GetRange(ctx, key, 0, 1)
	_, errs["stat"] = b.Exists(ctx, key)
	for _, err := range b.List(ctx, key) {
		errs["list"] = err
	}
	return errs
}

// A stub is a driver whose requests all fail as it says.
type stub struct {
	driver.Bucket
	fail func(ctx context.Context) error
	code gcerrors.ErrorCode
}

func (s *stub) Close() error                       { return nil }
func (s *stub) ErrorCode(error) gcerrors.ErrorCode { return s.code }
func (s *stub) Attributes(ctx context.Context, _ string) (*driver.Attributes, error) {
	return nil, s.fail(ctx)
}
func (s *stub) ListPaged(ctx context.Context, _ *driver.ListOptions) (*driver.ListPage, error) {
	return nil, s.fail(ctx)
}
func (s *stub) NewRangeReader(ctx context.Context, _ string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	return nil, s.fail(ctx)
}
func (s *stub) NewTypedWriter(ctx context.Context, _, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &stubWriter{ctx, s}, nil
}
func (s *stub) Delete(ctx context.Context, _ string, _ *driver.DeleteOptions) error {
	return s.fail(ctx)
}

type stubWriter struct {
	ctx context.Context
	*stub
}

func (w *stubWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *stubWriter) Close() error                { return w.fail(w.ctx) }

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(blob.NewBucket(&stub{code: gcerrors.Unknown, fail: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}))
		b.SetWait(NoWait)
		start := time.Now()
		for name, err := range calls(t.Context(), b, "some/key") {
			want := "no answer within 30s"
			if name == "upload" {
				want = "no progress within 1m0s"
			}
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "some/key") {
				t.Errorf("%s: got %v, want %q and the key", name, err, want)
			}
		}
		// The put and the upload are made once, the five others in as many attempts as there are.
		if took := time.Since(start); took != time.Duration(1+5*Attempts)*30*time.Second+60*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(blob.NewBucket(&stub{code: gcerrors.Unknown, fail: func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("connection cut") // drivers lose the chain
		}}))
		for name := range calls(canceled(), b, "some/key") {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := calls(ctx, b, "some/key")[name]
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "no answer") {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestUploadStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(memblob.OpenBucket(nil))
		for name, write := range map[string]func(io.Writer) error{
			"then writes":  func(w io.Writer) error { time.Sleep(61 * time.Second); _, err := w.Write([]byte("a")); return err },
			"swallows it":  func(w io.Writer) error { time.Sleep(61 * time.Second); _, _ = w.Write([]byte("a")); return nil },
			"then returns": func(w io.Writer) error { _, err := w.Write([]byte("a")); time.Sleep(61 * time.Second); return err },
		} {
			err := b.Upload(t.Context(), "k", write)
			if err == nil || !strings.Contains(err.Error(), "no progress within 1m0s") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if ok, err := b.Exists(t.Context(), "k"); ok || err != nil {
			t.Errorf("stalled upload: %v, %v", ok, err)
		}
		if err := b.Upload(t.Context(), "k", func(w io.Writer) error {
			for range 10 { // slow, but it moves
				time.Sleep(59 * time.Second)
				if _, err := w.Write([]byte("a")); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestUploadPanics(t *testing.T) {
	b := New(memblob.OpenBucket(nil))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = b.Upload(t.Context(), "k", func(w io.Writer) error {
			if _, err := w.Write([]byte("half")); err != nil {
				t.Error(err)
			}
			panic("test")
		})
	}()
	if ok, err := b.Exists(t.Context(), "k"); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

// A serviceError is an error as SDKs make them.
type serviceError struct {
	code   string
	status int
}

func (e *serviceError) Error() string       { return fmt.Sprint("service error ", e.code, e.status) }
func (e *serviceError) ErrorCode() string   { return e.code }
func (e *serviceError) HTTPStatusCode() int { return e.status }

// TestUploadPassesErrors has the callback fail with what looks like an answer of the bucket, but is not its own.
func TestUploadPassesErrors(t *testing.T) {
	b := New(memblob.OpenBucket(nil))
	cause := &serviceError{"NoSuchBucket", 404}
	err := b.Upload(t.Context(), "k", func(io.Writer) error { return cause })
	if !errors.Is(err, cause) || errors.Is(err, errNoBucket) || !strings.Contains(err.Error(), `upload "k"`) {
		t.Errorf("got %v", err)
	}
}

// A lossyBucket fails the first write of an object with err, and then goes on as if nothing had been.
type lossyBucket struct {
	stub
	err error
}

func (l *lossyBucket) NewTypedWriter(context.Context, string, string, *driver.WriterOptions) (driver.Writer, error) {
	return &lossyWriter{err: l.err}, nil
}

type lossyWriter struct{ err error }

func (w *lossyWriter) Write(p []byte) (n int, err error) {
	if w.err != nil {
		err, w.err = w.err, nil
		return 0, err
	}
	return len(p), nil
}
func (w *lossyWriter) Close() error { return nil }

// TestUploadKeepsErrors has a callback that does not look at them.
func TestUploadKeepsErrors(t *testing.T) {
	b := New(blob.NewBucket(&lossyBucket{err: errors.New("lost")}))
	err := b.Upload(t.Context(), "k", func(w io.Writer) error {
		for i := range 3 {
			// The first one is taken before the bucket fails.
			if _, err := w.Write([]byte("a")); (err == nil) != (i == 0) {
				t.Errorf("write %d: %v", i, err)
			}
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("got %v", err)
	}
}

func TestErrorKinds(t *testing.T) {
	const notFound, conflict, unknown = gcerrors.NotFound, gcerrors.FailedPrecondition, gcerrors.Unknown
	for _, test := range []struct {
		err      error
		code     gcerrors.ErrorCode
		absent   bool // Get says ErrNotExist
		exists   bool // PutIfAbsent says ErrExist
		noBucket bool
	}{
		{errors.New("x"), notFound, true, false, false},
		{errors.New("x"), conflict, false, true, false},
		{errors.New("x"), unknown, false, false, false},
		{&serviceError{"NoSuchKey", 404}, notFound, true, false, false},
		{&serviceError{"NoSuchKey", 404}, unknown, true, false, false},
		{&serviceError{"NotFound", 404}, notFound, false, false, false}, // from the status alone
		{&serviceError{"NoSuchBucket", 404}, notFound, false, false, true},
		{&serviceError{"NotFound", 301}, notFound, false, false, false},
		{&serviceError{"", 301}, notFound, false, false, false},
		{&serviceError{"", 404}, notFound, false, false, false}, // a proxy's page
		{&serviceError{"ObjectNotInActiveTierError", 403}, notFound, false, false, false},
		{&serviceError{"PreconditionFailed", 412}, conflict, false, true, false},
		{&serviceError{"Whatever", 412}, unknown, false, true, false},
		{&serviceError{"ConditionalRequestConflict", 409}, unknown, false, false, false},
		{&serviceError{"PreconditionFailed", 409}, unknown, false, true, false}, // Azure
		{&serviceError{"SlowDown", 503}, unknown, false, false, false},
		{&net.DNSError{Err: "no such host", Name: "host", IsNotFound: true}, notFound, false, false, false}, // Azure
		{&url.Error{Op: "Get", URL: "http://host", Err: errors.New("no such host")}, notFound, false, false, false},
	} {
		b := New(blob.NewBucket(&stub{code: test.code, fail: func(context.Context) error { return test.err }}))
		b.SetWait(NoWait)
		_, err := b.Get(t.Context(), "k", 10)
		if errors.Is(err, ErrNotExist) != test.absent || errors.Is(err, errNoBucket) != test.noBucket || err == nil {
			t.Errorf("get, %v: %v", test.err, err)
		}
		err = b.PutIfAbsent(t.Context(), "k", nil)
		if errors.Is(err, ErrExist) != test.exists || errors.Is(err, ErrNotExist) || err == nil {
			t.Errorf("put, %v: %v", test.err, err)
		}
		for _, err := range b.List(t.Context(), "k") {
			if err == nil || errors.Is(err, ErrNotExist) {
				t.Errorf("list, %v: %v", test.err, err)
			}
		}
	}
}

// A shortBucket promises more bytes than it gives.
type shortBucket struct {
	stub
	size int64
	data string
}

func (s *shortBucket) NewRangeReader(context.Context, string, int64, int64, *driver.ReaderOptions) (driver.Reader, error) {
	return &fileReader{Reader: strings.NewReader(s.data), attrs: driver.ReaderAttributes{Size: s.size}}, nil
}

func TestSizesThatLie(t *testing.T) {
	open := func(size int64, data string) *Bucket {
		b := New(blob.NewBucket(&shortBucket{size: size, data: data}))
		b.SetWait(NoWait)
		return b
	}
	for _, test := range []struct {
		size  int64
		data  string
		limit int64
	}{{10, "short", 100}, {10, "", 100}, {1, "a long text", 100}, {1, "a long text", 10}, {0, "a long text", 100}, {0, "a", 0}} {
		if got, err := open(test.size, test.data).Get(t.Context(), "k", test.limit); !errors.Is(err, errLength) {
			t.Errorf("header says %d, body %q: got %q, %v", test.size, test.data, got, err)
		}
	}
	if got, err := open(0, "a long text").GetRange(t.Context(), "k", 5, 6); err != nil || !bytes.Equal(got, []byte("a long")) {
		t.Errorf("range, header says 0: %q, %v", got, err)
	}
	if _, err := open(1<<40, "short").GetRange(t.Context(), "k", 0, 6); !errors.Is(err, errLength) || errors.Is(err, ErrTooShort) {
		t.Errorf("range, truncated: %v", err)
	}
	if _, err := open(5, "short").GetRange(t.Context(), "k", 0, 6); !errors.Is(err, ErrTooShort) {
		t.Errorf("range beyond the end: %v", err)
	}
}

// A pagedBucket lists pages that are empty but for the last, and on demand gives one token for ever.
type pagedBucket struct {
	stub
	stuck bool
}

func (p *pagedBucket) ListPaged(_ context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	switch token := string(opts.PageToken); {
	case p.stuck:
		objects := make([]*driver.ListObject, opts.PageSize)
		for i := range objects {
			objects[i] = &driver.ListObject{Key: fmt.Sprint(i)}
		}
		return &driver.ListPage{Objects: objects, NextPageToken: []byte("again")}, nil
	case len(token) < 3:
		return &driver.ListPage{NextPageToken: []byte(token + "x")}, nil
	default:
		return &driver.ListPage{Objects: []*driver.ListObject{{Key: "last"}}}, nil
	}
}

func TestListPages(t *testing.T) {
	b := New(blob.NewBucket(&pagedBucket{}))
	var keys []string
	for key, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if len(keys) != 1 || keys[0] != "last" {
		t.Errorf("after empty pages: %q", keys)
	}
	var last error
	n := 0
	for _, err := range New(blob.NewBucket(&pagedBucket{stuck: true})).List(t.Context(), "") {
		last = err
		n++
	}
	if last == nil || n > 10*nextPages {
		t.Errorf("stuck listing: %d keys, %v", n, last)
	}
}

// TestCloudNotLinkedIn has schemes that the test binary knows.
func TestCloudNotLinkedIn(t *testing.T) {
	for scheme, pkg := range map[string]string{"s3": "s3", "gs": "gcs", "azblob": "azure"} {
		want := fmt.Sprintf(`scheme %q is not linked in: import _ "graft/objstore/%s"`, scheme, pkg)
		if err := errUnknownScheme(scheme); err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
