package sync_test

import (
	"errors"
	"slices"
	"testing"

	"graft/internal/faultbucket"
	"graft/snapshot"
	"graft/volume"
)

// A page count says nothing of what is written: clones of a Volume of the highest
// one count, sweep and hydrate what there is.
func TestAVolumeOfTheHighestPageCount(t *testing.T) {
	const most = 1<<32 - 1
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.remote.SetMaxSince(1)
	a.commit("base", 1, 300, most)
	a.must(a.push()) // with a checkpoint
	a.remote.SetMaxSince(1 << 20)
	a.commit("next", 600, 1<<31)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	at := b.head.State().Snapshot.Point()
	if _, err := b.remote.NextLeaves(t.Context(), at); !errors.Is(err, snapshot.ErrAbsent) {
		t.Errorf("before the checkpoint is here: %v", err)
	}
	r := b.head.Reader()
	defer r.Close()
	if p, err := r.Presence(t.Context()); err != nil || p != (snapshot.Presence{Unknown: most}) {
		t.Errorf("before: %+v, %v", p, err)
	}
	b.must(b.heads.Sweep(t.Context()))
	_, err := b.remote.Hydrate(t.Context(), b.head)
	b.must(err)
	want := []volume.LeafIdx{0, 1, 2, volume.LeafOf(1 << 31), volume.LeafOf(most)}
	if got, err := b.remote.NextLeaves(t.Context(), at); err != nil || !slices.Equal(got, want) {
		t.Errorf("leaves %v, %v, want %v", got, err, want)
	}
	b.must(b.heads.Sweep(t.Context()))
	if p, err := r.Presence(t.Context()); err != nil || p != (snapshot.Presence{Present: 5, Written: 5}) {
		t.Errorf("after: %+v, %v", p, err)
	}
	a.resize(300)
	a.must(a.push())
	b.must(b.pull())
	if got, err := b.remote.NextLeaves(t.Context(), b.head.State().Snapshot.Point()); err != nil || !slices.Equal(got, []volume.LeafIdx{0, 1}) {
		t.Errorf("leaves %v, %v after a cut", got, err)
	}
}
