package snapshot

import (
	"context"
	"errors"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store"
)

// fewPages draws page counts around the borders of the first leaves.
var fewPages = rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(250, 260), rapid.IntRange(505, 520))

// headModel is a Graft together with what it must read as.
type headModel struct {
	*graft
	now  content
	kept []keptReader
	next uint64    // seed of the next pulled page
	at   []content // of the remote Volume at each LSN; that at zero is of the parent
}

func newHeadModel(g *graft) *headModel {
	empty := content{seeds: make(map[volume.PageIdx]uint64)}
	return &headModel{graft: g, now: empty, at: []content{empty}}
}

// behind tells whether the remote Volume has commits that are not pulled.
func (m *headModel) behind() bool { return int(m.head.State().SyncPoint.Remote) < len(m.at)-1 }

// moved notes what the remote Volume is at the SyncPoint.
func (m *headModel) moved(t *rapid.T) {
	at := m.head.State().Snapshot.Point()
	if int(at.LSN) == len(m.at) {
		m.at = append(m.at, m.now.clone())
	}
	if err := m.remote().Objects(at, func(volume.Hash) {}); err != nil { // the source looks at it, too
		t.Fatal(err)
	}
}

type keptReader struct {
	reader *Reader
	want   content
}

func (c content) clone() content { return content{c.count, maps.Clone(c.seeds)} }

func (c *content) truncate(n volume.PageCount) {
	c.count = n
	maps.DeleteFunc(c.seeds, func(p volume.PageIdx, _ uint64) bool { return !n.Has(p) })
}

func (c content) equal(o content) bool {
	zero := func(_ volume.PageIdx, seed uint64) bool { return seed == 0 }
	a, b := c.clone(), o.clone()
	maps.DeleteFunc(a.seeds, zero)
	maps.DeleteFunc(b.seeds, zero)
	return c.count == o.count && maps.Equal(a.seeds, b.seeds)
}

// edit does the same random changes to a Writer and to a content.
func (m *headModel) edit(t *rapid.T, w *Writer, c *content) {
	for range rapid.IntRange(0, 5).Draw(t, "edits") {
		if rapid.IntRange(0, 3).Draw(t, "edit") == 0 {
			n := volume.PageCount(fewPages.Draw(t, "page count"))
			setPageCount(t, w, n)
			c.truncate(n)
			continue
		}
		p := volume.PageIdx(1 + fewPages.Draw(t, "page"))
		n := rapid.SampledFrom([]volume.PageIdx{1, 1, 5, maxStaged + 20}).Draw(t, "pages")
		seed := rapid.Uint64Max(3).Draw(t, "content")
		write(t, w, p, p+n-1, seed)
		c.set(p, p+n-1, seed)
		c.count = max(c.count, volume.PageCount(p+n-1))
	}
}

func (m *headModel) transact(t *rapid.T) {
	before := m.head.State()
	w := m.writer(t)
	defer w.Discard()
	edited := m.now.clone()
	m.edit(t, w, &edited)
	edited.check(t, w)
	if rapid.IntRange(0, 4).Draw(t, "end") == 0 {
		return // discarded
	}
	var lsn volume.LSN
	m.source.offline(t, func() { lsn = commit(t, w) })
	after := m.head.State()
	if lsn == 0 {
		if !edited.equal(m.now) || after.LocalHead != before.LocalHead || after.Snapshot.Version() != before.Snapshot.Version() {
			t.Fatal("a change made no commit, or none made a change")
		}
	} else if lsn != before.LocalHead+1 || after.LocalHead != lsn || after.Snapshot.Version() == before.Snapshot.Version() {
		t.Fatalf("LSN %d after %d, head %d", lsn, before.LocalHead, after.LocalHead)
	}
	m.now = edited
}

func (m *headModel) push(t *rapid.T) {
	if m.head.State().Unpushed().IsZero() || m.behind() {
		return
	}
	r := m.head.Reader()
	p, aliases := m.rollup(t)
	m.source.offline(t, func() { adoptIt(t, m.graft, p, aliases) })
	m.moved(t)
	if !m.head.Reader().SameContent(r) || !m.head.State().Unpushed().IsZero() {
		t.Fatal("a push changes the content version, or leaves commits")
	}
}

// pull takes a commit of another machine.
func (m *headModel) pull(t *rapid.T) {
	if state := m.head.State(); !state.Unpushed().IsZero() || state.Unborn {
		return
	}
	if m.behind() {
		m.source.offline(t, func() { advance(t, m.graft, volume.LSN(len(m.at)-1)) })
		m.now = m.at[len(m.at)-1].clone()
		return
	}
	r := m.head.Reader()
	c := drawCommit(t, m.now.count)
	c.Kept = min(c.Kept, m.now.count)
	lsn := m.head.State().SyncPoint.Remote + 1
	m.next++
	m.putRemote(t, lsn, c, 100+m.next)
	m.source.offline(t, func() { advance(t, m.graft, lsn) })
	m.now = m.now.clone()
	m.now.truncate(c.Kept)
	m.now.count = c.PageCount
	for p := range c.Pages().All() {
		m.now.seeds[p] = 100 + m.next
	}
	if m.head.Reader().SameContent(r) {
		t.Fatal("a pull does not change the content version")
	}
	m.moved(t)
}

// reset gives up what is not pushed. A commit that was swept is fetched again.
func (m *headModel) reset(t *rapid.T) {
	st := m.head.State()
	if st.Unborn {
		return
	}
	to := volume.LSN(rapid.IntRange(0, len(m.at)-1).Draw(t, "reset to"))
	r := m.head.Reader()
	m.source.offline(t, func() {
		err := m.head.Reset(context.Background(), to, st.LocalHead)
		if errors.Is(err, store.ErrNotFound) {
			m.source.putAgain(t, m.store, Point{st.Remote, to})
			err = m.head.Reset(context.Background(), to, st.LocalHead)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if moves := to != st.SyncPoint.Remote || !st.Unpushed().IsZero(); m.head.Reader().SameContent(r) == moves {
		t.Fatalf("a reset moves, %t, and does not tell", moves)
	}
	m.now = m.at[to].clone()
}

func (m *headModel) check(t *rapid.T) {
	state := m.head.State()
	if err := state.Snapshot.Root().check(); err != nil {
		t.Fatal(err)
	}
	m.now.check(t, m.head.Reader())
	for _, k := range m.kept {
		k.want.check(t, k.reader)
	}
	p, err := m.head.Reader().Presence(context.Background())
	if err != nil || p.Present > p.Written || p.Written+p.Unknown > state.Snapshot.PageCount() {
		t.Fatalf("presence %+v, %v", p, err)
	}
}

// thinning has the store look at what lives after every few pages.
var thinning = store.Options{ApplyAt: 40 << 10}

func TestHeadBehavesAsItsVersions(t *testing.T) {
	g := newGraftOf(t, testdir.InMemory(t), thinning)
	rapid.Check(t, func(t *rapid.T) {
		g.source.bring()
		g.head = g.heads.New("main")
		m := newHeadModel(g)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			switch step := rapid.SampledFrom([]string{"transact", "transact", "transact", "keep", "push", "pull", "pull", "reset", "forget", "forget", "save", "sweep", "crash", "reopen"}).Draw(t, "step"); {
			case step == "transact":
				m.transact(t)
			case step == "keep":
				m.kept = append(m.kept, keptReader{m.head.Reader(), m.now.clone()})
			case step == "push":
				m.push(t)
			case step == "pull":
				m.pull(t)
			case step == "reset":
				m.reset(t)
			case step == "forget":
				m.source.forget()
			case m.head.State().Unborn: // nothing to open
			case step == "save":
				m.source.offline(t, func() { saveNow(t, g) })
			case step == "sweep":
				m.source.offline(t, func() { sweep(t, g) })
			case step == "crash":
				m.kept = nil // their store is closed
				m.source.offline(t, func() { m.crash(t) })
			case step == "reopen":
				m.kept = nil
				m.source.offline(t, func() { m.reopen(t) })
			}
			m.check(t)
		}
	})
}
