package main

import (
	"context"
	"io"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// speed is how slow a bucket is. Zero: as fast as what it stands on.
type speed struct {
	Latency   time.Duration // of each request
	Bandwidth int64         // bytes per second of all requests together; 0: no limit
}

// slowBucket is a gocloud driver that counts the requests to another bucket and
// makes them slow. Each page of a listing is a request, and so is each part of
// an upload in parts: see [slowWriter]. A GET is in flight until its reader is
// closed. It is safe for concurrent use, and atomic under IfNotExist.
type slowBucket struct {
	meter
	inner *blob.Bucket

	conditional sync.Mutex // one conditional write ends at a time: fileblob is not atomic

	line struct {
		sync.Mutex
		speed
		free time.Time // when what was sent so far has gone through
	}
}

// bucket is an open slowBucket.
type bucket struct {
	*blob.Bucket
	slow *slowBucket
}

// memoryBucket makes a bucket in memory.
func memoryBucket() bucket {
	return newBucket(memblob.OpenBucket(&memblob.Options{NoMD5: true}))
}

// folderBucket opens the bucket in a directory, which it makes if need be.
// Objects are not synced to the disk: a real bucket's are on another machine.
func folderBucket(dir string) (bucket, error) {
	inner, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return bucket{}, err
	}
	return newBucket(inner), nil
}

func newBucket(inner *blob.Bucket) bucket {
	slow := &slowBucket{inner: inner}
	return bucket{blob.NewBucket(slow), slow}
}

// setSpeed changes the speed, for requests to come.
func (b *slowBucket) setSpeed(s speed) {
	b.line.Lock()
	defer b.line.Unlock()
	b.line.speed = s
}

// await takes the latency of a request.
func (b *slowBucket) await(ctx context.Context) error {
	b.line.Lock()
	latency := b.line.Latency
	b.line.Unlock()
	return sleep(ctx, latency)
}

// transfer takes the time in which n bytes go through the line.
func (b *slowBucket) transfer(ctx context.Context, n int) error {
	const grain = time.Millisecond // shorter sleeps are not exact
	b.line.Lock()
	if b.line.Bandwidth == 0 {
		b.line.Unlock()
		return ctx.Err()
	}
	now := time.Now()
	if b.line.free.Before(now.Add(-grain)) { // what a sleep took too long is made up for
		b.line.free = now.Add(-grain)
	}
	b.line.free = b.line.free.Add(time.Duration(float64(n) / float64(b.line.Bandwidth) * float64(time.Second)))
	wait := b.line.free.Sub(now)
	b.line.Unlock()
	if wait < grain {
		return ctx.Err()
	}
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// request is one request without a body.
func (b *slowBucket) request(ctx context.Context, k requestKind, key string, f func() error) error {
	defer b.begin(asked{kind: k, key: key})()
	if err := b.await(ctx); err != nil {
		return err
	}
	return f()
}

// ErrorCode implements driver.Bucket. The errors are gocloud's own already.
func (b *slowBucket) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }

// As implements driver.Bucket.
func (b *slowBucket) As(any) bool { return false }

// ErrorAs implements driver.Bucket.
func (b *slowBucket) ErrorAs(error, any) bool { return false }

// Close implements driver.Bucket.
func (b *slowBucket) Close() error { return b.inner.Close() }

// Attributes implements driver.Bucket.
func (b *slowBucket) Attributes(ctx context.Context, key string) (attrs *driver.Attributes, err error) {
	err = b.request(ctx, headRequest, key, func() error {
		a, err := b.inner.Attributes(ctx, key)
		if err == nil {
			attrs = &driver.Attributes{ContentType: a.ContentType, ModTime: a.ModTime, Size: a.Size}
		}
		return err
	})
	return attrs, err
}

// ListPaged implements driver.Bucket.
func (b *slowBucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (page *driver.ListPage, err error) {
	token, size := opts.PageToken, opts.PageSize
	if len(token) == 0 {
		token = blob.FirstPageToken
	}
	if size == 0 {
		size = 1000
	}
	err = b.request(ctx, listRequest, opts.Prefix, func() error {
		objects, next, err := b.inner.ListPage(ctx, token, size, &blob.ListOptions{Prefix: opts.Prefix, Delimiter: opts.Delimiter})
		if err != nil {
			return err
		}
		page = &driver.ListPage{NextPageToken: next}
		for _, o := range objects {
			page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, ModTime: o.ModTime, Size: o.Size, IsDir: o.IsDir})
		}
		return nil
	})
	return page, err
}

// Copy implements driver.Bucket.
func (b *slowBucket) Copy(ctx context.Context, to, from string, _ *driver.CopyOptions) error {
	return b.request(ctx, putRequest, to, func() error { return b.inner.Copy(ctx, to, from, nil) })
}

// Delete implements driver.Bucket.
func (b *slowBucket) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return b.request(ctx, deleteRequest, key, func() error { return b.inner.Delete(ctx, key) })
}

// SignedURL implements driver.Bucket.
func (b *slowBucket) SignedURL(ctx context.Context, key string, _ *driver.SignedURLOptions) (string, error) {
	return b.inner.SignedURL(ctx, key, nil) // which neither of them can
}

// NewRangeReader implements driver.Bucket.
func (b *slowBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (_ driver.Reader, err error) {
	k := rangedRequest
	if offset == 0 && length < 0 {
		k = getRequest
	}
	end := b.begin(asked{kind: k, key: key, offset: offset, length: length})
	defer func() {
		if err != nil {
			end()
		}
	}()
	if err := b.await(ctx); err != nil {
		return nil, err
	}
	inner, err := b.inner.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, err
	}
	return &slowReader{bucket: b, ctx: ctx, inner: inner, end: sync.OnceFunc(end)}, nil
}

// slowReader is the body of a GET.
type slowReader struct {
	bucket *slowBucket
	ctx    context.Context // of the request
	inner  *blob.Reader
	end    func()
}

// Read implements io.Reader.
func (r *slowReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	r.bucket.moved(n, 0)
	if slow := r.bucket.transfer(r.ctx, n); slow != nil && (err == nil || err == io.EOF) {
		err = slow
	}
	return n, err
}

// Close implements io.Closer.
func (r *slowReader) Close() error {
	defer r.end()
	return r.inner.Close()
}

// Attributes implements driver.Reader.
func (r *slowReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.inner.ContentType(), ModTime: r.inner.ModTime(), Size: r.inner.Size()}
}

// As implements driver.Reader.
func (r *slowReader) As(any) bool { return false }
