package sync_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"graft/internal/faultbucket"
	"graft/internal/meter"
	"graft/volume"
)

// Whoever asks for a page waits for no request that is not for that page, however many
// were to be made before it.
func TestWhoAsksDoesNotWaitForWhatIsFetchedAhead(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	var pages []volume.PageIdx // each in an object of its own
	for p := range volume.PageIdx(12) {
		a.commit("pushed", p+1)
		a.must(a.push())
		pages = append(pages, p+1)
	}
	b.clone(a.head.State().Remote)
	r := b.head.Reader()
	defer r.Close()

	const atOnce = 8
	var begun atomic.Int32
	hanging, release := make(chan struct{}), make(chan struct{})
	bucket.Fail(func(q faultbucket.Request) error {
		if !strings.Contains(q.Key, "/log/") {
			return nil
		}
		if n := begun.Add(1); n == atOnce {
			close(hanging)
		} else if n > atOnce {
			return nil
		}
		<-release
		return nil
	}, nil)
	ended := make(chan error)
	go func() { ended <- r.Prefetch(context.Background(), pages) }()
	<-hanging
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := r.Page(ctx, 11); err != nil {
		t.Errorf("page 11, while others hang: %v", err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := begun.Load(); n > int32(len(pages)) {
		t.Errorf("%d requests for %d frames", n, len(pages))
	}
}

// What a range has before a frame that is damaged lands: nobody waits for all of it.
func TestARangeLandsAsItIsDecoded(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	pages := pagesTo(200)
	a.commit("pushed", pages...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	keys := bucket.Keys("segments/")
	if len(keys) != 1 {
		t.Fatalf("segments %q", keys)
	}
	object := bucket.Object(keys[0])
	bucket.SetObject(keys[0], flipped(object, len(object)*9/10))
	r := b.head.Reader()
	defer r.Close()
	if err := r.Prefetch(t.Context(), pages); !errors.Is(err, volume.ErrCorrupt) {
		t.Fatalf("a damaged frame: %v", err)
	}
	for _, p := range []volume.PageIdx{1, 2, 50, 100} {
		if page, err := r.Local(t.Context(), p); err != nil || page == nil {
			t.Errorf("page %d, ahead of the damage, is not here: %v", p, err)
		}
	}
	if page, err := r.Local(t.Context(), 200); err != nil || page != nil {
		t.Errorf("page 200 is here: %v", err)
	}
}

// A scan reads ahead in the packs that it meets, and nowhere else.
func TestAScanReadsAheadInPacks(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.remote.SetLoose(8, 8)
	pages := pagesTo(1000)
	a.commit("base", pages...)
	a.must(a.push())
	packed := []volume.PageIdx{40, 90, 200, 350, 500, 650, 800, 999}
	for _, p := range append(packed, 1) {
		a.commit("small", p)
		a.must(a.push())
	}
	b.clone(a.head.State().Remote)
	r := b.head.Reader()
	defer r.Close()
	here := func() (pages []volume.PageIdx) {
		for p := volume.PageIdx(151); p <= 1000; p++ {
			page, err := r.Local(t.Context(), p)
			b.must(err)
			if page != nil {
				pages = append(pages, p)
			}
		}
		return pages
	}
	b.must(r.Prefetch(t.Context(), pages[50:100]))
	if got := here(); len(got) > 0 {
		t.Errorf("few pages brought %v", got)
	}
	b.must(r.Prefetch(t.Context(), pages[:150]))
	if got := here(); !slices.Equal(got, packed[2:]) {
		t.Errorf("a scan brought %v", got)
	}
	bucket.Requests()
	b.must(r.Prefetch(t.Context(), pages[150:]))
	if got := bucket.Requests(); len(got) != 1 {
		t.Errorf("the rest took %v", got)
	}
	b.wantContent(contentOf(t, a)...)
}

// What is read ahead in packs is no more pages than a scan asks for, where frames have
// many pages as well, and few bytes.
func TestAScanReadsAheadNoMoreThanItAsksFor(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.remote.SetLoose(8, 8)
	pages := pagesTo(1000)
	for some := range slices.Chunk(pages, 64) {
		a.commit("small", some...)
		a.must(a.push())
	}
	b.clone(a.head.State().Remote)
	r := b.head.Reader()
	defer r.Close()
	b.must(r.Prefetch(t.Context(), pages[:128]))
	ahead := 0
	for _, p := range pages[128:] {
		page, err := r.Local(t.Context(), p)
		b.must(err)
		if page != nil {
			ahead++
		}
	}
	if ahead == 0 || ahead >= 128+volume.FramePages {
		t.Errorf("a scan of 128 pages brought %d others", ahead)
	}
}

// behindAScan gives a clone of many pages, of which packs have some within the first 150
// and some behind them.
func behindAScan(t *testing.T, bucket *faultbucket.Bucket) (b *machine, pages []volume.PageIdx) {
	t.Helper()
	a := packer(t, bucket)
	pages = pagesTo(300)
	a.commit("base", pages...)
	a.must(a.push())
	for _, p := range []volume.PageIdx{20, 40, 60, 80, 100, 250, 251} {
		a.commit("small", p)
		a.must(a.push())
	}
	b = newMachine(t, bucket)
	b.clone(a.head.State().Remote)
	return b, pages
}

// wantHere wants pages to be stored.
func (m *machine) wantHere(pages []volume.PageIdx) {
	m.t.Helper()
	r := m.head.Reader()
	defer r.Close()
	for _, p := range pages {
		if page, err := r.Local(m.t.Context(), p); err != nil || page == nil {
			m.t.Fatalf("page %d is not here: %v", p, err)
		}
	}
}

// Damage of what is read ahead is none of what was asked for.
func TestAScanDoesNotMeetDamageBehindIt(t *testing.T) {
	bucket := faultbucket.New()
	b, pages := behindAScan(t, bucket)
	key := packs(bucket)[0]
	object := bucket.Object(key)
	bucket.SetObject(key, flipped(object, len(object)-1)) // of page 250
	r := b.head.Reader()
	defer r.Close()
	b.must(r.Prefetch(t.Context(), pages[:150]))
	b.wantHere(pages[:150])
	if err := r.Prefetch(t.Context(), pages[150:]); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("the damaged page: %v", err)
	}
}

// With a budget nothing is read ahead of a scan: it is for what is asked for.
func TestABudgetIsForNothingBehindAScan(t *testing.T) {
	for _, c := range []struct {
		budget meter.Budget
		ahead  bool
	}{
		{meter.Budget{}, true},
		{meter.Budget{Bytes: 1 << 20}, false},
		{meter.Budget{Requests: 100}, false},
	} {
		b, pages := behindAScan(t, faultbucket.New())
		r := b.head.Reader()
		var m meter.Meter
		b.must(r.Prefetch(meter.With(t.Context(), meter.Tab{Statement: &m, Budget: c.budget}), pages[:150]))
		b.wantHere(pages[:150])
		page, err := r.Local(t.Context(), 250)
		if err != nil || (page != nil) != c.ahead {
			t.Errorf("budget %q: a page behind the scan is here: %t, %v", c.budget, page != nil, err)
		}
		r.Close()
	}
}
