package graft_test

import (
	"errors"
	"slices"
	"testing"

	"graft"
	"graft/internal/faultbucket"
	"graft/volume"
)

// history pushes commits with the texts one, two and three, and gives the remote
// Volume.
func history(t *testing.T, opts *graft.Options) graft.VolumeID {
	t.Helper()
	g := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	var remote graft.VolumeID
	for _, text := range []string{"one", "two", "three"} {
		write(t, g, text)
		remote = push(t, g)
	}
	return remote
}

func TestCheckoutOfARemoteCommit(t *testing.T) {
	_, opts := newBucket(t)
	remote := history(t, opts)
	for lsn, want := range map[graft.LSN]string{1: "one", 2: "two", 3: "three"} {
		for _, known := range []bool{false, true} {
			db := openDB(t, t.TempDir(), opts)
			if known {
				must(t, graftOf(t, db, "clone").Clone(ctx, remote))
			}
			g := graftOf(t, db, "main")
			must(t, g.Checkout(ctx, remote, lsn))
			if got := read(t, g); got != want {
				t.Fatalf("LSN %d has %q, want %q", lsn, got, want)
			}
			db = again(t, db, opts)
			g = graftOf(t, db, "main")
			if got := read(t, g); got != want {
				t.Errorf("LSN %d has %q when it is opened anew, want %q", lsn, got, want)
			}
			write(t, g, "branch")
			branch := push(t, g)
			other := graftOf(t, openDB(t, t.TempDir(), opts), "main")
			must(t, other.Clone(ctx, branch))
			if got := read(t, other); branch == remote || got != "branch" {
				t.Errorf("the push of a checkout has %q", got)
			}
			clone := graftOf(t, db, "clone")
			if !known {
				must(t, clone.Clone(ctx, remote)) // over the log that the checkout left
			}
			if got := read(t, clone); got != "three" {
				t.Errorf("the clone has %q", got)
			}
		}
	}
}

func TestCheckoutRefuses(t *testing.T) {
	bucket, opts := newBucket(t)
	remote := history(t, opts)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	unknown, err := graft.ParseVolumeID("VeehMw3mvcYpMNwqGpVmU2")
	must(t, err)
	wantError(t, "after the newest", g.Checkout(ctx, remote, 4), graft.ErrNotRetained)
	wantError(t, "of no volume", g.Checkout(ctx, unknown, 1), graft.ErrNotRetained)
	if g.Exists() {
		t.Error("a refused checkout moved the tag")
	}
	write(t, g, "mine")
	wantError(t, "over commits that are not pushed", g.Checkout(ctx, remote, 1), graft.ErrUnpushed)
	if got := read(t, g); got != "mine" {
		t.Errorf("there is %q", got)
	}
	bucket.Fail(func(faultbucket.Request) error { return errors.New("offline") }, nil)
	if err := graftOf(t, db, "new").Checkout(ctx, remote, 1); err == nil || errors.Is(err, graft.ErrNotRetained) {
		t.Errorf("without an answer of the bucket: %v", err)
	}
	bucket.Fail(nil, nil)
	without := graftOf(t, openDB(t, t.TempDir(), nil), "main")
	wantError(t, "without a bucket", without.Checkout(ctx, remote, 1), graft.ErrNoRemote)
}

// A bucket that lost its history, or another one, is not taken for one that never
// had the commit.
func TestCheckoutFromAnotherBucket(t *testing.T) {
	bucket, opts := newBucket(t)
	remote := history(t, opts)
	db := openDB(t, t.TempDir(), opts)
	must(t, graftOf(t, db, "clone").Clone(ctx, remote))
	bucket.SetObject(volume.CommitKey(remote, 3), nil)
	db = again(t, db, opts)
	wantError(t, "that has the commit, and not what is known", graftOf(t, db, "main").Checkout(ctx, remote, 1), graft.ErrRemoteMismatch)
}

func TestCheckoutFromABucketThatIsEmptied(t *testing.T) {
	bucket, opts := newBucket(t)
	remote := history(t, opts)
	db := openDB(t, t.TempDir(), opts)
	must(t, graftOf(t, db, "clone").Clone(ctx, remote))
	for _, key := range bucket.Keys("") {
		bucket.SetObject(key, nil)
	}
	wantError(t, "at once", graftOf(t, db, "main").Checkout(ctx, remote, 1), graft.ErrRemoteMismatch)
	db = again(t, db, opts)
	wantError(t, "opened anew", graftOf(t, db, "main").Checkout(ctx, remote, 1), graft.ErrRemoteMismatch)
}

func TestCheckoutOfALocalCommit(t *testing.T) {
	_, opts := newBucket(t)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	write(t, g, "one")
	push(t, g)
	write(t, g, "two")
	id := infoOf(t, g).Graft
	to := graftOf(t, db, "to")
	must(t, to.Checkout(ctx, id, 2))
	wantTags(t, db, "main=two", "to=two")
	other := graftOf(t, db, "other")
	for lsn := range graft.LSN(4) {
		if lsn != 2 {
			wantError(t, "nothing holds it", other.Checkout(ctx, id, lsn), graft.ErrNotRetained)
		}
	}
	w, err := g.Writer(ctx)
	must(t, err)
	wantError(t, "while it is written", other.Checkout(ctx, id, 2), graft.ErrBusy)
	w.Discard()
	push(t, g)
	wantError(t, "a pushed one", other.Checkout(ctx, id, 2), graft.ErrNotRetained)
	wantError(t, "its own", g.Checkout(ctx, id, 2), graft.ErrNotRetained)
}

func TestForkHereAndRenew(t *testing.T) {
	for name, prepare := range sources {
		t.Run(name, func(t *testing.T) {
			_, opts := newBucket(t)
			db := openDB(t, t.TempDir(), opts)
			g := graftOf(t, db, "main")
			prepare(t, g)
			first := infoOf(t, g).Graft
			must(t, g.ForkHere(ctx))
			second := infoOf(t, g).Graft
			write(t, g, "fork's")
			must(t, g.Renew(ctx))
			if third := infoOf(t, g).Graft; first == second || second == third || pageCount(t, g) != 0 {
				t.Errorf("grafts %s, %s, %s", first, second, third)
			}
			must(t, db.SetTag(ctx, "first", first))
			must(t, db.SetTag(ctx, "second", second))
			wantTags(t, db, "first=source", "main", "second=fork's")
			db = again(t, db, opts)
			wantTags(t, db, "first=source", "main", "second=fork's")
		})
	}
	db := openDB(t, t.TempDir(), nil)
	must(t, graftOf(t, db, "new").Renew(ctx))
	must(t, graftOf(t, db, "unborn").ForkHere(ctx))
	wantTags(t, db, "new", "unborn")
	wantGrafts(t, db, "new", "unborn")
}

// pageCount gives the page count.
func pageCount(t *testing.T, g *graft.Graft) graft.PageCount {
	t.Helper()
	return infoOf(t, g).Snapshot.PageCount()
}

func TestCloneAs(t *testing.T) {
	_, opts := newBucket(t)
	remote, second := history(t, opts), history(t, opts)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	id, err := graft.ParseVolumeID("VeehMw3mvcYpMNwqGpVmU2")
	must(t, err)
	for _, v := range []graft.VolumeID{remote, second} { // the second is of another Volume, which nobody knows here
		wantError(t, "a remote volume's", g.CloneAs(ctx, v, remote), graft.ErrVolumeUsed)
	}
	must(t, g.CloneAs(ctx, id, remote))
	if got := infoOf(t, g); got.Graft != id || got.Remote != remote || read(t, g) != "three" {
		t.Errorf("the clone is %+v", got)
	}
	must(t, g.Renew(ctx))
	must(t, g.CloneAs(ctx, id, remote)) // it is there
	if got := infoOf(t, g); got.Graft != id {
		t.Errorf("the tag names %s", got.Graft)
	}
	wantError(t, "of another remote", g.CloneAs(ctx, id, second), graft.ErrVolumeUsed)
	fresh, none := graftOf(t, db, "fresh"), infoOf(t, graftOf(t, db, "none")).Graft
	wantError(t, "of nothing", fresh.CloneAs(ctx, infoOf(t, fresh).Graft, none), graft.ErrNoVolume)
	wantError(t, "of itself", fresh.CloneAs(ctx, none, none), graft.ErrVolumeUsed)
	must(t, graftOf(t, openDB(t, db.Path(), nil), "again").CloneAs(ctx, id, remote))
}

func TestLog(t *testing.T) {
	_, opts := newBucket(t)
	remote := history(t, opts)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	must(t, g.Checkout(ctx, remote, 2))
	writeMany(t, g, 100)
	push(t, g)
	write(t, g, "local")
	info := infoOf(t, g)
	want := []graft.Layer{
		{Volume: info.Graft, LSNs: graft.LSNRange{First: 2, Last: 1}},
		{Volume: info.Remote, LSNs: graft.LSNRange{First: 1, Last: 100}},
		{Volume: remote, LSNs: graft.LSNRange{First: 2, Last: 1}},
		{Volume: remote, LSNs: graft.LSNRange{First: 1, Last: 1}},
	}
	for n := range 6 {
		commits, err := g.Log(ctx, n)
		must(t, err)
		var got []graft.Layer
		for _, c := range commits {
			got = append(got, graft.Layer{Volume: c.Volume, LSNs: graft.LSNRange{First: c.LSN, Last: graft.LSN(c.Pages().Len())}})
		}
		if !slices.Equal(got, want[:min(n, 4)]) {
			t.Errorf("log of %d: %v", n, got)
		}
	}
	commits, err := g.Log(ctx, 2)
	must(t, err)
	if local := commits[0]; local.Bytes != local.Record+graft.PageSize {
		t.Errorf("a local commit of a page has %d bytes, its record %d", local.Bytes, local.Record)
	}
	if pushed := commits[1]; pushed.Bytes <= pushed.Record || pushed.Bytes >= 100*graft.PageSize {
		t.Errorf("a pushed commit has %d bytes, its record %d", pushed.Bytes, pushed.Record)
	}
	_, err = db.Commit(ctx, info.Graft, 7)
	wantError(t, "no such commit", err, graft.ErrNotRetained)
}

func TestLogWithoutABucket(t *testing.T) {
	_, opts := newBucket(t)
	remote := history(t, opts)
	dir := t.TempDir()
	db := openDB(t, dir, opts)
	must(t, graftOf(t, db, "main").Clone(ctx, remote))
	must(t, db.Close())
	commits, err := graftOf(t, openDB(t, dir, nil), "main").Log(ctx, 10)
	if err != nil || len(commits) != 1 || commits[0].LSN != 3 {
		t.Errorf("log %v, %v", commits, err)
	}
}
