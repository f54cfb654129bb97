package snapshot

import (
	"errors"
	"slices"
	"testing"

	"graft/volume"
	"graft/volume/store"
)

// far gives a Graft at a remote commit of pages 1 to 800 of 810. No page of it is
// here, nor any leaf of its index.
func far(t *testing.T) (*graft, content) {
	t.Helper()
	g := newGraft(t)
	still(g)
	g.putRemote(t, 1, volume.Commit{PageCount: 810, Segments: pages(1, 800)}, 7)
	g.putRemote(t, 2, volume.Commit{PageCount: 810, Kept: 810, Segments: pages(400, 400)}, 8)
	advance(t, g, 2)
	create(t, g)
	g.source.forget()
	reopenStill(t, g) // of what Advance made nothing is left
	return g, contentOf(810, 1, 800, 7).set(400, 400, 8)
}

// create stores g, as a clone is stored.
func create(t *testing.T, g *graft) {
	t.Helper()
	if err := g.head.Create(); err != nil {
		t.Fatal(err)
	}
}

func reopenStill(t *testing.T, g *graft) {
	t.Helper()
	g.asleep = true
	g.reopen(t)
	g.asleep = false
}

// checkUnloaded tells whether nothing of the page index of g's base is here.
func checkUnloaded(t *testing.T, g *graft) {
	t.Helper()
	if n := loadedLeaves(g.head.mu.base); n != 0 {
		t.Fatalf("%d leaves of the base are loaded", n)
	}
}

func TestCommitNeverFetchesALeaf(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(t *testing.T, w *Writer)
		want func(c *content)
	}{
		"a page": {
			func(t *testing.T, w *Writer) { write(t, w, 300, 300, 1) },
			func(c *content) { c.set(300, 300, 1) },
		},
		"a page that the last commit has": {
			func(t *testing.T, w *Writer) { write(t, w, 400, 400, 1) },
			func(c *content) { c.set(400, 400, 1) },
		},
		"appended": {
			func(t *testing.T, w *Writer) { write(t, w, 811, 820, 1) },
			func(c *content) { c.set(811, 820, 1); c.count = 820 },
		},
		"appended to the last page that was written": {
			func(t *testing.T, w *Writer) { write(t, w, 801, 801, 1) },
			func(c *content) { c.set(801, 801, 1) },
		},
		"cut": {
			func(t *testing.T, w *Writer) { setPageCount(t, w, 300) },
			func(c *content) { c.truncate(300) },
		},
		"as VACUUM": {
			func(t *testing.T, w *Writer) { write(t, w, 1, 310, 1); setPageCount(t, w, 310) },
			func(c *content) { c.truncate(310); c.set(1, 310, 1) },
		},
		"as VACUUM of the first pages": {
			func(t *testing.T, w *Writer) { write(t, w, 1, 20, 1); setPageCount(t, w, 310) },
			func(c *content) { c.truncate(310); c.set(1, 20, 1) },
		},
		"cut and grown": {
			func(t *testing.T, w *Writer) { setPageCount(t, w, 300); write(t, w, 700, 700, 1) },
			func(c *content) { c.truncate(300); c.set(700, 700, 1); c.count = 700 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, want := far(t)
			old, wantOld := g.head.Reader(), want.clone()
			g.source.offline(t, func() {
				for range 2 { // the second changes nothing
					g.update(t, func(w *Writer) { tt.edit(t, w) })
				}
				g.update(t, func(w *Writer) { write(t, w, 299, 299, 2) })
			})
			checkUnloaded(t, g)
			tt.want(&want)
			want.set(299, 299, 2)
			if got := g.head.State().LocalHead; got != 2 && name != "cut" && name != "as VACUUM of the first pages" && name != "cut and grown" {
				t.Errorf("%d commits: equal pages made one", got)
			}
			g.source.offline(t, func() {
				crashStill(t, g)
				g.update(t, func(w *Writer) { write(t, w, 298, 298, 3) })
				saveNow(t, g)
				reopenStill(t, g)
			})
			want.set(298, 298, 3)
			want.check(t, g.head.Reader())
			if name == "a page" {
				wantOld.check(t, &Reader{head: g.head, snap: old.snap}) // its own store is closed
			}
		})
	}
}

// A page of a leaf that is not here is written over without being compared, and a
// scan reads nothing ahead.
func TestWhatIsNotHereIsNotLookedFor(t *testing.T) {
	g, want := far(t)
	r := g.head.Reader()
	defer r.Close()
	g.source.offline(t, func() {
		g.update(t, func(w *Writer) { write(t, w, 300, 310, 7) }) // what is there already
		r.readStretch(t.Context(), &stretch{first: 10, count: 11})
	})
	if got := lastPages(t, g); got.Len() != 11 {
		t.Errorf("the commit has %d pages", got.Len())
	}
	for range 2 {
		want.check(t, g.head.Reader())
	}
	if got := g.source.fetched(); !slices.Equal(got, []volume.LeafIdx{0, 1, 2, 3}) {
		t.Errorf("leaves %v are fetched, want each once", got)
	}
	g.source.offline(t, func() {
		old := g.head.State().LocalHead
		g.update(t, func(w *Writer) { write(t, w, 300, 310, 7) })
		if got := g.head.State().LocalHead; got != old {
			t.Error("pages that are here are not compared")
		}
	})
}

func TestAReadOfAnAbsentLeafFailsOffline(t *testing.T) {
	g, want := far(t)
	g.update(t, func(w *Writer) { write(t, w, 300, 300, 1) })
	want.set(300, 300, 1)
	g.source.fail(errOffline)
	r := g.head.Reader()
	for p, err := range map[volume.PageIdx]error{300: nil, 301: errOffline, 400: errOffline, 1: errOffline} {
		if page, got := r.Page(t.Context(), p); !errors.Is(got, err) || (page == nil) != (err != nil) {
			t.Errorf("page %d: %v, want %v", p, got, err)
		}
	}
	g.source.fail(nil)
	want.check(t, r)
}

func TestASaveOfAPatchIsPutOff(t *testing.T) {
	g, want := far(t)
	st := g.head.State()
	saved := func() (volume.LSN, int) {
		t.Helper()
		x, err := g.store.Index(st.Local)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		leaves := 0
		for _, e := range storedEntries(t, g) {
			if e.Leaf != nil {
				leaves++
			}
		}
		return x.Local, leaves
	}
	g.source.offline(t, func() {
		g.update(t, func(w *Writer) { write(t, w, 300, 300, 1); write(t, w, 811, 1100, 1) })
		want.set(300, 300, 1).set(811, 1100, 1)
		want.count = 1100
		saveNow(t, g)
		if err := g.heads.save(t.Context(), 1); err != nil { // as Close
			t.Error(err)
		}
		if got := g.head.mu.unsaved; got != 1 {
			t.Errorf("it is saved again after %d commits", saveEvery-got)
		}
		if l, n := saved(); l != 0 || n != 0 {
			t.Errorf("LSN %d and %d leaves are stored of an index that is not here", l, n)
		}
		reopenStill(t, g)
		if l, n := saved(); l != 0 || n != 0 {
			t.Errorf("LSN %d and %d leaves are stored at Close", l, n)
		}
		if got := g.head.mu.unsaved; got != 1 {
			t.Errorf("it is saved again after %d commits", saveEvery-got)
		}
	})
	want.check(t, g.head.Reader())
	g.source.offline(t, func() { saveNow(t, g) })
	if l, n := saved(); l != 1 || n != 3 { // leaves 1, 3 and 4
		t.Errorf("LSN %d and %d leaves are stored, want LSN 1 and 3", l, n)
	}
	g.source.forget()
	damageLog(t, g, st.Local, 1, 1)
	g.source.offline(t, func() {
		reopenStill(t, g)
		for _, p := range []volume.PageIdx{300, 400, 811, 1100} { // of stored leaves alone
			if _, err := g.head.Reader().snap.root.Lookup(t.Context(), p); err != nil {
				t.Errorf("page %d: %v", p, err)
			}
		}
	})
	want.check(t, g.head.Reader())
}

// A chunk that was fetched before is enough for a save.
func TestASaveTakesLeavesThatAreHere(t *testing.T) {
	g, want := far(t)
	if _, err := g.head.Reader().Page(t.Context(), 301); err != nil {
		t.Fatal(err)
	}
	reopenStill(t, g) // it is here, and not in memory
	g.source.offline(t, func() {
		g.update(t, func(w *Writer) { write(t, w, 300, 300, 1) })
		saveNow(t, g)
	})
	if x, err := g.store.Index(g.head.State().Local); err != nil || x.Local != 1 {
		t.Errorf("index %+v, %v", x, err)
	}
	crashStill(t, g)
	want.set(300, 300, 1).check(t, g.head.Reader())
}

func TestForkOfWhatIsNotHere(t *testing.T) {
	for name, commits := range map[string]int{"pushed": 0, "with commits that are not": 2} {
		t.Run(name, func(t *testing.T) {
			g, want := far(t)
			for i := range commits {
				p := volume.PageIdx(300 + i)
				g.update(t, func(w *Writer) { write(t, w, p, p, 1) })
				want.set(p, p, 1)
			}
			var f, second *graft
			g.source.offline(t, func() {
				f = fork(t, g, "fork")
				second = fork(t, f, "second")
			})
			if at := (Point{g.head.State().Remote, 2}); second.head.Reader().Snapshot().Point() != at {
				t.Errorf("it stands on %s, want %s", second.head.Reader().Snapshot().Point(), at)
			}
			deleteGraft(t, f, "fork")
			deleteGraft(t, g, "main")
			sweep(t, g)
			g.source.offline(t, func() { second.crash(t); still(second) })
			g.store, g.heads = second.store, second.heads
			// The index of a fork may be stored first when it has been read.
			want.check(t, second.head.Reader())
			second.update(t, func(w *Writer) { write(t, w, 500, 600, 5) })
			want.set(500, 600, 5)
			saveHalf(t, second, all)
			for range 2 {
				second.crash(t)
				still(second)
				g.store, g.heads = second.store, second.heads
				want.check(t, second.head.Reader())
				saveNow(t, second)
			}
		})
	}
}

func TestPresenceOfWhatIsNotHere(t *testing.T) {
	g, _ := far(t)
	g.update(t, func(w *Writer) { write(t, w, 300, 300, 1); write(t, w, 1100, 1100, 1) })
	check := func(r *Reader, want Presence) {
		t.Helper()
		g.source.offline(t, func() {
			if got, err := r.Presence(t.Context()); got != want || err != nil {
				t.Errorf("presence %+v, %v; want %+v", got, err, want)
			}
		})
	}
	check(g.head.Reader(), Presence{Present: 1, Written: 1, Unknown: 1024})
	g.source.offline(t, func() {
		if got, err := g.head.RemotePresence(t.Context()); err != nil || got != (Presence{Unknown: 810}) {
			t.Errorf("remote presence %+v, %v", got, err)
		}
	})
	if _, err := g.head.Reader().Page(t.Context(), 301); err != nil {
		t.Fatal(err)
	}
	check(g.head.Reader(), Presence{Present: 2, Written: 257, Unknown: 768})
	for p := volume.PageIdx(1); p <= 810; p += 100 {
		if _, err := g.head.Reader().Page(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	p, err := g.head.Reader().Presence(t.Context())
	if err != nil || p.Written != 801 || p.Unknown != 0 {
		t.Errorf("presence %+v, %v", p, err)
	}
}

func TestSnapshotsTellTheirPoint(t *testing.T) {
	g := newGraft(t)
	check := func(want Point) {
		t.Helper()
		if got := g.head.State().Snapshot.Point(); got != want || got.IsZero() != (want == Point{}) {
			t.Errorf("it stands on %s, want %s", got, want)
		}
	}
	check(Point{})
	g.update(t, func(w *Writer) { write(t, w, 1, 3, 1) })
	check(Point{})
	old := g.head.Reader()
	adopt(t, g)
	remote := g.head.State().Remote
	check(Point{remote, 1})
	g.update(t, func(w *Writer) { write(t, w, 1, 3, 2) })
	check(Point{remote, 1})
	if got := old.Snapshot().Point(); !got.IsZero() {
		t.Errorf("an older one stands on %s", got)
	}
	f := fork(t, g, "fork")
	if got := f.head.State().Snapshot.Point(); got != (Point{remote, 1}) {
		t.Errorf("a fork stands on %s", got)
	}
	adopt(t, f)
	if got := f.head.State().Snapshot.Point(); got != (Point{f.head.State().Remote, 1}) {
		t.Errorf("a fork that was pushed stands on %s", got)
	}
	reopenBoth(t, (*graft).reopen, g, f)
	contentOf(3, 1, 3, 2).check(t, f.head.Reader())
}
