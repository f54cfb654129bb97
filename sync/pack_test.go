package sync_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"graft/internal/faultbucket"
	"graft/volume"
)

// packer is a machine that packs the pages of six commits, or of two where it writes a
// checkpoint. It has pushed a database of many pages.
func packer(t *testing.T, bucket *faultbucket.Bucket) *machine {
	t.Helper()
	a := newMachine(t, bucket)
	a.remote.SetLoose(6, 2)
	a.commit("base", many...)
	a.must(a.push())
	return a
}

// pushEach pushes pages from first on, one by one, so many of them.
func (m *machine) pushEach(text string, first volume.PageIdx, n int) {
	m.t.Helper()
	for i := range n {
		m.commit(text, first+volume.PageIdx(i))
		m.must(m.push())
	}
}

// packs gives the keys of the packs that are in the bucket.
func packs(bucket *faultbucket.Bucket) []string {
	return slices.DeleteFunc(bucket.Keys("segments/"), func(key string) bool { return bucket.Object(key)[4] != 'M' })
}

func TestManySmallPushesArePacked(t *testing.T) {
	for name, set := range map[string]func(*machine){
		"since the checkpoint":  func(*machine) {},
		"in a checkpoint":       func(a *machine) { a.remote.SetMaxSince(300); a.remote.SetMaxEmbedded(0) },
		"in one that is inside": func(a *machine) { a.remote.SetMaxSince(300) },
	} {
		t.Run(name, func(t *testing.T) {
			bucket := faultbucket.New()
			a, old, b := packer(t, bucket), newMachine(t, bucket), newMachine(t, bucket)
			set(a)
			v := a.head.State().Remote
			bucket.Requests()
			a.pushEach("new", 11, 5)
			if got := packs(bucket); name == "since the checkpoint" && len(bucket.Requests()) != 5 {
				t.Errorf("five small pushes took %v, with %v", bucket.Requests(), got)
			}
			old.clone(v)
			old.wantContent(contentOf(t, a)...)
			a.pushEach("new", 16, 20)
			if len(packs(bucket)) == 0 {
				t.Fatalf("no pack among %v", bucket.Keys("segments/"))
			}

			// What is here is not fetched again: the pages have their names still.
			old.must(old.pull())
			bucket.Requests()
			r := old.head.Reader()
			for p := volume.PageIdx(11); p < 16; p++ {
				_, err := r.Page(t.Context(), p)
				old.must(err)
			}
			r.Close()
			if got := slices.DeleteFunc(bucket.Requests(), func(r faultbucket.Request) bool {
				return strings.Contains(r.Key, "/checkpoints/") || strings.Contains(r.Key, "/log/")
			}); len(got) != 0 {
				t.Errorf("pages that were here took %v", got)
			}
			b.clone(v)
			bucket.Requests()
			_, err := b.remote.Hydrate(context.Background(), b.head)
			b.must(err)
			if got := bucket.Requests(); len(got) > 15 {
				t.Errorf("a hydration took %d requests", len(got))
			}
			b.wantContent(contentOf(t, a)...)
			old.wantContent(contentOf(t, a)...)
		})
	}
}

// A pack that cannot be uploaded is done without.
func TestAPushWithoutItsPack(t *testing.T) {
	for _, since := range []int{1 << 20, 1} {
		bucket := faultbucket.New()
		a, b := packer(t, bucket), newMachine(t, bucket)
		a.remote.SetMaxEmbedded(0)
		a.pushEach("new", 11, 6)
		a.remote.SetMaxSince(since)
		var failed int
		bucket.Fail(func(r faultbucket.Request) error {
			if r.Op == "put" && strings.Contains(r.Key, "segments/") {
				failed++
				return forbidden{}
			}
			return nil
		}, nil)
		a.pushEach("new", 17, 2)
		bucket.Fail(nil, nil)
		if n := len(bucket.Keys("volumes/" + a.head.State().Remote.String() + "/checkpoints/")); failed == 0 || len(packs(bucket)) > 0 || since == 1 && n != 2 {
			t.Errorf("%d uploads failed, and there are %d checkpoints and %v", failed, n, packs(bucket))
		}
		b.clone(a.head.State().Remote)
		b.wantContent(contentOf(t, a)...)
		a.pushEach("new", 19, 1)
		if len(packs(bucket)) != 1 {
			t.Errorf("the next push made packs %v", packs(bucket))
		}
		b.must(b.pull())
		b.wantContent(contentOf(t, a)...)
	}
}

// A push waits for its pack no longer than it has to.
func TestAPackThatHangsIsGivenUp(t *testing.T) {
	for _, since := range []int{1 << 20, 1} {
		bucket := faultbucket.New()
		a, b := packer(t, bucket), newMachine(t, bucket)
		a.remote.SetPackTimeout(500 * time.Millisecond) // it begins before the request does
		a.remote.SetMaxEmbedded(0)
		a.pushEach("new", 11, 6)
		a.remote.SetMaxSince(since)
		hung := make(chan string, 1)
		bucket.Hang(func(_ context.Context, r faultbucket.Request) bool {
			if r.Op == "put" && strings.Contains(r.Key, "segments/") {
				hung <- r.Key
				return true
			}
			return false
		})
		a.pushEach("new", 17, 1)
		bucket.Hang(nil)
		if len(hung) != 1 || len(packs(bucket)) > 0 {
			t.Errorf("%d uploads hung, and there are %v", len(hung), packs(bucket))
		}
		b.clone(a.head.State().Remote)
		b.wantContent(contentOf(t, a)...)
	}
}

// A pack that was given up and is there nevertheless is deleted, once the commit has
// landed.
func TestAPackThatWasGivenUpIsDeleted(t *testing.T) {
	for _, since := range []int{1 << 20, 1} {
		bucket := faultbucket.New()
		a := packer(t, bucket)
		a.pushEach("new", 11, 6)
		a.remote.SetMaxSince(since)
		a.commit("new", 17)
		bucket.Fail(nil, on("put", "segments/"))
		bucket.Requests()
		a.must(a.push())
		got := bucket.Requests()
		if n := len(got); len(packs(bucket)) > 0 || got[n-1].Op != "delete" || !strings.Contains(got[n-2].Key, "/log/") {
			t.Errorf("there are %v after %v", packs(bucket), got)
		}
	}
}

// hangingPacker is a packer with something to push that makes a pack, and packs hang, for
// a second by its clock, which moves no further by itself.
func hangingPacker(t *testing.T, since int) (a *machine, hung *atomic.Int32, clock *atomic.Int64) {
	t.Helper()
	bucket := faultbucket.New()
	a, hung, clock = packer(t, bucket), new(atomic.Int32), new(atomic.Int64)
	start := time.Now()
	a.remote.SetNow(func() time.Time { return start.Add(time.Duration(clock.Load())) })
	a.pushEach("new", 11, 6)
	a.remote.SetMaxSince(since)
	a.remote.SetMaxEmbedded(0)
	a.commit("new", 17)
	bucket.Hang(func(_ context.Context, r faultbucket.Request) bool {
		if r.Op != "put" || !strings.Contains(r.Key, "segments/") {
			return false
		}
		hung.Add(1)
		clock.Add(int64(time.Second))
		return true
	})
	return a, hung, clock
}

// A push that has little time gives its pack a part of that, and lands.
func TestAPackLeavesThePushTheTimeItNeeds(t *testing.T) {
	for _, since := range []int{1 << 20, 1} {
		a, hung, _ := hangingPacker(t, since)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		if _, err := a.remote.Push(ctx, a.head); err != nil || hung.Load() != 1 {
			t.Errorf("a push with %d packs that hang: %v", hung.Load(), err)
		}
		cancel()
	}
}

// After a pack that was given up, none delays a push for a while.
func TestAPackThatHangsDelaysOnePush(t *testing.T) {
	a, hung, clock := hangingPacker(t, 1<<20)
	a.remote.SetPackTimeout(100 * time.Millisecond)
	a.must(a.push())
	a.pushEach("newer", 20, 5)
	if n := hung.Load(); n != 1 {
		t.Errorf("%d packs hung in six pushes", n)
	}
	clock.Add(int64(time.Minute))
	a.pushEach("newer", 30, 2)
	if n := hung.Load(); n != 2 {
		t.Errorf("%d packs hung, a minute later", n)
	}
}

// Packs that are not whole here are not merged: their pages would be moved again and
// again.
func TestPacksOfWhichSomeIsNotHereStay(t *testing.T) {
	bucket := faultbucket.New()
	a, b := packer(t, bucket), newMachine(t, bucket)
	for i := range 19 {
		a.commit("new", volume.PageIdx(10+i*7%19))
		a.must(a.push())
	}
	b.clone(a.head.State().Remote)
	r := b.head.Reader()
	for p := volume.PageIdx(10); p < 29; p++ {
		if p%3 > 0 { // of each pack
			_, err := r.Page(t.Context(), p)
			b.must(err)
		}
	}
	r.Close()
	b.settle()
	had := len(packs(bucket))
	b.remote.SetMaxSince(1)
	b.remote.SetLoose(6, 2)
	for i := range 8 {
		b.commit(fmt.Sprint("v", i), 80)
		b.must(b.push())
	}
	if n := len(packs(bucket)); had != 3 || n > had+1 {
		t.Errorf("eight pushes of one page made %d packs of %d", n, had)
	}
	a.must(a.pull())
	a.wantContent(contentOf(t, b)...)
}

// Many pages in few commits are packed as well, though not all at once.
func TestPagesOfLargePushesArePackedInParts(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("base", 1, 2000)
	a.must(a.push())
	a.remote.SetLoose(18, 18)
	var pages []volume.PageIdx
	for p := range volume.PageIdx(64) {
		pages = append(pages, p)
	}
	for range 19 {
		a.commit("new", pages[1:]...)
		a.must(a.push())
		for i := range pages {
			pages[i] += 64
		}
	}
	if n := len(packs(bucket)); n != 1 {
		t.Errorf("19 pushes of 63 pages made %d packs", n)
	}
}

// packInDoubt is a packer whose push of a commit with a pack has no known outcome.
func packInDoubt(t *testing.T, bucket *faultbucket.Bucket, since int) *machine {
	t.Helper()
	a := packer(t, bucket)
	a.pushEach("new", 11, 6)
	a.remote.SetMaxSince(since)
	a.remote.SetMaxEmbedded(0)
	a.commit("new", 20)
	bucket.Fail(on("put", "volumes/"+a.head.State().Remote.String()+"/log/"), nil)
	a.wantError(a.push(), errLost)
	bucket.Fail(nil, nil)
	if len(packs(bucket)) != 1 {
		t.Fatalf("packs %v of %v", packs(bucket), bucket.Keys("segments/"))
	}
	return a
}

func TestAPackOfAPushInDoubtIsUploadedAgain(t *testing.T) {
	for _, since := range []int{1 << 20, 1} {
		for _, stays := range []bool{true, false} { // of the pages
			bucket := faultbucket.New()
			a, b := packInDoubt(t, bucket, since), newMachine(t, bucket)
			a.must(a.heads.Sweep(t.Context()))
			key := packs(bucket)[0]
			object := bucket.Object(key)
			bucket.SetObject(key, nil)
			if !stays {
				a.quota = volume.PageSize
			}
			a.reopen(bucket)
			if !stays {
				a.evict()
			}
			a.must(a.push())
			if !bytes.Equal(bucket.Object(key), object) {
				t.Errorf("the pack came out otherwise; its pages were here: %t", stays)
			}
			b.clone(a.head.State().Remote)
			b.wantContent(contentOf(t, a)...)
		}
	}
}

// Pages of a pack that is to be uploaded again, and that are not here any more, are
// fetched together.
func TestAPackIsUploadedAgainInFewRequests(t *testing.T) {
	bucket := faultbucket.New()
	a := packer(t, bucket)
	var pages []volume.PageIdx
	for p := range volume.PageIdx(50) {
		pages = append(pages, 1+6*p)
	}
	for range 6 {
		a.commit("new", pages...)
		a.must(a.push())
		for i := range pages {
			pages[i]++
		}
	}
	a.commit("new", 400)
	bucket.Fail(on("put", "volumes/"+a.head.State().Remote.String()+"/log/"), nil)
	a.wantError(a.push(), errLost)
	bucket.Fail(nil, nil)
	a.must(a.heads.Sweep(t.Context()))
	key := packs(bucket)[0]
	object := bucket.Object(key)
	bucket.SetObject(key, nil)
	a.quota = volume.PageSize
	a.reopen(bucket)
	a.evict()
	bucket.Requests()
	a.must(a.push())
	if n := len(bucket.Requests()); n > 20 || !bytes.Equal(bucket.Object(key), object) {
		t.Errorf("a pack of %d bytes took %d requests", len(object), n)
	}
}

// A push that loses takes its pack along.
func TestALostPushDeletesItsPack(t *testing.T) {
	bucket := faultbucket.New()
	a, b := packInDoubt(t, bucket, 1<<20), newMachine(t, bucket)
	b.clone(a.head.State().Remote)
	b.commit("other", 30)
	b.must(b.push())
	if err := a.push(); err == nil || len(packs(bucket)) > 0 {
		t.Errorf("%v, and there are %v", err, packs(bucket))
	}
}

// Small packs are merged, so that they stay few, and what is read needs few of them.
func TestPacksAreMerged(t *testing.T) {
	bucket := faultbucket.New()
	a, b := packer(t, bucket), newMachine(t, bucket)
	for i := range 90 {
		a.commit(fmt.Sprint("v", i), volume.PageIdx(1+i*37%100))
		a.must(a.push())
	}
	b.clone(a.head.State().Remote)
	bucket.Requests()
	_, err := b.remote.Hydrate(t.Context(), b.head)
	b.must(err)
	read := make(map[string]bool)
	for _, r := range bucket.Requests() {
		read[r.Key] = strings.Contains(r.Key, "segments/")
	}
	n := 0
	for _, pack := range read {
		if pack {
			n++
		}
	}
	if all := len(packs(bucket)); n > 8 || all < 10 {
		t.Errorf("a hydration read %d of %d packs", n, all)
	}
	b.wantContent(contentOf(t, a)...)
}
