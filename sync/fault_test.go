package sync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"graft/internal/faultbucket"
	"graft/objstore"
	graftsync "graft/sync"
	"graft/volume"
)

var errLost = errors.New("connection lost")

// on gives a fault that strikes requests of one kind.
func on(op, prefix string) func(faultbucket.Request) error {
	return func(r faultbucket.Request) error {
		if r.Op == op && strings.HasPrefix(r.Key, prefix) {
			return errLost
		}
		return nil
	}
}

func TestALostAnswerIsResolvedByReading(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("one", 1, 2)
	bucket.Fail(nil, on("put", "volumes/")) // it lands, and nobody says so
	a.wantError(a.push(), errLost)
	a.wantStatus("+1 r_")
	a.commit("two", 2)
	a.reopen(bucket)
	bucket.Fail(nil, nil)

	a.must(a.pull())
	a.wantStatus("1+1 r1")
	a.wantContent("one", "two")
	a.must(a.push())
	a.wantStatus("2 r2")
	b.clone(a.head.State().Remote)
	b.wantContent("one", "two")
	a.reopen(bucket)
	a.wantContent("one", "two")
}

func TestAPushThatNeverArrivedIsPutAgain(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("one", 1)
	bucket.Fail(on("put", "volumes/"), nil)
	a.wantError(a.push(), errLost)
	sent := a.head.State().Pending.Record.Bytes
	a.commit("two", 1)
	a.reopen(bucket)
	bucket.Fail(nil, nil)
	a.must(a.push())
	a.wantStatus("2 r2")
	first := bucket.Object(volume.CommitKey(a.head.State().Remote, 1))
	if !bytes.Equal(first, sent) {
		t.Error("the commit at LSN 1 is not the one that was pending")
	}
}

func TestAPendingCommitWhoseSegmentIsGoneIsUploadedAgain(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("one", many...)
	bucket.Fail(on("put", "volumes/"), nil)
	a.wantError(a.push(), errLost)
	key := bucket.Keys("segments/")[0]
	uploaded := bucket.Object(key)
	bucket.SetObject(key, nil)
	bucket.Fail(nil, nil)
	a.must(a.push())
	if !bytes.Equal(bucket.Object(key), uploaded) {
		t.Error("the segment came out otherwise")
	}
	b.clone(a.head.State().Remote)
	b.wantContent(repeat("one")...)
}

// A Segment whose frame index is a footer is as good as another while nobody knows
// what became of its push.
func TestAFooterUnderAnUnknownOutcome(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after func(faultbucket.Request) error
		lose          string // prefix of what is gone when the push is resolved
	}{
		"it landed":                       {after: on("put", "volumes/")},
		"it did not":                      {before: on("put", "volumes/")},
		"it did not, the segment is gone": {before: on("put", "volumes/"), lose: "segments/"},
		"nor did the segment's answer":    {after: on("put", "segments/")},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, a, b := newPair(t, "base")
			a.remote.SetMaxIndex(0)
			a.commit("next", many...)
			bucket.Fail(tt.before, tt.after)
			a.wantError(a.push(), errLost)
			a.reopen(bucket)
			a.remote.SetMaxIndex(0)
			bucket.Fail(nil, nil)
			var was []byte
			if tt.lose != "" {
				key := bucket.Keys(tt.lose)[0]
				was = bucket.Object(key)
				bucket.SetObject(key, nil)
			}
			a.must(a.push())
			a.wantStatus("2 r2")
			keys := bucket.Keys("segments/")
			if len(keys) != 1 || was != nil && !bytes.Equal(bucket.Object(keys[0]), was) {
				t.Errorf("segments %q, or other bytes", keys)
			}
			rec, err := volume.DecodeCommit(bucket.Object(volume.CommitKey(a.head.State().Remote, 2)))
			a.must(err)
			seg := rec.Commit.Segments[0]
			object := bucket.Object(seg.ID.Key())
			if seg.Footer.IsZero() || !rec.Commit.OwnCheckpoint() || seg.Footer.Offset+seg.Footer.Length != int64(len(object)) {
				t.Fatalf("footer %+v of %d bytes, checkpoint %+v", seg.Footer, len(object), rec.Commit.Checkpoint)
			}
			_, err = volume.DecodeFooter(&seg, object[seg.Footer.Offset:])
			a.must(err)
			b.must(b.pull())
			b.wantContent(repeat("next")...)
		})
	}
}

func TestAPendingCommitLosesItsLSN(t *testing.T) {
	bucket, a, b := newPair(t, "base")
	a.commit("mine", many...)
	bucket.Fail(on("put", "volumes/"), nil)
	a.wantError(a.push(), errLost)
	bucket.Fail(nil, nil)
	b.commit("theirs", 1)
	b.must(b.push())

	a.wantError(a.pull(), graftsync.ErrDiverged)
	if a.head.State().Pending != nil {
		t.Error("the lost push is still pending")
	}
	a.wantStatus("1+1 r1+1")
	a.wantContent(repeat("mine")...)
	b.wantContent("theirs")
	if left := bucket.Keys("segments/"); len(left) != 0 {
		t.Errorf("the lost push left %v", left)
	}
}

// TestEveryRequestOfAPushMayFail lets request i of a push and what follows it
// fail, before it happens or after, for every i, and finds nothing lost.
func TestEveryRequestOfAPushMayFail(t *testing.T) {
	everyRequestMayFail(t, func(a *machine) { a.commit("next", 1, 2) }, "next", "next")
}

// Nor with a pack, beside a checkpoint or without one.
func TestEveryRequestOfAPushWithAPackMayFail(t *testing.T) {
	for _, since := range []int{1 << 20, 1} {
		everyRequestMayFail(t, func(a *machine) {
			a.remote.SetLoose(2, 2)
			a.pushEach("next", 1, 2)
			a.remote.SetMaxSince(since)
			a.remote.SetMaxEmbedded(0)
			a.commit("next", 3)
		}, "next", "next", "next")
	}
}

// everyRequestMayFail is for a machine that has pushed one page, and after prepare has
// something to push that makes the pages want.
func everyRequestMayFail(t *testing.T, prepare func(a *machine), want ...string) {
	for _, happened := range []bool{false, true} {
		for i := 0; ; i++ {
			name := fmt.Sprintf("happened=%v/request=%d", happened, i)
			struck := false
			t.Run(name, func(t *testing.T) {
				bucket, a, b := newPair(t, "base")
				a.reopen(bucket)
				prepare(a)
				next := a.head.State().SyncPoint.Remote + 1
				failed := failAt(bucket, i, false, happened)
				err := a.push()
				if struck = failed(); struck != (err != nil) {
					t.Fatalf("struck: %v, push: %v", struck, err)
				}
				a.wantContent(want...)
				a.reopen(bucket)
				bucket.Fail(nil, nil)
				a.must(a.push())
				a.wantStatus(fmt.Sprintf("%d r%d", next, next))
				b.must(b.pull())
				b.wantContent(want...)
			})
			if !struck || t.Failed() {
				break
			}
		}
	}
}

func TestDamageInTheBucketIsFoundAndNamed(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	for _, prefix := range []string{"volumes/", "segments/"} {
		for name, damage := range map[string]func([]byte) []byte{"flipped": flip, "truncated": cut} {
			t.Run(prefix+name, func(t *testing.T) {
				bucket := faultbucket.New()
				a, b := newMachine(t, bucket), newMachine(t, bucket)
				a.commit("one", many...)
				a.must(a.push())
				key := bucket.Keys(prefix)[0]
				whole := bucket.Object(key)
				bucket.SetObject(key, damage(bytes.Clone(whole)))

				var err error
				if prefix == "volumes/" {
					_, err = b.remote.Clone(context.Background(), a.head.State().Remote)
				} else {
					b.clone(a.head.State().Remote)
					_, err = b.tryContent()
				}
				b.wantError(err, volume.ErrCorrupt)
				if !strings.Contains(err.Error(), key) {
					t.Errorf("error does not name %s: %v", key, err)
				}
				t.Log(err)

				bucket.SetObject(key, whole)
				if prefix == "volumes/" {
					b.clone(a.head.State().Remote)
				}
				b.wantContent(repeat("one")...)
			})
		}
	}
}

func TestAnotherBucketIsRefused(t *testing.T) {
	bucket, other := faultbucket.New(), faultbucket.New()
	a, c := newMachine(t, bucket), newMachine(t, other)
	a.commit("one", 1)
	a.must(a.push())
	a.commit("two", 1)
	c.commit("unrelated", 1)
	c.must(c.push())
	before := fmt.Sprint(other.Keys(""))

	a.reopen(other)
	a.wantError(a.push(), graftsync.ErrRemoteMismatch)
	a.wantError(a.pull(), graftsync.ErrRemoteMismatch)
	_, err := a.remote.Fetch(context.Background(), a.head)
	a.wantError(err, graftsync.ErrRemoteMismatch)
	if after := fmt.Sprint(other.Keys("")); after != before {
		t.Errorf("the other bucket has changed from %s to %s", before, after)
	}
	a.wantContent("two")
	a.reopen(bucket)
	a.must(a.push())
	a.wantStatus("2 r2")
}

func TestAMissingSegmentOfAnotherBucketIsAMismatch(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("one", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	b.reopen(faultbucket.New())
	_, err := b.tryContent()
	b.wantError(err, graftsync.ErrRemoteMismatch)

	b.reopen(bucket)
	bucket.SetObject(bucket.Keys("segments/")[0], nil)
	_, err = b.tryContent()
	b.wantError(err, volume.ErrCorrupt)
}

func TestABrokenChainIsRefused(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("v0", 1)
	a.must(a.push())
	remote := a.head.State().Remote
	b.clone(remote)
	a.resize(2)
	a.must(a.push())
	rec, err := volume.DecodeCommit(bucket.Object(volume.CommitKey(remote, 2)))
	a.must(err)
	rec.Commit.Parent = volume.HashOf(nil) // another commit, well formed
	forged, err := volume.EncodeCommit(rec.Commit)
	a.must(err)
	key := volume.CommitKey(remote, 2)
	bucket.SetObject(key, forged.Bytes)
	_, err = b.remote.Fetch(context.Background(), b.head)
	b.wantError(err, volume.ErrCorrupt)
	if !strings.Contains(err.Error(), key) {
		t.Errorf("error does not name %s: %v", key, err)
	}
}

func TestConcurrentReadersShareARequestThatEndsWithTheLast(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.commit("one", many...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	bucket.Requests()

	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	bucket.Fail(func(faultbucket.Request) error {
		once.Do(func() { close(arrived) })
		<-release
		return nil
	}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	r := b.head.Reader()
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := r.Page(ctx, 1); first <- err }()
	<-arrived
	go func() { _, err := r.Page(context.Background(), 2); second <- err }()
	cancel()
	b.wantError(<-first, context.Canceled)
	close(release)
	b.must(<-second)
	// The second came before or after the first left: it shared its request, or
	// made one. Either way nothing wrong was stored.
	bucket.Fail(nil, nil)
	b.wantContent(repeat("one")...)
}

func TestExistIsNotTakenForSuccess(t *testing.T) {
	// A conflict whose reading fails leaves the push pending, neither adopted
	// nor diverged.
	bucket, a, b := newPair(t, "base")
	a.commit("mine", 1)
	b.commit("theirs", 1)
	b.must(b.push())
	bucket.Fail(on("get", "volumes/"), nil)
	err := a.push()
	a.wantError(err, errLost)
	if errors.Is(err, objstore.ErrExist) || a.head.State().Pending == nil {
		t.Fatalf("push: %v, pending: %v", err, a.head.State().Pending)
	}
	bucket.Fail(nil, nil)
	a.wantError(a.push(), graftsync.ErrDiverged)
}

// forbidden is the answer 403.
type forbidden struct{}

func (forbidden) Error() string       { return "forbidden" }
func (forbidden) HTTPStatusCode() int { return 403 }

func TestARefusedPushIsPendingOnlyIfAnEarlierTryMayHaveLanded(t *testing.T) {
	refuse := func(r faultbucket.Request) error {
		if r.Op == "put" && strings.Contains(r.Key, "/log/") {
			return forbidden{}
		}
		return nil
	}
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("one", many...)
	bucket.Fail(refuse, nil)
	a.wantError(a.push(), objstore.ErrRefused)
	if a.head.State().Pending != nil || len(bucket.Keys("")) != 0 {
		t.Errorf("pending: %v, left in the bucket: %v", a.head.State().Pending, bucket.Keys(""))
	}

	bucket.Fail(nil, on("put", "volumes/"))
	a.wantError(a.push(), errLost)
	bucket.Fail(refuse, nil)
	keys := bucket.Keys("")
	bucket.SetObject(volume.CommitKey(a.head.State().Remote, 1), nil) // as if it were still under way
	a.wantError(a.push(), objstore.ErrRefused)
	if a.head.State().Pending == nil || len(bucket.Keys("")) != len(keys)-1 {
		t.Errorf("a push in doubt was given up for a refused one; left of %v: %v", keys, bucket.Keys(""))
	}
	bucket.Fail(nil, nil)
	a.must(a.push())
	a.wantStatus("1 r1")
}
