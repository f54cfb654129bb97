package sync_test

import (
	"context"
	"strings"
	"testing"

	"graft/internal/faultbucket"
	graftsync "graft/sync"
	"graft/volume"
)

func TestStatusForms(t *testing.T) {
	for want, s := range map[string]graftsync.Status{
		"_ r_":         {},
		"+123 r_":      {Unpushed: 123},
		"123 r130":     {Pushed: 123, Synced: 130},
		"_ r130+7":     {Synced: 130, Behind: 7},
		"123+3 r130":   {Pushed: 123, Unpushed: 3, Synced: 130},
		"123+2 r130+3": {Pushed: 123, Unpushed: 2, Synced: 130, Behind: 3},
		"_ r130":       {Synced: 130},
		"+2 r130":      {Unpushed: 2, Synced: 130},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func TestPushCloneAndBack(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.wantStatus("_ r_")
	a.commit("one", 1, 2, 3)
	a.commit("two", 2)
	a.wantStatus("+2 r_")
	a.must(a.push())
	a.wantStatus("2 r1")
	a.wantContent("one", "two", "one")

	b.clone(a.head.State().Remote)
	b.wantStatus("_ r1")
	b.wantContent("one", "two", "one")
	b.commit("three", 4)
	b.wantStatus("+1 r1")
	b.must(b.push())
	b.wantStatus("1 r2")

	_, err := a.remote.Fetch(context.Background(), a.head)
	a.must(err)
	a.wantStatus("2 r1+1")
	a.wantContent("one", "two", "one")
	a.must(a.pull())
	a.wantStatus("2 r2")
	a.wantContent("one", "two", "one", "three")

	a.reopen(bucket)
	a.wantContent("one", "two", "one", "three")
	a.commit("four", 1)
	a.wantStatus("2+1 r2")
	a.must(a.push())
	b.must(b.pull())
	b.wantContent("four", "two", "one", "three")
	b.reopen(bucket)
	b.wantContent("four", "two", "one", "three")
}

func TestRequestsOfTheSteadyState(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("one", 1)
	a.must(a.push())
	a.must(a.pull())
	bucket.Requests()

	a.must(a.pull())
	if got := bucket.Requests(); len(got) != 1 || got[0].Op != "get" {
		t.Errorf("a pull of nothing new made requests %v", got)
	}
	a.commit("two", 1)
	a.must(a.push())
	if got := bucket.Requests(); len(got) != 1 || got[0].Op != "put" {
		t.Errorf("a push made requests %v, want the commit alone", got)
	}
	a.must(a.push())
	if got := bucket.Requests(); len(got) != 0 {
		t.Errorf("a push of nothing made requests %v", got)
	}
}

func TestLazyReadsFetchOneFrame(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	var pages []volume.PageIdx
	for p := volume.PageIdx(1); p <= 100; p++ {
		pages = append(pages, p)
	}
	a.commit("x", pages...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	bucket.Requests()

	page, err := b.head.Reader().Page(context.Background(), 50)
	b.must(err)
	if *page != *pageOf("x", 50) {
		t.Errorf("page 50 is %q", page[:16])
	}
	if got := bucket.Requests(); len(got) != 1 || got[0].Op != "get" {
		t.Errorf("one page took %v", got)
	}
	p, err := b.head.RemotePresence(context.Background())
	b.must(err)
	if p.Present != volume.FramePages || p.Written != 100 {
		t.Errorf("present are %d of %d pages, want %d of 100", p.Present, p.Written, volume.FramePages)
	}
	if _, err := b.head.Reader().Page(context.Background(), 49); err != nil {
		t.Fatal(err)
	}
	if got := bucket.Requests(); len(got) != 0 {
		t.Errorf("a page of the same frame took %v", got)
	}
}

func TestTruncatedPagesReadAsZerosOnEveryReplica(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("old", 1, 2, 3, 4)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	a.resize(2)
	a.commit("new", 4)
	a.wantContent("old", "old", "", "new")
	a.must(a.push())
	a.wantContent("old", "old", "", "new")
	b.must(b.pull())
	b.wantContent("old", "old", "", "new")
	a.reopen(bucket)
	a.wantContent("old", "old", "", "new")
}

func TestDivergenceChangesNothing(t *testing.T) {
	bucket, a, b := newPair(t, "base")
	a.commit("mine", many...)
	b.commit("theirs", 2)
	b.must(b.push())

	err := a.push()
	a.wantError(err, graftsync.ErrDiverged)
	if !strings.Contains(err.Error(), "diverged") {
		t.Errorf("error does not say diverged: %v", err)
	}
	a.wantStatus("1+1 r1+1")
	a.wantContent(repeat("mine")...)
	if left := bucket.Keys("segments/"); len(left) != 0 {
		t.Errorf("the push that lost left %v", left)
	}
	bucket.Requests()
	a.wantError(a.push(), graftsync.ErrDiverged)
	if got := bucket.Requests(); len(got) != 0 {
		t.Errorf("a push that is known to diverge made requests %v", got)
	}
	a.wantError(a.pull(), graftsync.ErrDiverged)
	a.wantContent(repeat("mine")...)
	a.reopen(bucket)
	a.wantStatus("1+1 r1+1")
	a.wantContent(repeat("mine")...)
}

func TestNoRemote(t *testing.T) {
	a := newMachine(t, faultbucket.New())
	local := graftsync.NewRemote(nil, a.store, nil)
	ctx := context.Background()
	_, err := local.Push(ctx, a.head)
	a.wantError(err, graftsync.ErrNoRemote)
	_, err = local.Pull(ctx, a.head)
	a.wantError(err, graftsync.ErrNoRemote)
	_, err = local.Fetch(ctx, a.head)
	a.wantError(err, graftsync.ErrNoRemote)
	_, err = local.Clone(ctx, volume.NewVolumeID())
	a.wantError(err, graftsync.ErrNoRemote)
}

func TestCloneOfNothing(t *testing.T) {
	a := newMachine(t, faultbucket.New())
	_, err := a.remote.Clone(context.Background(), volume.NewVolumeID())
	a.wantError(err, graftsync.ErrNoVolume)
}

func TestPullWaitsForTheWriter(t *testing.T) {
	bucket, a, b := newPair(t, "one")
	b.commit("two", 1)
	b.must(b.push())
	remote := a.head.State().Remote

	w, err := a.head.Writer(context.Background())
	a.must(err)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	bucket.Fail(func(r faultbucket.Request) error {
		if r.Key == volume.CommitKey(remote, 3) { // its last request
			go func() {
				fetched, err := a.head.LockSync(context.Background())
				if err == nil {
					fetched()
				}
				giveUp()
			}()
		}
		return nil
	}, nil)
	_, err = a.remote.Pull(ctx, a.head)
	a.wantError(err, context.Canceled)
	if head, err := a.store.Head(remote); head != 2 || err != nil {
		t.Errorf("fetched up to %d, %v", head, err)
	}
	a.wantStatus("1 r1+1")
	a.wantContent("one")
	bucket.Fail(nil, nil)

	done := make(chan error)
	go func() { done <- a.pull() }()
	a.must(w.Write(1, pageOf("mine", 1)))
	_, err = w.Commit(context.Background())
	a.must(err)
	w.Discard()
	a.wantError(<-done, graftsync.ErrDiverged)
	a.wantContent("mine")
}

// Autosync leaves a Graft alone at a tick at which somebody writes.
func TestATickPassesNoWriter(t *testing.T) {
	_, a, b := newPair(t, "one")
	b.commit("two", 1)
	b.must(b.push())
	w, err := a.head.Writer(context.Background())
	a.must(err)
	a.must(a.remote.SyncTick(t.Context(), a.head))
	a.wantStatus("1 r1+1")
	a.wantContent("one")
	a.must(w.Write(1, pageOf("mine", 1)))
	if _, err := w.Commit(context.Background()); err != nil {
		t.Errorf("who writes is disturbed: %v", err)
	}
	w.Discard()
	a.wantContent("mine")
	a.wantError(a.push(), graftsync.ErrDiverged)
}

func TestAPushDoesNotDisturbAnOpenWriter(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("one", 1)
	w, err := a.head.Writer(context.Background())
	a.must(err)
	a.must(w.Write(2, pageOf("two", 2)))
	a.must(a.push())
	_, err = w.Commit(context.Background())
	a.must(err)
	w.Discard()
	a.wantStatus("1+1 r1")
	a.wantContent("one", "two")
	a.must(a.push())
	a.reopen(bucket)
	a.wantStatus("2 r2")
	a.wantContent("one", "two")
}
