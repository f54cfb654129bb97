package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"graft/objstore"
	"graft/volume"
)

// bucket is an objstore.Bucket whose requests are progress of the operation that
// their context belongs to.
type bucket struct{ *objstore.Bucket }

// Get is that of the Bucket. An object that is larger than the format allows is damage.
func (b *bucket) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	data, err := b.Bucket.Get(ctx, key, limit)
	meterOf(ctx).request(len(data))
	if errors.Is(err, objstore.ErrTooLarge) {
		err = &volume.Error{Op: "read object", Key: key, Err: fmt.Errorf("%w: it goes on at offset %d: %w", volume.ErrCorrupt, limit, err)}
	}
	return data, err
}

func (b *bucket) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	data, err := b.Bucket.GetRange(ctx, key, off, length)
	meterOf(ctx).request(len(data))
	return data, err
}

func (b *bucket) Exists(ctx context.Context, key string) (bool, error) {
	defer meterOf(ctx).request(0)
	return b.Bucket.Exists(ctx, key)
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	defer meterOf(ctx).request(0)
	return b.Bucket.Delete(ctx, key)
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		defer meterOf(ctx).request(0)
		b.Bucket.List(ctx, prefix)(yield)
	}
}

func (b *bucket) First(ctx context.Context, prefix string, n int) (keys []string, whole bool, err error) {
	defer meterOf(ctx).request(0)
	return b.Bucket.First(ctx, prefix, n)
}

func (b *bucket) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	err := b.Bucket.PutIfAbsent(ctx, key, data)
	moved := len(data)
	if err != nil {
		moved = 0
	}
	meterOf(ctx).request(moved)
	return err
}

func (b *bucket) Upload(ctx context.Context, key string, write func(io.Writer) error) error {
	m := meterOf(ctx)
	if m == nil {
		return b.Bucket.Upload(ctx, key, write)
	}
	defer m.request(0)
	sent := further(func(n int) { m.update(func(p *Progress) { p.Bytes += int64(n) }) })
	return b.Bucket.Upload(ctx, key, func(w io.Writer) error {
		return write(&counted{w: w, sent: sent})
	})
}

// UploadBytes is Upload of an object that is in memory.
func (b *bucket) UploadBytes(ctx context.Context, key string, object []byte) error {
	return b.Upload(ctx, key, func(w io.Writer) error {
		_, err := w.Write(object)
		return err
	})
}

// counted is the writer of an upload whose bytes are progress.
type counted struct {
	w    io.Writer
	n    int
	sent func(n int)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	c.sent(c.n)
	return n, err
}
