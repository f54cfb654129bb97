package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// part is a range of an object that a commit leads to.
type part struct {
	at snapshot.Point // the commit
	place
	nth int // of the parts that are wanted together; coalesce sets it
}

// place says where a part lies, and what it must be: by its SHA-256, unless it is a
// frame.
type place struct {
	key    string
	offset int64
	length int64
	sum    volume.Hash
}

func (p place) String() string {
	return fmt.Sprintf("%d bytes at offset %d of %s", p.length, p.offset, p.key)
}

// object gives a part that has a SHA-256, of the local store or else of the bucket,
// and keeps it. Without fetch it makes no request: ErrAbsent tells that it would
// take one.
func (r *Remote) object(ctx context.Context, p part, fetch bool) ([]byte, error) {
	return r.objectBy(ctx, p, fetch, func(ctx context.Context) ([]byte, error) { return r.getObject(ctx, p) })
}

// objectBy is object with another way to get it from the bucket.
func (r *Remote) objectBy(ctx context.Context, p part, fetch bool, get func(context.Context) ([]byte, error)) ([]byte, error) {
	b, err := r.store.Object(p.sum)
	if !errors.Is(err, store.ErrNotFound) {
		return b, err
	}
	if !fetch {
		return nil, snapshot.ErrAbsent
	}
	if r.bucket == nil {
		return nil, ErrNoRemote
	}
	return r.objects.do(ctx, p.place, get)
}

// getObject gets a part from the bucket, verifies and keeps it.
func (r *Remote) getObject(ctx context.Context, p part) ([]byte, error) {
	b, err := r.get(ctx, p, "read page index")
	if err != nil {
		return nil, err
	}
	if err := r.checkPart(p, b); err != nil {
		return nil, err
	}
	if err := r.store.LandObjects(map[volume.Hash][]byte{p.sum: b}); err != nil {
		r.log.Warn("keep fetched page index", "key", p.key, "error", err) // it is right, whatever the disk
	}
	return b, nil
}

// get reads the bytes of a part, which must be there.
func (r *Remote) get(ctx context.Context, p part, op string) ([]byte, error) {
	b, err := r.bucket.GetRange(ctx, p.key, p.offset, p.length)
	switch {
	case errors.Is(err, objstore.ErrTooShort):
		return nil, r.corruptPart(p, op, fmt.Errorf("%w: %w", volume.ErrCorrupt, err))
	case errors.Is(err, objstore.ErrNotExist):
		// Another bucket lacks it, too.
		if err := r.verify(ctx, p.at.Volume, p.at.LSN); err != nil {
			return nil, err
		}
		return nil, r.corruptPart(p, op, fmt.Errorf("%w: no %d bytes at offset %d: %w", volume.ErrCorrupt, p.length, p.offset, err))
	}
	return b, err
}

// checkPart returns ErrCorrupt unless b are the bytes of p.
func (r *Remote) checkPart(p part, b []byte) error {
	if volume.HashOf(b) == p.sum {
		return nil
	}
	return r.corruptPart(p, "read page index", fmt.Errorf("%w: hash of %d bytes at offset %d", volume.ErrCorrupt, len(b), p.offset))
}

// corruptPart names the object and the commit that it belongs to.
func (r *Remote) corruptPart(p part, op string, err error) error {
	return &volume.Error{Op: op, Volume: p.at.Volume, LSN: p.at.LSN, Key: p.key, Err: err}
}

const (
	// maxGap is how many bytes that nobody wants are read so as to save a request.
	maxGap = 64 << 10
	// maxRange is how many bytes one request reads, but for a part that is longer.
	maxRange = 4 << 20
	// maxRequests is how many requests of one operation are under way at once.
	maxRequests = 8
)

// span is a range of an object with the parts in it, by offset.
type span struct {
	key         string
	offset, end int64
	parts       []part
	nth         int // of the part that was wanted first
}

// coalesce gives the ranges that hold all parts, as few as their distances allow, in
// the order in which the first of each is wanted.
func coalesce(parts []part) []span {
	parts = slices.Clone(parts)
	for i := range parts {
		parts[i].nth = i
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.offset, b.offset), cmp.Compare(a.length, b.length))
	})
	var spans []span
	for _, p := range parts {
		if n := len(spans) - 1; n >= 0 {
			s := &spans[n]
			end := max(s.end, p.offset+p.length)
			if s.key == p.key && p.offset-s.end <= maxGap && end-s.offset <= maxRange {
				s.parts, s.end, s.nth = append(s.parts, p), end, min(s.nth, p.nth)
				continue
			}
		}
		spans = append(spans, span{p.key, p.offset, p.offset + p.length, []part{p}, p.nth})
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.nth, b.nth) })
	return spans
}

// keep drops the parts of s that keep does not tell to stay, and what of the range is
// for them alone at its ends.
func (s *span) keep(keep func(part) bool) {
	s.parts = slices.DeleteFunc(s.parts, func(p part) bool { return !keep(p) })
	if len(s.parts) == 0 {
		return
	}
	s.offset, s.end = s.parts[0].offset, 0
	for _, p := range s.parts {
		s.end = max(s.end, p.offset+p.length)
	}
}

// of gives the bytes of a part of s, of which b are those of the range.
func (s *span) of(p part, b []byte) []byte {
	return b[p.offset-s.offset : p.offset-s.offset+p.length]
}

// spanBytes is how many bytes ranges have in all.
func spanBytes(spans []span) (n int64) {
	for _, s := range spans {
		n += s.end - s.offset
	}
	return n
}

// getSpans reads ranges, several at a time and in their order, and calls fn with each,
// from several goroutines. Before a range is read, keep, if there is one, tells which of
// its parts are still to be. It ends with the first error.
func (r *Remote) getSpans(ctx context.Context, spans []span, keep func(part) bool, fn func(s span, b []byte) error) error {
	if len(spans) == 0 {
		return nil
	}
	if r.bucket == nil {
		return ErrNoRemote
	}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(maxRequests)
	for _, s := range spans {
		if each.Err() != nil {
			break
		}
		g.Go(func() error {
			if keep != nil {
				s.keep(keep)
			}
			if len(s.parts) == 0 {
				return nil
			}
			whole := s.parts[0]
			whole.offset, whole.length = s.offset, s.end-s.offset
			b, err := r.get(each, whole, "read")
			if err != nil {
				return err
			}
			return fn(s, b)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil { // with which nothing began
		return fmt.Errorf("read %s: %w", spans[0].key, err)
	}
	return nil
}
