// Package objstore is a gocloud.dev bucket as graft needs it: put if absent, ranged reads, listings, a deadline on
// every request, retries, and counters.
//
// A [Bucket] holds immutable objects under string keys. [Open] makes one from a URL, [New] from a bucket that the
// program has opened itself. The schemes mem and file are built in; s3, gs and azblob come with a blank
// import of graft/objstore/s3, gcs and azure, so that no cloud's SDK is linked into programs that do not use it.
//
// Keys are UTF-8; their order is the byte order. An object's bytes are never interpreted here.
//
// # Retries
//
// A request that can be repeated without harm is made up to 5 times, with random waits of up to 0.2, 0.4, 0.8 and 1.6
// seconds between, and for no longer than the context: Get, GetRange, Exists, Delete, each page of List, and Upload,
// which calls its source again. It is repeated when no connection came about, an attempt got no answer in time, the
// answer was 408, 429 or 5xx (but 501), the connection broke, or the body came short. Drivers' own retries are off:
// the packages of the clouds see to that, and a program that calls [New] has to.
//
// # Outcomes of a conditional put
//
// [Bucket.PutIfAbsent] is repeated only while no connection comes about, so each call puts at most once. It tells four
// outcomes apart:
//
//	nil           it landed
//	ErrExist      the key is taken; perhaps by an earlier call's put of the same bytes
//	ErrRefused    it did not happen, and will not: never sent, or answered with a 4xx other than 408, 409, 412 and 429
//	other errors  unknown: it may have landed, and it may land later; the caller finds out by reading
//
// A 409, with which S3 answers a put that met another one under way, is unknown. So is the end of the context once the
// put may have been sent.
//
// # What it does not promise
//
//   - Errors of Upload and Delete say nothing about whether the write took place.
//   - ErrExist does not say that another writer won: it may be an earlier put of the caller's own, whose answer was
//     lost. The caller reads the object to find out whose it is.
//   - A listing is a hint: some stores list out of order, or late.
package objstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"graft/internal/meter"
)

const (
	// requestTimeout bounds each attempt of a request but uploads, body included.
	requestTimeout = 30 * time.Second
	// stallTimeout bounds the time for which an upload may make no progress.
	stallTimeout = 60 * time.Second
)

// A Bucket is one bucket, or the part of one whose keys have a common prefix. All methods are safe for concurrent
// use, also with Close, after which they fail.
type Bucket struct {
	inner   *blob.Bucket
	name    string // redacted
	prefix  string // of every key in inner; not part of the keys that callers see
	owned   bool   // Close closes inner
	secrets *redactor

	backoff        backoff
	requestTimeout time.Duration
	stallTimeout   time.Duration

	closed atomic.Bool
	meter  meter.Meter
	hedge  *hedge // nil: no get is hedged
}

// New returns a Bucket on b, which stays the program's own: Close does not close it. It must be open for as long as
// the Bucket is in use.
//
// b must be atomic under WriterOptions.IfNotExist; package objstoretest tests that. gocloud's own fileblob is not. Its
// driver must not retry on its own: a conditional put that is sent again can answer that its own object is in the way.
func New(b *blob.Bucket) *Bucket {
	return newBucket(b, "bucket")
}

func newBucket(b *blob.Bucket, name string) *Bucket {
	return &Bucket{
		inner:          b,
		name:           name,
		backoff:        newBackoff(),
		requestTimeout: requestTimeout,
		stallTimeout:   stallTimeout,
	}
}

// String returns the URL that the bucket was opened with, without user info and values of query parameters, or
// "bucket" for one made by New.
func (b *Bucket) String() string { return b.name }

// Close releases the bucket. It does not wait for requests that are under way, but for those that were given up because
// their twin was answered first. Further calls do nothing.
func (b *Bucket) Close() error {
	if b.hedge != nil {
		b.hedge.running.Wait()
	}
	if b.closed.Swap(true) || !b.owned {
		return nil
	}
	if err := b.inner.Close(); err != nil {
		return fmt.Errorf("close %s: %w", b.name, b.secrets.hide(err))
	}
	return nil
}

// An operation is what error texts call a request, and what "not found" means to it.
type operation struct {
	name   string
	absent error
}

var (
	opPut    = operation{"put", errNoBucket}
	opUpload = operation{"upload", errNoBucket}
	opGet    = operation{"get", ErrNotExist}
	opRange  = operation{"get range of", ErrNotExist}
	opStat   = operation{"stat", ErrNotExist}
	opDelete = operation{"delete", ErrNotExist}
	opList   = operation{"list", errNoBucket}
)

// begin counts an attempt that is to read so many bytes, as far as that is known. Its End must follow.
func (b *Bucket) begin(ctx context.Context, kind meter.Kind, bytes int64) (*meter.Request, error) {
	return meter.Begin(ctx, &b.meter, kind, bytes)
}

// request runs one request of op on key, which may be repeated, in as many attempts as it takes.
func (b *Bucket) request(ctx context.Context, op operation, key string, f func(context.Context) error) error {
	return b.backoff.run(ctx, func() (bool, error) { return b.attempt(ctx, op, key, f) })
}

// attempt runs one attempt of a request under the bucket's deadline. The error of f comes back explained; again tells
// whether another attempt may do better.
func (b *Bucket) attempt(ctx context.Context, op operation, key string, f func(context.Context) error) (again bool, err error) {
	if err := b.usable(ctx, op, key); err != nil {
		return false, err
	}
	rctx, cancel := context.WithTimeoutCause(ctx, b.requestTimeout, errNoAnswer)
	defer cancel()
	err = f(rctx)
	switch {
	case err == nil:
		return false, nil
	case context.Cause(rctx) == errNoAnswer && !isDefinite(err):
		err = fmt.Errorf("%s %q: no answer within %v: %w", op.name, b.prefix+key, b.requestTimeout, b.secrets.hide(err))
		return ctx.Err() == nil, err
	}
	return ctx.Err() == nil && isTransient(err), b.explain(ctx, op, key, err)
}

// usable reports why a request cannot be begun at all.
func (b *Bucket) usable(ctx context.Context, op operation, key string) error {
	if b.closed.Load() {
		return fmt.Errorf("%s %q: %w", op.name, b.prefix+key, errClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %q: %w", op.name, b.prefix+key, err)
	}
	if key == "" && op != opList {
		return fmt.Errorf("%s: the key is empty", op.name)
	}
	return nil
}

// explain names op and key in err, and turns "not found" into the sentinel that it means.
func (b *Bucket) explain(ctx context.Context, op operation, key string, err error) error {
	what := fmt.Sprintf("%s %q", op.name, b.prefix+key)
	switch kindOf(err) {
	case kindNoBucket:
		return fmt.Errorf("%s: %w", what, errNoBucket)
	case kindNotFound:
		return fmt.Errorf("%s: %w", what, op.absent)
	}
	hidden := b.secrets.hide(err)
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		return fmt.Errorf("%s: %w: %w", what, end, hidden)
	}
	return fmt.Errorf("%s: %w", what, hidden)
}

// innerClosed reports whether inner was closed behind our back. It sends nothing: gocloud checks for that first and
// for the offset next.
func (b *Bucket) innerClosed(ctx context.Context) bool {
	_, err := b.inner.NewRangeReader(ctx, "closed", -1, 0, nil)
	return gcerrors.Code(err) == gcerrors.FailedPrecondition
}
