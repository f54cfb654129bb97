package sync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"graft/internal/faultbucket"
	"graft/internal/meter"
	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// damageCommit damages the record of a remote commit in m's log, and gives what it
// was.
func damageCommit(t *testing.T, m *machine, l volume.LSN) volume.Record {
	t.Helper()
	v := m.head.State().Remote
	was, err := m.store.Commit(v, l)
	m.must(err)
	m.must(m.store.Apply(store.Change{Commits: []volume.Record{{Commit: volume.Commit{Volume: v, LSN: l}, Bytes: []byte("damaged")}}}))
	if _, err := m.store.Commit(v, l); !errors.Is(err, volume.ErrCorrupt) {
		t.Fatalf("it is not damaged: %v", err)
	}
	return was
}

// anotherRecord gives a record with the frames of a commit and another time.
func anotherRecord(t *testing.T, was volume.Record) []byte {
	t.Helper()
	c := was.Commit
	c.Time = c.Time.Add(time.Hour)
	frames := was.Bytes[20:][:c.Segments[0].Frames.Size()-8]
	other, err := volume.EncodeEmbedding(c, volume.Embedded{Frames: frames})
	if err != nil {
		t.Fatal(err)
	}
	return other.Bytes
}

// An inline page of a commit that is damaged here is read from the bucket. The record
// is mended when it is known to be the one that was.
func TestADamagedInlineCommitIsReadFromTheBucket(t *testing.T) {
	for name, tt := range map[string]struct {
		lsn     volume.LSN // of the commit that is damaged, of two
		forget  bool       // what was read of it
		another bool       // the bucket has another record, with the same frames
		mended  bool
	}{
		"the newest":                     {lsn: 2, mended: true},
		"before a commit that is here":   {lsn: 1, forget: true, mended: true},
		"of another record, before one":  {lsn: 1, forget: true, another: true},
		"of another record, that it was": {lsn: 2, another: true},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, a, b := newPair(t, "one")
			v := a.head.State().Remote
			a.commit("two", 2)
			a.must(a.push())
			b.must(b.pull())
			_, err := b.remote.NextLeaves(t.Context(), b.head.State().Snapshot.Point()) // its index is loaded
			b.must(err)
			was := damageCommit(t, b, tt.lsn)
			if tt.forget {
				b.remote.ForgetIndexes()
			}
			if tt.another {
				bucket.SetObject(volume.CommitKey(v, tt.lsn), anotherRecord(t, was))
			}
			snap := b.head.State().Snapshot
			b.must(b.remote.Prefetch(t.Context(), snap.Point(), snap.Root(), []volume.PageIdx{1, 2})) // it leaves that page out
			b.wantContent("one", "two")
			got, err := b.store.Commit(v, tt.lsn)
			if tt.mended && (err != nil || !bytes.Equal(got.Bytes, was.Bytes)) || !tt.mended && !errors.Is(err, volume.ErrCorrupt) {
				t.Errorf("the record afterwards: %v", err)
			}
			bucket.Requests()
			b.wantContent("one", "two")
			if got := bucket.Requests(); len(got) != 0 {
				t.Errorf("read again: %v", got)
			}
		})
	}
}

func TestADamagedInlineCommitThatTheBucketLacksIsAnError(t *testing.T) {
	bucket, _, b := newPair(t, "one")
	v := b.head.State().Remote
	damageCommit(t, b, 1)
	bucket.SetObject(volume.CommitKey(v, 1), nil)
	_, err := b.tryContent()
	b.wantError(err, volume.ErrCorrupt)
	bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
	_, err = b.tryContent()
	b.wantError(err, errLost)
}

// The record of the commit that a Graft stands on is read from the bucket when it is
// damaged here, whoever asks for it first, and is that record or none.
func TestTheDamagedCommitAtTheSyncPointIsReadFromTheBucket(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, bucket *faultbucket.Bucket, m *machine) error{
		"open": func(t *testing.T, bucket *faultbucket.Bucket, m *machine) (err error) {
			local := m.head.State().Local
			m.close()
			m.open(bucket.Blob())
			m.head, err = m.heads.Open(t.Context(), local)
			return err
		},
		"push": func(_ *testing.T, _ *faultbucket.Bucket, m *machine) error {
			m.remote.ForgetIndexes()
			m.commit(fmt.Sprint("after ", m.head.State().LocalHead), 1)
			return m.push()
		},
		"pull": func(_ *testing.T, _ *faultbucket.Bucket, m *machine) error {
			m.remote.ForgetIndexes()
			return m.pull()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, a, m := newPair(t, "one")
			switch name {
			case "push":
				m = a
			case "pull":
				a.commit("two", 1)
				a.must(a.push())
			}
			was := damageCommit(t, m, 1)
			key := volume.CommitKey(m.head.State().Remote, 1)
			bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
			m.remote.ForgetIndexes()
			head := m.head
			m.wantError(use(t, bucket, m), errLost)
			bucket.Fail(nil, nil)
			bucket.SetObject(key, anotherRecord(t, was))
			m.head = head
			m.wantError(use(t, bucket, m), volume.ErrCorrupt)
			bucket.SetObject(key, was.Bytes)
			m.head = head
			m.must(use(t, bucket, m))
			got, err := m.store.Commit(was.Commit.Volume, 1)
			if err != nil || !bytes.Equal(got.Bytes, was.Bytes) {
				t.Errorf("the record afterwards: %v", err)
			}
		})
	}
}

// A fork that was not pushed stands on a commit of its parent.
func TestADamagedCommitUnderAForkIsReadFromTheBucket(t *testing.T) {
	bucket, _, b := newPair(t, "one")
	parent := b.head.State().Remote
	fork, err := b.heads.Fork(t.Context(), b.head, "fork")
	b.must(err)
	_, err = b.remote.Checkout(t.Context(), snapshot.Point{Volume: parent, LSN: 1})
	b.must(err)
	unlock, err := b.head.LockWrite(t.Context())
	b.must(err)
	b.must(b.heads.Delete(b.head, nil))
	unlock()
	damageCommit(t, b, 1)
	b.head = fork
	b.reopen(bucket)
	b.wantContent("one")
}

// Damage to a table takes the place of a record, so that it seems never to have been
// there.
func TestALostCommitAtTheSyncPointIsReadFromTheBucket(t *testing.T) {
	bucket, a, _ := newPair(t, "one")
	b := newMachine(t, bucket)
	g := a.head.State().GraftState
	g.Local = volume.NewVolumeID()
	b.must(b.store.Apply(store.Change{Grafts: []volume.GraftState{g}}))
	b.attach(g.Local)
	b.wantContent("one")
}

// A chunk of a checkpoint that is damaged here is fetched again, and cached again.
func TestADamagedChunkIsFetchedAgain(t *testing.T) {
	t.Run("object", func(t *testing.T) { damagedChunk(t, 0) })
	t.Run("embedded", func(t *testing.T) { damagedChunk(t, 1<<20) })
}

// newScattered gives a bucket and two machines with one Graft of n+1 pages, whose page
// index does not compress and is in the commit if it has room in maxEmbedded bytes, else
// in an object: the first has pushed it, the second is a clone.
func newScattered(t *testing.T, n, maxEmbedded int) (bucket *faultbucket.Bucket, a, b *machine, pages []volume.PageIdx) {
	t.Helper()
	bucket = faultbucket.New()
	a, b = newMachine(t, bucket), newMachine(t, bucket)
	a.remote.SetMaxSince(1)
	a.remote.SetMaxEmbedded(maxEmbedded)
	random := rand.New(rand.NewPCG(1, 1))
	pages = []volume.PageIdx{1}
	for range n {
		pages = append(pages, pages[len(pages)-1]+1+volume.PageIdx(random.IntN(200)))
	}
	a.commit("text", pages...)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	return bucket, a, b, pages
}

func damagedChunk(t *testing.T, maxEmbedded int) {
	bucket, a, b, pages := newScattered(t, 3000, maxEmbedded)
	read := func(p volume.PageIdx) []string {
		t.Helper()
		bucket.Requests()
		r := b.head.Reader()
		defer r.Close()
		if page, err := r.Page(t.Context(), p); err != nil || *page != *pageOf("text", p) {
			t.Errorf("page %d: %v", p, err)
		}
		return ops(bucket.Requests())
	}
	st := a.head.State()
	rec, err := a.store.Commit(st.Remote, st.SyncPoint.Remote)
	b.must(err)
	ref, first, at := rec.Commit.Checkpoint, 2, int64(8) // the checkpoint, and a frame
	if ref.Embedded() {
		first, at = 1, volume.CheckpointAt(0)
	}
	if b.remote.KeepsEmbedded() != ref.Embedded() {
		t.Error("what came with the commit is not kept, or there was nothing")
	}
	if got := read(1); len(got) != first || ref.Embedded() != (maxEmbedded > 0) {
		t.Errorf("the first page takes %v", got)
	}
	if b.remote.KeepsEmbedded() {
		t.Error("the checkpoint was decoded again, or is kept twice")
	}
	flipInStore(t, b, bucket.Object(ref.Key())[at:][:1100]) // of the chunk
	for i, want := range []int{2, 1} {                      // the chunk again, once, and a frame
		b.remote.ForgetIndexes()
		if got := read(pages[100+50*i]); len(got) != want {
			t.Errorf("a page takes %v", got)
		}
	}
}

// A page that is damaged here and that the bucket has is fetched again, once, and
// takes the place of what was damaged.
func TestADamagedPageIsFetchedAgain(t *testing.T) {
	bucket, a, b := newPair(t, "base")
	a.commit("many", many...)
	a.must(a.push())
	b.must(b.pull())
	b.wantContent(repeat("many")...)
	for name, m := range map[string]*machine{"fetched": b, "pushed from here": a} {
		t.Run(name, func(t *testing.T) {
			defer func(outer *testing.T) { m.t = outer }(m.t)
			m.t = t
			var said bytes.Buffer
			m.log = slog.New(slog.NewTextHandler(&said, nil))
			m.reopen(bucket) // it forgets what it has read
			flipInStore(t, m, pageOf("many", 40)[:])
			bucket.Fail(func(faultbucket.Request) error { return errLost }, nil)
			_, err := m.tryContent()
			m.wantError(err, volume.ErrCorrupt)
			m.wantError(err, errLost)
			bucket.Fail(nil, nil)
			bucket.Requests()
			m.wantContent(repeat("many")...)
			if got := ops(bucket.Requests()); !slices.Equal(got, []string{"get"}) {
				t.Errorf("it took %v", got)
			}
			m.wantContent(repeat("many")...)
			m.reopen(bucket)
			m.wantContent(repeat("many")...)
			if got := ops(bucket.Requests()); len(got) != 0 {
				t.Errorf("read again: %v", got)
			}
			if n := strings.Count(said.String(), "damaged in the local store"); n != 1 {
				t.Errorf("it was said %d times: %s", n, said.String())
			}
		})
	}
}

// What nobody else has stays damaged.
func TestADamagedPageThatWasNotPushedIsCorrupt(t *testing.T) {
	bucket, a, _ := newPair(t, "base")
	a.commit("mine", many...)
	a.reopen(bucket)
	flipInStore(t, a, pageOf("mine", 40)[:])
	for range 2 {
		_, err := a.tryContent()
		a.wantError(err, volume.ErrCorrupt)
	}
	a.wantError(a.push(), volume.ErrCorrupt)
	a.wantStatus("1+1 r1")
}

// flipInStore changes a byte of what the value logs of m have.
func flipInStore(t *testing.T, m *machine, b []byte) {
	t.Helper()
	m.settle()
	paths, err := filepath.Glob(filepath.Join(m.dir, "badger", "*.vlog"))
	m.must(err)
	flipped := slices.ContainsFunc(paths, func(path string) bool {
		all, err := os.ReadFile(path)
		m.must(err)
		off := bytes.Index(all, b)
		if off >= 0 {
			flipAt(t, path, all, off+100)
		}
		return off >= 0
	})
	if !flipped {
		t.Fatal("it is in no value log")
	}
}

// flipAt changes a byte of a file whose content is all, or changes it back.
func flipAt(t *testing.T, path string, all []byte, off int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all[off] ^= 1
	if _, err := f.WriteAt(all[off:off+1], int64(off)); err != nil {
		t.Fatal(err)
	}
}

// A chunk that is damaged, or for which a budget has no room, keeps nobody from a page
// of the chunk beside it.
func TestADamagedChunkHarmsNoOther(t *testing.T) {
	bucket, a, b, pages := newScattered(t, 2000, 0)
	st := a.head.State()
	rec, err := a.store.Commit(st.Remote, st.SyncPoint.Remote)
	b.must(err)
	ref := rec.Commit.Checkpoint
	object := bucket.Object(ref.Key())
	c, err := volume.DecodeCheckpoint(ref, object[ref.Offset:][:ref.Length])
	b.must(err)
	if len(c.Chunks) < 2 {
		t.Fatalf("%d chunks", len(c.Chunks))
	}
	read := func(ctx context.Context, p volume.PageIdx) error {
		r := b.head.Reader()
		defer r.Close()
		_, err := r.Page(ctx, p)
		return err
	}
	b.must(read(t.Context(), 1)) // gets all chunks
	whole, other := c.Chunks[0], c.Chunks[1]
	inOther := pages[slices.IndexFunc(pages, func(p volume.PageIdx) bool { return volume.LeafOf(p) >= other.Leaf })]
	lose := func(chunks ...volume.Chunk) {
		for _, ch := range chunks {
			flipInStore(t, b, object[ch.Offset:][:min(ch.Length, 1100)])
		}
		b.remote.ForgetIndexes()
	}
	lose(whole, other)
	budget := meter.Budget{Bytes: whole.Length + 600}
	poor := meter.With(t.Context(), meter.Tab{Statement: new(meter.Meter), Budget: budget})
	if err := read(poor, pages[9]); err != nil {
		t.Errorf("a page, with a budget for its chunk: %v", err)
	}
	lose(whole)
	object[other.Offset+other.Length/2] ^= 1
	bucket.SetObject(ref.Key(), object)
	if err := read(t.Context(), pages[19]); err != nil {
		t.Errorf("a page beside a damaged chunk: %v", err)
	}
	b.wantError(read(t.Context(), inOther), volume.ErrCorrupt)
}
