package snapshot

import (
	"context"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
)

// fewPages draws page counts around the borders of the first leaves.
var fewPages = rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(250, 260), rapid.IntRange(505, 520))

// headModel is a Graft together with what it must read as.
type headModel struct {
	*graft
	now  content
	kept []keptReader
	next uint64 // seed of the next pulled page
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
	lsn := commit(t, w)
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
	if m.head.State().Unpushed().IsZero() {
		return
	}
	r := m.head.Reader()
	adopt(t, m.graft)
	if !m.head.Reader().SameContent(r) || !m.head.State().Unpushed().IsZero() {
		t.Fatal("a push changes the content version, or leaves commits")
	}
}

// pull takes a commit of another machine.
func (m *headModel) pull(t *rapid.T) {
	if state := m.head.State(); !state.Unpushed().IsZero() || state.Unborn {
		return
	}
	r := m.head.Reader()
	c := drawCommit(t, m.now.count)
	c.Kept = min(c.Kept, m.now.count)
	lsn := m.head.State().SyncPoint.Remote + 1
	m.next++
	m.putRemote(t, lsn, c, 100+m.next)
	advance(t, m.graft, lsn)
	m.now = m.now.clone()
	m.now.truncate(c.Kept)
	m.now.count = c.PageCount
	for p := range c.Pages().All() {
		m.now.seeds[p] = 100 + m.next
	}
	if m.head.Reader().SameContent(r) {
		t.Fatal("a pull does not change the content version")
	}
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
	if err != nil || p.Present > p.Written || p.Written > state.Snapshot.PageCount() {
		t.Fatalf("presence %+v, %v", p, err)
	}
}

func TestHeadBehavesAsItsVersions(t *testing.T) {
	g := newGraft(t)
	rapid.Check(t, func(t *rapid.T) {
		g.head = g.heads.New("main")
		m := &headModel{graft: g, now: content{seeds: make(map[volume.PageIdx]uint64)}}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			switch step := rapid.SampledFrom([]string{"transact", "transact", "transact", "keep", "push", "pull", "save", "sweep", "crash", "reopen"}).Draw(t, "step"); {
			case step == "transact":
				m.transact(t)
			case step == "keep":
				m.kept = append(m.kept, keptReader{m.head.Reader(), m.now.clone()})
			case step == "push":
				m.push(t)
			case step == "pull":
				m.pull(t)
			case m.head.State().Unborn: // nothing to open
			case step == "save":
				if err := m.heads.save(context.Background(), 0); err != nil {
					t.Fatal(err)
				}
			case step == "sweep":
				if err := m.heads.Sweep(context.Background()); err != nil {
					t.Fatal(err)
				}
			case step == "crash":
				m.kept = nil // their store is closed
				m.crash(t)
			case step == "reopen":
				m.kept = nil
				m.reopen(t)
			}
			m.check(t)
		}
	})
}
