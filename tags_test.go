package graft_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gocloud.dev/blob"

	"graft"
	"graft/internal/faultbucket"
)

// newBucket gives a bucket that can fail, and options with a connection to it.
func newBucket(t *testing.T) (*faultbucket.Bucket, *graft.Options) {
	t.Helper()
	bucket := faultbucket.New()
	return bucket, &graft.Options{Bucket: closed(t, bucket.Blob())}
}

func closed(t *testing.T, b *blob.Bucket) *blob.Bucket {
	t.Cleanup(func() { b.Close() })
	return b
}

func infoOf(t *testing.T, g *graft.Graft) graft.Info {
	t.Helper()
	info, err := g.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// wantTags checks all tags, as "name=text" where text is what page 1 of its Graft
// has, and "name" for an empty one.
func wantTags(t *testing.T, db *graft.DB, want ...string) {
	t.Helper()
	tags, err := db.Tags(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tag := range tags {
		g := graftOf(t, db, tag.Name)
		if info := infoOf(t, g); info.Graft != tag.Graft || info.Remote != tag.Remote || !info.Exists {
			t.Errorf("tag %s names %s, its handle shows %s", tag.Name, tag.Graft, info.Graft)
		}
		text := tag.Name
		if infoOf(t, g).Snapshot.PageCount() > 0 {
			text += "=" + read(t, g)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("tags are %q, want %q", got, want)
	}
}

// wantGrafts checks the tags of each Graft, joined by spaces, in the order of
// those.
func wantGrafts(t *testing.T, db *graft.DB, want ...string) {
	t.Helper()
	grafts, err := db.Grafts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range grafts {
		got = append(got, strings.Join(g.Tags, " "))
	}
	slices.Sort(got) // two of one millisecond are in no order
	if !slices.Equal(got, want) {
		t.Fatalf("grafts have the tags %q, want %q", got, want)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// again closes db and opens its directory anew.
func again(t *testing.T, db *graft.DB, opts *graft.Options) *graft.DB {
	t.Helper()
	must(t, db.Close())
	return openDB(t, db.Path(), opts)
}

func TestCreateTag(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	handle := graftOf(t, db, "main")
	if handle.Exists() {
		t.Error("it exists before it is made")
	}
	g, err := db.CreateTag(ctx, "main")
	must(t, err)
	if g != handle || !g.Exists() {
		t.Error("the handle of before does not show the graft")
	}
	wantTags(t, db, "main")
	_, err = db.CreateTag(ctx, "main")
	wantError(t, "created twice", err, graft.ErrTagExists)
	db = again(t, db, nil)
	wantTags(t, db, "main")
	_, err = db.CreateTag(ctx, "main")
	wantError(t, "created twice", err, graft.ErrTagExists)
	write(t, graftOf(t, db, "main"), "one")
	write(t, graftOf(t, db, "other"), "two")
	_, err = db.CreateTag(ctx, "other")
	wantError(t, "made by its first commit", err, graft.ErrTagExists)
	db = again(t, db, nil)
	wantTags(t, db, "main=one", "other=two")
	wantGrafts(t, db, "main", "other")
	_, err = db.CreateTag(ctx, "/main")
	if err == nil {
		t.Error("a bad tag: no error")
	}
}

func TestSetTag(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	a, b := graftOf(t, db, "a"), graftOf(t, db, "b")
	write(t, a, "one")
	write(t, b, "two")
	first, second := infoOf(t, a).Graft, infoOf(t, b).Graft
	old := b.Reader()

	must(t, db.SetTag(ctx, "b", first))
	wantTags(t, db, "a=one", "b=one")
	wantGrafts(t, db, "", "a b")
	if old.SameGraft(b.Reader()) || old.SameContent(b.Reader()) {
		t.Error("the handle shows the graft of before")
	}
	_, err := b.TryWriter(old)
	wantError(t, "a writer over the graft of before", err, graft.ErrStale)
	write(t, a, "both")
	if got := read(t, b); got != "both" {
		t.Errorf("the two handles of a graft differ: %q", got)
	}
	w, err := a.Writer(ctx)
	must(t, err)
	if !b.Busy() {
		t.Error("the two handles have two writers")
	}
	w.Discard()

	must(t, db.SetTag(ctx, "c", second))
	wantTags(t, db, "a=both", "b=both", "c=two")
	wantGrafts(t, db, "a b", "c")
	page, err := old.Page(ctx, 1)
	if err != nil || !strings.HasPrefix(string(page[:]), "two") {
		t.Errorf("an old reader: %v", err)
	}
	old.Close()
	db = again(t, db, nil)
	wantTags(t, db, "a=both", "b=both", "c=two")

	unknown, err := graft.ParseVolumeID("VeehMw3mvcYpMNwqGpVmU2")
	must(t, err)
	for _, tag := range []string{"a", "new"} {
		wantError(t, "an unknown graft", db.SetTag(ctx, tag, unknown), graft.ErrNoGraft)
	}
	wantTags(t, db, "a=both", "b=both", "c=two")
}

func TestDeleteTag(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	g := graftOf(t, db, "main")
	wantError(t, "no such tag", db.DeleteTag(ctx, "main"), graft.ErrNoTag)
	write(t, g, "one")
	id := infoOf(t, g).Graft
	must(t, db.DeleteTag(ctx, "main"))
	wantTags(t, db)
	wantGrafts(t, db, "")
	if g.Exists() || g.Reader().PageCount() != 0 {
		t.Error("the handle shows the graft of before")
	}
	wantError(t, "deleted twice", db.DeleteTag(ctx, "main"), graft.ErrNoTag)
	write(t, g, "another")
	wantGrafts(t, db, "", "main")
	must(t, db.SetTag(ctx, "back", id))
	wantTags(t, db, "back=one", "main=another")
	must(t, db.DeleteTag(ctx, "main"))
	db = again(t, db, nil)
	wantTags(t, db, "back=one")
	wantGrafts(t, db, "", "back")
}

func TestDeleteGraft(t *testing.T) {
	_, opts := newBucket(t)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	write(t, g, "one")
	id := infoOf(t, g).Graft
	must(t, db.SetTag(ctx, "too", id))
	wantError(t, "unpushed", db.DeleteGraft(ctx, id, nil), graft.ErrUnpushed)
	wantError(t, "unpushed", db.DeleteGraft(ctx, id, &graft.DeleteOptions{}), graft.ErrUnpushed)
	wantTags(t, db, "main=one", "too=one")
	remote := push(t, g)
	must(t, db.DeleteGraft(ctx, id, nil))
	wantTags(t, db)
	wantGrafts(t, db)
	if too := graftOf(t, db, "too"); g.Exists() || too.Exists() || g.Reader().PageCount() != 0 {
		t.Error("a handle shows the graft of before")
	}
	wantError(t, "deleted twice", db.DeleteGraft(ctx, id, nil), graft.ErrNoGraft)
	wantError(t, "a tag for it", db.SetTag(ctx, "x", id), graft.ErrNoGraft)

	write(t, g, "new")
	must(t, db.DeleteGraft(ctx, infoOf(t, g).Graft, &graft.DeleteOptions{Unpushed: true}))
	wantGrafts(t, db)
	must(t, g.Clone(ctx, remote)) // the remote has it still
	wantTags(t, db, "main=one")
	db = again(t, db, opts)
	wantTags(t, db, "main=one")
	wantError(t, "deleted twice", db.DeleteGraft(ctx, id, nil), graft.ErrNoGraft)
}

func TestDeleteGraftWhosePushIsInDoubt(t *testing.T) {
	bucket, opts := newBucket(t)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	write(t, g, "one")
	lost := errors.New("the answer is lost")
	bucket.Fail(nil, func(r faultbucket.Request) error {
		if r.Op == "put" && strings.Contains(r.Key, "/log/") {
			return lost
		}
		return nil
	})
	if _, err := g.Push(ctx); err == nil {
		t.Fatal("the push says that it landed")
	}
	id := infoOf(t, g).Graft
	for range 2 {
		err := db.DeleteGraft(ctx, id, &graft.DeleteOptions{Unpushed: true})
		wantError(t, "delete", err, graft.ErrPending)
		db = again(t, db, opts)
		wantTags(t, db, "main=one")
	}
	bucket.Fail(nil, nil)
	g = graftOf(t, db, "main")
	push(t, g)
	must(t, db.DeleteGraft(ctx, id, nil))
	wantTags(t, db)
}

// Who waits for the Writer of a Graft that is deleted gets it before, or an error,
// or a Writer of the Tag's new Graft; and nobody waits for ever.
func TestWritersThatWaitWhileTheirGraftIsDeleted(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	g := graftOf(t, db, "main")
	write(t, g, "one")
	id := infoOf(t, g).Graft
	w, err := g.Writer(ctx)
	must(t, err)
	short, cancel := context.WithCancel(ctx)
	cancel()
	wantError(t, "beside an open writer", db.DeleteGraft(short, id, &graft.DeleteOptions{Unpushed: true}), context.Canceled)
	deleted, results := make(chan error), make(chan error)
	go func() { deleted <- db.DeleteGraft(ctx, id, &graft.DeleteOptions{Unpushed: true}) }()
	for range 4 {
		go func() {
			w, err := g.Writer(ctx)
			if err == nil {
				w.Discard()
			}
			results <- err
		}()
	}
	must(t, w.Write(1, new(graft.Page)))
	if _, err := w.Commit(ctx); err != nil { // the open one comes first
		t.Error(err)
	}
	w.Discard()
	must(t, <-deleted)
	for range 4 {
		if err := <-results; err != nil && !errors.Is(err, graft.ErrDeleted) {
			t.Error(err)
		}
	}
	wantGrafts(t, db)
	write(t, g, "two")
	wantTags(t, db, "main=two")
}

func infoOfGraft(g *graft.Graft) graft.VolumeID {
	info, _ := g.Info()
	return info.Graft
}

func TestOneOfManyDeletionsSucceeds(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	g := graftOf(t, db, "main")
	write(t, g, "one")
	id := infoOf(t, g).Graft
	w, err := g.Writer(ctx)
	must(t, err)
	results := make(chan error)
	for range 8 {
		go func() { results <- db.DeleteGraft(ctx, id, &graft.DeleteOptions{Unpushed: true}) }()
	}
	w.Discard()
	succeeded := 0
	for range 8 {
		if err := <-results; err == nil {
			succeeded++
		} else if !errors.Is(err, graft.ErrNoGraft) {
			t.Error(err)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d deletions succeeded", succeeded)
	}
}

func TestReadersOutliveADeletion(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	g := graftOf(t, db, "main")
	write(t, g, "one")
	db = again(t, db, nil)
	g = graftOf(t, db, "main")
	r := g.Reader()
	must(t, db.DeleteGraft(ctx, infoOf(t, g).Graft, &graft.DeleteOptions{Unpushed: true}))
	write(t, g, "two")
	again := r.Clone()
	r.Close()
	page, err := again.Page(ctx, 1)
	if err != nil || !strings.HasPrefix(string(page[:]), "one") {
		t.Errorf("page 1: %v", err)
	}
	if _, err := r.Page(ctx, 1); !errors.Is(err, graft.ErrReaderClosed) {
		t.Errorf("a closed reader: %v", err)
	}
	_, err = g.TryWriter(again)
	wantError(t, "a writer over the deleted graft", err, graft.ErrStale)
	again.Close()
}

// sources are Grafts of all kinds whose page 1 is "source".
var sources = map[string]func(t *testing.T, g *graft.Graft){
	"never pushed":   func(t *testing.T, g *graft.Graft) { write(t, g, "old"); write(t, g, "source") },
	"pushed":         func(t *testing.T, g *graft.Graft) { write(t, g, "source"); push(t, g) },
	"pushed in part": func(t *testing.T, g *graft.Graft) { write(t, g, "old"); push(t, g); write(t, g, "source") },
	"a clone": func(t *testing.T, g *graft.Graft) {
		write(t, g, "source")
		must(t, g.Clone(ctx, push(t, g)))
	},
}

// Whoever comes first makes the one Graft; nobody's commit is lost.
func TestManyFirstOpensMakeOneGraft(t *testing.T) {
	const handles, writers = 4, 4
	for name, first := range map[string]func(*graft.DB, *graft.Graft) error{
		"commit": func(*graft.DB, *graft.Graft) error { return nil },
		"create": func(db *graft.DB, _ *graft.Graft) error {
			_, err := db.CreateTag(ctx, "main")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var created sync.Map
			var wg sync.WaitGroup
			for i := range handles * writers {
				wg.Go(func() {
					db, err := graft.Open(ctx, dir, nil)
					if err != nil {
						t.Error(err)
						return
					}
					defer db.Close()
					g, err := db.Graft(ctx, "main")
					if err != nil {
						t.Error(err)
						return
					}
					if err := first(db, g); err == nil {
						created.Store(i, true)
					} else if !errors.Is(err, graft.ErrTagExists) {
						t.Error(err)
					}
					_, err = g.Update(ctx, func(w *graft.Writer) error {
						page := new(graft.Page)
						copy(page[:], fmt.Sprint("writer ", i))
						return w.Write(graft.PageIdx(1+i), page)
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			db := openDB(t, dir, nil)
			wantGrafts(t, db, "main")
			r := graftOf(t, db, "main").Reader()
			defer r.Close()
			for i := range handles * writers {
				page, err := r.Page(ctx, graft.PageIdx(1+i))
				if want := fmt.Sprint("writer ", i, "\x00"); err != nil || !strings.HasPrefix(string(page[:]), want) {
					t.Errorf("the commit of %s is lost, %v", want, err)
				}
			}
			if n := length(&created); name == "create" && n > 1 {
				t.Errorf("%d made the tag", n)
			}
		})
	}
}

func length(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

// Tags come and go while others list, read and write them: nothing fails but
// with an error that says so, and what is there at the end is whole.
func TestTagsMoveBesideEverything(t *testing.T) {
	_, opts := newBucket(t)
	db := openDB(t, t.TempDir(), opts)
	write(t, graftOf(t, db, "main"), "main")
	var wg sync.WaitGroup
	for i := range 3 {
		tag := fmt.Sprint("tag ", i)
		wg.Go(func() {
			for range 8 {
				if err := comeAndGo(db, tag); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantTags(t, db, "main=main")
	wantGrafts(t, db, "main")
	again(t, db, opts)
}

// comeAndGo makes and removes Grafts of a tag.
func comeAndGo(db *graft.DB, tag string) error {
	all, err := db.Graft(ctx, "main")
	if err != nil {
		return err
	}
	f, err := all.Fork(ctx, tag)
	if err != nil {
		return err
	}
	info, err := f.Info()
	if err != nil {
		return err
	}
	_, err = f.Update(ctx, func(w *graft.Writer) error { return w.Write(2, new(graft.Page)) })
	if err != nil {
		return err
	}
	if err := db.DeleteTag(ctx, tag); err != nil {
		return err
	}
	g, err := db.CreateTag(ctx, tag)
	if err != nil {
		return err
	}
	made, err := g.Info()
	if err != nil {
		return err
	}
	if err := db.SetTag(ctx, tag, info.Graft); err != nil {
		return err
	}
	return errors.Join(
		db.DeleteGraft(ctx, made.Graft, nil),
		db.DeleteGraft(ctx, info.Graft, &graft.DeleteOptions{Unpushed: true}),
	)
}

func TestGraftsAreListedWhileTheyAreDeleted(t *testing.T) {
	db := openDB(t, t.TempDir(), nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			g, err := db.CreateTag(ctx, "main")
			if err == nil {
				err = db.DeleteGraft(ctx, infoOfGraft(g), nil)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		if _, err := db.Grafts(ctx); err != nil {
			t.Error("grafts:", err)
			<-done
			return
		}
		if _, err := db.Tags(ctx); err != nil {
			t.Error("tags:", err)
			<-done
			return
		}
	}
}

func TestAnotherPageCacheIsNamed(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, &graft.Options{PageCache: 1 << 20})
	_, err := graft.Open(ctx, dir, &graft.Options{PageCache: 2 << 20})
	if err == nil || !strings.Contains(err.Error(), "pagecache") || strings.Contains(err.Error(), "remote") {
		t.Errorf("another page cache: %v", err)
	}
	_, err = graft.Open(ctx, dir, &graft.Options{PageCache: 2 << 20, Remote: "mem://" + t.Name()})
	if err == nil || !strings.Contains(err.Error(), "remote and pagecache") {
		t.Errorf("two other options: %v", err)
	}
	openDB(t, dir, &graft.Options{PageCache: 1 << 20})
	openDB(t, dir, nil)
	write(t, graftOf(t, db, "main"), "one")
	_, err = graft.Open(ctx, dir, &graft.Options{PageCache: -1})
	if err == nil || !strings.Contains(err.Error(), "PageCache") {
		t.Errorf("a page cache below zero: %v", err)
	}
}

func TestCloseWithOpenReaders(t *testing.T) {
	dir := t.TempDir()
	db, err := graft.Open(ctx, dir, nil)
	must(t, err)
	g := graftOf(t, db, "main")
	must(t, func() error {
		_, err := g.Update(ctx, func(w *graft.Writer) error {
			for p := graft.PageIdx(1); p <= 600; p++ {
				page := new(graft.Page)
				copy(page[:], "one")
				if err := w.Write(p, page); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}())
	r := g.Reader()
	write(t, g, "two")
	w, err := g.Writer(ctx)
	must(t, err)
	must(t, w.Write(1, new(graft.Page)))
	for range 2 {
		must(t, db.Close())
	}
	for p := graft.PageIdx(1); p <= 600; p++ {
		if _, err := r.Page(ctx, p); !errors.Is(err, graft.ErrClosed) {
			t.Fatalf("page %d of a closed store: %v, want ErrClosed", p, err)
		}
	}
	_, err = w.Commit(ctx)
	wantError(t, "commit", err, graft.ErrClosed)
	r.Close()
	r.Close()
	w.Discard()
	db = openDB(t, dir, nil)
	wantTags(t, db, "main=two")
}

// A Close beside Readers and Writers ends them with ErrClosed, and leaves
// nothing running and no half of a commit.
func TestCloseBesideEverything(t *testing.T) {
	dir := t.TempDir()
	db, err := graft.Open(ctx, dir, nil)
	must(t, err)
	g := graftOf(t, db, "main")
	write(t, g, "one")
	begun := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			err := workUntilClosed(g, i, func() {
				select {
				case begun <- struct{}{}:
				default:
				}
			})
			if !errors.Is(err, graft.ErrClosed) {
				t.Errorf("ends with %v, want ErrClosed", err)
			}
		})
	}
	for range 4 {
		<-begun
	}
	must(t, db.Close())
	wg.Wait()
	r := graftOf(t, openDB(t, dir, nil), "main").Reader()
	defer r.Close()
	var pages []string
	for p := graft.PageIdx(2); p <= 3; p++ {
		page, err := r.Page(ctx, p)
		must(t, err)
		pages = append(pages, strings.TrimRight(string(page[:]), "\x00"))
	}
	if pages[0] != pages[1] {
		t.Errorf("half of a commit is there: %q", pages)
	}
}

// workUntilClosed commits pages 2 and 3 alike, and reads them.
func workUntilClosed(g *graft.Graft, worker int, step func()) error {
	for i := 0; ; i++ {
		_, err := g.Update(context.Background(), func(w *graft.Writer) error {
			page := new(graft.Page)
			copy(page[:], fmt.Sprintf("worker %d, %d", worker, i))
			return errors.Join(w.Write(2, page), w.Write(3, page))
		})
		if err != nil {
			return err
		}
		err = g.View(func(r *graft.Reader) error {
			a, err := r.Page(ctx, 2)
			if err != nil {
				return err
			}
			b, err := r.Page(ctx, 3)
			if err == nil && *a != *b {
				err = errors.New("half of a commit shows")
			}
			return err
		})
		if err != nil {
			return err
		}
		step()
	}
}
