package sync_test

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"testing"

	"graft/internal/faultbucket"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// newFull gives a clone with a quota of so many pages that has read all 100 of its
// Graft.
func newFull(t *testing.T, quota int) (*faultbucket.Bucket, *machine) {
	t.Helper()
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newCache(t, bucket, quota)
	a.commit("pushed", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	b.wantContent(repeat("pushed")...)
	b.settle()
	return bucket, b
}

// forget empties the page cache in memory.
func (m *machine) forget(bucket *faultbucket.Bucket) { m.reopen(bucket) }

func (m *machine) presence() snapshot.Presence {
	m.t.Helper()
	r := m.head.Reader()
	defer r.Close()
	p, err := r.Presence(context.Background())
	m.must(err)
	return p
}

func TestEvictedPagesAreFetchedAgain(t *testing.T) {
	bucket, b := newFull(t, 80)
	if !b.store.NeedsEvict() {
		t.Error("100 pages are not over a quota of 80")
	}
	got := b.evict()
	if p := b.presence(); int(p.Present) != got.Left || got.Left+got.Removed != 100 || got.Left == 0 || b.store.NeedsEvict() {
		t.Errorf("evicted %+v, and %+v are here", got, p)
	}
	b.forget(bucket)
	bucket.Requests()
	b.wantContent(repeat("pushed")...)
	if n := len(bucket.Requests()); n == 0 || n > 100/2+3 {
		t.Errorf("reading all again took %d requests", n)
	}
}

// Without a quota nothing is evicted.
func TestNothingIsEvictedWithoutAQuota(t *testing.T) {
	_, b := newFull(t, 0)
	got, err := b.store.Evict(context.Background())
	b.must(err)
	if p := b.presence(); b.store.NeedsEvict() || got.Removed != 0 || p.Present != 100 {
		t.Errorf("evicted %+v, and %+v are here", got, p)
	}
}

// What was committed here and is not pushed stays. What was evicted is an error
// without the bucket, and no zeros: what was pushed from here, too.
func TestWhatIsNotPushedIsNotEvicted(t *testing.T) {
	bucket, b := newFull(t, 1)
	b.commit("mine", many...) // they do not lie in the commit, which stays
	b.must(b.push())
	unpushed := many[50:53]
	b.commit("unpushed", unpushed...)
	b.evict()
	b.forget(bucket)
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	r := b.head.Reader()
	defer r.Close()
	lost := 0
	for _, p := range many {
		page, err := r.Page(t.Context(), p)
		text := "mine"
		switch {
		case slices.Contains(unpushed, p):
			text = "unpushed"
		case err != nil:
			b.wantError(err, errLost)
			lost++
			continue
		}
		b.must(err)
		if *page != *pageOf(text, p) {
			t.Errorf("page %d is %.12q, want %s", p, page[:], text)
		}
	}
	if lost != len(many)-len(unpushed) {
		t.Errorf("%d pages are gone", lost)
	}
}

// keptPages is a handler of logs that notes how many pages a sweep has left.
type keptPages struct {
	slog.Handler
	n int64
}

func (k *keptPages) Enabled(context.Context, slog.Level) bool { return true }

func (k *keptPages) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "kept" {
			k.n = a.Value.Int64()
		}
		return true
	})
	return nil
}

// A writer that pushes five times its quota keeps no more than that, in its file
// system, either, and reads what it wrote.
func TestAWriterKeepsTheQuota(t *testing.T) {
	const quota = 100
	bucket := faultbucket.New()
	a := newCache(t, bucket, quota)
	var kept keptPages
	a.log = slog.New(&kept)
	var want []string
	for i := range 5 {
		text := strconv.Itoa(i)
		var pages []volume.PageIdx
		for p := range volume.PageIdx(100) {
			pages = append(pages, volume.PageIdx(100*i)+p+1)
			want = append(want, text)
		}
		a.commit(text, pages...)
		a.must(a.push())
		if i > 0 && !a.store.NeedsEvict() {
			t.Errorf("%d pages that were pushed are not over a quota of %d", 100*(i+1), quota)
		}
		if i%2 == 1 {
			a.reopen(bucket)
		}
		a.evict()
	}
	if p := a.presence(); p.Present > quota || p.Present == 0 {
		t.Errorf("%+v are here, of a quota of %d pages", p, quota)
	}
	a.commit("unpushed", many...)
	copy(want, repeat("unpushed"))
	a.evict()
	for range 2 {
		a.must(a.heads.Sweep(t.Context()))
		if kept.n > 2*quota {
			t.Errorf("%d pages are stored: of a quota of %d, and %d that are not pushed", kept.n, quota, len(many))
		}
		a.reopen(bucket)
	}
	a.wantContent(want...)
	a.evict()
	a.must(a.push())
	a.evict()
	a.must(a.heads.Sweep(t.Context()))
	if kept.n > quota {
		t.Errorf("%d pages are stored of a quota of %d", kept.n, quota)
	}
	a.wantContent(want...)
	other := newMachine(t, bucket)
	other.clone(a.head.State().Remote)
	other.wantContent(want...)
}

func TestHydrateKeepsWhatItHas(t *testing.T) {
	bucket, b := newFull(t, 100)
	other := newMachine(t, bucket)
	other.commit("other", many...)
	other.must(other.push())
	first := b.head
	b.clone(other.head.State().Remote)
	b.wantContent(repeat("other")...) // 100 pages more, used later
	other.head, b.head = b.head, first
	evicted := make(chan store.Evicted, 1)
	b.evict()
	bucket.Fail(nil, func(r faultbucket.Request) error { // between its requests
		if r.Op == "get" && len(evicted) == 0 {
			evicted <- b.evict()
		}
		return nil
	})
	if _, err := b.remote.Hydrate(t.Context(), b.head); err != nil {
		t.Fatal(err)
	}
	bucket.Fail(nil, nil)
	if got := <-evicted; got.Left == 0 {
		t.Errorf("evicted %+v", got)
	}
	if p := b.presence(); p.Present != 100 {
		t.Errorf("after hydrate %+v are here", p)
	}
}

func TestHydrateRefusesWhatTheQuotaHasNoRoomFor(t *testing.T) {
	bucket, b := newFull(t, 99)
	b.evict()
	bucket.Requests()
	_, err := b.remote.Hydrate(t.Context(), b.head)
	b.wantError(err, store.ErrQuota)
	if p := b.presence(); p.Present == 100 {
		t.Errorf("%+v are here", p)
	}
	b.commit("mine", 1) // needs no room
	if _, err := b.remote.Hydrate(t.Context(), b.head); err != nil {
		t.Error(err)
	}
	if p := b.presence(); p.Present != 100 || p.Written != 100 {
		t.Errorf("%+v are here", p)
	}
}
