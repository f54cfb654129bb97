package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
)

// prepared is the commit of a push that is to be put, and what was done for it.
type prepared struct {
	rec  volume.Record
	keys []string // of the objects whose upload began
	gone []string // those of which the commit does without
	held []func() // ends what a sweep must leave until the record is pending
}

func (p *prepared) release() {
	for _, release := range p.held {
		release()
	}
}

// giveUp has the commit do without the uploads from number n on. To delete them may
// take time, which it does not wait for.
func (p *prepared) giveUp(n int) {
	p.gone = append(p.gone, p.keys[n:]...)
	p.keys = p.keys[:n]
}

// maxInlinePages is how many pages a push tries to put into its commit.
const maxInlinePages = 64

// prepare uploads what the commit of a rollup names and is not there yet, and
// enters its record in p, where stands what was begun after an error as well. pinned
// reads the Snapshot that is pushed.
func (r *Remote) prepare(ctx context.Context, st snapshot.State, pinned *snapshot.Reader, plan snapshot.Rollup, p *prepared) error {
	l, err := r.lineageOf(ctx, &st.GraftState)
	if err != nil {
		return err
	}
	c := volume.Commit{
		Volume:    st.Remote,
		LSN:       st.SyncPoint.Remote.Next(),
		PageCount: plan.PageCount,
		Kept:      plan.Kept,
		PushID:    volume.NewPushID(),
		Time:      time.Now(),
	}
	pages := plan.Pages()
	if n := pages.EncodedSize(); n > r.maxPageSet {
		return fmt.Errorf("%w: the set of the %d pages takes %d bytes of %d", volume.ErrTooLarge, pages.Len(), n, r.maxPageSet)
	}
	l.begin(&c, pages)
	if l.origin {
		if err := r.pin(ctx, &c); err != nil {
			return err
		}
	}
	var own volume.PageTable
	var frames []byte
	if !pages.IsEmpty() {
		meterOf(ctx).phase(PhasePages)
		meterOf(ctx).expect(0, pages.Len())
		if own, frames, err = r.addSegment(ctx, &c, plan, pages.Len(), p); err != nil {
			return err
		}
	}
	embedded := volume.Embedded{Frames: frames}
	switch {
	case r.needsCheckpoint(&c, own):
		meterOf(ctx).phase(PhaseCheckpoint)
		chosen := bundle(ctx, pinned, func(p volume.PageIdx) (volume.SegmentID, bool) { return l.segmentOf(ctx, &c, own, p) })
		if embedded.Checkpoint, err = r.addCheckpoint(ctx, l, &c, own, chosen, len(frames), p); err != nil {
			return err
		}
	case !l.origin:
		if err := r.packSince(ctx, &c, p); err != nil {
			return err
		}
	}
	p.rec, err = volume.EncodeEmbedding(c, embedded)
	return err
}

// segmentOf gives the Segment of page p after commit c, whose pages lie as own
// says, if that is known without a request.
func (l lineage) segmentOf(ctx context.Context, c *volume.Commit, own volume.PageTable, p volume.PageIdx) (volume.SegmentID, bool) {
	a, ok := own.At(p)
	if !ok {
		a, ok = c.Since.At(p)
	}
	if !ok && l.parent != nil && c.SinceKept.Has(p) {
		t, err := l.parent.chunk(ctx, volume.LeafOf(p), false)
		if err != nil {
			return volume.SegmentID{}, false
		}
		a, ok = t.At(p)
	}
	if !ok {
		return volume.SegmentID{}, false
	}
	return a.Source.Segment, true
}

// addSegment gives c the Segment of the n pages of a rollup: inline, if they are
// few, with the frames to put into the commit, or as an object that it uploads.
func (r *Remote) addSegment(ctx context.Context, c *volume.Commit, plan snapshot.Rollup, n int, p *prepared) (own volume.PageTable, frames []byte, err error) {
	id := volume.NewSegmentID()
	if n <= maxInlinePages {
		var object bytes.Buffer
		sw, seg, err := r.writeSegment(&object, id, plan, func(int) {})
		if err != nil {
			return own, nil, err
		}
		if fitsInline(seg, object.Len()) {
			seg.Inline = true
			c.Segments = []volume.Segment{seg}
			own, _ = c.Own()
			return own, volume.InlineFrames(object.Bytes()), nil
		}
		p.keys = append(p.keys, id.Key())
		err = r.bucket.UploadBytes(ctx, id.Key(), object.Bytes())
		c.Segments = []volume.Segment{seg}
		return seg.Table(sw.Index()), nil, err
	}
	p.keys = append(p.keys, id.Key())
	seg, index, err := r.upload(ctx, id, plan)
	c.Segments = []volume.Segment{seg}
	return seg.Table(index), nil, err
}

// fitsInline tells whether a Segment whose object is of that size goes into the
// commit.
func fitsInline(seg volume.Segment, size int) bool {
	return seg.Footer.IsZero() && size <= volume.MaxInline
}

// upload streams the pages of a rollup into the object of Segment id. The same
// rollup gives the same bytes.
func (r *Remote) upload(ctx context.Context, id volume.SegmentID, plan snapshot.Rollup) (seg volume.Segment, index volume.FrameIndex, err error) {
	wrote := further(meterOf(ctx).moved)
	err = r.bucket.Upload(ctx, id.Key(), func(w io.Writer) error {
		var sw *volume.SegmentWriter
		if sw, seg, err = r.writeSegment(w, id, plan, wrote); err == nil {
			index = sw.Index()
		}
		return err
	})
	return seg, index, err
}

// uploads gives the keys of the objects that were uploaded for c alone.
func uploads(c *volume.Commit) []string {
	var keys []string
	for _, seg := range c.Segments {
		if !seg.Inline {
			keys = append(keys, seg.ID.Key())
		}
	}
	if c.OwnCheckpoint() && !c.Checkpoint.Embedded() {
		keys = append(keys, c.Checkpoint.Key())
	}
	if !c.Pack.IsZero() {
		keys = append(keys, c.Pack.Key())
	}
	return keys
}

// restore uploads again what a pending commit after the one at names, to the byte, if
// it is gone.
func (r *Remote) restore(ctx context.Context, c *volume.Commit, at snapshot.Point, plan snapshot.Rollup) error {
	if err := r.restorePack(ctx, c, at); err != nil {
		return err
	}
	for _, seg := range c.Segments {
		if seg.Inline {
			continue
		}
		if has, err := r.bucket.Exists(ctx, seg.ID.Key()); err != nil || has {
			if err != nil {
				return err
			}
			continue
		}
		meterOf(ctx).phase(PhasePages)
		wrote := further(meterOf(ctx).moved)
		err := r.bucket.Upload(ctx, seg.ID.Key(), func(w io.Writer) error {
			_, got, err := r.writeSegment(w, seg.ID, plan, wrote)
			if err == nil && (got.Footer != seg.Footer || !got.Frames.Equal(seg.Frames)) {
				err = fmt.Errorf("%w: segment %s comes out otherwise than it was pushed", volume.ErrCorrupt, seg.ID) // and nothing is put
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if !c.OwnCheckpoint() || c.Checkpoint.Embedded() {
		return nil
	}
	has, err := r.bucket.Exists(ctx, c.Checkpoint.Key())
	if err != nil || has {
		return err
	}
	root, err := r.store.Object(c.Checkpoint.Sum)
	if err != nil {
		return fmt.Errorf("restore checkpoint %s: %w", c.Checkpoint.Key(), err)
	}
	object, err := volume.RebuildCheckpoint(c.Checkpoint, root, func(ch *volume.Chunk) ([]byte, error) { return r.store.Object(ch.Sum) })
	if err != nil {
		return fmt.Errorf("restore checkpoint %s: %w", c.Checkpoint.Key(), err)
	}
	return r.bucket.UploadBytes(ctx, c.Checkpoint.Key(), object)
}

// pin tells all ancestors of a fork that it uses their objects, and then makes
// sure that none of these has expired. The first push of a fork does so before it
// puts its commit.
func (r *Remote) pin(ctx context.Context, c *volume.Commit) error {
	for _, o := range c.Ancestors {
		b, err := volume.EncodePin(c.Volume, o)
		if err != nil {
			return err
		}
		err = r.bucket.PutIfAbsent(ctx, volume.PinKey(o.Volume, c.Volume), b)
		if err != nil && !errors.Is(err, objstore.ErrExist) {
			return fmt.Errorf("pin volume %s: %w", o.Volume, err)
		}
		if err := r.checkFloor(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// checkFloor returns ErrExpired when commit o is below a floor of its Volume.
func (r *Remote) checkFloor(ctx context.Context, o volume.Origin) error {
	prefix := volume.FloorPrefix(o.Volume)
	for key, err := range r.bucket.List(ctx, prefix) {
		if err != nil {
			return fmt.Errorf("look for floors of volume %s: %w", o.Volume, err)
		}
		complement, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 16, 64)
		if err != nil {
			return &volume.Error{Op: "look for floors", Volume: o.Volume, Key: key, Err: fmt.Errorf("%w: %w", volume.ErrCorrupt, err)}
		}
		if floor := volume.LSN(^complement); floor > o.LSN {
			return &volume.Error{Op: "fork", Volume: o.Volume, LSN: o.LSN, Err: fmt.Errorf("%w: the volume is kept from LSN %d on", ErrExpired, floor)}
		}
	}
	return nil
}
