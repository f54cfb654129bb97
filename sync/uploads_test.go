package sync_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"graft/internal/faultbucket"
	"graft/objstore"
	graftsync "graft/sync"
	"graft/volume"
	"graft/volume/store"
)

// A push that ends before it is pending leaves nothing in the bucket.
func TestAPushThatIsNeverPendingLeavesNoUpload(t *testing.T) {
	type faults struct {
		before, after func(faultbucket.Request) error
	}
	checkpoint := func(r faultbucket.Request) bool { return r.Op == "put" && strings.Contains(r.Key, "/checkpoints/") }
	for name, fault := range map[string]func(cancel func()) (faults, error){
		"segment arrived unanswered": func(func()) (faults, error) { return faults{after: on("put", "segments/")}, errLost },
		"checkpoint never arrived": func(func()) (faults, error) {
			return faults{before: func(r faultbucket.Request) error {
				if checkpoint(r) {
					return errLost
				}
				return nil
			}}, errLost
		},
		"cancelled": func(cancel func()) (faults, error) {
			return faults{after: func(r faultbucket.Request) error {
				if checkpoint(r) {
					cancel()
					return context.Canceled
				}
				return nil
			}}, context.Canceled
		},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := faultbucket.New()
			a, b := newMachine(t, bucket), newMachine(t, bucket)
			a.remote.SetMaxSince(1)
			a.remote.SetMaxEmbedded(0)
			a.commit("one", many...)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f, want := fault(cancel)
			bucket.Fail(f.before, f.after)
			_, err := a.remote.Push(ctx, a.head)
			a.wantError(err, want)
			if !slices.ContainsFunc(bucket.Requests(), func(r faultbucket.Request) bool { return r.Op == "put" }) {
				t.Error("nothing was uploaded")
			}
			if left := bucket.Keys(""); len(left) != 0 || a.head.State().Pending != nil {
				t.Errorf("the bucket has %v, pending is %v", left, a.head.State().Pending)
			}
			bucket.Fail(nil, nil)
			a.must(a.push())
			b.clone(a.head.State().Remote)
			b.wantContent(repeat("one")...)
		})
	}
}

func TestAPushThatNoCommitHasRoomForUploadsNothing(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.remote.SetMaxPageSet(200)
	for _, p := range many { // every second page, in as many Segments
		a.commit("one", 2*p)
	}
	a.wantError(a.push(), volume.ErrTooLarge)
	if got := bucket.Requests(); len(got) != 0 || a.head.State().Pending != nil {
		t.Errorf("requests %v, pending %v", got, a.head.State().Pending)
	}
	a.remote.SetMaxPageSet(volume.MaxPageSets)
	a.must(a.push())
	a.wantStatus("100 r1")
}

func TestAliasesFitIntoTheStateOfASegment(t *testing.T) {
	aliases := func(n int, pages volume.PageSet) []volume.Alias {
		return slices.Repeat([]volume.Alias{{Segment: volume.NewSegmentID(), Pages: pages}}, n)
	}
	var wide volume.PageSet // 1 KiB and more
	for p := range volume.PageIdx(512) {
		wide.Add(2*p + 1)
	}
	one := volume.PageSetOf(1)
	for i, c := range []struct {
		sources []volume.Alias
		fit     bool
	}{
		{nil, true},
		{aliases(1000, one), true},
		{aliases(1001, one), false},
		{aliases(1000, wide), true},
		{slices.Concat(aliases(999, wide), aliases(1, fullSet())), false},
	} {
		if got := graftsync.FitAliases(c.sources); got != c.fit {
			t.Errorf("case %d, of %d aliases: %t", i, len(c.sources), got)
		}
	}
}

// The largest push can be adopted.
func TestTheLargestCommitAndItsAliasesAreOneChange(t *testing.T) {
	a := newMachine(t, faultbucket.New())
	var pages volume.PageSet
	for p := volume.PageIdx(1); pages.EncodedSize() < volume.MaxPageSets-(8<<10); p += 8 << 16 {
		for i := range volume.PageIdx(4096) {
			pages.Add(p + 16*i)
		}
	}
	seg := volume.Segment{ID: volume.NewSegmentID(), Pages: pages}
	c := volume.Commit{Volume: volume.NewVolumeID(), LSN: 1, PageCount: 1 << 31, Segments: []volume.Segment{seg}}
	rec, err := volume.EncodeCommit(c)
	a.must(err)
	sources := []volume.Alias{{Segment: volume.NewSegmentID(), Pages: pages}}
	if !graftsync.FitAliases(sources) {
		t.Error("the pages of the largest push do not fit under one alias")
	}
	for next := append(sources, volume.Alias{Segment: volume.NewSegmentID(), Pages: fullSet()}); graftsync.FitAliases(next); next = append(next, next[1]) {
		sources = next
	}
	state := volume.SegmentState{Volume: c.Volume, LSN: 1, Segment: seg, Aliases: sources}
	a.must(a.store.Apply(store.Change{Commits: []volume.Record{rec}, Segments: []volume.SegmentState{state}}))
	got, err := a.store.Segment(seg.ID)
	a.must(err)
	if len(got.Aliases) != len(sources) || !got.Aliases[0].Pages.Equal(pages) {
		t.Errorf("read back %d of %d aliases", len(got.Aliases), len(sources))
	}
}

// fullSet gives a set of 64 KiB.
func fullSet() (pages volume.PageSet) {
	for p := volume.PageIdx(1); p < 8<<16; p += 8 {
		pages.Add(p)
	}
	return pages
}

// A refused push that stays pending, because the store cannot forget it, keeps what
// it uploaded: it is put again.
func TestARefusedPushThatCannotBeForgottenKeepsItsUploads(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("one", many...)
	bucket.Fail(func(r faultbucket.Request) error {
		if r.Op == "put" && strings.Contains(r.Key, "/log/") {
			if err := a.store.Close(); err != nil {
				t.Error(err)
			}
			return forbidden{}
		}
		return nil
	}, nil)
	err := a.push()
	a.wantError(err, objstore.ErrRefused)
	a.wantError(err, store.ErrClosed)
	bucket.Fail(nil, nil)
	keys := bucket.Keys("segments/")
	if len(keys) != 1 {
		t.Errorf("the bucket has %v", bucket.Keys(""))
	}
	local := a.head.State().Local
	a.remote.Close()
	if err := a.heads.Close(); err != nil {
		t.Log("close after the store:", err)
	}
	a.open(bucket.Blob())
	a.attach(local)
	if a.head.State().Pending == nil {
		t.Error("the push is not pending")
	}
	bucket.Requests()
	a.must(a.push())
	puts := slices.DeleteFunc(ops(bucket.Requests()), func(op string) bool { return op != "put" })
	if len(puts) != 1 {
		t.Errorf("%d puts, of which the commit is one", len(puts))
	}
	b.clone(a.head.State().Remote)
	b.wantContent(repeat("one")...)
}
