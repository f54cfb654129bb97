// Package faultbucket is a bucket in memory that tests can look into, damage,
// and let fail: before a request happens, or after it did and its answer is
// lost.
package faultbucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// Request is one request to the bucket.
type Request struct {
	Op  string // get, put, head, list or delete
	Key string // or the prefix of a listing
}

// Bucket keeps the objects. It is safe for concurrent use.
type Bucket struct {
	mu struct {
		sync.Mutex
		objects  map[string][]byte
		requests []Request
		before   func(Request) error
		after    func(Request) error
		hangs    func(context.Context, Request) bool
		hanging  int
	}
}

// New gives an empty bucket.
func New() *Bucket {
	b := &Bucket{}
	b.mu.objects = make(map[string][]byte)
	return b
}

// Blob gives a gocloud bucket over b, as any number of programs have their own.
func (b *Bucket) Blob() *blob.Bucket { return blob.NewBucket(&conn{b}) }

// Fail lets before run ahead of each request, which does not happen if it
// returns an error, and after run behind each request that succeeded, whose
// answer is its error. Either may be nil. They run without a lock.
func (b *Bucket) Fail(before, after func(Request) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.before, b.mu.after = before, after
}

// Hang lets requests of which hangs tells so wait until their context ends. Nil: none.
func (b *Bucket) Hang(hangs func(context.Context, Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.hangs = hangs
}

// Hanging is the number of requests that hang now.
func (b *Bucket) Hanging() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.hanging
}

func (b *Bucket) addHanging(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.hanging += n
}

// Requests gives the requests so far, and forgets them.
func (b *Bucket) Requests() []Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.mu.requests
	b.mu.requests = nil
	return r
}

// Keys gives the keys with a prefix, in order.
func (b *Bucket) Keys(prefix string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for key := range b.mu.objects {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Object gives a copy of an object, or nil.
func (b *Bucket) Object(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.mu.objects[key])
}

// SetObject replaces an object behind everybody's back; nil removes it.
func (b *Bucket) SetObject(key string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if data == nil {
		delete(b.mu.objects, key)
		return
	}
	b.mu.objects[key] = bytes.Clone(data)
}

// do runs a request: do what before says, the request itself, what after says.
func (b *Bucket) do(ctx context.Context, r Request, fn func(objects map[string][]byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	b.mu.requests = append(b.mu.requests, r)
	before, after, hangs := b.mu.before, b.mu.after, b.mu.hangs
	b.mu.Unlock()
	if hangs != nil && hangs(ctx, r) {
		b.addHanging(1)
		defer b.addHanging(-1)
		<-ctx.Done()
		return ctx.Err()
	}
	if before != nil {
		if err := before(r); err != nil {
			return err
		}
	}
	b.mu.Lock()
	err := fn(b.mu.objects)
	b.mu.Unlock()
	if err == nil && after != nil {
		err = after(r)
	}
	return err
}

var (
	errAbsent = errors.New("no such object")
	errTaken  = errors.New("object exists")
)

// conn implements driver.Bucket.
type conn struct{ b *Bucket }

func (c *conn) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, errAbsent):
		return gcerrors.NotFound
	case errors.Is(err, errTaken):
		return gcerrors.FailedPrecondition
	}
	return gcerrors.Unknown
}

func (c *conn) As(any) bool             { return false }
func (c *conn) ErrorAs(error, any) bool { return false }
func (c *conn) Close() error            { return nil }

func (c *conn) Attributes(ctx context.Context, key string) (a *driver.Attributes, err error) {
	err = c.b.do(ctx, Request{"head", key}, func(objects map[string][]byte) error {
		data, ok := objects[key]
		if !ok {
			return errAbsent
		}
		a = &driver.Attributes{Size: int64(len(data)), ModTime: time.Unix(0, 0)}
		return nil
	})
	return a, err
}

func (c *conn) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	page := &driver.ListPage{}
	err := c.b.do(ctx, Request{"list", opts.Prefix}, func(objects map[string][]byte) error {
		for key, data := range objects {
			if strings.HasPrefix(key, opts.Prefix) && key > string(opts.PageToken) {
				page.Objects = append(page.Objects, &driver.ListObject{Key: key, Size: int64(len(data))})
			}
		}
		return nil
	})
	slices.SortFunc(page.Objects, func(a, b *driver.ListObject) int { return strings.Compare(a.Key, b.Key) })
	size := opts.PageSize
	if size == 0 {
		size = 1000
	}
	if len(page.Objects) > size {
		page.Objects = page.Objects[:size]
		page.NextPageToken = []byte(page.Objects[size-1].Key)
	}
	return page, err
}

func (c *conn) NewRangeReader(ctx context.Context, key string, off, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	r := &reader{}
	err := c.b.do(ctx, Request{"get", key}, func(objects map[string][]byte) error {
		data, ok := objects[key]
		if !ok {
			return errAbsent
		}
		r.attrs.Size = int64(len(data))
		end := r.attrs.Size
		if length >= 0 {
			end = min(end, off+length)
		}
		r.Reader = bytes.NewReader(bytes.Clone(data[min(off, end):end]))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (c *conn) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	return &writer{c: c, ctx: ctx, key: key, once: opts.IfNotExist}, nil
}

func (c *conn) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errors.ErrUnsupported
}

func (c *conn) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return c.b.do(ctx, Request{"delete", key}, func(objects map[string][]byte) error {
		if _, ok := objects[key]; !ok {
			return errAbsent
		}
		delete(objects, key)
		return nil
	})
}

func (c *conn) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}

type reader struct {
	io.Reader
	attrs driver.ReaderAttributes
}

func (r *reader) Close() error                         { return nil }
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *reader) As(any) bool                          { return false }

type writer struct {
	bytes.Buffer
	c    *conn
	ctx  context.Context
	key  string
	once bool
}

func (w *writer) Close() error {
	return w.c.b.do(w.ctx, Request{"put", w.key}, func(objects map[string][]byte) error {
		if _, taken := objects[w.key]; taken && w.once {
			return errTaken
		}
		objects[w.key] = bytes.Clone(w.Bytes())
		return nil
	})
}

// String lists a request as "put segments/…".
func (r Request) String() string { return fmt.Sprintf("%s %s", r.Op, r.Key) }
