package graft_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/blob/memblob"

	"graft"
	"graft/internal/faultbucket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func openDB(t *testing.T, dir string, opts *graft.Options) *graft.DB {
	t.Helper()
	db, err := graft.Open(ctx, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func graftOf(t *testing.T, db *graft.DB, tag string) *graft.Graft {
	t.Helper()
	g, err := db.Graft(ctx, tag)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// write commits text as page 1.
func write(t *testing.T, g *graft.Graft, text string) {
	t.Helper()
	lsn, err := g.Update(ctx, func(w *graft.Writer) error {
		page := new(graft.Page)
		copy(page[:], text)
		return w.Write(1, page)
	})
	if err != nil || lsn.IsZero() {
		t.Fatalf("LSN %d, %v", lsn, err)
	}
}

// writeMany commits n pages that tell their index: more than 64 are an object of
// their own once they are pushed.
func writeMany(t *testing.T, g *graft.Graft, n graft.PageCount) {
	t.Helper()
	_, err := g.Update(ctx, func(w *graft.Writer) error {
		for p := graft.PageIdx(1); n.Has(p); p++ {
			if err := w.Write(p, &graft.Page{byte(p), byte(p >> 8)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// push pushes g, and gives its remote Volume.
func push(t *testing.T, g *graft.Graft) graft.VolumeID {
	t.Helper()
	if _, err := g.Push(ctx); err != nil {
		t.Fatal(err)
	}
	info, err := g.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.Remote
}

// read gives the text of page 1.
func read(t *testing.T, g *graft.Graft) (text string) {
	t.Helper()
	err := g.View(func(r *graft.Reader) error {
		page, err := r.Page(ctx, 1)
		if err == nil {
			text = strings.TrimRight(string(page[:]), "\x00")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTwoFirstOpensOfATagMakeOneGraft(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		db := openDB(t, dir, nil)
		wg.Go(func() {
			g, err := db.Graft(ctx, "main")
			if err != nil {
				t.Error(err)
				return
			}
			_, err = g.Update(ctx, func(w *graft.Writer) error {
				page := new(graft.Page)
				page[0] = byte(i)
				return w.Write(graft.PageIdx(1+i), page)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	db := openDB(t, dir, nil)
	tags, err := db.Tags(ctx)
	if err != nil || len(tags) != 1 {
		t.Fatalf("tags %v, %v", tags, err)
	}
	if n := graftOf(t, db, "main").Reader().PageCount(); n != 8 {
		t.Errorf("the graft has %d pages, want 8", n)
	}
}

func TestTheLastCloseClosesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	a, err := graft.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := graft.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, graftOf(t, a, "main"), "one")
	for range 2 { // the second time does nothing
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	g := graftOf(t, b, "main")
	if got := read(t, g); got != "one" {
		t.Errorf("page 1 is %q", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Info(); !errors.Is(err, graft.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	if got := read(t, graftOf(t, openDB(t, dir, nil), "main")); got != "one" {
		t.Errorf("after opening again page 1 is %q", got)
	}
}

func TestEveryNameOfADirectoryIsTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "real")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip("this goos has no symbolic links here:", err)
	}
	write(t, graftOf(t, openDB(t, dir, nil), "main"), "one")
	if got := read(t, graftOf(t, openDB(t, link, nil), "main")); got != "one" {
		t.Errorf("page 1 is %q", got)
	}
}

func TestOpenAndCloseRace(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				db, err := graft.Open(ctx, dir, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := db.Graft(ctx, "main"); err != nil {
					t.Error(err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	_, err := graft.Open(ctx, t.TempDir(), &graft.Options{Remote: "mem://x", Bucket: bucket, AutoSync: -time.Second})
	for _, text := range []string{"Remote", "Bucket", "AutoSync"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %s", err, text)
		}
	}
	if _, err := graft.Open(ctx, t.TempDir(), &graft.Options{AutoSync: time.Second}); !errors.Is(err, graft.ErrNoRemote) {
		t.Errorf("autosync without a remote: %v", err)
	}
	if _, err := graft.Open(ctx, "", nil); err == nil {
		t.Error("no directory: no error")
	}
	dir := t.TempDir()
	openDB(t, dir, &graft.Options{Remote: "mem://" + t.Name()})
	if _, err := graft.Open(ctx, dir, &graft.Options{Bucket: bucket}); err == nil || !strings.Contains(err.Error(), "remote") {
		t.Errorf("another bucket: %v", err)
	}
	openDB(t, dir, nil)
}

func TestAFailedOpenLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := graft.Open(ctx, dir, &graft.Options{Remote: "nonsense://x"}); err == nil {
		t.Fatal("no error")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := graft.Open(ctx, file, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as directory: %v", err)
	}
	write(t, graftOf(t, openDB(t, dir, nil), "main"), "one")
}

func TestBadTags(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	for _, tag := range []string{"", "/main", "a\x00b", "\xff", strings.Repeat("x", 256)} {
		if _, err := db.Graft(ctx, tag); err == nil {
			t.Errorf("tag %q: no error", tag)
		}
	}
	for _, tag := range []string{"main", "a/b", "it's 100%", "ümläut", "two\nlines", strings.Repeat("x", 255)} {
		write(t, graftOf(t, db, tag), tag)
	}
	tags, err := db.Tags(ctx)
	if err != nil || len(tags) != 6 {
		t.Fatalf("%d tags, %v", len(tags), err)
	}
	for _, tag := range tags {
		if got := read(t, graftOf(t, db, tag.Name)); got != tag.Name {
			t.Errorf("tag %q has %q", tag.Name, got)
		}
	}
}

func TestABucketOfTheProgram(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	a := graftOf(t, openDB(t, t.TempDir(), &graft.Options{Bucket: bucket}), "main")
	write(t, a, "one")
	remote := push(t, a)
	b := graftOf(t, openDB(t, t.TempDir(), &graft.Options{Bucket: bucket}), "main")
	if err := b.Clone(ctx, remote); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b); got != "one" {
		t.Errorf("page 1 is %q", got)
	}
}

func TestCloneMovesTheTagForEveryHandle(t *testing.T) {
	opts := &graft.Options{Remote: "mem://" + t.Name()}
	a := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	write(t, a, "theirs")
	remote := push(t, a)
	dir := t.TempDir()
	db := openDB(t, dir, opts)
	g := graftOf(t, db, "main")
	old := g.Reader()
	w, err := g.Writer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := g.Clone(short, remote); !errors.Is(err, context.Canceled) {
		t.Errorf("a clone beside an open writer: %v", err)
	}
	w.Discard()
	if err := g.Clone(ctx, remote); err != nil {
		t.Fatal(err)
	}
	if _, err := g.TryWriter(old); !errors.Is(err, graft.ErrStale) {
		t.Errorf("a writer over the old graft: %v, want ErrStale", err)
	}
	if got := read(t, g); got != "theirs" {
		t.Errorf("page 1 is %q", got)
	}
	if g.Reader().SameContent(old) {
		t.Error("the clone counts as the content before it")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, graftOf(t, openDB(t, dir, opts), "main")); got != "theirs" {
		t.Errorf("after opening again page 1 is %q", got)
	}
}

func TestCloseEndsReadsThatWait(t *testing.T) {
	bucket := faultbucket.New()
	blob := bucket.Blob()
	defer blob.Close()
	opts := &graft.Options{Bucket: blob}
	a := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	writeMany(t, a, 100)
	remote := push(t, a)
	db, err := graft.Open(ctx, t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	b := graftOf(t, db, "main")
	if err := b.Clone(ctx, remote); err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	bucket.Fail(func(faultbucket.Request) error { close(arrived); <-release; return nil }, nil)
	read := make(chan error)
	go func() { _, err := b.Reader().Page(ctx, 1); read <- err }()
	<-arrived
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := <-read; err != nil && !strings.Contains(err.Error(), "closed") && !errors.Is(err, context.Canceled) {
		t.Errorf("the read ends with %v", err)
	}
	bucket.Fail(nil, nil)
}

func TestErrorsCarryTheirPlace(t *testing.T) {
	g := graftOf(t, openDB(t, t.TempDir(), &graft.Options{Remote: "mem://" + t.Name()}), "main")
	v, err := graft.ParseVolumeID("VeehMw3mvcYpMNwqGpVmU2")
	if err != nil {
		t.Fatal(err)
	}
	err = g.Clone(ctx, v)
	var place *graft.Error
	if !errors.As(err, &place) || place.Volume != v || !errors.Is(err, graft.ErrNoVolume) {
		t.Errorf("clone: %v", err)
	}
	if want := fmt.Sprintf("graft: clone of volume %s: no such volume in the bucket", v); err.Error() != want {
		t.Errorf("text is %q, want %q", err, want)
	}
}
