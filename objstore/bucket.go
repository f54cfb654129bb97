// Package objstore is a gocloud.dev bucket as graft needs it: put if absent, ranged reads, listings, a deadline on
// every request, and counters.
//
// A [Bucket] holds immutable objects under string keys. [Open] makes one from a URL, [New] from a bucket that the
// program has opened itself. The schemes mem and file are built in; s3 comes with a blank import of
// graft/objstore/s3, so that no cloud's SDK is linked into programs that do not use it.
//
// Keys are UTF-8; their order is the byte order. An object's bytes are never interpreted here.
//
// # What it does not promise
//
//   - An error other than [ErrExist] and [ErrNotExist] says nothing about whether a write took place: the outcome is
//     unknown, and the caller resolves it by reading. That includes the end of the context.
//   - ErrExist does not say that another writer won: drivers may send a request again when its answer was lost, and
//     then meet their own object. The caller reads the object to find out whose it is.
//   - Nothing is retried here, beyond what drivers do on their own.
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
)

const (
	// requestTimeout bounds each request but uploads, body included.
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

	requestTimeout time.Duration
	stallTimeout   time.Duration

	closed atomic.Bool
	counts counters
}

// New returns a Bucket on b, which stays the program's own: Close does not close it. It must be open for as long as
// the Bucket is in use.
//
// b must be atomic under WriterOptions.IfNotExist; package objstoretest tests that. gocloud's own fileblob is not.
func New(b *blob.Bucket) *Bucket {
	return newBucket(b, "bucket")
}

func newBucket(b *blob.Bucket, name string) *Bucket {
	return &Bucket{inner: b, name: name, requestTimeout: requestTimeout, stallTimeout: stallTimeout}
}

// String returns the URL that the bucket was opened with, without user info and values of query parameters, or
// "bucket" for one made by New.
func (b *Bucket) String() string { return b.name }

// Close releases the bucket. It does not wait for requests that are under way. Further calls do nothing.
func (b *Bucket) Close() error {
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

// request runs one request of op on key under the bucket's deadline. The error of f comes back explained.
func (b *Bucket) request(ctx context.Context, op operation, key string, f func(context.Context) error) error {
	if err := b.usable(ctx, op, key); err != nil {
		return err
	}
	rctx, cancel := context.WithTimeoutCause(ctx, b.requestTimeout, errNoAnswer)
	defer cancel()
	err := f(rctx)
	if err == nil {
		return nil
	}
	if context.Cause(rctx) == errNoAnswer && !isDefinite(err) {
		return fmt.Errorf("%s %q: no answer within %v: %w", op.name, b.prefix+key, b.requestTimeout, b.secrets.hide(err))
	}
	return b.explain(ctx, op, key, err)
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
	case kindNotFound, kindNotFoundUnclear:
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
