package main

import (
	"cmp"
	"context"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// The defaults of gocloud's driver of S3.
const (
	wholeSize  = 16 << 20 // of the largest object that is put by one request
	partSize   = 8 << 20
	partsAtime = 5
)

// slowWriter is an upload as gocloud's driver of S3 does it. An object of up to
// 16 MiB is held in memory and put at Close, by one request. A larger one takes
// one request to begin, one for each part, of which some are in flight at a
// time, and one to complete.
type slowWriter struct {
	bucket      *slowBucket
	ctx         context.Context // of the upload
	cancel      context.CancelFunc
	inner       *blob.Writer
	key         string
	conditional bool
	size        int   // of a part
	closed      bool  // inner is
	err         error // the first one

	held  [][]byte // parts of what may be put whole
	next  []byte   // the part to come
	begun bool     // the upload is in parts
	slots chan struct{}
	spare chan []byte // buffers of parts that are through
	sent  sync.WaitGroup
}

// NewTypedWriter implements driver.Bucket.
func (b *slowBucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	uploading, cancel := context.WithCancel(ctx)
	inner, err := b.inner.NewWriter(uploading, key, &blob.WriterOptions{ContentType: contentType, IfNotExist: opts.IfNotExist})
	if err != nil {
		cancel()
		return nil, err
	}
	n := cmp.Or(opts.MaxConcurrency, partsAtime)
	return &slowWriter{
		bucket: b, ctx: uploading, cancel: cancel, inner: inner, key: key, conditional: opts.IfNotExist,
		size: cmp.Or(opts.BufferSize, partSize), slots: make(chan struct{}, n), spare: make(chan []byte, n+1),
	}, nil
}

// Write implements io.Writer.
func (w *slowWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(w.next) == w.size {
			if w.err = w.turn(); w.err != nil {
				return n, w.err
			}
		}
		k := min(len(p), w.size-len(w.next))
		w.next = append(w.next, p[:k]...)
		p, n = p[k:], n+k
	}
	return n, nil
}

// turn puts a full part aside, or sends it when the object has become too large
// to be put whole.
func (w *slowWriter) turn() error {
	w.held = append(w.held, w.next)
	w.next = nil
	if !w.begun && (len(w.held)+1)*w.size <= wholeSize {
		return w.ctx.Err()
	}
	if !w.begun {
		w.begun = true
		if err := w.bucket.request(w.ctx, partRequest, w.key, func() error { return nil }); err != nil {
			return err
		}
	}
	for _, part := range w.held {
		if err := w.send(part); err != nil {
			return err
		}
	}
	w.held = nil
	select {
	case w.next = <-w.spare:
	default:
	}
	return nil
}

// send sends a part when one of the others is through. Its buffer is in use
// until it is through.
func (w *slowWriter) send(part []byte) error {
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	if _, err := w.inner.Write(part); err != nil {
		<-w.slots
		return err
	}
	w.sent.Go(func() {
		defer func() { <-w.slots }()
		// What fails is the end of the context alone, which Close meets too.
		_ = w.bucket.request(w.ctx, partRequest, w.key, func() error { return w.bucket.transfer(w.ctx, len(part)) })
		w.bucket.moved(0, len(part))
		select {
		case w.spare <- part[:0]:
		default:
		}
	})
	return nil
}

// Close implements io.Closer: the object is there when it returns nil.
func (w *slowWriter) Close() error {
	defer w.cancel()
	if w.err == nil && w.begun {
		w.err = w.send(w.next)
	}
	w.sent.Wait()
	if w.err == nil {
		w.err = w.complete()
	}
	if !w.closed { // what was written must not appear
		w.cancel()
		_ = w.inner.Close()
	}
	return w.err
}

// complete is the last request, or the only one.
func (w *slowWriter) complete() error {
	if w.begun {
		return w.bucket.request(w.ctx, partRequest, w.key, w.appear)
	}
	w.held = append(w.held, w.next)
	return w.bucket.request(w.ctx, putRequest, w.key, func() error {
		for _, part := range w.held {
			if err := w.bucket.transfer(w.ctx, len(part)); err != nil {
				return err
			}
			w.bucket.moved(0, len(part))
			if _, err := w.inner.Write(part); err != nil {
				return err
			}
		}
		return w.appear()
	})
}

// appear makes the object, unless the key is taken and that matters.
func (w *slowWriter) appear() error {
	if w.conditional {
		w.bucket.conditional.Lock()
		defer w.bucket.conditional.Unlock()
	}
	w.closed = true
	return w.inner.Close()
}
