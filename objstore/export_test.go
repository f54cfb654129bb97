package objstore

import (
	"context"
	"time"

	"gocloud.dev/blob"
)

// SetRequestTimeout replaces the deadline of attempts.
func (b *Bucket) SetRequestTimeout(d time.Duration) { b.requestTimeout = d }

// SetWait replaces the waits between attempts.
func (b *Bucket) SetWait(wait func(ctx context.Context, d time.Duration) error) {
	b.backoff.wait = wait
}

// NoWait repeats attempts at once.
func NoWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Attempts is how many attempts there are of a request that fails for a moment.
var Attempts = newBackoff().attempts

// Hide returns err as an error of a bucket shows it that was not opened by a URL.
func Hide(err error) error { return (*redactor)(nil).hide(err) }

// FailingBlob returns a bucket whose requests all fail with err.
func FailingBlob(err error) *blob.Bucket {
	return blob.NewBucket(&stub{fail: func(context.Context) error { return err }})
}

// SetAttempts replaces the number of attempts.
func (b *Bucket) SetAttempts(n int) { b.backoff.attempts = n }
