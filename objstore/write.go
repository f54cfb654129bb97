package objstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"

	"graft/internal/meter"
)

// MaxConditional is the size in bytes up to which PutIfAbsent takes an object. Larger ones would become multipart
// uploads on some clouds, for which some servers ignore the condition.
const MaxConditional = 8 << 20

const (
	contentType = "application/octet-stream"
	bufferUnit  = 256 << 10 // buffer sizes are multiples of it on every cloud
	partSize    = 5 << 20   // the least that S3 takes for a part
	parts       = 2         // under way at a time

	// At Close, a driver may still hold up to closeBacklog bytes that it took but did not send; they have the time
	// that a line of slowLine bytes per second needs.
	closeBacklog = 32 << 20
	slowLine     = 128 << 10
)

// PutIfAbsent puts an object at key by one conditional request. It returns ErrExist when the key is taken, and an error
// that is ErrRefused when the put surely did not happen; after any other the outcome is unknown: see the package comment.
// Data of more than MaxConditional bytes is refused before anything is sent.
//
// data must not change during the call, nor after it has failed: a cancelled request may still be reading it.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if len(data) > MaxConditional {
		return fmt.Errorf("%w: put %q: %d bytes are more than the %d of a conditional put", ErrRefused, b.prefix+key, len(data), MaxConditional)
	}
	return b.backoff.run(ctx, func() (bool, error) { return b.putOnce(ctx, key, data) })
}

// putOnce is one attempt of PutIfAbsent. It may be repeated only if it was never sent.
func (b *Bucket) putOnce(ctx context.Context, key string, data []byte) (again bool, err error) {
	var begun, conflict, unsent, refused bool
	again, err = b.attempt(ctx, opPut, key, func(ctx context.Context) error {
		m, err := b.begin(ctx, meter.Put, 0)
		if err != nil {
			return err
		}
		defer m.End()
		begun = true
		m.Out(len(data))
		// Not WriteAll, which panics with azureblob; not the default buffer, which is 16 MiB with gcsblob. It has room
		// for a byte more than there are: with a full one, gcsblob and azureblob expect more, and put in several requests.
		err = b.inner.Upload(ctx, b.prefix+key, bytes.NewReader(data), &blob.WriterOptions{
			ContentType: contentType,
			BufferSize:  (len(data)/bufferUnit + 1) * bufferUnit,
			IfNotExist:  true,
		})
		// A closed bucket answers with the same code as a conflict.
		conflict = err != nil && isConflict(err) && !b.innerClosed(ctx)
		unsent, refused = isUnsent(err), isRefusal(err)
		return err
	})
	switch {
	case conflict:
		return false, fmt.Errorf("put %q: %w", b.prefix+key, ErrExist)
	case err != nil && (!begun || unsent || refused):
		return again && unsent, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return false, err
}

// Upload puts the object at key that write writes, unconditionally, as a stream in bounded memory. If write returns
// an error nothing appears at the key, and Upload returns that error, wrapped. Upload ends with the context, and when
// write has written nothing for 60 seconds; write must return when the writer gives it an error, and must not use the
// writer after that. The writer is not safe for concurrent use, and does not buffer: small writes are slow.
//
// When the bucket fails, Upload may call write again, with another writer: it must then write the same bytes from the
// start, or return an error if it cannot.
func (b *Bucket) Upload(ctx context.Context, key string, write func(w io.Writer) error) error {
	return b.backoff.run(ctx, func() (bool, error) { return b.uploadOnce(ctx, key, write) })
}

// uploadOnce is one attempt of Upload. One that stalled is not repeated: it may have been write that did.
func (b *Bucket) uploadOnce(ctx context.Context, key string, write func(w io.Writer) error) (again bool, err error) {
	if err := b.usable(ctx, opUpload, key); err != nil {
		return false, err
	}
	m, err := b.begin(ctx, meter.Put, 0)
	if err != nil {
		return false, fmt.Errorf("upload %q: %w", b.prefix+key, err)
	}
	defer m.End()
	uctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u := &upload{ctx: uctx, cancel: cancel, b: b, meter: m}
	u.stall = time.AfterFunc(b.stallTimeout, func() { cancel(errStalled) })
	defer u.stall.Stop()

	err = u.run(b.prefix+key, write)
	switch {
	case err == nil:
		return false, nil
	case context.Cause(uctx) == errStalled:
		return false, fmt.Errorf("upload %q: no progress within %v: %w", b.prefix+key, b.stallTimeout, b.secrets.hide(err))
	case u.refused:
		return false, fmt.Errorf("upload %q: %w", b.prefix+key, err)
	}
	// write may have lost the chain of the writer's error.
	again = ctx.Err() == nil && isTransient(cmp.Or(u.err, err))
	return again, b.explain(ctx, opUpload, key, err)
}

// upload is one Upload, and the writer that its callback gets.
type upload struct {
	ctx    context.Context // of this upload alone
	cancel context.CancelCauseFunc
	b      *Bucket
	meter  *meter.Request
	stall  *time.Timer // cancels ctx when it fires

	w       io.Writer
	n       int64
	err     error // of the first failed write; the later ones get it as well
	refused bool  // the callback returned an error of its own
}

// run makes the object at key from what write writes, through a pipe: azureblob's own writer panics when an upload fails.
func (u *upload) run(key string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		opts := &blob.WriterOptions{ContentType: contentType, BufferSize: partSize, MaxConcurrency: parts}
		err := u.b.inner.Upload(u.ctx, key, r, opts)
		r.CloseWithError(err) // for a write that is under way
		done <- err
	}()
	// The order cancel, close is what makes drivers drop what was written. It holds when write panics, too.
	wrote := false
	defer func() {
		if !wrote {
			u.cancel(errAborted)
			w.CloseWithError(errAborted)
			<-done
		}
	}()
	u.w = w
	if err := write(u); err != nil {
		u.refused = u.err == nil
		return err
	}
	if u.err != nil {
		return u.err
	}
	wrote = true
	u.stall.Reset(u.b.stallTimeout + time.Duration(min(u.n, closeBacklog))*time.Second/slowLine)
	w.Close()
	return <-done
}

// Write implements io.Writer.
func (u *upload) Write(p []byte) (n int, err error) {
	if u.err == nil && u.ctx.Err() != nil {
		u.err = context.Cause(u.ctx)
	}
	if u.err != nil {
		return 0, u.err
	}
	u.stall.Reset(u.b.stallTimeout)
	n, u.err = u.w.Write(p)
	u.stall.Reset(u.b.stallTimeout)
	u.n += int64(n)
	u.meter.Out(n)
	return n, u.err
}

// Delete removes the object at key, if there is one.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	err := b.request(ctx, opDelete, key, func(ctx context.Context) error {
		m, err := b.begin(ctx, meter.Delete, 0)
		if err != nil {
			return err
		}
		defer m.End()
		err = b.inner.Delete(ctx, b.prefix+key)
		if kindOf(err) == kindNotFoundUnclear {
			// S3's driver asks by HEAD first. An object that is there by now was put after that.
			err = b.askAgain(ctx, key)
		}
		return err
	})
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}
