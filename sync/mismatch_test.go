package sync_test

import (
	"os"
	"slices"
	"testing"

	"graft/internal/faultbucket"
	graftsync "graft/sync"
	"graft/volume"
)

// copyOf gives a machine on a copy of m's data directory, as it is on disk.
func copyOf(t *testing.T, m *machine, bucket *faultbucket.Bucket) *machine {
	t.Helper()
	local := m.head.State().Local
	m.close()
	c := &machine{t: t, dir: t.TempDir()}
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

func TestABucketThatLostHistoryIsRefused(t *testing.T) {
	for name, lose := range map[string]func(b *faultbucket.Bucket, v volume.VolumeID){
		"emptied": func(b *faultbucket.Bucket, _ volume.VolumeID) {
			for _, key := range b.Keys("") {
				b.SetObject(key, nil)
			}
		},
		"rolled back": func(b *faultbucket.Bucket, v volume.VolumeID) { b.SetObject(volume.CommitKey(v, 2), nil) },
		"another": func(b *faultbucket.Bucket, v volume.VolumeID) {
			b.SetObject(volume.CommitKey(v, 2), b.Object(volume.CommitKey(v, 1)))
		},
	} {
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

func TestAPullOfAFetchedCommitThatIsGoneIsRefused(t *testing.T) {
	bucket, a, b := newPair(t, "base")
	a.commit("two", 1)
	a.must(a.push())
	_, err := b.remote.Fetch(t.Context(), b.head)
	b.must(err)
	bucket.SetObject(volume.CommitKey(a.head.State().Remote, 2), nil)
	b.wantError(b.pull(), graftsync.ErrRemoteMismatch)
	b.wantContent("base")
}
