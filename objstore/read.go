package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strings"

	"gocloud.dev/blob"

	"graft/internal/meter"
)

// Get returns the whole object at key, in a slice that the caller owns. An object of more than limit bytes is
// ErrTooLarge, which names both sizes, and is not read. It returns ErrNotExist when there is no such object.
func (b *Bucket) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	var data []byte
	err := b.request(ctx, opGet, key, func(ctx context.Context) (err error) {
		data, err = b.hedge.get(ctx, func(ctx context.Context, began func() bool) ([]byte, error) {
			return b.getWhole(ctx, key, limit, began)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (b *Bucket) getWhole(ctx context.Context, key string, limit int64, began func() bool) ([]byte, error) {
	m, err := b.begin(ctx, meter.Get, 0)
	if err != nil {
		return nil, err
	}
	defer m.End()
	r, err := b.inner.NewReader(ctx, b.prefix+key, nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if !began() {
		return nil, errHedged
	}
	if r.Size() > limit {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", ErrTooLarge, r.Size(), limit)
	}
	if err := m.Expect(r.Size()); err != nil {
		return nil, err
	}
	data, err := readAll(m, r, r.Size(), min(r.Size(), math.MaxInt64-1)+1)
	if size := int64(len(data)); err == nil && size != r.Size() {
		err = fmt.Errorf("got %d of %d bytes: %w", size, r.Size(), errLength)
	}
	return data, err
}

// GetRange returns the length bytes of the object at key that begin at offset off, in a slice that the caller owns.
// It returns ErrTooShort when the object ends before, and ErrNotExist when there is no such object. A length of 0 gives no bytes, and asks the bucket nothing.
func (b *Bucket) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	if off < 0 || length < 0 || off > math.MaxInt64-length {
		return nil, fmt.Errorf("get range of %q: invalid range: offset %d, length %d", b.prefix+key, off, length)
	}
	var data []byte
	err := b.request(ctx, opRange, key, func(ctx context.Context) (err error) {
		if length == 0 {
			return nil
		}
		data, err = b.hedge.get(ctx, func(ctx context.Context, began func() bool) ([]byte, error) {
			return b.getRange(ctx, key, off, length, began)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (b *Bucket) getRange(ctx context.Context, key string, off, length int64, began func() bool) ([]byte, error) {
	m, err := b.begin(ctx, meter.Get, length)
	if err != nil {
		return nil, err
	}
	defer m.End()
	r, err := b.inner.NewRangeReader(ctx, b.prefix+key, off, length, nil)
	if httpStatus(err) == http.StatusRequestedRangeNotSatisfiable {
		return nil, errShort(off, length, 0)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if !began() {
		return nil, errHedged
	}
	data, err := readAll(m, r, min(length, r.Size()-off), length)
	switch got := len(data); {
	case err != nil || int64(got) == length:
		return data, err
	case r.Size()-off < length:
		return nil, errShort(off, length, got)
	}
	return nil, fmt.Errorf("offset %d: got %d of %d bytes: %w", off, len(data), length, errLength)
}

func errShort(off, want int64, got int) error {
	return fmt.Errorf("offset %d: wanted %d bytes, got %d: %w", off, want, got, ErrTooShort)
}

// readAll reads r to its end, or to limit bytes. It expects expect bytes, and allocates no more before it has read
// that many: what a header promises is no reason to take the memory for all of limit.
func readAll(m *meter.Request, r io.Reader, expect, limit int64) ([]byte, error) {
	expect = min(max(expect, 0), limit)
	data := make([]byte, expect)
	n, err := io.ReadFull(r, data)
	m.In(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return data[:n], nil
	}
	if err != nil || expect == limit {
		return data[:n], err
	}
	rest, err := io.ReadAll(io.LimitReader(r, limit-expect))
	m.In(len(rest))
	return append(data, rest...), err
}

// Exists reports whether there is an object at key.
func (b *Bucket) Exists(ctx context.Context, key string) (bool, error) {
	err := b.request(ctx, opStat, key, func(ctx context.Context) error {
		m, err := b.begin(ctx, meter.Head, 0)
		if err != nil {
			return err
		}
		defer m.End()
		_, err = b.inner.Attributes(ctx, b.prefix+key)
		if kindOf(err) == kindNotFoundUnclear {
			err = b.askAgain(ctx, key)
		}
		return err
	})
	if errors.Is(err, ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// askAgain asks by GET for an object that is absent by HEAD, whose answers have no body that could tell a missing
// object from a missing bucket.
func (b *Bucket) askAgain(ctx context.Context, key string) error {
	m, err := b.begin(ctx, meter.Get, 0)
	if err != nil {
		return err
	}
	defer m.End()
	r, err := b.inner.NewRangeReader(ctx, b.prefix+key, 0, 0, nil)
	if httpStatus(err) == http.StatusRequestedRangeNotSatisfiable {
		return nil // it exists by now, and is empty
	}
	if err != nil {
		return err
	}
	return r.Close()
}

const (
	firstPage = 100 // keys; callers that want only the first few keys are common
	nextPages = 1000
)

// List returns the keys that begin with prefix, in the order in which the bucket gives them: byte order on most, none
// on some (S3 directory buckets). It goes on over empty pages until the bucket says that there is no more. An error ends
// the listing, and comes with an empty key. Each page of up to 1000 keys is a request with a deadline of its own, even
// if the bucket gives them in smaller ones.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		token, size := blob.FirstPageToken, firstPage
		for len(token) > 0 {
			page, next, err := b.listPage(ctx, prefix, token, size)
			if err != nil {
				yield("", err)
				return
			}
			for _, key := range page {
				if !yield(key, nil) {
					return
				}
			}
			token, size = next, nextPages
		}
	}
}

// First returns the first n keys of a listing, at most 1000, or all where there are fewer; whole tells that these are
// all. It is one request, even if the bucket gives them in smaller pages.
func (b *Bucket) First(ctx context.Context, prefix string, n int) (keys []string, whole bool, err error) {
	keys, next, err := b.listPage(ctx, prefix, blob.FirstPageToken, min(n, nextPages))
	return keys, err == nil && len(next) == 0, err
}

// listPage requests one page of a listing, and gives the token of the next one; that is empty after the last.
func (b *Bucket) listPage(ctx context.Context, prefix string, token []byte, size int) (keys []string, next []byte, err error) {
	var page []*blob.ListObject
	err = b.request(ctx, opList, prefix, func(ctx context.Context) error {
		m, err := b.begin(ctx, meter.List, 0)
		if err != nil {
			return err
		}
		defer m.End()
		page, next, err = b.inner.ListPage(ctx, token, size, &blob.ListOptions{Prefix: b.prefix + prefix})
		if err == nil && bytes.Equal(next, token) {
			err = errors.New("the listing does not advance")
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	keys = make([]string, len(page))
	for i, object := range page {
		keys[i] = strings.TrimPrefix(object.Key, b.prefix)
	}
	return keys, next, nil
}
