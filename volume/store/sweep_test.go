package store

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"graft/internal/testdir"
	"graft/volume"
)

// swept is a store to be swept, and the model of what it holds.
type sweptStore struct {
	s        *Store
	segments []volume.SegmentID // local ones
	remotes  []volume.SegmentID
	volumes  []volume.VolumeID

	has    content
	states map[volume.SegmentID]volume.SegmentState
	held   map[[16]byte]func()
}

func newSweptStore(s *Store) *sweptStore {
	m := &sweptStore{s: s, has: make(content), states: make(map[volume.SegmentID]volume.SegmentState), held: make(map[[16]byte]func())}
	for range 4 {
		m.segments = append(m.segments, volume.NewSegmentID())
		m.remotes = append(m.remotes, volume.NewSegmentID())
		m.volumes = append(m.volumes, volume.NewVolumeID())
	}
	return m
}

// everything reads all that a sweep looks at.
func (m *sweptStore) everything(t tb) content {
	return dumpSpaces(t, m.s, spaceTag, spaceGraft, spaceLog, spaceSegment, spacePage, spaceIndex, spaceLeaf, spaceObject)
}

func (m *sweptStore) volume(t *rapid.T) volume.VolumeID {
	return rapid.SampledFrom(m.volumes).Draw(t, "volume")
}

func (m *sweptStore) segment(t *rapid.T) volume.SegmentID {
	return rapid.SampledFrom(m.segments).Draw(t, "segment")
}

// farLeaf is the leaf of what stands above farPages.
const (
	farLeaf  = 3
	farPages = farLeaf * volume.LeafPages
)

func somePages(t *rapid.T) []volume.PageEntry {
	first := rapid.Uint32Range(1, 20).Draw(t, "first page")
	if rapid.Bool().Draw(t, "far pages") {
		first += farPages
	}
	return pages(volume.PageIdx(first), volume.PageIdx(first+rapid.Uint32Max(9).Draw(t, "more pages")), 0)
}

// apply applies c, and notes it in the model.
func (m *sweptStore) apply(t *rapid.T, c Change) {
	if err := m.s.Apply(c); err != nil {
		t.Fatal(err)
	}
	m.has.apply(t, c)
	for _, state := range c.Segments {
		m.states[state.Segment.ID] = state
	}
}

func (m *sweptStore) stage(t *rapid.T) volume.SegmentID {
	id, entries := m.segment(t), somePages(t)
	if err := m.s.Stage(id, entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		m.has[string(keyPage(id, e.Idx))] = string(e.Page[:])
	}
	return id
}

func (m *sweptStore) index(t *rapid.T) {
	v := m.volume(t)
	leaf := &volume.Leaf{m.segments[0]}
	if err := errors.Join(m.s.PutLeaves(v, []LeafEntry{{Leaf: leaf}}), m.s.PutIndex(v, volume.Index{})); err != nil {
		t.Fatal(err)
	}
	maps.Copy(m.has, dumpSpaces(t, m.s, spaceIndex, spaceLeaf))
}

// fill stores something.
func (m *sweptStore) fill(t *rapid.T) {
	switch rapid.SampledFrom([]string{"pages", "stage", "commit", "state", "graft", "index", "object", "hold"}).Draw(t, "what") {
	case "pages":
		m.apply(t, Change{Segment: m.segment(t), Pages: somePages(t), Relaxed: true})
	case "stage":
		m.stage(t)
	case "commit":
		rec, err := volume.EncodeCommit(volume.Commit{Volume: m.volume(t), LSN: volume.LSN(rapid.Uint64Range(1, 5).Draw(t, "lsn")), Time: time.UnixMilli(1)})
		if err != nil {
			t.Fatal(err)
		}
		m.apply(t, Change{Commits: []volume.Record{rec}, Relaxed: true})
	case "state":
		state := volume.SegmentState{Volume: m.volume(t), LSN: 1, Segment: volume.Segment{ID: rapid.SampledFrom(m.remotes).Draw(t, "remote segment")}}
		for range rapid.IntRange(0, 2).Draw(t, "aliases") {
			alias := volume.Alias{Segment: m.segment(t), Pages: setOf(somePages(t))}
			state.Aliases = append(state.Aliases, alias)
			state.Segment.Pages.AddSet(alias.Pages)
		}
		m.apply(t, Change{Segments: []volume.SegmentState{state}, Relaxed: true})
	case "graft":
		v := m.volume(t)
		m.apply(t, Change{Tags: []Tag{{v.String(), v}}, Grafts: []volume.GraftState{{Local: v}}, Relaxed: true})
	case "index":
		m.index(t)
	case "object":
		m.object(t)
	case "hold":
		id := m.anything(t)
		if release := m.held[id]; release != nil {
			release()
			delete(m.held, id)
			return
		}
		m.held[id] = m.s.Hold(id)
	}
}

// someObjects are what may be cached.
var someObjects = []string{"a root", "a chunk", "another chunk"}

func (m *sweptStore) object(t *rapid.T) volume.Hash {
	b := rapid.SampledFrom(someObjects).Draw(t, "object")
	sum := volume.HashOf([]byte(b))
	if err := m.s.PutObjects(map[volume.Hash][]byte{sum: []byte(b)}); err != nil {
		t.Fatal(err)
	}
	m.has[string(keyObject(sum))] = b
	return sum
}

// anything draws what can be held.
func (m *sweptStore) anything(t *rapid.T) [16]byte {
	if rapid.Bool().Draw(t, "hold a segment") {
		return m.segment(t)
	}
	return m.volume(t)
}

// sweepAway is what a sweep leaves, and what is young in it.
type sweepAway struct {
	live    Live
	young   map[[16]byte]bool
	objects map[volume.Hash]bool // that are young
}

// draw chooses what is live.
func (m *sweptStore) draw(t *rapid.T) sweepAway {
	a := sweepAway{
		live: Live{
			Pages: NewPageRefSet(), Unknown: new(LeafSet), Objects: make(map[volume.Hash]bool),
			Locals: make(map[volume.VolumeID]volume.LSN), Remotes: make(map[volume.VolumeID]RemoteLog),
		},
		young:   make(map[[16]byte]bool),
		objects: make(map[volume.Hash]bool),
	}
	for _, b := range someObjects {
		a.live.Objects[volume.HashOf([]byte(b))] = rapid.Bool().Draw(t, "object is live")
	}
	if rapid.Bool().Draw(t, "far leaf is unknown") {
		a.live.Unknown.Add(farLeaf)
	}
	for _, id := range m.segments {
		mask := rapid.Uint32().Draw(t, "live pages")
		for p := range volume.PageIdx(32) {
			if mask>>p&1 == 1 {
				a.live.Pages.Add(PageRef{id, p})
			}
		}
	}
	for _, v := range m.volumes {
		switch rapid.IntRange(0, 3).Draw(t, "volume is") {
		case 0:
			a.live.Locals[v] = volume.LSN(rapid.Uint64Range(1, 6).Draw(t, "oldest"))
		case 1:
			before := rapid.MapOf(rapid.Map(rapid.Uint64Range(1, 5), func(l uint64) volume.LSN { return volume.LSN(l) }), rapid.Just(true))
			a.live.Remotes[v] = RemoteLog{From: volume.LSN(rapid.Uint64Max(6).Draw(t, "from")), Before: before.Draw(t, "before")}
		}
	}
	for id := range m.held {
		a.young[id] = true
	}
	return a
}

// leaves tells whether the sweep leaves a key, which is in what the model has.
func (a sweepAway) leaves(m *sweptStore, key string) bool {
	of := volume.VolumeID{}
	copy(of[:], key[1:])
	oldest, local := a.live.Locals[of]
	switch key[0] {
	case spacePage:
		ref, _ := parseKeyPage([]byte(key))
		unknown := ref.Idx > farPages && a.live.Unknown.Contains(farLeaf)
		return a.live.Pages.Contains(ref) || unknown || a.young[ref.Segment]
	case spaceLog:
		_, l, _ := parseKeyLog([]byte(key))
		log, remote := a.live.Remotes[of]
		return a.young[of] || local && l >= oldest || remote && (l >= log.From || log.Before[l])
	case spaceObject:
		sum, _ := parseKeyObject([]byte(key))
		return a.live.Objects[sum] || a.objects[sum]
	case spaceIndex, spaceLeaf:
		return local || a.young[of]
	case spaceSegment:
		v := m.states[volume.SegmentID(of)].Volume
		_, remote := a.live.Remotes[v]
		return remote || a.young[v]
	}
	return true
}

// sweep makes the model be swept.
func (m *sweptStore) swept(t *rapid.T, a sweepAway) {
	maps.DeleteFunc(m.has, func(key, _ string) bool { return !a.leaves(m, key) })
	for id, state := range m.states {
		if m.has[string(keySegment(id))] == "" {
			delete(m.states, id)
			continue
		}
		var kept []volume.Alias
		for _, alias := range state.Aliases {
			for p := range alias.Pages.All() {
				if a.live.Pages.Contains(PageRef{alias.Segment, p}) || p > farPages && a.live.Unknown.Contains(farLeaf) {
					kept = append(kept, alias)
					break
				}
			}
		}
		if len(kept) == 0 && !a.young[state.Volume] {
			delete(m.has, string(keySegment(id)))
			delete(m.states, id)
			continue
		}
		state.Aliases = kept
		m.states[id] = state
		m.has.apply(t, Change{Segments: []volume.SegmentState{state}})
	}
}

// sweep sweeps the store and the model, while something is stored or held.
func (m *sweptStore) sweep(t *rapid.T) {
	a := m.draw(t)
	before := len(m.has)
	var meanwhile []func()
	swept, err := m.s.Sweep(context.Background(), func(context.Context) (Live, error) {
		for range rapid.IntRange(0, 2).Draw(t, "meanwhile") {
			n := len(m.has)
			switch rapid.IntRange(0, 2).Draw(t, "what meanwhile") {
			case 0:
				a.young[m.stage(t)] = true
				before += len(m.has) - n
				continue
			case 1:
				a.objects[m.object(t)] = true
				before += len(m.has) - n
				continue
			}
			id := m.anything(t)
			a.young[id] = true
			meanwhile = append(meanwhile, m.s.Hold(id))
		}
		return a.live, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range meanwhile {
		release()
	}
	m.swept(t, a)
	got := m.everything(t)
	if !maps.Equal(got, m.has) {
		t.Fatalf("after the sweep: %s", got.diff(m.has))
	}
	if swept.Removed != before-len(m.has) || m.s.NeedsSweep() {
		t.Fatalf("swept %+v of %d keys, %d are left; needs another %t", swept, before, len(m.has), m.s.NeedsSweep())
	}
}

// clear releases what is held and deletes what no sweep does.
func (m *sweptStore) clear(t tb) {
	for _, release := range m.held {
		release()
	}
	var c Change
	for _, v := range m.volumes {
		c.DeleteTags, c.DeleteGrafts = append(c.DeleteTags, v.String()), append(c.DeleteGrafts, v)
	}
	if err := m.s.Apply(c); err != nil {
		t.Errorf("clear: %v", err)
	}
}

func TestSweepLeavesWhatIsLive(t *testing.T) {
	s := open(t, testdir.InMemory(t))
	rapid.Check(t, func(t *rapid.T) {
		m := newSweptStore(s)
		defer m.clear(t)
		nothing := func(context.Context) (Live, error) { return Live{Pages: NewPageRefSet()}, nil }
		if _, err := s.Sweep(context.Background(), nothing); err != nil {
			t.Fatal(err)
		}
		if got := m.everything(t); len(got) > 0 {
			t.Fatalf("for nobody there are %s", got.diff(nil))
		}
		for range rapid.IntRange(1, 4).Draw(t, "sweeps") {
			for range rapid.IntRange(1, 7).Draw(t, "writes") {
				m.fill(t)
			}
			m.sweep(t)
		}
	})
}

// TestFailedSweepIsTriedAgain fails sweeps of pages that a crash has left, and
// of some that nobody knows to be orphans.
func TestFailedSweepIsTriedAgain(t *testing.T) {
	for name, crash := range map[string]bool{"after a crash": true, "before": false} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t)
			id := volume.NewSegmentID()
			must(t, s.Stage(id, pages(1, 10, 0)))
			if crash {
				s.abandon(t)
				s = open(t, s.Dir())
			}
			if s.NeedsSweep() != crash {
				t.Errorf("needs a sweep: %t", !crash)
			}
			for _, fail := range []error{errPlanted, errPlanted, nil} {
				checkPages(t, s, id, pages(1, 10, 0))
				_, err := s.Sweep(context.Background(), func(context.Context) (Live, error) {
					return Live{Pages: NewPageRefSet()}, fail
				})
				if !errors.Is(err, fail) || s.NeedsSweep() != (fail != nil) {
					t.Fatalf("sweep: %v; needs another %t", err, s.NeedsSweep())
				}
				s = reopen(t, s)
				if s.NeedsSweep() != (fail != nil) {
					t.Fatalf("opened again it needs a sweep: %t", s.NeedsSweep())
				}
			}
			if got := dump(t, s); len(got) > 0 {
				t.Errorf("left are %s", got.diff(nil))
			}
		})
	}
}

// inUse is what the writers of a test have in use.
type inUse struct {
	sync.Mutex
	pages map[PageRef]bool
	heads map[volume.VolumeID]volume.LSN
}

func (u *inUse) mark(context.Context) (Live, error) {
	u.Lock()
	defer u.Unlock()
	live := Live{Pages: NewPageRefSet(), Locals: maps.Clone(u.heads)}
	for ref := range u.pages {
		live.Pages.Add(ref)
	}
	return live, nil
}

// replace commits pages in place of those that v had before.
func (u *inUse) replace(t *testing.T, s *Store, v volume.VolumeID, l volume.LSN, old volume.SegmentID) volume.SegmentID {
	id, entries := volume.NewSegmentID(), pages(1, 8, uint64(l))
	defer s.Hold(id)()
	c := Change{Commits: []volume.Record{commit(t, v, l)}, Segment: id, Pages: entries[:4], Relaxed: l%4 > 0}
	if err := errors.Join(s.Stage(id, entries[4:]), s.Apply(c)); err != nil {
		t.Error(err)
	}
	u.Lock()
	for _, e := range entries {
		u.pages[PageRef{id, e.Idx}] = true
		delete(u.pages, PageRef{old, e.Idx})
	}
	u.heads[v] = l
	u.Unlock()
	for _, e := range entries {
		if page, err := s.StagedPage(id, e.Idx); err != nil || *page != *e.Page {
			t.Errorf("page %d of commit %d: another content, or %v", e.Idx, l, err)
		}
	}
	if head, err := s.Head(v); head != l || err != nil {
		t.Errorf("head %d of %d, %v", head, l, err)
	}
	return id
}

func TestSweepBesideWriters(t *testing.T) {
	const commits = 60
	s := openNew(t)
	u := &inUse{pages: make(map[PageRef]bool), heads: make(map[volume.VolumeID]volume.LSN)}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			v, id := volume.NewVolumeID(), volume.SegmentID{}
			defer s.Hold(v)() // until its first commit is in use
			for l := volume.LSN(1); l <= commits && !t.Failed(); l++ {
				id = u.replace(t, s, v, l, id)
			}
		})
	}
	stop, sweeper := make(chan struct{}), sync.WaitGroup{}
	sweeper.Go(func() {
		for {
			if _, err := s.Sweep(context.Background(), u.mark); err != nil {
				t.Error(err)
			}
			if err := s.Compact(context.Background()); err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	wg.Wait()
	close(stop)
	sweeper.Wait()
	if _, err := s.Sweep(context.Background(), u.mark); err != nil {
		t.Error(err)
	}
	got := dumpSpaces(t, s, spacePage, spaceLog)
	if want := 3 * (8 + 1); len(got) != want || len(u.pages) != 3*8 {
		t.Errorf("%d keys are left, want %d", len(got), want)
	}
}
