package faultbucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// ErrReset is what a request gets whose answer does not come.
var ErrReset = errors.New("connection reset")

// Fate is what becomes of a request on a Line.
type Fate int

const (
	Answered   Fate = iota // it happens, and is answered
	Lost                   // it never happens, and is not answered
	Unanswered             // it happens, and is not answered
	Late                   // a put that happens when it is delivered; another request is Lost
	Twice                  // it happens twice, as when a driver sends it again, and the second is answered
	Torn                   // a get that is answered in part; another request is Unanswered
)

// Network lies between machines and a Bucket. It holds puts back, and knows
// what was put. It is safe for concurrent use.
type Network struct {
	b  *Bucket
	mu struct {
		sync.Mutex
		held    []func() error
		landed  []Landing
		deleted []string
	}
}

// Landing is a put that the bucket took.
type Landing struct {
	Line string // on which it was sent
	Key  string
	Sum  [sha256.Size]byte // of the object
}

// NewNetwork gives a network without faults.
func NewNetwork(b *Bucket) *Network { return &Network{b: b} }

// Line gives the bucket as one process sees it. Each request first asks fate,
// without a lock, what becomes of it.
func (n *Network) Line(name string, fate func(Request) Fate) *blob.Bucket {
	return blob.NewBucket(&line{Bucket: &conn{n.b}, n: n, name: name, fate: fate})
}

// Held is how many puts are held back.
func (n *Network) Held() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.mu.held)
}

// Deliver lets a put that is held back happen: one of Held, that pick chooses.
// It does nothing when there is none. Whether the put is taken shows in Landed.
func (n *Network) Deliver(pick func(held int) int) {
	n.mu.Lock()
	if len(n.mu.held) == 0 {
		n.mu.Unlock()
		return
	}
	i := pick(len(n.mu.held))
	put := n.mu.held[i]
	n.mu.held = append(n.mu.held[:i:i], n.mu.held[i+1:]...)
	n.mu.Unlock()
	_ = put() // nobody hears the answer
}

// Landed gives the puts of keys with a prefix that the bucket took, in their
// order.
func (n *Network) Landed(prefix string) (landed []Landing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.mu.landed {
		if strings.HasPrefix(l.Key, prefix) {
			landed = append(landed, l)
		}
	}
	return landed
}

// Deleted gives the keys with a prefix that were deleted.
func (n *Network) Deleted(prefix string) (keys []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key := range n.mu.deleted {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (n *Network) hold(put func() error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.held = append(n.mu.held, put)
}

// land runs a put and notes it. Two puts are noted in the order in which they
// happen.
func (n *Network) land(l Landing, put func() error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := put()
	if err == nil {
		n.mu.landed = append(n.mu.landed, l)
	}
	return err
}

// line implements driver.Bucket: that of the Bucket, with faults.
type line struct {
	driver.Bucket
	n    *Network
	name string
	fate func(Request) Fate
}

// carry lets a request have its fate.
func carry(fate Fate, do func() error) error {
	switch fate {
	case Lost, Late:
		return ErrReset
	case Unanswered, Torn:
		_ = do() // nobody hears the answer
		return ErrReset
	case Twice:
		_ = do() // the driver sends it again
	}
	return do()
}

func (l *line) Attributes(ctx context.Context, key string) (a *driver.Attributes, err error) {
	err = carry(l.fate(Request{"head", key}), func() error {
		a, err = l.Bucket.Attributes(ctx, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (l *line) ListPaged(ctx context.Context, opts *driver.ListOptions) (page *driver.ListPage, err error) {
	err = carry(l.fate(Request{"list", opts.Prefix}), func() error {
		page, err = l.Bucket.ListPaged(ctx, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func (l *line) NewRangeReader(ctx context.Context, key string, off, length int64, opts *driver.ReaderOptions) (r driver.Reader, err error) {
	fate := l.fate(Request{"get", key})
	if fate == Torn {
		r, err := l.Bucket.NewRangeReader(ctx, key, off, length, opts)
		if err != nil {
			return nil, ErrReset
		}
		return &tornReader{Reader: r}, nil
	}
	err = carry(fate, func() error {
		r, err = l.Bucket.NewRangeReader(ctx, key, off, length, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (l *line) Delete(ctx context.Context, key string, opts *driver.DeleteOptions) error {
	return carry(l.fate(Request{"delete", key}), func() error {
		l.n.mu.Lock()
		defer l.n.mu.Unlock()
		err := l.Bucket.Delete(ctx, key, opts)
		if err == nil {
			l.n.mu.deleted = append(l.n.mu.deleted, key)
		}
		return err
	})
}

func (l *line) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	return &lineWriter{l: l, ctx: ctx, key: key, contentType: contentType, opts: *opts}, nil
}

// lineWriter sends what it gathered at Close.
type lineWriter struct {
	bytes.Buffer
	l           *line
	ctx         context.Context
	key         string
	contentType string
	opts        driver.WriterOptions
}

func (w *lineWriter) Close() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	fate := w.l.fate(Request{"put", w.key})
	if fate == Late {
		w.l.n.hold(w.put)
	}
	return carry(fate, w.put)
}

// put puts the object. It is on its way: the end of the context does not stop
// it any more.
func (w *lineWriter) put() error {
	out, err := w.l.Bucket.NewTypedWriter(context.WithoutCancel(w.ctx), w.key, w.contentType, &w.opts)
	if err != nil {
		return err
	}
	if _, err := out.Write(w.Bytes()); err != nil {
		return err
	}
	return w.l.n.land(Landing{Line: w.l.name, Key: w.key, Sum: sha256.Sum256(w.Bytes())}, out.Close)
}

// tornReader gives half of what it has.
type tornReader struct {
	driver.Reader
	half io.Reader
}

func (r *tornReader) Read(p []byte) (int, error) {
	if r.half == nil {
		b, err := io.ReadAll(r.Reader)
		if err != nil {
			return 0, err
		}
		r.half = io.MultiReader(bytes.NewReader(b[:len(b)/2]), resetReader{})
	}
	return r.half.Read(p)
}

type resetReader struct{}

func (resetReader) Read([]byte) (int, error) { return 0, ErrReset }
