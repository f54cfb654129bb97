package store

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store/journal"
)

var aSegment = volume.NewSegmentID()

// edit changes a few bytes of a copy of a page, other ones for each n.
func edit(old *volume.Page, n uint64) *volume.Page {
	p := *old
	at := n * 56 % (volume.PageSize - 24)
	for i := range uint64(20) {
		p[at+i] ^= byte(n+i) | 1
	}
	return &p
}

func TestPatchGivesThePage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := page(rapid.Uint64().Draw(t, "old"))
		want := *old
		for range rapid.IntRange(0, 12).Draw(t, "edits") {
			at := rapid.IntRange(0, volume.PageSize-1).Draw(t, "at")
			copy(want[at:], rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "bytes"))
		}
		patch, ok := appendPatch([]byte("before"), aSegment, old, &want)
		if !ok {
			if string(patch) != "before" {
				t.Fatalf("no patch, but %d bytes", len(patch))
			}
			return
		}
		base, runs, err := cutBase(patch[len("before"):])
		if err != nil || base != aSegment || len(runs) > maxPatch {
			t.Fatalf("patch of %d bytes over segment %s: %v", len(runs), base, err)
		}
		got := *old
		if err := applyRuns(&got, runs); err != nil || got != want {
			t.Fatalf("the patch gives another page, or %v", err)
		}
	})
}

func TestPatchIsAsLongAsWhatDiffers(t *testing.T) {
	old := page(1)
	for name, c := range map[string]struct {
		change func(p *volume.Page)
		max    int // bytes, or 0 for no patch
	}{
		"equal":         {func(*volume.Page) {}, 16},
		"first byte":    {func(p *volume.Page) { p[0]++ }, 16 + 2 + 8},
		"last byte":     {func(p *volume.Page) { p[volume.PageSize-1]++ }, 16 + 3 + 8},
		"two in a row":  {func(p *volume.Page) { p[0]++; p[24]++ }, 16 + 2 + 32},
		"two far":       {func(p *volume.Page) { p[0]++; p[800]++ }, 16 + 4 + 16},
		"all":           {func(p *volume.Page) { *p = *page(2) }, 0},
		"half, and one": {func(p *volume.Page) { copy(p[:2048], page(2)[:]) }, 0},
	} {
		p := *old
		c.change(&p)
		patch, ok := appendPatch(nil, aSegment, old, &p)
		if ok != (c.max > 0) || len(patch) > c.max {
			t.Errorf("%s: %d bytes, %t", name, len(patch), ok)
		}
	}
}

func TestHostilePatchIsCorrupt(t *testing.T) {
	segment := aSegment[:]
	for name, runs := range map[string][]byte{
		"no length":                 {1},
		"no words":                  {1, 1},
		"half a word":               {1, 1, 0, 0, 0, 0},
		"an empty run":              {1, 0},
		"a skip over the end":       {0x81, 0x04, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"a run over the end":        append([]byte{0xff, 0x03, 2}, make([]byte, 16)...),
		"a length beyond all":       {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"a number that is too long": {0x81, 0x00, 1, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		if err := checkPatch(append(slices.Clone(segment), runs...)); !errors.Is(err, volume.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkPatch(segment[:15]); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("half a segment: %v", err)
	}
	if err := checkPatch(append(slices.Clone(segment), 0xff, 0x03, 1, 0, 0, 0, 0, 0, 0, 0, 0)); err != nil {
		t.Errorf("the last word: %v", err)
	}
}

// TestRedoRecordsHavePatches changes a few bytes of the same pages again and again.
func TestRedoRecordsHavePatches(t *testing.T) {
	w := newWorld(t, testdir.InMemory(t), journal.Options{}, 0)
	defer w.done()
	w.mustOpen(false)
	const changes = 100
	for range changes {
		must(t, w.apply(w.change(2, false)))
	}
	if used := w.s.journal.Used(); used > changes*2*volume.PageSize/2 {
		t.Errorf("%d bytes of redo records for %d changes of two pages", used, changes)
	}
	w.kill()
	w.mustOpen(false)
	must(t, w.apply(w.change(2, false)))
	must(t, w.close())
}

// TestPatchHoldsAsLongAsItsBaseIsReplayed applies the base of a patch between the
// moment when the patch is made and the one when it is written.
func TestPatchHoldsAsLongAsItsBaseIsReplayed(t *testing.T) {
	s := openNew(t)
	base := volume.NewSegmentID()
	old := volume.PageEntry{Idx: 1, Page: page(1)}
	apply(t, s, Change{Segment: base, Pages: []volume.PageEntry{old}})
	c := Change{
		Segment: volume.NewSegmentID(), Pages: []volume.PageEntry{{Idx: 1, Page: edit(old.Page, 1)}},
		Replaced: []PageRef{{base, 1}},
	}
	ops, err := c.encode()
	must(t, err)
	generation := s.overlay.patch(ops, c.Replaced)
	if len(ops[0].patch) == 0 {
		t.Fatal("no patch")
	}
	payload := appendOps(nil, ops)
	must(t, s.Flush())
	if _, err := s.appendPatched(payload, generation, ops, &c); !errors.Is(err, errSealed) {
		t.Fatalf("append of a patch over what is applied: %v", err)
	}
	if s.overlay.patch(ops[:1], c.Replaced); s.overlay.active.page(c.Replaced[0]) != nil {
		t.Fatal("the base is still there")
	}
	apply(t, s, c)
	checkPages(t, s, c.Segment, c.Pages)
	closeStore(t, s)
}

// TestPatchOfNothingIsCorrupt has a redo record name a base that no record has.
func TestPatchOfNothingIsCorrupt(t *testing.T) {
	s := openNew(t)
	patch, ok := appendPatch(nil, aSegment, page(1), edit(page(1), 1))
	if !ok {
		t.Fatal("no patch")
	}
	seq, err := s.journal.Append(appendOps(nil, []op{{key: keyPage(volume.NewSegmentID(), 7), patch: patch}}))
	must(t, err)
	must(t, s.journal.Sync(seq))
	s.abandon(t)
	_, err = Open(s.Dir(), Options{})
	wantCorrupt(t, err)
}

// TestDeadPagesLeaveMemory replaces the same pages again and again: they stay out of
// Badger, the journal has them all, and memory has those that live.
func TestDeadPagesLeaveMemory(t *testing.T) {
	const applyAt = 100 << 10
	w := newWorld(t, testdir.InMemory(t), journal.Options{}, applyAt)
	defer w.done()
	var newest sync.Map // Change of each Volume
	live := func(ref PageRef) bool {
		found := false
		newest.Range(func(_, c any) bool { found = found || c.(Change).Segment == ref.Segment; return !found })
		return found
	}
	replace := func() (bytes, trace int, applied uint64) {
		c := w.change(2, true)
		defer w.s.Hold(c.Segment)()
		must(t, w.apply(c))
		newest.Store(w.count%2, c)
		bytes, trace, applied = unapplied(w.s)
		if bytes >= applyAt {
			must(t, w.s.applier.relieve(w.s, w.s.isFull))
		}
		return bytes, trace, applied
	}
	w.live = live
	w.mustOpen(false)
	for trace := 0; trace < 2*applyAt; {
		var bytes int
		var applied uint64
		if bytes, trace, applied = replace(); bytes > applyAt+applyAt/4 || applied > 0 {
			t.Fatalf("%d bytes in memory of %d, %d records applied", bytes, trace, applied)
		}
	}
	w.kill()
	w.mustOpen(false) // and compares: the journal has what memory had not
	must(t, w.flush(w.s.Flush))
	w.live = live
	_, _, before := unapplied(w.s)
	for now := before; now == before; {
		var trace int
		if _, trace, now = replace(); trace > (maxTrace+2)*applyAt {
			t.Fatalf("%d bytes to replay, and nothing is applied", trace)
		}
	}
	newest.Range(func(_, c any) bool {
		checkPages(t, w.s, c.(Change).Segment, c.(Change).Pages)
		return true
	})
}

// TestWhatStaysInMemory thins out memory that is half alive, and nearly all.
func TestWhatStaysInMemory(t *testing.T) {
	const applyAt = 100 << 10
	for _, c := range []struct {
		live, dead int // pages
		applied    uint64
	}{{14, 12, 0}, {16, 10, 2}} {
		w := newWorld(t, testdir.InMemory(t), journal.Options{}, applyAt)
		w.mustOpen(false)
		kept := w.change(c.live, true)
		w.live = func(ref PageRef) bool { return ref.Segment == kept.Segment }
		must(t, w.apply(kept))
		must(t, w.apply(w.change(c.dead, true)))
		must(t, w.s.applier.relieve(w.s, w.s.isFull))
		if _, _, applied := unapplied(w.s); applied != c.applied {
			t.Errorf("of %d pages that live beside %d dead, %d records are applied", c.live, c.dead, applied)
		}
		checkPages(t, w.s, kept.Segment, kept.Pages)
		w.done()
	}
}

// TestChangesGoOnWhileMemoryIsThinnedOut makes a change while the applier looks for
// what lives.
func TestChangesGoOnWhileMemoryIsThinnedOut(t *testing.T) {
	var s *Store
	var meanwhile sync.Once
	first, second := volume.NewSegmentID(), volume.NewSegmentID()
	change := func(l volume.LSN, id volume.SegmentID) Change {
		return Change{Commits: []volume.Record{commit(t, someVolume, l)}, Segment: id, Pages: pages(1, 2, uint64(l)), Tags: []Tag{{"main", someVolume}}}
	}
	s, err := Open(t.TempDir(), Options{Live: func(volume.VolumeID, PageRef) bool {
		meanwhile.Do(func() {
			done := make(chan error)
			go func() { done <- s.Apply(change(2, second)) }()
			must(t, <-done)
		})
		return false
	}})
	must(t, err)
	apply(t, s, change(1, first))
	must(t, s.applier.relieve(s, anyTime))
	if _, trace, applied := unapplied(s); applied != 0 || trace < 4*volume.PageSize {
		t.Errorf("applied up to %d, %d bytes to replay", applied, trace)
	}
	checkNoPages(t, s, first, pages(1, 2, 1))
	checkPages(t, s, second, pages(1, 2, 2))
	if head, err := s.Head(someVolume); head != 2 || err != nil {
		t.Errorf("head %d, %v", head, err)
	}
	s.abandon(t)
	s = open(t, s.Dir())
	checkPages(t, s, first, pages(1, 2, 1))
	checkPages(t, s, second, pages(1, 2, 2))
	closeStore(t, s)
}

// unapplied gives the bytes in memory and those that a replay would take, and the
// newest record that is applied.
func unapplied(s *Store) (bytes, trace int, applied uint64) {
	s.applier.mu.Lock()
	defer s.applier.mu.Unlock()
	s.overlay.RLock()
	defer s.overlay.RUnlock()
	return s.overlay.active.bytes, s.overlay.active.trace, s.applier.applied
}

// FuzzReplay replays three redo records, of which one may have patches over pages of
// those before it.
func FuzzReplay(f *testing.F) {
	one, two, three := keyPage(aSegment, 7), keyPage(volume.SegmentID{1}, 7), keyPage(volume.SegmentID{2}, 7)
	over := func(base []byte, runs ...byte) []byte { return append(bytes.Clone(base[1:1+len(aSegment)]), runs...) }
	record := func(ops ...op) []byte { return appendOps(nil, ops) }
	base, run := record(op{key: one, value: page(1)[:]}), []byte{3, 1, 1, 2, 3, 4, 5, 6, 7, 8}
	patched := record(op{key: two, patch: over(one, run...)})
	f.Add(base, patched, record(op{key: three, patch: over(two, run...)}))
	f.Add(base, record(op{key: one}), patched) // the base is deleted
	f.Add(base, record(op{key: one, patch: over(one, run...)}), patched)
	f.Add(base, record(op{key: two, patch: over(one)}, op{key: three, patch: over(two)}), patched) // a base in the same record
	f.Add(patched, base, base)
	f.Add(base, record(op{key: keyPage(aSegment, 8), patch: over(one, run...)}), patched) // another page's
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		o := overlay{active: newMemtable()}
		pages := make(map[string]*volume.Page) // that are there so far
		for i, payload := range [][]byte{a, b, c} {
			err := o.replay(uint64(i+1), bytes.Clone(payload))
			ops, opsErr := decodeOps(payload)
			next, ok := replayed(t, pages, ops)
			if ok = ok && opsErr == nil; ok != (err == nil) {
				t.Fatalf("record %d: its bases are there: %t; %v", i+1, ok, err)
			}
			if err != nil {
				wantCorrupt(t, err)
				return
			}
			pages = next
		}
		size := 0
		for key, got := range o.active.ops {
			size += len(got.value)
			if _, ok := parseKeyPage([]byte(key)); ok && got.value != nil && volume.Page(got.value) != *pages[key] {
				t.Fatalf("page %x is another", key)
			}
			if got.patch != nil {
				t.Fatalf("%x is a patch", key)
			}
		}
		// The least patch of a page names it and its base.
		if least := 2*len(aSegment) + 4; size > (len(a)+len(b)+len(c))*volume.PageSize/least {
			t.Fatalf("%d bytes of records are %d bytes in memory", len(a)+len(b)+len(c), size)
		}
	})
}

// replayed gives the pages after a record, and whether all bases of its patches are there.
func replayed(t *testing.T, before map[string]*volume.Page, ops []op) (after map[string]*volume.Page, ok bool) {
	t.Helper()
	after = maps.Clone(before)
	for _, o := range ops {
		ref, ok := parseKeyPage(o.key)
		switch {
		case !ok:
		case o.patch != nil:
			base, runs, err := cutBase(o.patch)
			must(t, err)
			old, ok := before[string(keyPage(base, ref.Idx))]
			if !ok {
				return nil, false
			}
			page := *old
			must(t, applyRuns(&page, runs))
			after[string(o.key)] = &page
		case o.value == nil:
			delete(after, string(o.key))
		default:
			after[string(o.key)] = (*volume.Page)(o.value)
		}
	}
	return after, true
}
