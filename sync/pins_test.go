package sync_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"graft/internal/faultbucket"
	"graft/snapshot"
	graftsync "graft/sync"
	"graft/volume"
	"graft/volume/store"
)

// pin pins something of m's Graft.
func (m *machine) pin(text string) graftsync.Pinned {
	m.t.Helper()
	got, err := m.tryPin(text)
	m.must(err)
	return got
}

func (m *machine) tryPin(text string) (graftsync.Pinned, error) {
	p, err := graftsync.ParsePin(text)
	m.must(err)
	return m.remote.Pin(context.Background(), m.head, p)
}

func TestParsePin(t *testing.T) {
	v := volume.NewVolumeID().String()
	for _, text := range []string{"all", "table x", "table two words", "snapshot", "snapshot " + v + ":7"} {
		if p, err := graftsync.ParsePin(text); err != nil || p.String() != text {
			t.Errorf("%q is read as %q, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "al", "all x", "table", "table ", "snapshot 7", "snapshot " + v, "snapshot " + v + ":0", "Snapshot", "\x00"} {
		if p, err := graftsync.ParsePin(text); err == nil {
			t.Errorf("%q is read as %+v", text, p)
		}
	}
}

// Autosync has what a pull changed here, and asks for nothing more then.
func TestAutoSyncFetchesWhatIsPinned(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newCache(t, bucket, 150)
	a.commit("one", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	if got := b.pin("all"); got.Pages != 100 || got.Fetched != 100 {
		t.Errorf("pinned %+v", got)
	}
	a.commit("two", many[:40]...)
	a.must(a.push())
	w := newWatch(t)
	ctx, cancel := context.WithCancel(w.context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.remote.AutoSync(ctx, time.Millisecond, func(context.Context) ([]*snapshot.Head, error) { return []*snapshot.Head{b.head}, nil })
	}()
	w.until("pin", func(p graftsync.Progress) bool { return p.Op == "pin" && p.Phase == graftsync.PhaseDone })
	cancel()
	<-ended
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	b.wantContent(contentOf(t, a)...)
}

// A Snapshot stays although its Graft has moved on, until it is given up.
func TestAPinnedSnapshotIsNotSwept(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("one", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	if got := b.pin("snapshot"); got.Pages != 100 || got.Fetched != 100 {
		t.Errorf("pinned %+v", got)
	}
	a.commit("two", many...)
	a.must(a.push())
	b.must(b.pull())
	b.reopen(bucket)
	b.must(b.heads.Sweep(t.Context()))
	infos, err := b.remote.Pins(t.Context(), b.head)
	b.must(err)
	if len(infos) != 1 || infos[0].Coverage != (graftsync.Coverage{Pages: 100, Whole: true}) {
		t.Fatalf("pins %+v", infos)
	}
	if _, err := b.remote.Checkout(t.Context(), snapshot.Point{Volume: infos[0].Volume, LSN: infos[0].LSN}); err != nil {
		t.Error(err)
	}
	root, err := b.remote.Root(t.Context(), snapshot.Point{Volume: infos[0].Volume, LSN: infos[0].LSN})
	b.must(err)
	id, err := root.Lookup(t.Context(), 1)
	b.must(err)
	b.must(b.remote.Unpin(t.Context(), b.head, infos[0].Pin))
	b.wantError(b.remote.Unpin(t.Context(), b.head, infos[0].Pin), graftsync.ErrNoPin)
	b.reopen(bucket)
	grafts, err := b.store.Grafts()
	b.must(err)
	for _, g := range grafts {
		if g.Local != b.head.State().Local { // the checkout
			b.must(b.store.Apply(store.Change{DeleteGrafts: []volume.VolumeID{g.Local}}))
		}
	}
	b.must(b.heads.Sweep(t.Context()))
	if has, err := b.store.HasPage(id, 1); err != nil || has {
		t.Errorf("a snapshot that is not pinned any more has its pages: %v, %v", has, err)
	}
}

// evictPinned evicts as the background does, which looks for pinned pages before.
func (m *machine) evictPinned() store.Evicted {
	m.t.Helper()
	m.must(m.remote.HoldPins(context.Background(), false))
	m.settle()
	got, err := m.store.Evict(context.Background())
	m.must(err)
	return got
}

// wantPins checks how much of all pins of m's Graft is here.
func (m *machine) wantPins(want ...graftsync.Coverage) {
	m.t.Helper()
	infos, err := m.remote.Pins(context.Background(), m.head)
	m.must(err)
	var got []graftsync.Coverage
	for _, i := range infos {
		got = append(got, i.Coverage)
	}
	if !slices.Equal(got, want) {
		m.t.Errorf("pins have %+v, want %+v", got, want)
	}
}

// A Snapshot that is pinned outlasts evictions and sweeps, where it was pushed as well
// as where it was fetched, and after a restart.
func TestAPinnedSnapshotIsNotEvicted(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newCache(t, bucket, 120), newCache(t, bucket, 120)
	a.commit("one", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	for _, m := range []*machine{a, b} {
		m.pin("snapshot")
		m.wantPins(graftsync.Coverage{Pages: 100, Whole: true})
	}
	for i, text := range []string{"two", "three"} {
		a.commit(text, many...)
		a.must(a.push())
		b.must(b.pull())
		for name, m := range map[string]*machine{"who pushed": a, "who fetched": b} {
			m.wantContent(repeat(text)...)
			if got := m.evictPinned(); got.Left < 100 || got.Left > 120 { // the background may have been first
				t.Errorf("%s: evicted %+v, round %d", name, got, i)
			}
			m.must(m.heads.Sweep(t.Context()))
			m.wantPins(graftsync.Coverage{Pages: 100, Whole: true})
			m.reopen(bucket)
		}
	}
}

// newPinned gives a machine that has pushed a Graft of 100 pages, and one with a quota
// of 120 that has cloned it and pinned everything.
func newPinned(t *testing.T) (bucket *faultbucket.Bucket, a, b *machine) {
	t.Helper()
	bucket = faultbucket.New()
	a, b = newMachine(t, bucket), newCache(t, bucket, 120)
	a.commit("one", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	b.pin("all")
	return bucket, a, b
}

// A pin of everything outlasts a restart, which an eviction follows before anybody
// asked for a page of it.
func TestAllThatIsPinnedIsNotEvictedAfterARestart(t *testing.T) {
	bucket, a, b := newPinned(t)
	pinned := b.head
	a.head = a.heads.New("other")
	a.commit("other", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	other := b.head
	for range 2 {
		b.head = other
		b.wantContent(repeat("other")...)
		if got := b.evictPinned(); got.Left < 100 || got.Left > 120 {
			t.Errorf("evicted %+v", got)
		}
		b.head = pinned
		if p := b.presence(); p.Present != 100 {
			t.Errorf("of what is pinned %+v are here", p)
		}
		b.reopen(bucket)
		pinned = b.head
		b.attach(other.State().Local)
		other = b.head
	}
}

// A pin of a Graft that is gone, and one that is damaged, let the others be held.
func TestPinsThatCannotBeFollowed(t *testing.T) {
	_, _, b := newPinned(t)
	gone := store.Pin{Graft: volume.NewVolumeID(), What: "all"}
	b.must(b.store.SetPin(gone))
	b.must(b.store.SetPin(store.Pin{Graft: b.head.State().Local, What: "nonsense"}))
	b.must(b.store.SetPin(store.Pin{Graft: b.head.State().Local, What: "snapshot " + b.head.State().Remote.String() + ":77"}))
	b.must(b.remote.HoldPins(context.Background(), true))
	if pins, err := b.store.Pins(); err != nil || len(pins) != 3 {
		t.Errorf("pins %v, %v", pins, err)
	}
	if p, err := b.remote.PinnedPoints(); err != nil || len(p) != 1 || p[0].LSN != 77 {
		t.Errorf("points %v, %v", p, err)
	}
	b.settle()
	_, err := b.store.Evict(context.Background())
	b.must(err)
	if p := b.presence(); p.Present != 100 {
		t.Errorf("%d of 100 pinned pages are here", p.Present)
	}
}

// A pin that fails is not kept, unless it was there before.
func TestAPinThatFails(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("one", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	for i := range 4 {
		n := 0
		bucket.Fail(func(faultbucket.Request) error {
			if n++; n > i {
				return errLost
			}
			return nil
		}, nil)
		_, err := b.tryPin("all")
		if err == nil {
			break
		}
		b.wantError(err, errLost)
		if pins, err := b.store.Pins(); err != nil || len(pins) > 0 {
			t.Fatalf("pins %v, %v", pins, err)
		}
	}
	bucket.Fail(nil, nil)
	b.pin("all")
	a.commit("two", many[:40]...)
	a.must(a.push())
	b.must(b.pull())
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	if _, err := b.tryPin("all"); !errors.Is(err, errLost) || !strings.Contains(err.Error(), "pin all") {
		t.Errorf("pin: %v", err)
	}
	if pins, err := b.store.Pins(); err != nil || len(pins) != 1 {
		t.Errorf("pins %v, %v", pins, err)
	}
}
