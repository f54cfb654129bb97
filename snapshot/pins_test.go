package snapshot

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

func sweep(t rapid.TB, g *graft) {
	t.Helper()
	if err := g.heads.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// saveAndSweep is sweep behind the save that a push asks for: until then all pages
// of the push are held.
func saveAndSweep(t rapid.TB, g *graft) {
	t.Helper()
	saveNow(t, g)
	sweep(t, g)
}

func flush(t rapid.TB, g *graft) {
	t.Helper()
	if err := g.store.Flush(); err != nil {
		t.Fatal(err)
	}
}

// places gives where the pages of a Reader are stored, without aliases.
func places(t rapid.TB, r *Reader) []store.PageRef {
	t.Helper()
	var refs []store.PageRef
	err := r.Snapshot().Root().Each(context.Background(), func(p volume.PageIdx, id volume.SegmentID) error {
		refs = append(refs, store.PageRef{Segment: id, Idx: p})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

// checkPlaces tells whether all of refs, or none, are in the store. What the
// page cache has does not count.
func checkPlaces(t rapid.TB, g *graft, refs []store.PageRef, want bool) {
	t.Helper()
	for _, ref := range refs {
		if got, err := g.store.HasPage(ref.Segment, ref.Idx); got != want || err != nil {
			t.Fatalf("page %d of segment %s is stored: %t, %v; want %t", ref.Idx, ref.Segment, got, err, want)
		}
	}
}

// overwrite replaces everything that g has, some times.
func overwrite(t rapid.TB, g *graft, last volume.PageIdx, seed uint64) {
	t.Helper()
	for i := range uint64(3) {
		g.update(t, func(w *Writer) { write(t, w, 1, last, seed+i) })
		if i == 1 {
			flush(t, g)
		}
	}
}

func TestPagesOfAnOpenReaderStay(t *testing.T) {
	for name, prepare := range map[string]func(rapid.TB, *graft){
		"in Badger":       flush,
		"in the journal":  func(rapid.TB, *graft) {},
		"not loaded":      func(t rapid.TB, g *graft) { g.reopen(t) },
		"after a crash":   func(t rapid.TB, g *graft) { g.crash(t) },
		"adopted":         func(t rapid.TB, g *graft) { adopt(t, g) },
		"adopted, opened": func(t rapid.TB, g *graft) { adopt(t, g); g.reopen(t) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGraft(t)
			g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
			prepare(t, g)
			want := contentOf(300, 1, 300, 1)
			r := g.head.Reader()
			refs := places(t, r)
			again := r.Clone()
			overwrite(t, g, 300, 10)
			if !g.head.State().SyncPoint.Remote.IsZero() {
				adopt(t, g) // the base has other pages too
				overwrite(t, g, 300, 20)
			}
			for range 2 {
				sweep(t, g)
				checkPlaces(t, g, refs, true)
				want.check(t, again)
				r.Close() // and once more, which does nothing
			}
			again.Close()
			saveAndSweep(t, g)
			checkPlaces(t, g, refs, false)
			checkPlaces(t, g, places(t, g.head.Reader()), true)
		})
	}
}

// What no Snapshot in use has when the journal is applied never gets to Badger;
// what one has does.
func TestTheJournalIsAppliedWithWhatReadersHave(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	seen := g.head.Reader()
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 2) })
	unseen := g.head.Reader()
	refs := places(t, unseen)
	unseen.Close()
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 3) })
	flush(t, g)
	checkPlaces(t, g, places(t, seen), true)
	checkPlaces(t, g, refs, false)
	contentOf(5, 1, 5, 1).check(t, seen)
	g.crash(t)
	contentOf(5, 1, 5, 3).check(t, g.head.Reader())
}

// A closed Reader ends no other's pin, and gives no pin that is not there.
func TestReadersArePinnedOnceEach(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	a, b := g.head.Reader(), g.head.Reader()
	refs := places(t, a)
	overwrite(t, g, 5, 10)
	for range 3 {
		a.Close()
	}
	sweep(t, g)
	checkPlaces(t, g, refs, true)
	b.Close()
	sweep(t, g)
	checkPlaces(t, g, refs, false)
	if n := len(g.head.readLocked()); n != 0 {
		t.Errorf("%d snapshots are pinned", n)
	}
}

func TestPagesOfAWritersBaseStay(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	g.reopen(t)
	w := g.writer(t)
	want, refs := contentOf(5, 1, 5, 1), places(t, w.base)
	adopt(t, g) // the newest Snapshot is another one, of equal content
	sweep(t, g)
	want.check(t, w)

	before := w.Base()
	for i := range uint64(3) { // a rollback needs what was there before
		write(t, w, 1, 5, 2+i)
		commit(t, w)
	}
	adopt(t, g) // so that the base has none of it
	sweep(t, g)
	want.check(t, before)
	checkPlaces(t, g, refs, true)
	before.Close()
	saveAndSweep(t, g)
	checkPlaces(t, g, refs, false)
	contentOf(5, 1, 5, 4).check(t, w)
	w.Discard()
	if n := len(g.head.readLocked()); n != 0 {
		t.Errorf("%d snapshots are pinned", n)
	}
}

func TestSpilledPagesStay(t *testing.T) {
	const last = 3 * maxStaged
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	want := contentOf(last, 1, last, 2)
	w := g.writer(t)
	defer w.Discard()
	write(t, w, 1, last, 2)
	segment, spilled := w.segment, w.spilled.Clone()
	if spilled.Len() < maxStaged {
		t.Fatalf("%d pages are spilled", spilled.Len())
	}
	sweep(t, g)
	for p := range spilled.All() {
		checkPlaces(t, g, []store.PageRef{{Segment: segment, Idx: p}}, true)
	}
	want.check(t, w)
	commit(t, w)
	sweep(t, g)
	want.check(t, w)
	g.crash(t)
	sweep(t, g)
	want.check(t, g.head.Reader())
}

// A crash leaves spilled pages behind that nothing refers to: the next sweep has
// them, and whoever opens the store knows that it needs one.
func TestSpilledPagesOfACrashAreSwept(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	w := g.writer(t)
	write(t, w, 1, 3*maxStaged, 2)
	ref := store.PageRef{Segment: w.segment, Idx: 1}
	killed := afterKill(t, g)
	w.Discard()
	checkPlaces(t, g, []store.PageRef{ref}, false)
	checkPlaces(t, killed, []store.PageRef{ref}, true)
	if !killed.store.NeedsSweep() {
		t.Error("the store counts as clean")
	}
	sweep(t, killed)
	checkPlaces(t, killed, []store.PageRef{ref}, false)
	contentOf(5, 1, 5, 1).check(t, killed.head.Reader())
}

func TestPagesOfAPendingPushStay(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
	want := contentOf(300, 1, 300, 1)
	r := g.head.Reader()
	refs := places(t, r)
	p, aliases := g.rollup(t)
	if err := g.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	r.Close() // as a push does
	overwrite(t, g, 300, 10)
	for _, again := range []func(rapid.TB){func(rapid.TB) {}, g.reopen, g.crash} {
		again(t)
		flush(t, g)
		sweep(t, g)
		checkPlaces(t, g, refs, true)
		overwrite(t, g, 300, 20)
	}
	// Adopted, they are the base's.
	if err := g.head.Adopt(t.Context(), p, aliases); err != nil {
		t.Fatal(err)
	}
	sweep(t, g)
	checkPlaces(t, g, refs, true)
	want.check(t, &Reader{head: g.head, snap: &Snapshot{root: g.head.mu.base}})
	// Overwritten by the next push, they are nobody's.
	adopt(t, g)
	saveAndSweep(t, g)
	checkPlaces(t, g, refs, false)
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("asked the source for %v", asked)
	}
}

func TestPagesOfAPushThatWasLostAreSwept(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	refs := places(t, g.head.Reader()) // not closed: the reopen ends it
	p, aliases := g.rollup(t)
	if err := g.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	g.reopen(t)
	overwrite(t, g, 5, 10)
	sweep(t, g)
	checkPlaces(t, g, refs, true)
	if err := g.head.SetPending(nil, nil); err != nil {
		t.Fatal(err)
	}
	sweep(t, g)
	checkPlaces(t, g, refs, false)
	contentOf(5, 1, 5, 12).check(t, g.head.Reader())
}

// Adopting a push rewrites no page: they are found through aliases, of which
// nothing but the sweep knows that they are needed.
func TestAdoptedPagesStay(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
	g.update(t, func(w *Writer) { write(t, w, 100, 120, 2) })
	want := contentOf(300, 1, 300, 1).set(100, 120, 2)
	adopt(t, g)
	for _, again := range []func(rapid.TB){
		func(t rapid.TB) { flush(t, g) },
		func(t rapid.TB) { sweep(t, g) },
		g.reopen,
		func(t rapid.TB) { sweep(t, g) },
		g.crash,
		func(t rapid.TB) { sweep(t, g) },
	} {
		again(t)
		want.check(t, g.head.Reader())
		refs := places(t, g.head.Reader())
		checkPlaces(t, g, refs, true) // through the alias
	}
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("adopted pages were fetched: %v", asked)
	}
}

// A crash between an adopt and the save that ends its holds.
func TestAdoptedPagesOutlastACrash(t *testing.T) {
	g := newGraft(t)
	still(g)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	adopt(t, g)
	flush(t, g)
	g.update(t, func(w *Writer) { write(t, w, 1, 2, 2) })
	adopt(t, g)
	g.update(t, func(w *Writer) { write(t, w, 3, 3, 3) })
	flush(t, g)
	crashStill(t, g)
	contentOf(5, 1, 5, 1).set(1, 2, 2).set(3, 3, 3).check(t, g.head.Reader())
	sweep(t, g)
	crashStill(t, g)
	contentOf(5, 1, 5, 1).set(1, 2, 2).set(3, 3, 3).check(t, g.head.Reader())
	base := &Reader{head: g.head, snap: &Snapshot{root: g.head.mu.base}}
	contentOf(5, 1, 5, 1).set(1, 2, 2).check(t, base)
	if asked := g.source.asked(); len(asked) != 0 {
		t.Errorf("adopted pages were fetched: %v", asked)
	}
}
