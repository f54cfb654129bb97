package sync_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"graft/internal/faultbucket"
	"graft/snapshot"
	graftsync "graft/sync"
	"graft/volume"
)

// watch keeps the progress that it is told.
type watch struct {
	t  *testing.T
	do func(graftsync.Progress) // with each, may be nil

	mu struct {
		sync.Mutex
		all  []graftsync.Progress
		busy bool
		late bool // somebody waited in vain
	}
	news *sync.Cond
}

func newWatch(t *testing.T) *watch {
	w := &watch{t: t}
	w.news = sync.NewCond(&w.mu)
	return w
}

func (w *watch) context() context.Context {
	return graftsync.WithProgress(context.Background(), w.note)
}

func (w *watch) note(p graftsync.Progress) {
	w.mark(p, true)
	if w.do != nil {
		w.do(p)
	}
	w.mark(p, false)
}

func (w *watch) mark(p graftsync.Progress, begins bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.busy == begins {
		w.t.Error("two calls at the same time")
	}
	w.mu.busy = begins
	if begins {
		w.mu.all = append(w.mu.all, p)
		w.news.Broadcast()
	}
}

// until waits for a report that want accepts.
func (w *watch) until(what string, want func(graftsync.Progress) bool) {
	giveUp := time.AfterFunc(20*time.Second, func() { // only a test that fails takes it
		w.mu.Lock()
		defer w.mu.Unlock()
		w.mu.late = true
		w.news.Broadcast()
	})
	defer giveUp.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.mu.late {
		for _, p := range w.mu.all {
			if want(p) {
				return
			}
		}
		w.news.Wait()
	}
	w.t.Errorf("%s: not in %+v", what, w.mu.all)
}

// each makes the requests to a bucket wait until the one before was reported.
func (w *watch) each(bucket *faultbucket.Bucket) {
	ended := -1
	bucket.Fail(func(r faultbucket.Request) error {
		ended++
		w.until(fmt.Sprintf("%d requests", ended), func(p graftsync.Progress) bool { return p.Requests >= ended })
		if strings.Contains(r.Key, "/log/") && r.Op == "put" {
			w.until("all that is to be put", func(p graftsync.Progress) bool { return p.TotalBytes > p.Bytes })
		}
		return nil
	}, nil)
}

// check tells what is wrong with the reports of one operation that succeeded, and
// gives the last.
func (w *watch) check(op string, graft volume.VolumeID) graftsync.Progress {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var last graftsync.Progress
	for i, p := range w.mu.all {
		if p.Op != op || p.Graft != graft {
			w.t.Errorf("operation is %q of %s, want %q of %s", p.Op, p.Graft, op, graft)
		}
		if p.Requests < last.Requests || p.Bytes < last.Bytes || p.Pages < last.Pages || p == last {
			w.t.Errorf("after %+v came %+v", last, p)
		}
		if last.TotalBytes != 0 && p.TotalBytes != last.TotalBytes || last.TotalPages != 0 && p.TotalPages != last.TotalPages {
			w.t.Errorf("a total changed: after %+v came %+v", last, p)
		}
		if (p.Phase == graftsync.PhaseDone) != (i == len(w.mu.all)-1) {
			w.t.Errorf("report %d of %d is %+v", i+1, len(w.mu.all), p)
		}
		last = p
	}
	if last.Bytes != last.TotalBytes || last.Pages != last.TotalPages || len(w.mu.all) == 0 {
		w.t.Errorf("ends with %+v", last)
	}
	return last
}

// phases lists the phases that were seen, each time that it changed.
func (w *watch) phases() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, p := range w.mu.all {
		if len(all) == 0 || all[len(all)-1] != string(p.Phase) {
			all = append(all, string(p.Phase))
		}
	}
	return strings.Join(all, " ")
}

// traffic gives how many requests there were, and the bytes of the whole objects
// that they got and put.
func traffic(bucket *faultbucket.Bucket) (requests int, moved int64) {
	all := bucket.Requests()
	for _, r := range all {
		if r.Op == "get" || r.Op == "put" {
			moved += int64(len(bucket.Object(r.Key)))
		}
	}
	return len(all), moved
}

func TestProgressOfEachOperation(t *testing.T) {
	type did = func(ctx context.Context, m *machine) error
	push := func(ctx context.Context, m *machine) error { _, err := m.remote.Push(ctx, m.head); return err }
	for name, tt := range map[string]struct {
		op      string
		prepare func(m, other *machine)
		do      did
		pages   int
	}{
		"push of a page":         {"push", func(m, _ *machine) { m.commit("x", 3) }, push, 1},
		"push of a Segment":      {"push", func(m, _ *machine) { m.commit("x", many...) }, push, 100},
		"push with a checkpoint": {"push", func(m, _ *machine) { m.remote.SetMaxSince(1); m.commit("x", many...) }, push, 100},
		"push of nothing":        {"push", func(*machine, *machine) {}, push, 0},
		"fetch": {"fetch", func(_, o *machine) { o.commit("y", 1); o.must(o.push()) },
			func(ctx context.Context, m *machine) error { _, err := m.remote.Fetch(ctx, m.head); return err }, 0},
		"pull": {"pull", func(_, o *machine) { o.commit("y", 1); o.must(o.push()) },
			func(ctx context.Context, m *machine) error { _, err := m.remote.Pull(ctx, m.head); return err }, 0},
		"reset": {"reset", func(m, o *machine) { o.commit("y", 1); o.must(o.push()); m.commit("z", 1) },
			func(ctx context.Context, m *machine) error {
				_, err := m.remote.Reset(ctx, m.head, nil)
				return err
			}, 0},
		"clone": {"clone", func(*machine, *machine) {},
			func(ctx context.Context, m *machine) error {
				_, err := m.remote.Clone(ctx, m.head.State().Remote)
				return err
			}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, other, m := newPair(t, "base")
			tt.prepare(m, other)
			bucket.Requests()
			w := newWatch(t)
			w.each(bucket)
			m.must(tt.do(w.context(), m))
			graft := m.head.State().Local
			if tt.op == "clone" {
				graft = volume.VolumeID{}
			}
			last := w.check(tt.op, graft)
			requests, moved := traffic(bucket)
			if last.Requests != requests || last.Bytes != moved || last.Pages != tt.pages {
				t.Errorf("ends with %+v; there were %d requests that moved %d bytes, and %d pages", last, requests, moved, tt.pages)
			}
			t.Log(w.phases())
		})
	}
}

// manySegments is a machine that has pushed n Segments of many pages.
func manySegments(t *testing.T, bucket *faultbucket.Bucket, n int) *machine {
	t.Helper()
	a := newMachine(t, bucket)
	for i := range n {
		pages := make([]volume.PageIdx, len(many))
		for j, p := range many {
			pages[j] = p + volume.PageIdx(i*len(many))
		}
		a.commit(fmt.Sprint("v", i), pages...)
		a.must(a.push())
	}
	return a
}

func TestProgressOfAHydration(t *testing.T) {
	bucket := faultbucket.New()
	a, b := longHistory(t, bucket, 20), newMachine(t, bucket)
	a.commit("large", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	bucket.Requests()
	w := newWatch(t)
	got, err := b.remote.Hydrate(w.context(), b.head)
	b.must(err)
	last, requests := w.check("hydrate", b.head.State().Local), len(bucket.Requests())
	if last.Pages != got.Total || last.Requests != requests || requests < 3 || last.Bytes == 0 {
		t.Errorf("ends with %+v; there were %d requests, and %d pages", last, requests, got.Total)
	}
}

func TestAHydrationThatIsCancelledGoesOn(t *testing.T) {
	const segments = 20
	bucket := faultbucket.New()
	a, b := manySegments(t, bucket, segments), newMachine(t, bucket)
	b.clone(a.head.State().Remote)
	w := newWatch(t)
	ctx, cancel := context.WithCancel(w.context())
	w.do = func(p graftsync.Progress) {
		if p.Pages > 0 {
			cancel()
		}
	}
	var first struct {
		sync.Mutex
		key string
	}
	bucket.Fail(func(r faultbucket.Request) error {
		if !strings.HasPrefix(r.Key, "segments/") {
			return nil
		}
		first.Lock()
		lets := first.key == ""
		if lets {
			first.key = r.Key
		}
		first.Unlock()
		if lets {
			w.until("totals", func(p graftsync.Progress) bool { return p.TotalBytes > p.Bytes && p.TotalPages > 0 })
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}, nil)
	got, err := b.remote.Hydrate(ctx, b.head)
	b.wantError(err, context.Canceled)
	if got.Done != len(many) || got.Total != segments*len(many) {
		t.Errorf("hydrated %+v", got)
	}

	bucket.Fail(nil, nil)
	bucket.Requests()
	w = newWatch(t)
	again, err := b.remote.Hydrate(w.context(), b.head)
	b.must(err)
	if again.Done != again.Total || again.Total != got.Total-got.Done {
		t.Errorf("hydrated %+v, then %+v", got, again)
	}
	for _, r := range bucket.Requests() {
		if r.Key == first.key {
			t.Errorf("%s again", r)
		}
	}
	if last := w.check("hydrate", b.head.State().Local); last.Pages != again.Done {
		t.Errorf("ends with %+v, want %d pages", last, again.Done)
	}
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	b.wantContent(contentOf(t, a)...)
}

// A push is cancelled by its own callback while it uploads, and while its commit
// is under way.
func TestAPushThatIsCancelledLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		phase graftsync.Phase
		key   string
	}{{graftsync.PhasePages, "segments/"}, {graftsync.PhaseCheckpoint, "/checkpoints/"}, {graftsync.PhaseCommit, "/log/"}} {
		for _, happens := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.phase, happens), func(t *testing.T) {
				bucket, a, b := newPair(t, "base")
				a.remote.SetMaxSince(1)
				a.remote.SetMaxEmbedded(0)
				a.commit("mine", many...)
				w := newWatch(t)
				ctx, cancel := context.WithCancel(w.context())
				w.do = func(p graftsync.Progress) {
					if p.Phase == tt.phase {
						cancel()
					}
				}
				fault := func(r faultbucket.Request) error {
					if r.Op != "put" || !strings.Contains(r.Key, tt.key) {
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				}
				if happens {
					bucket.Fail(nil, fault)
				} else {
					bucket.Fail(fault, nil)
				}
				_, err := a.remote.Push(ctx, a.head)
				a.wantError(err, context.Canceled)
				bucket.Fail(nil, nil)
				a.wantContent(repeat("mine")...)
				a.must(a.push())
				a.wantStatus("2 r2")
				b.must(b.pull())
				b.wantContent(repeat("mine")...)
			})
		}
	}
}

// A callback may use the Graft whose operation it is told of.
func TestACallbackMaySync(t *testing.T) {
	_, a, b := newPair(t, "base")
	a.commit("one", 1)
	w := newWatch(t)
	done := make(chan error, 100)
	n := 0
	w.do = func(graftsync.Progress) {
		n++
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			done <- a.push()
			a.commit(fmt.Sprint("call ", n), 2)
		}()
		select {
		case <-ended:
		case <-time.After(20 * time.Second): // only a test that fails takes it
			t.Error("a callback waits for ever")
		}
	}
	_, err := a.remote.Push(w.context(), a.head)
	a.must(err)
	for range len(done) {
		a.must(<-done)
	}
	a.must(a.push())
	b.must(b.pull())
	b.wantContent("one", fmt.Sprint("call ", n))
}

func TestAutoSyncReportsProgress(t *testing.T) {
	_, a, b := newPair(t, "base")
	a.commit("mine", many...)
	w := newWatch(t)
	ctx, cancel := context.WithCancel(w.context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.remote.AutoSync(ctx, time.Millisecond, func(context.Context) ([]*snapshot.Head, error) { return []*snapshot.Head{a.head}, nil })
	}()
	for _, op := range []string{"push", "pull"} {
		w.until(op, func(p graftsync.Progress) bool { return p.Op == op && p.Phase == graftsync.PhaseDone })
	}
	cancel()
	<-ended
	b.must(b.pull())
	b.wantContent(repeat("mine")...)
}
