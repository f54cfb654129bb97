package sync_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"graft/internal/faultbucket"
	"graft/snapshot"
)

// grafts gives as many machines that share m's store, each with a Graft of its own of
// m's remote Volume.
func grafts(m *machine, n int) (all []*machine, heads []*snapshot.Head) {
	for range n {
		other := second(m)
		all, heads = append(all, other), append(heads, other.head)
	}
	return all, heads
}

// A tick of autosync looks once for what is new in a remote Volume, however many
// Grafts are of it.
func TestGraftsOfOneVolumeShareTheFetchOfATick(t *testing.T) {
	bucket, a, b := newPair(t, "one")
	all, heads := grafts(b, 5)
	tick := func(want ...string) {
		t.Helper()
		bucket.Requests()
		b.must(b.remote.SyncTick(t.Context(), heads...))
		if got := ops(bucket.Requests()); !slices.Equal(got, want) {
			t.Errorf("a tick is %v, want %v", got, want)
		}
	}
	tick("get")
	tick("get")
	a.commit("two", 1)
	a.must(a.push())
	tick("get", "get") // the new one, and none after it
	for _, m := range all {
		m.wantContent("two")
	}
	all[2].commit("three", 1)
	tick("get", "put", "get") // who comes after the push looks for more
	tick("get", "get")        // and who came before it, whether that is there still
	tick("get")
	for _, m := range all {
		m.wantContent("three")
	}
}

// Who fetches while another fetch of the Volume is under way waits for that, and one
// fetch that begins then is for all who wait.
func TestConcurrentFetchesOfOneVolumeAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket, a, b := newPair(t, "one")
		all, _ := grafts(b, 6)
		release := make(chan struct{})
		var once sync.Once
		bucket.Fail(func(faultbucket.Request) error {
			once.Do(func() { <-release })
			return nil
		}, nil)
		bucket.Requests()
		errs := make(chan error)
		for i, m := range all {
			go func() { errs <- m.pull() }()
			if i == 0 {
				synctest.Wait() // it is in the bucket
			}
		}
		synctest.Wait()
		close(release)
		for range all {
			b.must(<-errs)
		}
		if got := ops(bucket.Requests()); !slices.Equal(got, []string{"get", "get"}) {
			t.Errorf("%d pulls took %v", len(all), got)
		}
		// Whoever asks afterwards looks for himself: a push that ended before is seen.
		a.commit("two", 1)
		a.must(a.push())
		for _, m := range all {
			m.must(m.pull())
			m.wantContent("two")
		}
	})
}

// The failure of one fetch is nobody else's.
func TestAFailedFetchIsNotShared(t *testing.T) {
	bucket, _, b := newPair(t, "one")
	all, heads := grafts(b, 2)
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	b.wantError(b.remote.SyncTick(t.Context(), heads...), errLost)
	bucket.Fail(nil, nil)
	bucket.Requests()
	b.must(b.remote.SyncTick(t.Context(), heads[1]))
	all[1].wantContent("one")
	if got := ops(bucket.Requests()); len(got) == 0 {
		t.Error("it did not look")
	}
}
