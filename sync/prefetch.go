package sync

import (
	"context"
	"errors"
	"slices"
	"sync"

	counts "graft/internal/meter"
	"graft/snapshot"
	"graft/volume"
)

// errNotFetched is what a speculative flight ends with when it was given up.
var errNotFetched = errors.New("graft: not fetched ahead")

// Prefetch has the given pages of a Snapshot stored here, of which at and root
// are those of [Remote.Page], as far as the index has them: neighbours together,
// several requests at a time, in the order of pages. A Page of a frame that is under way
// waits for it, and not for those before it whose request has yet to begin.
// It implements [snapshot.Remote].
func (r *Remote) Prefetch(ctx context.Context, at snapshot.Point, root *snapshot.Root, pages []volume.PageIdx) error {
	if at.IsZero() || r.bucket == nil {
		return nil
	}
	x, err := r.index(ctx, at)
	if err != nil {
		return err
	}
	if err := x.loadChunks(ctx, leavesOf(pages)); err != nil {
		return err
	}
	frames := newFrameWants()
	for _, p := range pages {
		if err := r.wantPage(ctx, x, root, p, frames); err != nil {
			return err
		}
	}
	wanted := frames.list
	r.wantAhead(ctx, x, root, pages, frames)
	err = r.lead(ctx, at, frames.list)
	if len(frames.list) > len(wanted) && errors.Is(err, volume.ErrCorrupt) {
		return r.lead(ctx, at, wanted) // it may be of what nobody has asked for
	}
	return err
}

const (
	// scanPages is how many pages are a scan's that are asked for at once, in ascending
	// order. What follows them is read ahead in the packs that have some of them, where
	// it lies behind these: a pack has few pages of each part of a Volume, and would
	// take a request for each part.
	scanPages = 128
	// packAhead is how many bytes of each pack are read ahead for each page of a scan:
	// up to 4 MiB.
	packAhead = 1 << 10
	// leavesAhead is how far ahead pages are looked for.
	leavesAhead = 128
)

// wantAhead notes pages behind those of a scan that come by the same requests, but no
// more than there are of these, and what lies in one frame with the last. It makes no
// request, and ends where it cannot go on: whoever reads there finds out why. A budget
// is for what is asked for: with one nothing is read ahead, since that could take the
// room of the pages themselves, several requests being made at a time.
func (r *Remote) wantAhead(ctx context.Context, x *index, root *snapshot.Root, pages []volume.PageIdx, frames *frameWants) {
	if len(pages) < scanPages || pages[0] > pages[len(pages)-1] || !counts.Of(ctx).Budget.IsZero() {
		return
	}
	room := make(map[volume.SegmentID]int64) // by pack
	for _, f := range frames.list {
		if pack := f.frame.Source.Pack; !pack.IsZero() {
			room[pack] = packAhead * int64(len(pages))
		}
	}
	if len(room) == 0 {
		return
	}
	last, most := slices.Max(pages), frames.pages+len(pages)
	for n := volume.LeafOf(last); n < volume.LeafOf(last)+leavesAhead && root.PageCount().Has(volume.PageIdx(n)*volume.LeafPages+1); n++ {
		t, err := x.leaf(ctx, n, false)
		if err != nil {
			return
		}
		for p, a := range t.All() {
			pack := a.Source.Pack
			if p <= last || room[pack] == 0 {
				continue
			}
			if room[pack] -= a.Length; room[pack] <= 0 {
				delete(room, pack)
			}
			if len(room) == 0 || frames.pages >= most {
				return
			}
			if room[pack] == 0 {
				continue
			}
			if r.wantPage(ctx, x, root, p, frames) != nil {
				return
			}
		}
	}
}

// leavesOf gives the leaves of pages, and of many pages in order as many leaves
// behind them: their chunks take next to nothing, and will be asked for.
func leavesOf(pages []volume.PageIdx) []volume.LeafIdx {
	var leaves []volume.LeafIdx
	for _, p := range pages {
		leaves = append(leaves, volume.LeafOf(p))
	}
	slices.Sort(leaves)
	leaves = slices.Compact(leaves)
	if n := len(leaves); n > 0 && len(pages) >= n*volume.LeafPages/2 {
		for i := range 2*n + 8 {
			leaves = append(leaves, leaves[n-1]+volume.LeafIdx(i)+1)
		}
	}
	return leaves
}

// wantPage notes the frame of page p, if it takes a request to have that.
func (r *Remote) wantPage(ctx context.Context, x *index, root *snapshot.Root, p volume.PageIdx, frames *frameWants) error {
	if !root.PageCount().Has(p) {
		return nil
	}
	id, err := root.Lookup(ctx, p)
	if err != nil || id.IsZero() || x.bundled(ctx, p, id) != nil {
		return err
	}
	a, ok, err := x.address(ctx, p, id)
	if err != nil || !ok {
		return err
	}
	if has, err := r.store.HasPage(id, p); err != nil || has {
		return err
	}
	b, err := r.inlineFrame(a)
	if errors.Is(err, volume.ErrCorrupt) {
		return nil // whoever reads the page mends the commit
	}
	if err != nil || b != nil {
		return err
	}
	frames.add(a, p)
	return nil
}

// lead gets frames that nobody else gets already.
func (r *Remote) lead(ctx context.Context, at snapshot.Point, frames []frameWant) (err error) {
	led := newLed(r.frames)
	defer led.giveUp()
	wanted := make(map[place]frameWant, len(frames))
	var parts []part
	for _, f := range frames {
		p := partOf(at, f.frame)
		if wanted[p.place].frame != nil {
			continue // of two Segments, which only damage makes
		}
		wanted[p.place] = f
		parts = append(parts, p)
	}
	// Whoever asks for a frame whose turn has not come gets it alone.
	take := func(p part) bool {
		f := wanted[p.place]
		return led.take(*f.frame, func() bool {
			has, err := r.store.HasPage(f.frame.Source.Segment, f.first)
			return has && err == nil
		})
	}
	return r.getSpans(ctx, coalesce(parts), take, func(s span, b []byte) error {
		var decoded []decodedFrame
		var damage error
		for part := range slices.Chunk(s.parts, landFrames) {
			some := s
			some.parts = part
			var frames []decodedFrame
			if frames, damage = r.decodeSpan(some, b, func(p place) *volume.Address { return wanted[p].frame }); damage != nil {
				break
			}
			for _, f := range frames { // who waits for a page waits for no other, nor for the disk
				led.land(*f.frame, f.pages)
			}
			decoded = append(decoded, frames...)
		}
		for id, pages := range bySegment(decoded) {
			r.land(ctx, id, pages)
		}
		for _, f := range decoded {
			led.forget(*f.frame)
		}
		return damage
	})
}

// landFrames is how many frames of a range are decoded before those who wait for them
// get them: a range may have a thousand, and who waits is at its first most often.
const landFrames = 32

// led are the flights that a prefetch has taken on.
type led[K comparable, T any] struct {
	flights *flights[K, T]

	mu      sync.Mutex
	landing map[K]landing[T]
}

// landing ends a flight: land gives what was fetched, unless that happened, and forget
// lets whoever wants it next fetch it again.
type landing[T any] struct {
	land   func(T, error)
	forget func()
	landed bool
}

func newLed[K comparable, T any](fs *flights[K, T]) *led[K, T] {
	return &led[K, T]{flights: fs, landing: make(map[K]landing[T])}
}

// take takes a flight on, unless it is under way, or has by now brought here what it
// is for.
func (l *led[K, T]) take(key K, isHere func() bool) bool {
	land, forget, ok := l.flights.lead(key)
	if !ok {
		return false
	}
	if isHere() { // it was fetched since the caller looked
		var none T
		forget()
		land(none, errNotFetched)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.landing[key] = landing[T]{land: land, forget: forget}
	return true
}

// land gives what was fetched to those who wait for it, and to those who come
// before it is forgotten.
func (l *led[K, T]) land(key K, result T) {
	l.mu.Lock()
	f := l.landing[key]
	l.landing[key] = landing[T]{forget: f.forget, landed: true}
	l.mu.Unlock()
	f.land(result, nil)
}

// forget ends a flight whose result is stored.
func (l *led[K, T]) forget(key K) {
	l.mu.Lock()
	f := l.landing[key]
	delete(l.landing, key)
	l.mu.Unlock()
	f.forget()
}

// giveUp ends those that did not land: who waits for one gets it alone.
func (l *led[K, T]) giveUp() {
	var none T
	for _, f := range l.landing {
		f.forget()
		if !f.landed {
			f.land(none, errNotFetched)
		}
	}
}
