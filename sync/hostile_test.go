package sync_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"graft/internal/faultbucket"
	"graft/snapshot"
	"graft/volume"
)

// hostile are objects of a bucket, each with what reads it. Its Volume is of the pages
// of many, or of one.
var hostile = map[string]struct {
	set   func(a *machine) // before the push
	pages []volume.PageIdx
	kind  string // of the object, in its key
}{
	"commit":                          {pages: many, kind: "/log/"},
	"commit with inline frames":       {pages: many[:1], kind: "/log/"},
	"commit with embedded checkpoint": {set: func(a *machine) { a.remote.SetMaxSince(1) }, pages: many[:1], kind: "/log/"},
	"checkpoint":                      {set: func(a *machine) { a.remote.SetMaxEmbedded(0) }, pages: many, kind: "/checkpoints/"},
	"segment":                         {pages: many, kind: "segments/"},
	"pack": {set: func(a *machine) {
		a.remote.SetLoose(3, 3)
		a.pushEach("pushed", 2, 3)
	}, pages: many[:1], kind: "segments/"},
	"warm set": {pages: many, kind: "/warm/"},
}

// damages are what may become of an object.
var damages = map[string]func(b []byte) []byte{
	"first byte":  func(b []byte) []byte { return flipped(b, 0) },
	"a third":     func(b []byte) []byte { return flipped(b, len(b)/3) },
	"last byte":   func(b []byte) []byte { return flipped(b, len(b)-1) },
	"cut":         func(b []byte) []byte { return b[:len(b)/2] },
	"gone":        func([]byte) []byte { return nil },
	"larger":      func(b []byte) []byte { return append(b, 0) },
	"much larger": func(b []byte) []byte { return append(b, make([]byte, volume.MaxWarmSize)...) },
}

func flipped(b []byte, at int) []byte {
	b[at] ^= 1
	return b
}

// Whatever is wrong with an object, who reads it is told its key, and an offset in it.
func TestDamageTellsItsPlace(t *testing.T) {
	for name, tt := range hostile {
		bucket := faultbucket.New()
		a := newMachine(t, bucket)
		if tt.set != nil {
			tt.set(a)
		}
		a.commit("pushed", tt.pages...)
		a.must(a.push())
		a.use("pushed", tt.pages...)
		a.publish(0)
		keys := slices.DeleteFunc(bucket.Keys(""), func(key string) bool { return !strings.Contains(key, tt.kind) })
		if len(keys) != 1 {
			t.Fatalf("%s: keys %q of %q", name, keys, bucket.Keys(""))
		}
		whole := bucket.Object(keys[0])
		for how, damage := range damages {
			ranged := tt.kind == "segments/" || tt.kind == "/checkpoints/"
			switch { // what nobody reads, or nobody misses
			case how == "gone" && !ranged, how == "first byte" && ranged, strings.Contains(how, "larger") && ranged:
				continue
			}
			bucket.SetObject(keys[0], damage(slices.Clone(whole)))
			b := newMachine(t, bucket)
			err := b.readAll(t.Context(), a.head.State().Remote, tt.kind == "/warm/")
			var place *volume.Error
			if !errors.Is(err, volume.ErrCorrupt) || !errors.As(err, &place) || place.Key != keys[0] || !strings.Contains(err.Error(), "offset ") {
				t.Errorf("%s, %s: %v, want it to be corrupt and to name %s and an offset", name, how, err, keys[0])
			}
			bucket.SetObject(keys[0], whole)
		}
	}
}

// readAll clones v and reads the warm set, or all pages.
func (m *machine) readAll(ctx context.Context, v volume.VolumeID, warm bool) error {
	g, err := m.remote.Clone(ctx, v)
	if err != nil {
		return err
	}
	m.attach(g.Local)
	if warm {
		_, err := m.remote.Warm(ctx, m.head)
		return err
	}
	_, err = m.tryContent()
	return err
}

// A page count says nothing of what is written: clones of a Volume of the highest
// one count, sweep and hydrate what there is.
func TestAVolumeOfTheHighestPageCount(t *testing.T) {
	const most = 1<<32 - 1
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	a.remote.SetMaxSince(1)
	a.remote.SetMaxEmbedded(0)
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

// Two Volumes have the same pages, so that their frames are equal: who reads the one
// is told nothing of damage to the other, and its pages are stored as its own.
func TestEqualFramesOfTwoObjectsAreTwoRequests(t *testing.T) {
	bucket := faultbucket.New()
	a, other := newMachine(t, bucket), newMachine(t, bucket)
	for _, m := range []*machine{a, other} {
		m.commit("same", many...)
		m.must(m.push())
	}
	b := newMachine(t, bucket)
	b.clone(other.head.State().Remote)
	good := b.head
	b.clone(a.head.State().Remote)
	damaged := segmentOf(t, a)
	object := bucket.Object(damaged)
	object[20] ^= 1
	bucket.SetObject(damaged, object)
	page := func(h *snapshot.Head) error {
		r := h.Reader()
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := r.Page(ctx, 1)
		return err
	}
	bucket.Fail(func(r faultbucket.Request) error {
		if r.Key == damaged {
			if err := page(good); err != nil {
				t.Errorf("the other object, beside this: %v", err)
			}
		}
		return nil
	}, nil)
	err := page(b.head)
	b.wantError(err, volume.ErrCorrupt)
	var place *volume.Error
	if !errors.As(err, &place) || place.Key != damaged || !strings.Contains(err.Error(), "offset 8") {
		t.Errorf("%v, want it to name %s and offset 8", err, damaged)
	}
	r := good.Reader()
	defer r.Close()
	if p, err := r.Presence(t.Context()); err != nil || p.Present < volume.FramePages {
		t.Errorf("of the other object there is %+v, %v", p, err)
	}
}

// segmentOf gives the key of the one Segment of m's newest pushed commit.
func segmentOf(t *testing.T, m *machine) string {
	t.Helper()
	st := m.head.State()
	rec, err := m.store.Commit(st.Remote, st.SyncPoint.Remote)
	if err != nil || len(rec.Commit.Segments) != 1 {
		t.Fatalf("%d segments, %v", len(rec.Commit.Segments), err)
	}
	return rec.Commit.Segments[0].ID.Key()
}

// Bytes that have the hash that a commit names, and are no index, are ErrCorrupt with
// the object's key and offset.
func TestAHostileCheckpointTellsItsPlace(t *testing.T) {
	chunk := []byte("no chunk")
	for name, object := range map[string]func(k volume.CheckpointKey) (object []byte, root int64){
		"root": func(volume.CheckpointKey) ([]byte, int64) { return []byte("headerAB" + "no root"), 8 },
		"chunk": func(k volume.CheckpointKey) ([]byte, int64) {
			kept := []volume.Chunk{{Leaf: 1, Leaves: 1, Object: k, Offset: 8, Length: int64(len(chunk)), Sum: volume.HashOf(chunk), Pages: 9}}
			_, built, ref, err := volume.BuildCheckpoint(volume.Checkpoint{Key: k, PageCount: 900}, 0, kept, func(func(volume.LeafIdx, volume.PageTable) bool) {})
			if err != nil {
				t.Fatal(err)
			}
			return slices.Concat([]byte("headerAB"), chunk, built[ref.Offset:]), 8 + int64(len(chunk))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := faultbucket.New()
			b := newMachine(t, bucket)
			k := volume.NewCheckpointKey(volume.NewVolumeID(), 1)
			bytes, root := object(k)
			ref := volume.CheckpointRef{CheckpointKey: k, Offset: root, Length: int64(len(bytes)) - root, Sum: volume.HashOf(bytes[root:])}
			rec, err := volume.EncodeCommit(volume.Commit{Volume: k.Volume, LSN: 1, PageCount: 900, PushID: volume.NewPushID(), Checkpoint: ref})
			b.must(err)
			bucket.SetObject(k.Key(), bytes)
			bucket.SetObject(volume.CommitKey(k.Volume, 1), rec.Bytes)
			b.clone(k.Volume)
			r := b.head.Reader()
			defer r.Close()
			_, err = r.Page(t.Context(), 300)
			b.wantError(err, volume.ErrCorrupt)
			var place *volume.Error
			if !errors.As(err, &place) || place.Key != k.Key() || place.Volume != k.Volume || !strings.Contains(err.Error(), name+" at offset 8") {
				t.Errorf("%v, want it to name %s and offset 8", err, k.Key())
			}
		})
	}
}
