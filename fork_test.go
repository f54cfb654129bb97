package graft_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"graft"
	"graft/internal/faultbucket"
)

func TestFork(t *testing.T) {
	for name, prepare := range sources {
		t.Run(name, func(t *testing.T) {
			_, opts := newBucket(t)
			db := openDB(t, t.TempDir(), opts)
			g := graftOf(t, db, "main")
			prepare(t, g)
			unpushed := infoOf(t, g).Status.Unpushed
			handle := graftOf(t, db, "fork")
			f, err := g.Fork(ctx, "fork")
			must(t, err)
			if f != handle || infoOf(t, f).Graft == infoOf(t, g).Graft || infoOf(t, f).Remote == infoOf(t, g).Remote {
				t.Error("the fork is its source, or its handle does not show it")
			}
			if got := infoOf(t, f).Status.Unpushed; got != unpushed {
				t.Errorf("%d commits are not pushed, want %d", got, unpushed)
			}
			second, err := f.Fork(ctx, "second")
			must(t, err)
			for _, tag := range []string{"main", "fork", "second"} {
				_, err := g.Fork(ctx, tag)
				wantError(t, "fork to "+tag, err, graft.ErrTagExists)
			}
			wantTags(t, db, "fork=source", "main=source", "second=source")
			write(t, f, "fork's")
			wantTags(t, db, "fork=fork's", "main=source", "second=source")
			write(t, g, "main's")
			write(t, second, "second's")
			wantTags(t, db, "fork=fork's", "main=main's", "second=second's")
			db = again(t, db, opts)
			wantTags(t, db, "fork=fork's", "main=main's", "second=second's")
		})
	}
}

// A fork has all it needs, whatever happens to its source and to the bucket.
func TestAForkOutlivesItsSource(t *testing.T) {
	for name, prepare := range sources {
		t.Run(name, func(t *testing.T) {
			bucket, opts := newBucket(t)
			db := openDB(t, t.TempDir(), opts)
			g := graftOf(t, db, "main")
			prepare(t, g)
			f, err := g.Fork(ctx, "fork")
			must(t, err)
			_, err = f.Fork(ctx, "second")
			must(t, err)
			if name == "a clone" {
				read(t, f) // fetches it
			}
			bucket.Fail(func(faultbucket.Request) error { return errors.New("offline") }, nil)
			for _, g := range []*graft.Graft{g, f} {
				must(t, db.DeleteGraft(ctx, infoOf(t, g).Graft, &graft.DeleteOptions{Unpushed: true}))
			}
			wantTags(t, db, "second=source")
			for range 2 { // the sweep after a deletion runs, or is ended by Close
				db = again(t, db, opts)
				wantTags(t, db, "second=source")
			}
			if name == "a clone" {
				wantGrafts(t, db, "", "second")
			} else {
				wantGrafts(t, db, "second")
			}
			bucket.Fail(nil, nil)
		})
	}
}

// Pages that are not here are fetched for a fork of a fork, too.
func TestAForkFetchesWhatItsSourceWould(t *testing.T) {
	_, opts := newBucket(t)
	a := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	write(t, a, "theirs")
	remote := push(t, a)
	db := openDB(t, t.TempDir(), opts)
	g := graftOf(t, db, "main")
	must(t, g.Clone(ctx, remote))
	f, err := g.Fork(ctx, "fork")
	must(t, err)
	_, err = f.Fork(ctx, "second")
	must(t, err)
	for _, g := range []*graft.Graft{g, f} {
		must(t, db.DeleteGraft(ctx, infoOf(t, g).Graft, nil))
	}
	db = again(t, db, opts)
	wantTags(t, db, "second=theirs")
}

func TestPushOfAFork(t *testing.T) {
	for name, prepare := range sources {
		t.Run(name, func(t *testing.T) {
			_, opts := newBucket(t)
			db := openDB(t, t.TempDir(), opts)
			g := graftOf(t, db, "main")
			prepare(t, g)
			f, err := g.Fork(ctx, "fork")
			must(t, err)
			second, err := f.Fork(ctx, "second")
			must(t, err)
			write(t, second, "second's")
			texts := map[*graft.Graft]string{g: "source", f: "source", second: "second's"}
			clones := openDB(t, t.TempDir(), opts)
			for g, want := range texts {
				clone := graftOf(t, clones, g.Tag())
				must(t, clone.Clone(ctx, push(t, g)))
				if got := read(t, clone); got != want {
					t.Errorf("the clone of %s has %q, want %q", g.Tag(), got, want)
				}
				write(t, clone, "back")
				push(t, clone)
				if _, err := g.Pull(ctx); err != nil {
					t.Fatal(err)
				}
				if got := read(t, g); got != "back" {
					t.Errorf("%s has %q after a pull", g.Tag(), got)
				}
			}
		})
	}
}

// Of many who make a Tag at once one does, and all handles show what it made.
func TestOneOfManyMakesATag(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, nil)
	write(t, graftOf(t, db, "main"), "source")
	for i := range 6 {
		tag := fmt.Sprint("tag ", i)
		start := make(chan struct{})
		var mu sync.Mutex
		handles, made := make(map[*graft.Graft]bool), 0
		var wg sync.WaitGroup
		for worker := range 8 {
			db := openDB(t, dir, nil)
			wg.Go(func() {
				<-start
				g, err := db.Graft(ctx, tag)
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 && worker%2 == 0 {
					_, err = db.CreateTag(ctx, tag)
				} else {
					var main *graft.Graft
					if main, err = db.Graft(ctx, "main"); err == nil {
						_, err = main.Fork(ctx, tag)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				handles[g] = true
				if err == nil {
					made++
				} else if !errors.Is(err, graft.ErrTagExists) {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if made != 1 || len(handles) != 1 {
			t.Errorf("%s was made %d times, and has %d handles", tag, made, len(handles))
		}
	}
	grafts, err := db.Grafts(ctx)
	if err != nil || len(grafts) != 1+6 {
		t.Errorf("%d grafts, %v", len(grafts), err)
	}
}
