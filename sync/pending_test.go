package sync_test

import (
	"context"
	"io"
	"testing"

	"graft/internal/faultbucket"
	"graft/volume"
)

// checkpointInDoubt is a machine whose push of a commit with a checkpoint has no
// known outcome; the put failed before it happened, or its answer was lost.
func checkpointInDoubt(t *testing.T, bucket *faultbucket.Bucket, happened bool) *machine {
	t.Helper()
	a := newMachine(t, bucket)
	a.remote.SetMaxSince(1)
	a.remote.SetMaxEmbedded(0)
	a.commit("one", 1, 2, 300)
	fault := on("put", "volumes/"+a.head.State().Remote.String()+"/log/")
	if happened {
		bucket.Fail(nil, fault)
	} else {
		bucket.Fail(fault, nil)
	}
	a.wantError(a.push(), errLost)
	bucket.Fail(nil, nil)
	a.must(a.heads.Sweep(context.Background()))
	return a
}

func TestACheckpointOfAPushInDoubtIsUploadedAgainAfterASweep(t *testing.T) {
	bucket := faultbucket.New()
	a, b := checkpointInDoubt(t, bucket, false), newMachine(t, bucket)
	v := a.head.State().Remote
	key := bucket.Keys("volumes/" + v.String() + "/checkpoints/")[0]
	object := bucket.Object(key)
	bucket.SetObject(key, nil)
	a.must(a.push())
	if string(bucket.Object(key)) != string(object) {
		t.Error("the checkpoint came out otherwise")
	}
	b.clone(v)
	b.wantContent(contentOf(t, a)...)
}

func TestAPushThatLandedInDoubtIsReadOffline(t *testing.T) {
	bucket := faultbucket.New()
	a := checkpointInDoubt(t, bucket, true)
	want := contentOf(t, a)
	a.must(a.push())
	a.reopen(bucket)
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	a.wantContent(want...)
}

// Another version may compress otherwise: then nothing is put that no commit
// names.
func TestASegmentThatComesOutOtherwiseIsNotPut(t *testing.T) {
	bucket := faultbucket.New()
	a := newMachine(t, bucket)
	a.commit("one", many...)
	bucket.Fail(on("put", "volumes/"), nil)
	a.wantError(a.push(), errLost)
	bucket.Fail(nil, nil)
	p := *a.head.State().Pending
	c := p.Record.Commit
	sw := volume.NewSegmentWriter(io.Discard, c.Segments[0].ID)
	for _, q := range many {
		a.must(sw.Add(q, pageOf("other", q)))
	}
	seg, err := sw.Close()
	a.must(err)
	c.Segments = []volume.Segment{seg}
	c.Checkpoint = volume.CheckpointRef{}
	p.Record, err = volume.EncodeCommit(c)
	a.must(err)
	up, err := a.head.Rollup(a.head.State().Local, volume.LSNRange{First: 1, Last: 1})
	a.must(err)
	a.must(a.head.SetPending(&p, up.Sources))
	bucket.SetObject(bucket.Keys("segments/")[0], nil)
	for range 2 {
		a.wantError(a.push(), volume.ErrCorrupt)
		if left := bucket.Keys(""); len(left) != 0 {
			t.Errorf("the bucket has %v", left)
		}
	}
}

func TestACommitThatWasNeverPushedIsCorrupt(t *testing.T) {
	bucket := faultbucket.New()
	b := newMachine(t, bucket)
	c := volume.Commit{Volume: volume.NewVolumeID(), LSN: 1, PageCount: 3,
		Segments: []volume.Segment{{ID: volume.NewSegmentID(), Pages: volume.PageSetOf(1, 2, 3)}}}
	rec, err := volume.EncodeCommit(c)
	b.must(err)
	bucket.SetObject(volume.CommitKey(c.Volume, 1), rec.Bytes)
	_, err = b.remote.Clone(context.Background(), c.Volume)
	b.wantError(err, volume.ErrCorrupt)
}

// Page 1 came with the checkpoint: a transaction that leaves it as it is makes no
// commit.
func TestABundledPageThatIsWrittenBackMakesNoCommit(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.remote.SetMaxSince(1)
	a.remote.SetMaxEmbedded(0)
	header := pageOf("SQLite format 3\x00", 1)
	copy(header[:], "SQLite format 3\x00")
	w, err := a.head.Writer(context.Background())
	a.must(err)
	a.must(w.Write(1, header))
	_, err = w.Commit(context.Background())
	a.must(err)
	w.Discard()
	a.must(a.push())
	b.clone(a.head.State().Remote)
	r := b.head.Reader()
	page, err := r.Page(context.Background(), 1)
	r.Close()
	b.must(err)
	if w, err = b.head.Writer(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	same := *page
	b.must(w.Write(1, &same))
	if lsn, err := w.Commit(context.Background()); lsn != 0 || err != nil {
		t.Errorf("LSN %d, %v", lsn, err)
	}
}
