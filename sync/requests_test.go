package sync_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"graft/internal/faultbucket"
	"graft/snapshot"
	"graft/volume"
)

// ops lists requests by their kind.
func ops(requests []faultbucket.Request) (all []string) {
	for _, r := range requests {
		all = append(all, r.Op)
	}
	return all
}

// longHistory is a machine that has pushed n commits of one page among 600, with
// a checkpoint every few.
func longHistory(t *testing.T, bucket *faultbucket.Bucket, n int) *machine {
	t.Helper()
	a := newMachine(t, bucket)
	a.remote.SetMaxSince(1000)
	a.commit("base", 600)
	for i := range n {
		a.commit(fmt.Sprint("v", i), volume.PageIdx(1+i*37%600))
		a.must(a.push())
	}
	return a
}

func TestAReplicaTakesThreeRequestsWhateverTheHistory(t *testing.T) {
	for _, n := range []int{30, 300} {
		bucket := faultbucket.New()
		a, b := longHistory(t, bucket, n), newMachine(t, bucket)
		bucket.Requests()
		b.clone(a.head.State().Remote)
		r := b.head.Reader()
		newest := volume.PageIdx(1 + (n-1)*37%600)
		page, err := r.Page(context.Background(), newest) // in the commit itself
		r.Close()
		b.must(err)
		if want := pageOf(fmt.Sprint("v", n-1), newest); *page != *want {
			t.Errorf("after %d commits page %d is %.12q", n, newest, page[:])
		}
		got := bucket.Requests()
		if len(got) > 3 || got[0].Op != "list" {
			t.Errorf("after %d commits a replica took %v", n, got)
		}
		b.wantContent(contentOf(t, a)...)
	}
}

// contentOf gives the texts of all pages that m shows.
func contentOf(t *testing.T, m *machine) []string {
	t.Helper()
	texts, err := m.tryContent()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestAPullJumpsToTheNewestCommit(t *testing.T) {
	bucket := faultbucket.New()
	a, b := longHistory(t, bucket, 3), newMachine(t, bucket)
	b.clone(a.head.State().Remote)
	for i := range 100 {
		a.commit(fmt.Sprint("w", i), volume.PageIdx(1+i*41%600))
		a.must(a.push())
	}
	bucket.Requests()
	b.must(b.pull())
	if got := bucket.Requests(); len(got) > 5 {
		t.Errorf("a pull of 100 commits took %v", got)
	}
	b.wantStatus("_ r103")
	b.wantContent(contentOf(t, a)...)
}

// A store that lists in no order costs a listing more, unless one names all
// commits, and at times another: keys are in an order of chance. The page is one that the newest commit has: others take the checkpoint.
func TestAStoreThatListsOutOfOrder(t *testing.T) {
	for n, want := range map[int][]string{50: {"[list get]"}, 300: {"[list list get]", "[list list list get]"}} {
		bucket := faultbucket.New()
		a := longHistory(t, bucket, n)
		newest := volume.PageIdx(1 + (n-1)*37%600)
		firstPage := func(blob *blob.Bucket) string {
			b := newMachineOn(t, blob, 0)
			bucket.Requests()
			b.clone(a.head.State().Remote)
			r := b.head.Reader()
			defer r.Close()
			_, err := r.Page(context.Background(), newest)
			b.must(err)
			requests := ops(bucket.Requests())
			b.wantStatus(fmt.Sprint("_ r", n))
			b.wantContent(contentOf(t, a)...)
			return fmt.Sprint(requests)
		}
		if got := firstPage(bucket.Blob()); got != "[list get]" {
			t.Errorf("in order: with %d commits the first page took %v", n, got)
		}
		if got := firstPage(bucket.Disordered(1000)); !slices.Contains(want, got) {
			t.Errorf("with %d commits the first page took %v, want %v", n, got, want)
		}
		firstPage(bucket.Sparse(7))
	}
}

// S3's directory buckets list in no order, and refuse a prefix that ends within a
// name.
func TestAStoreThatListsNoBlocks(t *testing.T) {
	bucket := faultbucket.New()
	a := longHistory(t, bucket, 120)
	bucket.Fail(func(r faultbucket.Request) error {
		if r.Op == "list" && !strings.HasSuffix(r.Key, "/") {
			return errLost
		}
		return nil
	}, nil)
	b := newMachineOn(t, bucket.Disordered(1000), 0)
	b.clone(a.head.State().Remote)
	b.wantStatus("_ r120")
	b.wantContent(contentOf(t, a)...)
}

func TestHydrateGetsWhatIsMissing(t *testing.T) {
	bucket := faultbucket.New()
	a, b := longHistory(t, bucket, 20), newMachine(t, bucket)
	a.commit("large", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	b.commit("local", 3)
	bucket.Requests()

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.remote.Hydrate(ctx, b.head); err == nil {
		t.Error("hydration went through although it was cancelled")
	}
	before, err := b.head.RemotePresence(context.Background())
	b.must(err)
	got, err := b.remote.Hydrate(context.Background(), b.head)
	b.must(err)
	if got.Done != got.Total || got.Total == 0 {
		t.Errorf("hydrated %+v", got)
	}
	t.Logf("%+v of %+v by %v", got, before, ops(bucket.Requests()))
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	want := contentOf(t, a)
	want[2] = "local"
	b.wantContent(want...)
	again, err := b.remote.Hydrate(context.Background(), b.head)
	if err != nil || again.Total != 0 {
		t.Errorf("hydrated again: %+v, %v", again, err)
	}
}

func TestAForkIsPushedWithoutItsPages(t *testing.T) {
	bucket := faultbucket.New()
	a, b := longHistory(t, bucket, 40), newMachine(t, bucket)
	a.commit("unpushed", 7)
	before := bucket.Keys("segments/") // packs of small pushes
	bucket.Requests()
	ctx := context.Background()
	head, err := a.heads.Fork(ctx, a.head, "fork")
	a.must(err)
	_, err = a.remote.Push(ctx, head)
	a.must(err)
	if now := bucket.Keys("segments/"); !slices.Equal(now, before) {
		t.Errorf("the fork uploaded: there were %v, and are %v", before, now)
	}
	st := head.State()
	if st.SyncPoint.Remote != 1 || st.Remote == a.head.State().Remote {
		t.Fatalf("the fork is at %v of %s", st.SyncPoint, st.Remote)
	}
	want := contentOf(t, a)
	b.clone(st.Remote)
	b.wantContent(want...)

	// A fork of the fork, on another machine, with nothing hydrated.
	second, err := b.heads.Fork(ctx, b.head, "second")
	b.must(err)
	w, err := second.Writer(ctx)
	b.must(err)
	b.must(w.Write(9, pageOf("second", 9)))
	_, err = w.Commit(ctx)
	b.must(err)
	w.Discard()
	_, err = b.remote.Push(ctx, second)
	b.must(err)
	c := newMachine(t, bucket)
	bucket.Requests()
	c.clone(second.State().Remote)
	want[8] = "second"
	c.wantContent(want...)
	if n := len(bucket.Keys(fmt.Sprintf("volumes/%s/pins/", a.head.State().Remote))); n != 2 {
		t.Errorf("the first volume has %d pins, want 2", n)
	}
}

func TestResetLeavesADivergenceBehind(t *testing.T) {
	_, a, b := newPair(t, "base")
	b.commit("theirs", 1, 2)
	b.must(b.push())
	a.commit("mine", 1)
	a.wantError(a.push(), snapshot.ErrDiverged)
	ctx := context.Background()
	_, err := a.remote.Reset(ctx, a.head, func(context.Context, snapshot.State) error {
		a.commit("later", 1)
		return nil
	})
	a.wantError(err, snapshot.ErrStale)
	a.wantContent("later")
	moved, err := a.remote.Reset(ctx, a.head, nil)
	a.must(err)
	if moved.To != 2 {
		t.Errorf("moved to %d", moved.To)
	}
	a.wantContent("theirs", "theirs")
	a.commit("again", 1)
	a.must(a.push())
	b.must(b.pull())
	b.wantContent("again", "theirs")
}
