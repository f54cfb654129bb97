package sync_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"

	"graft/internal/faultbucket"
	"graft/snapshot"
	graftsync "graft/sync"
	"graft/volume"
)

// copyOf gives a machine on a copy of m's data directory, as it is on disk.
func copyOf(t *testing.T, m *machine, bucket *faultbucket.Bucket) *machine {
	t.Helper()
	local := m.head.State().Local
	m.close()
	c := &machine{t: t, dir: t.TempDir(), log: m.log}
	if err := os.CopyFS(c.dir, os.DirFS(m.dir)); err != nil {
		t.Fatal(err)
	}
	for _, one := range []*machine{m, c} {
		one.open(bucket.Blob())
		one.attach(local)
	}
	t.Cleanup(c.close)
	return c
}

// losses are ways for a bucket to lose the second commit of a Volume.
var losses = map[string]func(b *faultbucket.Bucket, v volume.VolumeID){
	"emptied": func(b *faultbucket.Bucket, _ volume.VolumeID) {
		for _, key := range b.Keys("") {
			b.SetObject(key, nil)
		}
	},
	"rolled back": func(b *faultbucket.Bucket, v volume.VolumeID) { b.SetObject(volume.CommitKey(v, 2), nil) },
	"another": func(b *faultbucket.Bucket, v volume.VolumeID) {
		b.SetObject(volume.CommitKey(v, 2), b.Object(volume.CommitKey(v, 1)))
	},
}

func TestABucketThatLostHistoryIsRefused(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			bucket, a, _ := newPair(t, "one")
			a.commit("two", 1)
			a.must(a.push())
			a.commit("three", 1)
			lose(bucket, a.head.State().Remote)
			before := bucket.Keys("")
			a.reopen(bucket)
			a.wantError(a.push(), graftsync.ErrRemoteMismatch)
			a.wantError(a.pull(), graftsync.ErrRemoteMismatch)
			if after := bucket.Keys(""); !slices.Equal(after, before) {
				t.Errorf("the bucket has changed from %v to %v", before, after)
			}
			a.wantContent("three")
			a.wantStatus("2+1 r2")
		})
	}
}

// stopped gives m a clock that stands still until it is moved on.
func stopped(m *machine) (pass func(time.Duration)) {
	now := time.Now()
	m.remote.SetNow(func() time.Time { return now })
	return func(d time.Duration) { now = now.Add(d) }
}

// A bucket that lost the commit at the SyncPoint between two pushes gets no commit
// over the hole, and keeps nothing that was uploaded meanwhile.
func TestABucketThatLosesHistoryWhileItIsOpenIsRefused(t *testing.T) {
	for name, lose := range losses {
		for kind, pages := range map[string][]volume.PageIdx{"inline": {1}, "segment": many} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				bucket, a, _ := newPair(t, "one")
				pass := stopped(a)
				a.commit("two", 1)
				a.must(a.push())
				a.commit("three", pages...)
				lose(bucket, a.head.State().Remote)
				before := bucket.Keys("")
				pass(graftsync.ProofLasts)
				for range 2 {
					a.wantError(a.push(), graftsync.ErrRemoteMismatch)
				}
				if after := bucket.Keys(""); !slices.Equal(after, before) {
					t.Errorf("the bucket has changed from %v to %v", before, after)
				}
				if a.head.State().Pending != nil {
					t.Error("the push is pending")
				}
				a.wantStatus("2+1 r2")
			})
		}
	}
}

// A client that pushes all the time meets each commit that it put as the proof for the
// next. It notices what the bucket lost meanwhile nevertheless, and goes on noticing.
func TestABucketThatLosesHistoryUnderAStreamOfPushesIsRefused(t *testing.T) {
	for name, lose := range map[string]func(b *faultbucket.Bucket, v volume.VolumeID){
		"emptied":     losses["emptied"],
		"rolled back": losses["rolled back"],
	} {
		t.Run(name, func(t *testing.T) {
			bucket, a, _ := newPair(t, "one")
			pass := stopped(a)
			n := 0
			push := func() error {
				n++
				a.commit(fmt.Sprint("v", n), 1)
				pass(graftsync.ProofLasts / 10)
				return a.push()
			}
			a.must(push())
			lose(bucket, a.head.State().Remote)
			more := 0
			var err error
			for err == nil && more <= 20 {
				err = push()
				more++
			}
			a.wantError(err, graftsync.ErrRemoteMismatch)
			if more > 11 {
				t.Errorf("noticed by push number %d", more)
			}
			keys := bucket.Keys("")
			for range 2 {
				a.wantError(a.push(), graftsync.ErrRemoteMismatch)
				a.wantError(a.pull(), graftsync.ErrRemoteMismatch)
				a.reopen(bucket)
			}
			if after := bucket.Keys(""); !slices.Equal(after, keys) {
				t.Errorf("the bucket has changed from %v to %v", keys, after)
			}
			a.wantContent(fmt.Sprint("v", n))
		})
	}
}

// A client that was closed right after it put a commit over a gap notices that at the
// first push of the next that opens its data directory.
func TestABucketThatLostHistoryBeforeACloseIsRefused(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			bucket, a, _ := newPair(t, "one")
			for _, text := range []string{"two", "three"} {
				a.commit(text, 1)
				a.must(a.push())
				if text == "two" && name != "another" {
					lose(bucket, a.head.State().Remote)
				}
			}
			a.reopen(bucket)
			a.commit("four", 1)
			bucket.Requests()
			err := a.push()
			if name == "another" {
				a.must(err)
				if got := ops(bucket.Requests()); len(got) != 3 {
					t.Errorf("a push after an open is %v", got)
				}
				return
			}
			a.wantError(err, graftsync.ErrRemoteMismatch)
			a.wantStatus("3+1 r3")
		})
	}
}

// A look for gaps that fails at the first push after an open is made again later.
func TestALookForGapsThatFailsIsMadeAgain(t *testing.T) {
	bucket, a, _ := newPair(t, "one")
	for _, text := range []string{"two", "three"} {
		a.commit(text, 1)
		a.must(a.push())
		if text == "two" {
			losses["emptied"](bucket, a.head.State().Remote)
		}
	}
	a.reopen(bucket)
	pass := stopped(a)
	bucket.Fail(func(r faultbucket.Request) error {
		if r.Op == "list" {
			return errLost
		}
		return nil
	}, nil)
	a.commit("four", 1)
	a.must(a.push())
	bucket.Fail(nil, nil)
	pass(graftsync.ProofLasts)
	a.commit("five", 1)
	a.wantError(a.push(), graftsync.ErrRemoteMismatch)
}

func TestGapsAreFoundInAnyBlockOfKeys(t *testing.T) {
	v := volume.NewVolumeID()
	for _, blob := range []func(*faultbucket.Bucket) *blob.Bucket{
		(*faultbucket.Bucket).Blob,
		func(b *faultbucket.Bucket) *blob.Bucket { return b.Disordered(1000) },
	} {
		bucket := faultbucket.New()
		m := newMachineOn(t, blob(bucket), 0)
		for l := volume.LSN(1); l <= 3000; l++ {
			bucket.SetObject(volume.CommitKey(v, l), []byte("commit"))
		}
		for _, tt := range []struct{ first, gap, last volume.LSN }{
			{first: 0, gap: 1, last: 1}, {first: 1, gap: 2, last: 3}, {first: 3, gap: 0, last: 2},
			{first: 200, gap: 255, last: 300}, {first: 200, gap: 256, last: 300}, {first: 200, gap: 257, last: 300},
			{first: 256, gap: 256, last: 511}, {first: 255, gap: 511, last: 511}, {first: 255, gap: 512, last: 512},
			{first: 1, gap: 1977, last: 3000},
		} {
			find := func() error { return m.remote.FindGap(t.Context(), v, tt.first, tt.last) }
			m.must(find())
			if tt.gap == 0 {
				continue
			}
			key := volume.CommitKey(v, tt.gap)
			bucket.SetObject(key, nil)
			m.wantError(find(), graftsync.ErrRemoteMismatch)
			bucket.SetObject(key, []byte("commit"))
		}
		bucket.SetObject(volume.CommitKey(v, 1976), nil)
		bucket.Requests()
		m.must(m.remote.FindGap(t.Context(), v, 1, 3000)) // so far back it does not look
		if got := bucket.Requests(); len(got) != 5 {
			t.Errorf("it took %v", got)
		}
	}
}

// The look for gaps takes no time of its own: here it ends when the put arrives, and
// the put when the look does.
func TestAPushLooksForGapsBesideThePut(t *testing.T) {
	bucket, a, _ := newPair(t, "base")
	pass := stopped(a)
	pass(graftsync.ProofLasts)
	a.commit("next", 1)
	a.must(a.push()) // it reads what was put before the clock stood
	pass(graftsync.ProofLasts - 1)
	a.commit("third", 1)
	a.must(a.push())
	pass(1)
	a.commit("fourth", 1)
	var both sync.WaitGroup
	both.Add(2)
	bucket.Fail(func(faultbucket.Request) error {
		both.Done()
		both.Wait()
		return nil
	}, nil)
	a.must(a.push())
	a.wantStatus("4 r4")
}

// A listing that fails, says nothing or leaves something out refuses no push.
func TestAListingThatIsNoHelpRefusesNoPush(t *testing.T) {
	for name, blob := range map[string]func(*faultbucket.Bucket) *blob.Bucket{
		"fails": (*faultbucket.Bucket).Blob,
		"empty": func(b *faultbucket.Bucket) *blob.Bucket { return b.Sparse(7) },
		"short": func(b *faultbucket.Bucket) *blob.Bucket { return b.Disordered(2) },
	} {
		t.Run(name, func(t *testing.T) {
			bucket := faultbucket.New()
			a := newMachineOn(t, blob(bucket), 0)
			pass := stopped(a)
			if name == "fails" {
				bucket.Fail(on("list", ""), nil)
			}
			lists := 0
			for i := range 40 {
				a.commit(fmt.Sprint("v", i), 1)
				a.must(a.push())
				pass(graftsync.ProofLasts / 5)
			}
			for _, r := range bucket.Requests() {
				if r.Op == "list" {
					lists++
				}
			}
			if lists < 5 || name == "fails" && lists > 8 {
				t.Errorf("it looked %d times", lists)
			}
			a.wantStatus("40 r40")
		})
	}
}

// A push looks for the commit at the SyncPoint when it was not seen for a while.
func TestAPushOfAFewPagesIsOneRequestAfterAProof(t *testing.T) {
	bucket, a, b := newPair(t, "base")
	pass := stopped(a)
	push := func(want ...string) {
		t.Helper()
		a.commit(fmt.Sprint(want, a.head.State().LocalHead), 1)
		bucket.Requests()
		a.must(a.push())
		got := ops(bucket.Requests())
		slices.Sort(got) // the listing is beside the put
		if !slices.Equal(got, want) {
			t.Errorf("a push is %v, want %v", got, want)
		}
	}
	pass(graftsync.ProofLasts)
	push("get", "put")
	pass(graftsync.ProofLasts - 1)
	push("put")
	pass(1)
	push("list", "put") // the last push was the proof, and itself was never read
	pass(graftsync.ProofLasts - 1)
	push("put")
	pass(graftsync.ProofLasts)
	push("get", "list", "put")
	pass(graftsync.ProofLasts)
	push("get", "put")
	push("put")

	b.must(b.pull())
	b.commit("theirs", 1)
	b.must(b.push())
	pass(graftsync.ProofLasts)
	a.must(a.pull())
	push("list", "put") // the commit that was fetched was the proof
}

// The look takes no time of its own where something is uploaded: here it waits until
// the upload arrives.
func TestAPushLooksForItsParentBesideTheUpload(t *testing.T) {
	bucket, a, _ := newPair(t, "base")
	pass := stopped(a)
	a.commit("next", many...)
	pass(graftsync.ProofLasts)
	uploading := make(chan struct{})
	var once sync.Once
	bucket.Fail(func(r faultbucket.Request) error {
		switch r.Op {
		case "put":
			once.Do(func() { close(uploading) })
		case "get":
			<-uploading
		}
		return nil
	}, nil)
	a.must(a.push())
	a.wantStatus("2 r2")
}

func TestACopyOfADataDirectoryIsAnotherMachine(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("base", 1)
	a.must(a.push())
	a.commit("both have it", 1)
	b := copyOf(t, a, bucket)
	b.commit("copy", 2)
	a.must(a.push())
	b.wantError(b.push(), graftsync.ErrDiverged)
	b.wantContent("both have it", "copy")
	a.wantContent("both have it")
}

func TestAPendingCommitInTwoCopiesIsOne(t *testing.T) {
	for name, fault := range map[string]func() (before, after func(faultbucket.Request) error){
		"it landed":   func() (_, after func(faultbucket.Request) error) { return nil, on("put", "volumes/") },
		"it is to be": func() (before, _ func(faultbucket.Request) error) { return on("put", "volumes/"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			bucket := faultbucket.New()
			a := newMachine(t, bucket)
			a.commit("base", 1)
			a.must(a.push())
			a.commit("next", many...)
			bucket.Fail(fault())
			a.wantError(a.push(), errLost)
			bucket.Fail(nil, nil)
			b := copyOf(t, a, bucket)
			b.must(b.push())
			a.must(a.push())
			a.wantStatus("2 r2")
			b.wantStatus("2 r2")
			b.wantContent(repeat("next")...)
		})
	}
}

// An old backup knows less than the bucket: it is behind, or has diverged.
func TestABackupOfADataDirectoryIsBehind(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("base", 1)
	a.must(a.push())
	backup := copyOf(t, a, bucket)
	a.commit("later", 1)
	a.must(a.push())
	backup.must(backup.pull())
	backup.wantContent("later")
	backup.commit("goes on", 1)
	backup.must(backup.push())
	a.must(a.pull())
	a.wantContent("goes on")
}

// What an earlier fetch found may be gone since: nothing moves to it.
func TestAFetchedCommitThatIsGoneIsRefused(t *testing.T) {
	ctx := t.Context()
	for op, do := range map[string]func(b *machine) error{
		"pull": (*machine).pull,
		"reset": func(b *machine) error {
			b.commit("mine", 1)
			_, err := b.remote.Reset(ctx, b.head, func(context.Context, snapshot.State) error {
				t.Error("a reset that is refused kept something")
				return nil
			})
			return err
		},
		"clone": func(b *machine) error {
			_, err := b.remote.Clone(ctx, b.head.State().Remote)
			return err
		},
	} {
		for how, lose := range losses {
			t.Run(op+"/"+how, func(t *testing.T) {
				bucket, a, b := newPair(t, "base")
				a.commit("two", 1)
				a.must(a.push())
				_, err := b.remote.Fetch(ctx, b.head)
				b.must(err)
				before, err := b.store.Grafts()
				b.must(err)
				lose(bucket, a.head.State().Remote)
				b.wantError(do(b), graftsync.ErrRemoteMismatch)
				if op == "reset" {
					b.wantContent("mine")
				} else {
					b.wantContent("base")
				}
				after, err := b.store.Grafts()
				b.must(err)
				if len(after) != len(before) || b.head.State().SyncPoint.Remote != 1 {
					t.Errorf("%d Grafts after %d, at %+v", len(after), len(before), b.head.State().SyncPoint)
				}
			})
		}
	}
}

// A bucket that was rolled back, and that others went on with, is not a damaged one.
func TestABucketThatWentOnFromAnOlderStateIsRefused(t *testing.T) {
	for _, more := range []int{2, 5} { // read one by one, and with a jump
		bucket, a, b := newPair(t, "base")
		a.commit("two", 1)
		a.must(a.push())
		losses["rolled back"](bucket, a.head.State().Remote)
		for i := range more {
			b.commit(fmt.Sprint("v", i), 1)
			b.must(b.push())
		}
		for range 2 {
			err := a.pull()
			a.wantError(err, graftsync.ErrRemoteMismatch)
			if errors.Is(err, volume.ErrCorrupt) {
				t.Errorf("it is called damaged: %v", err)
			}
			a.wantContent("two")
			a.wantStatus("2 r2")
			a.reopen(bucket)
		}
	}
}
