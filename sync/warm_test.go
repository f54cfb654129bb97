package sync_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"graft/internal/faultbucket"
	graftsync "graft/sync"
	"graft/volume"
)

// use reads pages as SQL does.
func (m *machine) use(text string, pages ...volume.PageIdx) {
	m.t.Helper()
	r := m.head.Reader()
	defer r.Close()
	r.NoteUsed()
	for _, p := range pages {
		page, err := r.Page(context.Background(), p)
		m.must(err)
		if *page != *pageOf(text, p) {
			m.t.Fatalf("page %d is %.20q, not %s", p, page[:], text)
		}
	}
}

func (m *machine) publish(budget int64) graftsync.WarmPublished {
	m.t.Helper()
	done, err := m.remote.PublishWarm(context.Background(), m.head, budget)
	m.must(err)
	return done
}

// someUsed are pages that lie far from one another, none of which is bundled.
var someUsed = []volume.PageIdx{900, 3, 300, 1, 301, 640}

// newUsed gives a bucket with a Volume of 1000 pages, and a clone that has used some
// of them.
func newUsed(t *testing.T) (*faultbucket.Bucket, *machine) {
	t.Helper()
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	var all []volume.PageIdx
	for p := range volume.PageIdx(1000) {
		all = append(all, p+1)
	}
	a.commit("pushed", all...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	b.use("pushed", someUsed...)
	return bucket, b
}

// newWarm gives a machine whose clones get warm sets.
func newWarm(t *testing.T, bucket *faultbucket.Bucket) *machine {
	t.Helper()
	m := newMachine(t, bucket)
	m.remote.WarmClones()
	return m
}

func TestAWarmCloneReadsWhatOthersHaveUsed(t *testing.T) {
	bucket, b := newUsed(t)
	if done := b.publish(0); done.Pages != len(someUsed) || done.LSN != 1 {
		t.Fatalf("published %+v", done)
	}
	c := newWarm(t, bucket)
	bucket.Requests()
	var listings sync.WaitGroup // none ends before the other has begun
	listings.Add(2)
	bucket.Fail(func(r faultbucket.Request) error {
		if r.Op == "list" {
			listings.Done()
			listings.Wait()
		}
		return nil
	}, nil)
	c.clone(b.head.State().Remote)
	c.use("pushed", someUsed...)
	if got := bucket.Requests(); len(got) != 4 { // the listings, the commit, the warm set
		t.Errorf("clone and reads took %v", got)
	}
	c.reopen(bucket) // what a warm set gave is here for good
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	c.use("pushed", someUsed...)
}

func TestWarmSetsAreAskedForByThoseAloneWhoWantThem(t *testing.T) {
	bucket, b := newUsed(t)
	b.publish(0)
	c := newMachine(t, bucket)
	bucket.Requests()
	c.clone(b.head.State().Remote)
	for _, r := range bucket.Requests() {
		if strings.Contains(r.Key, "/warm/") {
			t.Errorf("a clone asked for %v", r)
		}
	}
	got, err := c.remote.Warm(context.Background(), c.head)
	c.must(err)
	if want := (graftsync.Warmed{LSN: 1, Pages: len(someUsed)}); got != want {
		t.Errorf("took %+v, want %+v", got, want)
	}
	if got, err = c.remote.Warm(context.Background(), c.head); err != nil || got.Pages != 0 {
		t.Errorf("took %+v once more, %v", got, err)
	}
}

// A page that changed since, and one whose neighbours did, are read as they are now.
func TestAStaleWarmSetDoesNoHarm(t *testing.T) {
	bucket, b := newUsed(t)
	b.publish(0)
	changed := []volume.PageIdx{3, 640}
	for p := range volume.PageIdx(200) {
		changed = append(changed, p+20)
	}
	b.commit("newer", changed...)
	b.must(b.push())
	b.resize(700)
	b.must(b.push())
	c := newWarm(t, bucket)
	c.clone(b.head.State().Remote)
	c.use("pushed", 300, 1, 301)
	c.use("newer", 3, 640)
	c.wantContent(contentOf(t, b)...)
}

func TestADamagedWarmSetIsNotUsed(t *testing.T) {
	bucket, b := newUsed(t)
	b.publish(0)
	key := bucket.Keys(volume.WarmPrefix(b.head.State().Remote))[0]
	whole := bucket.Object(key)
	for name, bad := range map[string][]byte{
		"empty":      {},
		"cut":        whole[:len(whole)/2],
		"one bit":    append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1),
		"not of use": []byte("GRFT"),
	} {
		bucket.SetObject(key, bad)
		c := newWarm(t, bucket)
		c.clone(b.head.State().Remote)
		c.use("pushed", someUsed...)
		_, err := c.remote.Warm(context.Background(), c.head)
		c.wantError(err, volume.ErrCorrupt)
		if !strings.Contains(fmt.Sprint(err), key) {
			t.Errorf("%s: %v does not name %s", name, err, key)
		}
	}
}

// Whatever happens to the requests for a warm set, a clone has its pages.
func TestACloneDoesWithoutItsWarmSet(t *testing.T) {
	bucket, b := newUsed(t)
	b.publish(0)
	for _, op := range []string{"list", "get"} {
		bucket.Fail(func(r faultbucket.Request) error {
			if r.Op == op && strings.Contains(r.Key, "/warm/") {
				return errLost
			}
			return nil
		}, nil)
		c := newWarm(t, bucket)
		c.clone(b.head.State().Remote)
		c.use("pushed", someUsed...)
	}
	bucket.Fail(nil, nil)
	c := newWarm(t, bucket)
	_, err := c.remote.Clone(context.Background(), volume.NewVolumeID())
	c.wantError(err, graftsync.ErrNoVolume)
}

func TestPublishingTakesThePlaceOfWhatWasBefore(t *testing.T) {
	bucket, b := newUsed(t)
	prefix := volume.WarmPrefix(b.head.State().Remote)
	b.publish(0)
	first := bucket.Keys(prefix)
	b.publish(0)
	if again := bucket.Keys(prefix); len(again) != 1 || again[0] != first[0] {
		t.Errorf("the same set again: %v, then %v", first, again)
	}
	c := newMachine(t, bucket)
	c.clone(b.head.State().Remote)
	c.use("pushed", 77)
	c.publish(0)
	if other := bucket.Keys(prefix); len(other) != 1 || other[0] == first[0] {
		t.Errorf("another's set: %v, then %v", first, other)
	}
	c.commit("newer", 5)
	c.must(c.push())
	c.publish(0)
	b.publish(0) // of an older LSN
	keys := bucket.Keys(prefix)
	if len(keys) != 2 {
		t.Fatalf("a newer and an older set: %v", keys)
	}
	d := newWarm(t, bucket)
	d.clone(b.head.State().Remote)
	if got, err := d.remote.Warm(context.Background(), d.head); err != nil || got.LSN != 2 {
		t.Errorf("a clone has %+v, %v", got, err)
	}
}

// Local content is not published, and not that of another Volume.
func TestOnlyWhatIsPushedIsPublished(t *testing.T) {
	bucket, b := newUsed(t)
	b.commit("mine", 3, 300)
	b.use("mine", 3, 300)
	if done := b.publish(0); done.Pages != len(someUsed)-2 {
		t.Errorf("published %+v", done)
	}
	c := newWarm(t, bucket)
	c.clone(b.head.State().Remote)
	c.use("pushed", someUsed...)

	fresh := newMachine(t, bucket)
	fresh.commit("mine", 1)
	fresh.use("mine", 1)
	_, err := fresh.remote.PublishWarm(context.Background(), fresh.head, 0)
	fresh.wantError(err, graftsync.ErrNoVolume)
	fresh.must(fresh.push())
	if done := fresh.publish(0); done.Pages != 1 {
		t.Errorf("published %+v", done)
	}
}

func TestAWarmSetKeepsToItsBudget(t *testing.T) {
	bucket, b := newUsed(t)
	for p := range volume.PageIdx(900) {
		b.use("pushed", p+1)
	}
	for _, budget := range []int64{1000, 20_000, 50_000} {
		if done := b.publish(budget); done.Bytes > budget || done.Bytes < budget/3 {
			t.Errorf("a budget of %d: %+v", budget, done)
		}
	}
	_, err := b.remote.PublishWarm(context.Background(), b.head, volume.MaxWarmSize+1)
	if err == nil {
		t.Error("no limit")
	}
	if n := len(bucket.Keys(volume.WarmPrefix(b.head.State().Remote))); n != 1 {
		t.Errorf("%d warm sets", n)
	}
}

// A warm set is not put in a bucket that is another one.
func TestAWarmSetIsNotPutInAnotherBucket(t *testing.T) {
	_, b := newUsed(t)
	other := faultbucket.New()
	b.reopen(other)
	b.head.Reader().Close()
	r := b.head.Reader()
	r.NoteUsed()
	_, err := r.Page(context.Background(), 1)
	r.Close()
	b.must(err)
	_, err = b.remote.PublishWarm(context.Background(), b.head, 0)
	b.wantError(err, graftsync.ErrRemoteMismatch)
	if keys := other.Keys(""); len(keys) > 0 {
		t.Errorf("put %v", keys)
	}
}
