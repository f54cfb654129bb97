package snapshot

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store"
)

// afterKill gives g as its data directory is now, without what is in memory.
// Nothing works in the background.
func afterKill(t *testing.T, g *graft) *graft {
	t.Helper()
	dir := t.TempDir()
	if err := testdir.Copy(dir, g.dir); err != nil {
		t.Fatal(err)
	}
	return openCopy(t, g, dir)
}

// openCopy opens the Graft of g in a copy of its data directory.
func openCopy(t *testing.T, g *graft, dir string) *graft {
	t.Helper()
	k := &graft{dir: dir, source: g.source, heads: NewHeads(quiet)}
	var err error
	if k.store, err = store.Open(dir, store.Options{Live: k.heads.Live}); err != nil {
		t.Fatal(err)
	}
	k.heads.Start(k.store, k.remote())
	still(k)
	t.Cleanup(func() { k.close(t) })
	k.head = g.head
	k.reopenHead(t)
	return k
}

func TestAKillAtAnyTimeLosesNothing(t *testing.T) {
	g := newGraft(t)
	still(g)
	want := contentOf(300, 1, 300, 1)
	check := func(name string) {
		t.Helper()
		for range 2 {
			k := afterKill(t, g)
			want.check(t, k.head.Reader())
			sweep(t, k)
			want.check(t, k.head.Reader())
		}
	}
	g.update(t, func(w *Writer) { write(t, w, 1, 300, 1) })
	check("committed")
	w := g.writer(t)
	w.SetRelaxed(true)
	write(t, w, 5, 10, 2)
	commit(t, w)
	w.Discard()
	want.set(5, 10, 2)
	check("relaxed")
	sweep(t, g)
	check("swept")
	adopt(t, g)
	check("pushed")
	saveNow(t, g)
	check("saved")
}

// Orphans of all kinds go, whatever made them.
func TestSweepRemovesOrphans(t *testing.T) {
	g := newGraft(t)
	g.update(t, func(w *Writer) { write(t, w, 1, 5, 1) })
	id, v := volume.NewSegmentID(), volume.NewVolumeID()
	if err := g.store.Stage(id, []volume.PageEntry{{Idx: 1, Page: page(9, 1)}}); err != nil {
		t.Fatal(err)
	}
	damageLog(t, g, v, 1, 2)
	if err := g.store.PutLeaves(v, []store.LeafEntry{{N: 3, Leaf: new(volume.Leaf)}}); err != nil {
		t.Fatal(err)
	}
	if err := g.store.PutIndex(v, volume.Index{}); err != nil {
		t.Fatal(err)
	}
	for _, hold := range []bool{true, false} {
		if hold {
			defer g.store.Hold(v)()
			release := g.store.Hold(id)
			sweep(t, g)
			release()
			checkPlaces(t, g, []store.PageRef{{Segment: id, Idx: 1}}, true)
			continue
		}
		sweep(t, g)
		checkPlaces(t, g, []store.PageRef{{Segment: id, Idx: 1}}, false)
		if _, ok, err := g.store.NextLeaf(v, 0); !ok || err != nil {
			t.Errorf("a leaf of a held volume is gone, %v", err)
		}
	}
	contentOf(5, 1, 5, 1).check(t, g.head.Reader())
}

// The log goes up to what was pushed, and its newest commit stays, to count on
// from.
func TestSweepKeepsTheLogThatIsNeeded(t *testing.T) {
	g := newGraft(t)
	for i := range uint64(4) {
		g.update(t, func(w *Writer) { write(t, w, 1, 5, 1+i) })
	}
	check := func(want ...bool) {
		t.Helper()
		sweep(t, g)
		for i, want := range want {
			if _, err := g.store.Commit(g.head.State().Local, volume.LSN(i+1)); (err == nil) != want {
				t.Errorf("commit %d: %v, want it there: %t", i+1, err, want)
			}
		}
	}
	check(true, true, true, true)
	p, aliases := g.rollup(t)
	if err := g.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	check(true, true, true, true)
	g.update(t, func(w *Writer) { write(t, w, 1, 1, 9) })
	if err := g.head.Adopt(t.Context(), p, aliases); err != nil {
		t.Fatal(err)
	}
	check(false, false, false, false, true)
	adopt(t, g)
	check(false, false, false, false, true)
	g.reopen(t)
	if lsn := g.update(t, func(w *Writer) { write(t, w, 1, 1, 10) }); lsn != 6 {
		t.Errorf("LSN %d", lsn)
	}
	contentOf(5, 1, 1, 10).set(2, 5, 4).check(t, g.head.Reader())
}

// member is a Graft of many in one store, driven by one goroutine.
type member struct {
	*graft
	now  content
	kept []keptReader
	rand *rand.Rand
	next uint64 // seed of the next commit
}

func newMember(g *graft, seed uint64) *member {
	own := *g
	return &member{graft: &own, now: content{seeds: make(map[volume.PageIdx]uint64)}, rand: rand.New(rand.NewPCG(seed, 1)), next: seed << 32}
}

const memberPages = 320

// step does something random and checks what it can see.
func (m *member) step(t *testing.T) {
	switch n := m.rand.IntN(10); {
	case n < 4:
		m.commit(t)
	case n < 6 && len(m.kept) < 4:
		m.kept = append(m.kept, keptReader{m.head.Reader(), m.now.clone()})
	case n < 8 && len(m.kept) > 0:
		k := m.kept[0]
		k.want.check(t, k.reader)
		k.reader.Close()
		m.kept = m.kept[1:]
	case n == 8 && !m.head.State().Unpushed().IsZero():
		m.push(t)
	default:
		m.now.check(t, m.head.Reader().closing(t))
	}
}

// closing lets r be closed with the test.
func (r *Reader) closing(t *testing.T) *Reader {
	t.Cleanup(r.Close)
	return r
}

func (m *member) commit(t *testing.T) {
	w := m.writer(t)
	defer w.Discard()
	w.SetRelaxed(true)
	first := volume.PageIdx(1 + m.rand.IntN(memberPages))
	last := min(first+volume.PageIdx([]int{0, 3, maxStaged + 20}[m.rand.IntN(3)]), memberPages)
	m.next++
	write(t, w, first, last, m.next)
	next := m.now.clone().set(first, last, m.next)
	next.count = max(next.count, volume.PageCount(last))
	if m.rand.IntN(8) == 0 {
		n := volume.PageCount(m.rand.IntN(memberPages) + 1)
		setPageCount(t, w, n)
		next.truncate(n)
	}
	next.check(t, w)
	if m.rand.IntN(6) == 0 {
		return
	}
	commit(t, w)
	m.now = next
}

// push leaves commits and readers between its steps.
func (m *member) push(t *testing.T) {
	pinned := m.head.Reader()
	p, aliases := m.rollup(t)
	if err := m.head.SetPending(&p, aliases); err != nil {
		t.Fatal(err)
	}
	pinned.Close()
	m.commit(t)
	if err := m.head.Adopt(context.Background(), p, aliases); err != nil {
		t.Fatal(err)
	}
	m.now.check(t, m.head.Reader().closing(t))
}

// run drives m, and forks of it that go on after it is deleted.
func (m *member) run(t *testing.T, steps int) {
	m.commit(t)
	for i := range steps {
		m.step(t)
		if i != steps/2 || m.head.State().Unborn {
			continue
		}
		unfork := fork(t, m.graft, fmt.Sprintf("fork %d", m.next))
		deleteGraft(t, m.graft)
		m.head = unfork.head
	}
	for _, k := range m.kept {
		k.want.check(t, k.reader)
		k.reader.Close()
	}
	m.now.check(t, m.head.Reader().closing(t))
}

func TestSweepsBesideEverything(t *testing.T) {
	g := newGraft(t)
	members := make([]*member, 3)
	for i := range members {
		members[i] = newMember(g, uint64(i+1))
		members[i].head = g.heads.New(fmt.Sprintf("member %d", i))
	}
	done, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := errors.Join(g.heads.Sweep(context.Background()), g.heads.save(context.Background(), 0)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	t.Run("members", func(t *testing.T) {
		for _, m := range members {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				m.run(t, 80)
			})
		}
	})
	close(done)
	<-swept
	if t.Failed() {
		return
	}
	g.head = members[0].head
	g.crash(t)
	for _, m := range members {
		m.store, m.heads = g.store, g.heads
		m.reopenHead(t)
		m.now.check(t, m.head.Reader())
	}
	sweep(t, g)
	for _, m := range members {
		m.now.check(t, m.head.Reader())
	}
}

// world is a store of several Grafts, together with what they must read as.
type world struct {
	*graft  // with no head
	members []*headModel
	orphans []keptReader // of Grafts that were deleted
	made    int
}

func (w *world) add(h *Head) *headModel {
	g := *w.graft
	g.head = h
	m := newHeadModel(&g)
	w.members = append(w.members, m)
	return m
}

func (w *world) create() {
	w.made++
	w.add(w.heads.New(fmt.Sprintf("graft %d", w.made)))
}

// fork adds a fork of m, or what a Clone of its remote Volume would be.
func (w *world) fork(t *rapid.T, m *headModel) {
	w.made++
	var f *graft
	m.source.offline(t, func() { f = fork(t, m.graft, fmt.Sprintf("fork %d", w.made)) })
	n := w.add(f.head)
	n.now, n.at[0] = m.now.clone(), m.at[m.head.State().SyncPoint.Remote].clone()
}

func (w *world) delete(t *rapid.T, i int) {
	m := w.members[i]
	if r := m.head.Reader(); rapid.Bool().Draw(t, "keep a reader") {
		w.orphans = append(w.orphans, keptReader{r, m.now.clone()})
	} else {
		r.Close()
	}
	w.orphans = append(w.orphans, m.kept...)
	deleteGraft(t, m.graft)
	w.members = slices.Delete(w.members, i, i+1)
}

// closeReaders closes the Readers that m kept, or those of deleted Grafts.
func (w *world) closeReaders(m *headModel) {
	for _, k := range append(m.kept, w.orphans...) {
		k.reader.Close()
	}
	m.kept, w.orphans = nil, nil
}

// restart opens the store again. What no commit has stored is gone.
func (w *world) restart(t *rapid.T, kill bool) {
	w.orphans = nil
	still(w.graft)
	if kill {
		w.kill(t)
	} else {
		saveNow(t, w.graft)
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w.openStore(t)
	}
	w.members = slices.DeleteFunc(w.members, func(m *headModel) bool { return m.head.State().Unborn })
	for _, m := range w.members {
		m.kept, m.store, m.heads = nil, w.store, w.heads
		m.reopenHead(t)
	}
}

func (w *world) step(t *rapid.T) {
	if len(w.members) == 0 {
		w.create()
	}
	i := rapid.IntRange(0, len(w.members)-1).Draw(t, "graft")
	m := w.members[i]
	switch rapid.SampledFrom([]string{
		"create", "transact", "transact", "transact", "transact", "keep", "keep", "close", "fork", "delete",
		"push", "push", "pull", "pull", "reset", "forget", "forget", "save", "sweep", "sweep", "flush", "crash", "reopen",
	}).Draw(t, "step") {
	case "create":
		w.create()
	case "transact":
		m.transact(t)
	case "keep":
		m.kept = append(m.kept, keptReader{m.head.Reader(), m.now.clone()})
	case "close":
		w.closeReaders(m)
	case "fork":
		w.fork(t, m)
	case "delete":
		w.delete(t, i)
	case "push":
		m.push(t)
	case "pull":
		m.pull(t)
	case "reset":
		m.reset(t)
	case "forget":
		m.source.forget()
	case "save":
		m.source.offline(t, func() { saveNow(t, w.graft) })
	case "sweep":
		m.source.offline(t, func() { sweep(t, w.graft) })
	case "flush":
		flush(t, w.graft)
	case "crash":
		m.source.offline(t, func() { w.restart(t, true) })
	case "reopen":
		m.source.offline(t, func() { w.restart(t, false) })
	}
}

func (w *world) check(t *rapid.T) {
	for _, m := range w.members {
		m.check(t)
	}
	for _, k := range w.orphans {
		k.want.check(t, k.reader)
	}
}

func TestGraftsOfOneStoreBehaveAsTheirVersions(t *testing.T) {
	g := newGraftOf(t, testdir.InMemory(t), thinning)
	rapid.Check(t, func(t *rapid.T) {
		g.source.bring()
		w := &world{graft: g}
		defer func() { // the store goes on to the next world
			for _, m := range w.members {
				w.closeReaders(m)
				deleteGraft(t, m.graft)
			}
		}()
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			w.step(t)
			w.check(t)
		}
	})
}
