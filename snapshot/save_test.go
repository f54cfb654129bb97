package snapshot

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

// damageLog overwrites commits of a log: whoever reads one of them fails.
func damageLog(t rapid.TB, g *graft, v volume.VolumeID, first, last volume.LSN) {
	t.Helper()
	for l := first; l <= last; l++ {
		rec := volume.Record{Commit: volume.Commit{Volume: v, LSN: l}, Bytes: []byte("damaged")}
		if err := g.store.Apply(store.Change{Commits: []volume.Record{rec}}); err != nil {
			t.Fatal(err)
		}
	}
}

// saveNow saves the page indexes of all Grafts.
func saveNow(t rapid.TB, g *graft) {
	t.Helper()
	if err := g.heads.save(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
}

// saveHalf saves the page index of g up to step 5, or a part of that: the leaves
// that some picks are written.
func saveHalf(t rapid.TB, g *graft, some func(volume.LeafIdx) bool) {
	t.Helper()
	h := g.head
	h.saved.Lock()
	defer h.saved.Unlock()
	h.mu.Lock()
	state, base, newest := h.mu.state, h.mu.base, h.mu.snap.root
	h.mu.Unlock()
	flush(t, g)
	before := storedEntries(t, g)
	err := h.saveLeaves(context.Background(), &state, base, newest)
	if errors.Is(err, ErrAbsent) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var undone []store.LeafEntry
	for _, e := range before {
		if !some(e.N) {
			undone = append(undone, e)
		}
	}
	if err := g.store.PutLeaves(h.State().Local, undone); err != nil {
		t.Fatal(err)
	}
}

// storedEntries gives the first leaves of g as they are stored, those too that
// are not.
func storedEntries(t rapid.TB, g *graft) (entries []store.LeafEntry) {
	t.Helper()
	stored := storedLeaves{g.store, g.head.State().Local}
	for n := volume.LeafIdx(0); n < 8; n++ {
		l, err := stored.Leaf(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, store.LeafEntry{N: n, Leaf: l})
	}
	return entries
}

func all(volume.LeafIdx) bool { return true }

// still ends the background work of g, which saves after pushes and pulls.
func still(g *graft) {
	g.heads.stop()
	<-g.heads.stopped
}

// crashStill is crash, and nothing works in the background afterwards.
func crashStill(t rapid.TB, g *graft) {
	t.Helper()
	g.asleep = true
	g.crash(t)
	g.asleep = false
}

// The index takes the place of the local log, but for what came after it was
// saved, and that of the base takes the place of the remote log.
func TestOpeningReadsNoCommitThatTheIndexHas(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 600, 1) })
	adopt(t, g)
	g.putRemote(t, 2, volume.Commit{PageCount: 700, Kept: 600, Segments: pages(590, 700)}, 2)
	advance(t, g, 2)
	g.update(t, func(w *Writer) { write(t, w, 300, 301, 3) })
	g.update(t, func(w *Writer) { setPageCount(t, w, 650) })
	want := contentOf(650, 1, 600, 1).set(590, 650, 2).set(300, 301, 3)
	g.reopen(t)
	state := g.head.State()
	damageLog(t, g, state.Remote, 1, 2)
	damageLog(t, g, state.Local, 1, state.LocalHead)
	for range 2 {
		g.reopen(t)
		want.check(t, g.head.Reader())
	}

	g.update(t, func(w *Writer) { write(t, w, 1, 2, 4) })
	g.update(t, func(w *Writer) { write(t, w, 649, 651, 5) })
	want.count = 651
	want.set(1, 2, 4).set(649, 651, 5)
	for range 2 {
		g.crash(t)
		want.check(t, g.head.Reader())
		if got := g.head.State().LocalHead; got != state.LocalHead+2 {
			t.Fatalf("head %d, want %d", got, state.LocalHead+2)
		}
	}
	damageLog(t, g, state.Local, state.LocalHead+1, state.LocalHead+1)
	g.forget()
	if _, err := g.heads.Open(t.Context(), state.Local); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("a damaged commit after the index: %v", err)
	}
}

func TestTheIndexFollowsASyncPointThatMovedSinceItWasSaved(t *testing.T) {
	for name, move := range map[string]func(t *testing.T, g *graft, want content) content{
		"adopted": func(t *testing.T, g *graft, want content) content {
			adopt(t, g)
			return want
		},
		"adopted, and a commit since": func(t *testing.T, g *graft, want content) content {
			adopt(t, g)
			g.update(t, func(w *Writer) { write(t, w, 400, 401, 9) })
			return want.set(400, 401, 9)
		},
		"adopted, but for a commit": func(t *testing.T, g *graft, want content) content {
			p, aliases := g.rollup(t)
			g.update(t, func(w *Writer) { write(t, w, 400, 401, 9); setPageCount(t, w, 550) })
			if err := g.head.SetPending(&p, aliases); err != nil {
				t.Fatal(err)
			}
			if err := g.head.Adopt(context.Background(), p, aliases); err != nil {
				t.Fatal(err)
			}
			want.truncate(550)
			return want.set(400, 401, 9)
		},
		"advanced": func(t *testing.T, g *graft, want content) content {
			adopt(t, g)
			g.putRemote(t, 2, volume.Commit{PageCount: 580, Kept: 300, Segments: pages(290, 310)}, 8)
			advance(t, g, 2)
			want.truncate(300)
			want.count = 580
			return want.set(290, 310, 8)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			still(g)
			g.update(t, func(w *Writer) { write(t, w, 1, 600, 1) })
			g.update(t, func(w *Writer) { write(t, w, 257, 270, 2) })
			saveNow(t, g)
			want := move(t, g, contentOf(600, 1, 600, 1).set(257, 270, 2))
			for range 2 {
				crashStill(t, g)
				want.check(t, g.head.Reader())
			}
			if !g.head.saved.unsure {
				t.Error("the leaves of the newest snapshot count as saved")
			}
			saveNow(t, g)
			want.check(t, g.head.Reader())
			crashStill(t, g)
			if g.head.saved.unsure {
				t.Error("what was saved is stale")
			}
			want.check(t, g.head.Reader())
			// Nothing is left of the leaves that were stored over another base.
			h := g.head
			diff := make(map[volume.LeafIdx]bool)
			for _, n := range diffOf(t, h.mu.base, h.mu.snap.root) {
				diff[n] = true
			}
			for _, e := range storedEntries(t, g) {
				if (e.Leaf != nil) != diff[e.N] {
					t.Errorf("leaf %d over the base is stored: %t", e.N, e.Leaf != nil)
				}
			}
		})
	}
}

// Leaves that are newer than the record says are made the newest by the commits
// since, whatever happens before the next save.
func TestACrashInTheMiddleOfASave(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, g *graft){
		"first save":  func(*testing.T, *graft) {},
		"second save": saveAndGrow,
		"after a push": func(t *testing.T, g *graft) {
			saveAndGrow(t, g)
			adopt(t, g)
		},
	} {
		for part, some := range map[string]func(volume.LeafIdx) bool{
			"all leaves": all,
			"some":       func(n volume.LeafIdx) bool { return n%2 == 1 },
		} {
			t.Run(name+", "+part, func(t *testing.T) {
				g := newGraft(t)
				still(g)
				g.update(t, func(w *Writer) { write(t, w, 1, 10, 1) })
				before(t, g)
				g.update(t, func(w *Writer) { write(t, w, 1, 10, 1); write(t, w, 5, 800, 2) })
				saveHalf(t, g, some)
				want := contentOf(800, 1, 4, 1).set(5, 800, 2)
				g.update(t, func(w *Writer) { write(t, w, 300, 300, 3); setPageCount(t, w, 700) })
				want.truncate(700)
				want.set(300, 300, 3)
				crashStill(t, g)
				want.check(t, g.head.Reader())
				g.update(t, func(w *Writer) { write(t, w, 900, 900, 4) })
				want.count = 900
				want.set(900, 900, 4)
				crashStill(t, g)
				want.check(t, g.head.Reader())
				g.reopen(t)
				want.check(t, g.head.Reader())
				g.reopen(t)
				want.check(t, g.head.Reader())
			})
		}
	}
}

func saveAndGrow(t *testing.T, g *graft) {
	t.Helper()
	saveNow(t, g)
	g.update(t, func(w *Writer) { write(t, w, 10, 400, 7) })
}

// What was cut off stays zeros, although a save that did not end has stored the
// leaves that had it.
func TestASaveThatDidNotEndInventsNoPage(t *testing.T) {
	for name, after := range map[string]func(t rapid.TB, g *graft){
		"crash":      crashStill,
		"it went on": func(rapid.TB, *graft) {}, // as after ErrFull
	} {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			still(g)
			g.update(t, func(w *Writer) { write(t, w, 1, 10, 1) })
			saveNow(t, g)
			g.update(t, func(w *Writer) { write(t, w, 1, 1000, 2) })
			saveHalf(t, g, all)
			after(t, g)
			g.update(t, func(w *Writer) { setPageCount(t, w, 10) })
			saveNow(t, g)
			g.update(t, func(w *Writer) { setPageCount(t, w, 1000) })
			want := contentOf(1000, 1, 10, 2)
			want.check(t, g.head.Reader())
			g.reopen(t)
			want.check(t, g.head.Reader())
		})
	}
}

// The same of the base.
func TestASaveThatDidNotEndInventsNoPageOfTheBase(t *testing.T) {
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 10, 1) })
	adopt(t, g)
	saveNow(t, g)
	g.putRemote(t, 2, volume.Commit{PageCount: 1000, Kept: 10, Segments: pages(11, 1000)}, 2)
	advance(t, g, 2)
	saveHalf(t, g, all)
	crashStill(t, g)
	g.putRemote(t, 3, volume.Commit{PageCount: 10, Kept: 10}, 0)
	advance(t, g, 3)
	saveNow(t, g)
	g.putRemote(t, 4, volume.Commit{PageCount: 1000, Kept: 10}, 0)
	advance(t, g, 4)
	want := contentOf(1000, 1, 10, 1)
	want.check(t, g.head.Reader())
	g.reopen(t)
	want.check(t, g.head.Reader())
}

func TestAnIndexAheadOfTheLogIsCorrupt(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 3, 1) })
	adopt(t, g)
	g.update(t, func(w *Writer) { write(t, w, 1, 3, 2) })
	g.reopen(t)
	state := g.head.State()
	x, err := g.store.Index(state.Local)
	if err != nil || x.Local != 2 || x.SyncPoint != state.SyncPoint {
		t.Fatalf("index %+v, %v", x, err)
	}
	ahead := x
	ahead.Local++
	if err := g.store.PutIndex(state.Local, ahead); err != nil {
		t.Fatal(err)
	}
	g.forget()
	if _, err := g.heads.Open(t.Context(), state.Local); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
	if err := g.store.PutIndex(state.Local, x); err != nil {
		t.Fatal(err)
	}
	g.reopenHead(t)
	contentOf(3, 1, 3, 2).check(t, g.head.Reader())
}

// Readers from before lazy parts of their Roots were loaded go on after their
// stored leaves were written over.
func TestSavesLeaveLazyReadersAlone(t *testing.T) {
	const last = 1500 // 6 leaves
	for name, step := range map[string]func(t *testing.T, g *graft){
		"commits": func(t *testing.T, g *graft) {
			g.update(t, func(w *Writer) { write(t, w, 200, 900, 5) })
		},
		"a truncation": func(t *testing.T, g *graft) {
			g.update(t, func(w *Writer) { setPageCount(t, w, 100) })
			g.update(t, func(w *Writer) { setPageCount(t, w, last); write(t, w, 700, 700, 5) })
		},
		"a push": func(t *testing.T, g *graft) {
			g.update(t, func(w *Writer) { write(t, w, 1401, 1401, 4) })
			adoptUnread(t, g)
		},
		"a push and a commit": func(t *testing.T, g *graft) {
			adoptUnread(t, g)
			saveNow(t, g)
			g.update(t, func(w *Writer) { write(t, w, 300, 800, 5) })
		},
		"a push and a pull": func(t *testing.T, g *graft) {
			adoptUnread(t, g)
			lsn := g.head.State().SyncPoint.Remote + 1
			g.putRemote(t, lsn, volume.Commit{PageCount: 1300, Kept: 800, Segments: pages(100, 1200)}, 6)
			advance(t, g, lsn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			g.update(t, func(w *Writer) { write(t, w, 1, last, 1) })
			adoptUnread(t, g)
			g.update(t, func(w *Writer) { write(t, w, 250, 800, 2) })
			want := contentOf(last, 1, last, 1).set(250, 800, 2)
			g.reopen(t) // now nothing of the Root is loaded
			still(g)
			old := g.head.Reader()
			g.update(t, func(w *Writer) { write(t, w, 1400, 1400, 3) })
			newer := g.head.Reader()
			wantNewer := want.clone().set(1400, 1400, 3)
			for range 2 {
				step(t, g)
				saveNow(t, g)
			}
			if err := g.heads.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			want.check(t, old)
			wantNewer.check(t, newer)
			old.Close()
			newer.Close()
		})
	}
}

// adoptUnread is adopt of what there is, that looks nothing up in the newest Root.
func adoptUnread(t *testing.T, g *graft) {
	t.Helper()
	st := g.head.State()
	if st.Unpushed().IsZero() {
		return
	}
	up, err := g.head.Rollup(st.Local, st.Unpushed())
	if err != nil {
		t.Fatal(err)
	}
	all := volume.Segment{ID: volume.NewSegmentID()}
	for _, a := range up.Sources {
		all.Pages.AddSet(a.Pages)
	}
	rec, err := volume.EncodeCommit(volume.Commit{
		Volume: st.Remote, LSN: st.SyncPoint.Remote + 1,
		PageCount: up.PageCount, Kept: up.Kept, Segments: []volume.Segment{all},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := volume.Pending{Record: rec, Local: st.LocalHead}
	if err := g.head.SetPending(&p, up.Sources); err != nil {
		t.Fatal(err)
	}
	if err := g.head.Adopt(context.Background(), p, up.Sources); err != nil {
		t.Fatal(err)
	}
}

// savingModel is a headModel whose saves may end in the middle.
type savingModel struct{ headModel }

func (m *savingModel) saveHalf(t *rapid.T) {
	saveHalf(t, m.graft, func(volume.LeafIdx) bool { return rapid.Bool().Draw(t, "is written") })
}

// resize cuts off and grows without writing, as what is left of an old leaf shows
// nowhere else.
func (m *savingModel) resize(t *rapid.T) {
	n := volume.PageCount(rapid.SampledFrom([]int{1, 255, 256, 257, 600}).Draw(t, "page count"))
	m.update(t, func(w *Writer) { setPageCount(t, w, n) })
	m.now = m.now.clone()
	m.now.truncate(n)
}

func TestIndexesSurviveSavesThatDoNotEnd(t *testing.T) {
	g := newGraft(t)
	still(g)
	rapid.Check(t, func(t *rapid.T) {
		g.head = g.heads.New("main")
		g.source.bring()
		m := &savingModel{*newHeadModel(g)}
		m.resize(t)
		for range rapid.IntRange(1, 7).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"transact", "transact", "resize", "resize", "push", "pull", "reset", "forget", "save", "half", "half", "crash", "reopen"}).Draw(t, "step") {
			case "transact":
				m.transact(t)
			case "resize":
				m.resize(t)
			case "push":
				m.push(t)
			case "pull":
				m.pull(t)
			case "reset":
				m.reset(t)
			case "forget":
				m.source.forget()
			case "save":
				m.source.offline(t, func() { saveNow(t, g) })
			case "half":
				m.source.offline(t, func() { m.saveHalf(t) })
			case "crash":
				m.source.offline(t, func() { crashStill(t, g) })
			case "reopen":
				m.source.offline(t, func() { m.reopen(t); still(g) })
			}
			m.check(t)
		}
	})
}
