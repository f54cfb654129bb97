package sync

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

const (
	// partPages is how many pages are read and encoded at once: whole frames.
	partPages = store.MaxRun
	// maxEncoders is how many goroutines encode the pages of a push, at most. Each
	// takes a megabyte.
	maxEncoders = 8
)

// encoding is the pages of a rollup on their way into a Segment. Goroutines read and
// encode parts of them side by side, which is most of the work of a large push;
// whoever writes the Segment takes the parts in order.
//
//  1. deal takes a part that is free, gives it its pages, and puts it into order
//     and then into work.
//  2. An encoder takes it out of work and makes it ready.
//  3. The writer takes it out of order, waits until it is ready, and frees it.
//
// There are as many parts as fit into each channel, so only free is waited for.
type encoding struct {
	store *store.Store
	plan  snapshot.Rollup
	id    volume.SegmentID

	free, work, order chan *encodingPart
	done              chan struct{} // closed by the writer
	running           sync.WaitGroup
}

// encodingPart is some pages of a Segment.
type encodingPart struct {
	refs    []pageRef
	pages   []volume.Page // as many as refs, or more
	encoded volume.Part
	ready   chan error // of its encoder
}

// newEncoding begins to encode the pages of a rollup for Segment id. The caller
// closes it.
func (r *Remote) newEncoding(id volume.SegmentID, plan snapshot.Rollup) *encoding {
	refs := pageRefs(plan)
	all := (len(refs) + partPages - 1) / partPages
	encoders := min(runtime.GOMAXPROCS(0), maxEncoders, all)
	parts := encoders + 2
	e := &encoding{
		store: r.store, plan: plan, id: id,
		free: make(chan *encodingPart, parts), work: make(chan *encodingPart, parts), order: make(chan *encodingPart, parts),
		done: make(chan struct{}),
	}
	for range min(parts, all) {
		e.free <- &encodingPart{pages: make([]volume.Page, min(len(refs), partPages)), ready: make(chan error, 1)}
	}
	e.running.Go(func() { e.deal(refs) })
	for range encoders {
		e.running.Go(e.encode)
	}
	return e
}

// close ends the goroutines.
func (e *encoding) close() {
	close(e.done)
	e.running.Wait()
}

// deal hands out all pages, in parts.
func (e *encoding) deal(refs []pageRef) {
	defer close(e.order)
	defer close(e.work)
	for refs := range slices.Chunk(refs, partPages) {
		select {
		case p := <-e.free:
			p.refs = refs
			e.order <- p
			e.work <- p
		case <-e.done:
			return
		}
	}
}

func (e *encoding) encode() {
	encoder := volume.NewFrameEncoder(e.id)
	entries := make([]volume.PageEntry, 0, partPages)
	for p := range e.work {
		err := e.read(p)
		if err == nil {
			entries = entries[:0]
			for i, ref := range p.refs {
				entries = append(entries, volume.PageEntry{Idx: ref.idx, Page: &p.pages[i]})
			}
			err = encoder.Encode(&p.encoded, entries)
		}
		p.ready <- err
	}
}

// read reads the pages of a part from the store.
func (e *encoding) read(p *encodingPart) error {
	for at := 0; at < len(p.refs); {
		first, n := p.refs[at], 1
		for at+n < len(p.refs) && p.refs[at+n].source == first.source && p.refs[at+n].idx == first.idx+volume.PageIdx(n) {
			n++
		}
		id := e.plan.Sources[first.source].Segment
		read := e.store.ReadRun(id, first.idx, p.pages[at:at+n])
		for i := range n {
			if read>>i&1 == 1 {
				continue
			}
			dst := &p.pages[at+i]
			page, _, err := e.store.PageIn(id, first.idx+volume.PageIdx(i), dst)
			if err != nil {
				return fmt.Errorf("read page %d to push: %w", first.idx+volume.PageIdx(i), err)
			}
			if page != dst {
				*dst = *page
			}
		}
		at += n
	}
	return nil
}

// writeSegment writes the pages of a rollup as a Segment to w; wrote is called with
// how many are written.
func (r *Remote) writeSegment(w io.Writer, id volume.SegmentID, plan snapshot.Rollup, wrote func(pages int)) (*volume.SegmentWriter, volume.Segment, error) {
	sw := volume.NewSegmentWriter(w, id)
	sw.LimitIndex(r.maxIndex)
	e := r.newEncoding(id, plan)
	defer e.close()
	n := 0
	for p := range e.order {
		if err := <-p.ready; err != nil {
			return nil, volume.Segment{}, err
		}
		if err := sw.AddPart(&p.encoded); err != nil {
			return nil, volume.Segment{}, err
		}
		n += len(p.refs)
		wrote(n)
		e.free <- p
	}
	seg, err := sw.Close()
	return sw, seg, err
}
