package snapshot

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

// deleteGraft deletes the Graft of g, and tags.
func deleteGraft(t rapid.TB, g *graft, tags ...string) {
	t.Helper()
	unlockWrite, err := g.head.LockWrite(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer unlockWrite()
	unlockSync, err := g.head.LockSync(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer unlockSync()
	if err := g.heads.Delete(g.head, tags); err != nil {
		t.Fatal(err)
	}
}

func TestADeletedGraftIsSwept(t *testing.T) {
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
	adopt(t, g)
	g.update(t, func(w *Writer) { write(t, w, 7, 7, 2) })
	saveNow(t, g)
	st := g.head.State()
	r := g.head.Reader()
	refs := places(t, r)
	r.Close()
	remote := refs[0].Segment
	deleteGraft(t, g, "main")
	if _, err := g.store.Graft(st.Local); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("graft: %v", err)
	}
	if _, err := g.store.Tag("main"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("tag: %v", err)
	}
	if _, err := g.heads.Open(t.Context(), st.Local); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("open: %v", err)
	}
	for range 2 {
		sweep(t, g)
		checkPlaces(t, g, refs, false)
		for l := volume.LSN(1); l <= 2; l++ {
			if _, err := g.store.Commit(st.Local, l); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("commit %d: %v", l, err)
			}
		}
		if _, err := g.store.Commit(st.Remote, 1); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("remote commit: %v", err)
		}
		forgetSegments(t, g)
		if _, err := g.store.Segment(remote); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("remote segment: %v", err)
		}
		if _, err := g.store.Index(st.Local); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("index: %v", err)
		}
		if n, ok, err := g.store.NextLeaf(st.Local, 0); ok || err != nil {
			t.Errorf("leaf %d, %v", n, err)
		}
		// It stays away.
		g.close(t)
		g.openStore(t)
		still(g)
	}
	if grafts, err := g.store.Grafts(); len(grafts) != 0 || err != nil {
		t.Errorf("grafts %v, %v", grafts, err)
	}
}

func TestReadersOutliveADeletion(t *testing.T) {
	for name, prepare := range forkSources {
		for how, before := range map[string]func(rapid.TB, *graft){
			"":             func(rapid.TB, *graft) {},
			", not loaded": func(t rapid.TB, g *graft) { g.reopen(t) },
		} {
			t.Run(name+how, func(t *testing.T) {
				g := newGraft(t)
				want := prepare(t, g)
				before(t, g)
				saveNow(t, g)
				r := g.head.Reader()
				deleteGraft(t, g, "main")
				for range 2 {
					sweep(t, g)
					want.check(t, r)
				}
				again := r.Clone()
				r.Close()
				sweep(t, g)
				want.check(t, again)
				refs := places(t, again)
				again.Close()
				sweep(t, g)
				checkPlaces(t, g, refs, false)
				if n := len(g.heads.mu.deleted); n != 0 {
					t.Errorf("%d deleted grafts are remembered", n)
				}
			})
		}
	}
}

// The pages of a deleted fork may belong to Segments of the remote Volume that
// it was forked from.
func TestReadersOutliveTheDeletionOfAForkAndItsSource(t *testing.T) {
	for name, prepare := range forkSources {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			still(g)
			want := prepare(t, g)
			f := fork(t, g, "fork")
			r := f.head.Reader()
			deleteGraft(t, f, "fork")
			deleteGraft(t, g, "main")
			sweep(t, g)
			forgetSegments(t, g)
			for _, ref := range places(t, r) {
				has, err := g.store.HasPage(ref.Segment, ref.Idx)
				if err != nil {
					t.Fatal(err)
				}
				if !has && !g.source.has(ref) {
					t.Fatalf("page %d of segment %s is neither stored nor can it be fetched", ref.Idx, ref.Segment)
				}
			}
			want.check(t, r)
			r.Close()
		})
	}
}

// forgetSegments drives all Segments out of the store's cache. Nothing works in
// the background.
func forgetSegments(t rapid.TB, g *graft) {
	t.Helper()
	v := volume.NewVolumeID()
	var c store.Change
	for range 300 {
		seg := volume.Segment{ID: volume.NewSegmentID(), Pages: volume.PageSetOf(1)}
		c.Segments = append(c.Segments, volume.SegmentState{Volume: v, LSN: 1, Segment: seg})
	}
	if err := g.store.Apply(c); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Segments {
		if _, err := g.store.Segment(s.Segment.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADeletedGraftTakesNoWrites(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	r := g.head.Reader()
	defer r.Close()
	g.putRemote(t, 1, volume.Commit{PageCount: 9}, 2)
	deleteGraft(t, g, "main")
	for name, err := range map[string]error{
		"Writer":     func() error { _, err := g.head.Writer(t.Context()); return err }(),
		"TryWriter":  func() error { _, err := g.head.TryWriter(r); return err }(),
		"Advance":    g.head.Advance(t.Context(), 1),
		"TryAdvance": g.head.TryAdvance(t.Context(), 1),
		"LockSync":   func() error { _, err := g.head.LockSync(t.Context()); return err }(), // before a push
	} {
		if !errors.Is(err, ErrDeleted) {
			t.Errorf("%s: %v, want ErrDeleted", name, err)
		}
	}
	if g.head.Busy() {
		t.Error("it is busy")
	}
	contentOf(5, 1, 5, 1).check(t, r)
}

// Writers that wait while the Graft is deleted are let go one after the other.
func TestWritersThatWaitForADeletion(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	unlock, err := g.head.LockWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for range 3 {
		go func() {
			_, err := g.head.Writer(context.Background())
			results <- err
		}()
	}
	if err := g.heads.Delete(g.head, nil); err != nil {
		t.Fatal(err)
	}
	unlock()
	for range 3 {
		if err := <-results; !errors.Is(err, ErrDeleted) {
			t.Errorf("%v, want ErrDeleted", err)
		}
	}
}

func TestAPendingPushKeepsAGraft(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	p, aliases := g.rollup(t)
	if err := g.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.heads.Delete(g.head, []string{"main"}); !errors.Is(err, ErrPending) {
			t.Errorf("delete: %v, want ErrPending", err)
		}
		contentOf(5, 1, 5, 1).check(t, g.head.Reader())
		g.reopen(t)
	}
	if err := g.head.Adopt(t.Context(), p, aliases); err != nil {
		t.Fatal(err)
	}
	deleteGraft(t, g, "main")
}

func TestAnUnbornGraftIsDeletedWithoutATrace(t *testing.T) {
	g := newGraft(t)
	r := g.head.Reader()
	deleteGraft(t, g, "main")
	(content{}).check(t, r)
	if _, err := g.head.Writer(t.Context()); !errors.Is(err, ErrDeleted) {
		t.Errorf("writer: %v", err)
	}
	r.Close()
	sweep(t, g)
}

// A Head that somebody holds may be asked for a Reader after the sweep.
func TestAReaderFromAfterADeletionInventsNothing(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	g.reopen(t) // nothing of the Root is loaded
	deleteGraft(t, g, "main")
	sweep(t, g)
	got, err := g.head.Reader().Page(t.Context(), 1)
	if err == nil && *got != *page(1, 1) {
		t.Errorf("page 1 starts with % x", got[:8])
	}
}

// The pages of a push are held until its index is saved, and that of a deleted
// Graft never is.
func TestADeletedGraftHoldsNothing(t *testing.T) {
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	adopt(t, g)
	r := g.head.Reader()
	refs := places(t, r)
	local := aliased(t, g, refs)
	r.Close()
	deleteGraft(t, g, "main")
	sweep(t, g)
	checkPlaces(t, g, local, false)
}

// aliased gives where adopted pages are stored.
func aliased(t *testing.T, g *graft, refs []store.PageRef) []store.PageRef {
	t.Helper()
	var local []store.PageRef
	for _, ref := range refs {
		state, err := g.store.Segment(ref.Segment)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range state.Aliases {
			if a.Pages.Contains(ref.Idx) {
				local = append(local, store.PageRef{Segment: a.Segment, Idx: ref.Idx})
			}
		}
	}
	if len(local) != len(refs) {
		t.Fatalf("%d of %d pages are adopted", len(local), len(refs))
	}
	return local
}
