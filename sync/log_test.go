package sync_test

import (
	"sync"
	"testing"

	"graft/internal/faultbucket"
	"graft/volume"
)

// second gives a machine with another Graft of the remote Volume of m, in its store.
func second(m *machine) *machine {
	m.t.Helper()
	other := *m
	other.clone(m.head.State().Remote)
	return &other
}

// The commit that a pull moves to may be older than what another Graft is at by then:
// a sweep leaves it nevertheless.
func TestAPullKeepsWhatItMovesToFromASweep(t *testing.T) {
	bucket, a, b := newPair(t, "one")
	other := second(b)
	a.commit("two", 1)
	a.must(a.push())
	_, err := b.remote.Fetch(t.Context(), b.head)
	b.must(err)
	key := volume.CommitKey(a.head.State().Remote, 2)
	var once sync.Once
	bucket.Fail(func(r faultbucket.Request) error {
		if r.Key == key { // b has fetched it, and looks whether it is there still
			once.Do(func() {
				a.commit("three", 1)
				a.must(a.push())
				other.must(other.pull())
				b.must(b.heads.Sweep(t.Context()))
			})
		}
		return nil
	}, nil)
	b.must(b.pull())
	b.wantStatus("_ r2+1")
	b.wantContent("two")
	other.wantContent("three")
}

func TestAResetKeepsWhatItMovesToFromASweep(t *testing.T) {
	bucket, a, b := newPair(t, "one")
	other := second(b)
	a.commit("two", 1)
	a.must(a.push())
	w, err := b.head.Writer(t.Context()) // the reset waits for it once it has fetched
	b.must(err)
	fetching := make(chan struct{})
	var once sync.Once
	bucket.Fail(func(faultbucket.Request) error {
		once.Do(func() { close(fetching) })
		return nil
	}, nil)
	done := make(chan error)
	go func() {
		_, err := b.remote.Reset(t.Context(), b.head, nil)
		done <- err
	}()
	<-fetching
	_, err = b.remote.Fetch(t.Context(), other.head) // begins when the other fetch has ended
	b.must(err)
	a.commit("three", 1)
	a.must(a.push())
	other.must(other.pull())
	b.must(b.heads.Sweep(t.Context()))
	w.Discard()
	b.must(<-done)
	b.wantStatus("_ r2+1")
	b.wantContent("two")
}
