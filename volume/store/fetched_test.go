package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/testdir"
	"graft/volume"
)

// openQuota opens a store with a quota of so many fetched pages.
func openQuota(t *testing.T, pages int64, overQuota func()) *Store {
	t.Helper()
	s, err := Open(testdir.InMemory(t), Options{Quota: pages * volume.PageSize, OverQuota: overQuota})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func evict(t tb, s *Store) Evicted {
	t.Helper()
	got, err := s.Evict(context.Background())
	if err != nil {
		t.Fatalf("evict: %v", err)
	}
	return got
}

// TestEvictionsAtOnceCountRight has none count pages that another is about to
// remove.
func TestEvictionsAtOnceCountRight(t *testing.T) {
	const quota = 40
	s := openQuota(t, quota, nil)
	for range 20 {
		for i := range 40 {
			if err := s.StageFetched(segmentPages{volume.NewSegmentID(): pages(1, 3, uint64(i))}); err != nil {
				t.Fatal(err)
			}
		}
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				if got, err := s.Evict(context.Background()); err != nil || got.Left > quota {
					t.Errorf("%d pages are left, %v", got.Left, err)
				}
			})
		}
		running.Wait()
	}
}

// TestEvictionKeepsTheQuotaAndNothingElse stores, commits, pushes, holds and evicts at
// random, and compares the keys of all pages with those that must be there, and what
// is found by the names that the bucket has for them.
func TestEvictionKeepsTheQuotaAndNothingElse(t *testing.T) {
	const quota = 40
	s := openQuota(t, quota, nil)
	rapid.Check(t, func(t *rapid.T) {
		evictAll(t, s)
		own := dumpSpaces(t, s, spacePage) // of earlier rounds
		fetched := make(map[PageRef]bool)
		local, remotes := volume.NewSegmentID(), []volume.SegmentID{volume.NewSegmentID(), volume.NewSegmentID()}
		var hold *FetchedHold
		held := make(map[PageRef]bool)
		var last Change                      // that was committed
		names := make(map[PageRef][]PageRef) // by page that was pushed: what the bucket calls it
		here := func() map[PageRef]PageRef { // pages that may be evicted, by name, and as what they are stored
			found := make(map[PageRef]PageRef)
			for ref := range fetched {
				if has, err := s.stores(ref.Segment, ref.Idx); err != nil {
					t.Fatal(err)
				} else if has {
					found[ref] = ref
				}
			}
			for stored, all := range names {
				for _, name := range all {
					if at, ok, err := s.alias(name); err != nil || ok && at != stored {
						t.Fatalf("%v is found at %v, not %v, %v", name, at, stored, err)
					} else if ok {
						found[name] = stored
					}
				}
			}
			return found
		}
		release := func() {
			if hold != nil {
				hold.Release()
			}
			hold = nil
			clear(held)
		}
		defer release()
		t.Repeat(map[string]func(*rapid.T){
			"fetch": func(t *rapid.T) {
				id, entries := rapid.SampledFrom(remotes).Draw(t, "segment"), somePages(t)
				if err := s.StageFetched(segmentPages{id: entries}); err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					fetched[PageRef{id, e.Idx}] = true
				}
			},
			"stage": func(t *rapid.T) {
				entries := somePages(t)
				if err := s.Stage(local, entries); err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					own[string(keyPage(local, e.Idx))] = string(e.Page[:])
				}
			},
			"commit": func(t *rapid.T) {
				last = Change{Segment: volume.NewSegmentID(), Pages: somePages(t)}
				if err := s.Apply(last); err != nil {
					t.Fatal(err)
				}
				for _, e := range last.Pages {
					own[string(keyPage(last.Segment, e.Idx))] = string(e.Page[:])
				}
			},
			"push": func(t *rapid.T) { // by two Grafts, maybe
				state := pushedAs(volume.NewSegmentID(), last.Segment, last.Pages)
				if err := s.Apply(Change{Segments: []volume.SegmentState{state}}); err != nil {
					t.Fatal(err)
				}
				for _, e := range last.Pages {
					stored := PageRef{last.Segment, e.Idx}
					names[stored] = append(names[stored], PageRef{state.Segment.ID, e.Idx})
				}
			},
			"hold": func(t *rapid.T) {
				if hold == nil {
					hold = s.HoldFetched(context.Background())
				}
				ref := PageRef{rapid.SampledFrom(remotes).Draw(t, "segment"), volume.PageIdx(rapid.Uint32Range(1, 30).Draw(t, "page"))}
				if all := here(); len(all) > 0 && rapid.Bool().Draw(t, "is here") {
					ref = rapid.SampledFrom(slices.SortedFunc(maps.Keys(all), compareRefs)).Draw(t, "held")
				}
				has, err := hold.Add(ref.Segment, ref.Idx)
				if _, want := here()[ref]; err != nil || has != want {
					t.Fatalf("%v is here: %v, %v", ref, has, err)
				}
				held[ref] = true
			},
			"release": func(*rapid.T) { release() },
			"evict": func(t *rapid.T) {
				before := here()
				got := evict(t, s)
				after := here()
				was, left, stay := make(map[PageRef]bool), make(map[PageRef]bool), make(map[PageRef]bool)
				for name, stored := range before {
					was[stored] = true
					if held[name] {
						stay[stored] = true
						if after[name] != stored {
							t.Fatalf("%v is held and gone", name)
						}
					}
				}
				for _, stored := range after {
					left[stored] = true
				}
				if len(left) != got.Left || len(left) > max(quota, len(stay)) || got.Removed != len(was)-len(left) {
					t.Fatalf("evicted %+v; %d of %d pages are left, %d are held", got, len(left), len(was), len(stay))
				}
				if got.Removed > 0 && got.Left+got.Removed <= quota {
					t.Fatalf("evicted %+v, under the quota", got)
				}
				keys := dumpSpaces(t, s, spacePage)
				for key, value := range own {
					if keys[key] != value {
						t.Fatalf("page %x, which was not fetched, is gone", key)
					}
				}
			},
		})
	})
}

// pushedAs gives the state of a Segment whose pages are stored under a local one.
func pushedAs(id, local volume.SegmentID, entries []volume.PageEntry) volume.SegmentState {
	var pages volume.PageSet
	for _, e := range entries {
		pages.Add(e.Idx)
	}
	state := volume.SegmentState{Volume: volume.NewVolumeID(), LSN: 1, Segment: volume.Segment{ID: id, Pages: pages}}
	if !pages.IsEmpty() {
		state.Aliases = []volume.Alias{{Segment: local, Pages: pages}}
	}
	return state
}

func compareRefs(a, b PageRef) int {
	return cmp.Or(bytes.Compare(a.Segment[:], b.Segment[:]), cmp.Compare(a.Idx, b.Idx))
}

// evictAll removes all fetched pages.
func evictAll(t tb, s *Store) {
	t.Helper()
	e := evictor{store: s, pages: make([]int32, len(s.fetched.used))}
	for i := range e.pages {
		e.pages[i] = -1
	}
	if err := errors.Join(e.findPushed(), e.each(context.Background(), e.gather), e.delete(), e.unalias()); err != nil {
		t.Fatalf("evict all: %v", err)
	}
}

// TestTheLeastRecentlyUsedPartGoesFirst reads one of ten parts between fetches.
func TestTheLeastRecentlyUsedPartGoesFirst(t *testing.T) {
	told := 0
	s := openQuota(t, 10*partPages, func() { told++ })
	s.fetched.due.Store(s.fetched.quota) // as after a count
	id := segmentOfParts(s, 11)
	fetch := func(part volume.PageIdx) {
		t.Helper()
		if err := s.StageFetched(segmentPages{id: pages(part*partPages, part*partPages+partPages-1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for part := range volume.PageIdx(10) {
		fetch(part + 1)
		if _, err := s.Page(id, partPages); err != nil {
			t.Fatal(err)
		}
	}
	if told != 0 || s.NeedsEvict() {
		t.Errorf("told %d times, although the quota is kept", told)
	}
	fetch(11)
	if told != 1 || !s.NeedsEvict() {
		t.Errorf("told %d times over the quota", told)
	}
	got := evict(t, s)
	var left []volume.PageIdx
	for part := range volume.PageIdx(11) {
		has, err := s.HasPage(id, (part+1)*partPages)
		if err != nil {
			t.Fatal(err)
		}
		if has {
			left = append(left, part+1)
		}
	}
	if want := []volume.PageIdx{1, 5, 6, 7, 8, 9, 10, 11}; !slices.Equal(left, want) || got != (Evicted{8 * partPages, 3 * partPages}) {
		t.Errorf("evicted %+v; left are the parts %v, want %v", got, left, want)
	}
}

// segmentOfParts gives a Segment of which the parts 1 to n have different hashes.
func segmentOfParts(s *Store, n volume.PageIdx) volume.SegmentID {
	for {
		id, parts := volume.NewSegmentID(), make(map[int]bool)
		for p := range n {
			parts[s.fetched.part(PageRef{id, (p + 1) * partPages})] = true
		}
		if len(parts) == int(n) {
			return id
		}
	}
}

// TestWhatIsHeldAfterItWasChosenStays holds a page while an eviction runs.
func TestWhatIsHeldAfterItWasChosenStays(t *testing.T) {
	s := openQuota(t, 10, nil)
	id := volume.NewSegmentID()
	if err := s.StageFetched(segmentPages{id: pages(1, 20, 0)}); err != nil {
		t.Fatal(err)
	}
	e := evictor{store: s, pages: make([]int32, len(s.fetched.used))}
	if err := e.each(context.Background(), e.add); err != nil {
		t.Fatal(err)
	}
	e.choose(20)
	hold := s.HoldFetched(context.Background())
	defer hold.Release()
	if has, err := hold.Add(id, 7); !has || err != nil {
		t.Fatal(has, err)
	}
	if err := errors.Join(e.each(context.Background(), e.gather), e.delete(), e.unalias()); err != nil {
		t.Fatal(err)
	}
	if has, err := s.HasPage(id, 7); !has || err != nil || e.removed != 19 {
		t.Errorf("page 7 is here: %v, %v; %d of 20 are gone", has, err, e.removed)
	}
}

// TestWhatWasStoredBeforeARestartIsHeld holds all that was stored, whatever it is.
func TestWhatWasStoredBeforeARestartIsHeld(t *testing.T) {
	dir := testdir.InMemory(t)
	open := func() *Store {
		s, err := Open(dir, Options{Quota: 16 * volume.PageSize})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	fetched, later := volume.NewSegmentID(), volume.NewSegmentID()
	mine := Change{Segment: volume.NewSegmentID(), Pages: pages(1, 10, 1)}
	state := pushedAs(volume.NewSegmentID(), mine.Segment, mine.Pages)
	mine.Segments = []volume.SegmentState{state}
	if err := errors.Join(s.StageFetched(segmentPages{fetched: pages(1, 10, 0)}), s.Apply(mine)); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open()
	defer closeStore(t, s)
	hold := s.HoldOld(t.Context())
	if err := s.StageFetched(segmentPages{later: pages(1, 10, 0)}); err != nil {
		t.Fatal(err)
	}
	if got := evict(t, s); got != (Evicted{20, 10}) || s.NeedsEvict() {
		t.Errorf("evicted %+v of 20 pages that are held and 10 others", got)
	}
	for _, id := range []volume.SegmentID{fetched, state.Segment.ID} {
		if has, err := s.HasPage(id, 10); !has || err != nil {
			t.Errorf("a page of %s is here: %v, %v", id, has, err)
		}
	}
	hold.Release()
	if got := evict(t, s); got.Left > 16 {
		t.Errorf("evicted %+v, when nothing is held any more", got)
	}
}

// An eviction that has counted before pages are stored does not take them for
// counted.
func TestPagesThatAreBeingStoredCountAfterwards(t *testing.T) {
	kicked := make(chan struct{}, 10)
	s, err := Open(t.TempDir(), Options{Quota: 10 * volume.PageSize, OverQuota: func() { kicked <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	pages := func(first volume.PageIdx) (entries []volume.PageEntry) {
		for i := range volume.PageIdx(8) {
			entries = append(entries, volume.PageEntry{Idx: first + i, Page: &volume.Page{1}})
		}
		return entries
	}
	id := volume.NewSegmentID()
	if err := s.StageFetched(segmentPages{id: pages(1)}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Evict(t.Context()); err != nil || got.Left != 8 || s.NeedsEvict() {
		t.Fatalf("evicted %+v, %v", got, err)
	}
	before := s.fetched.clock.Load()
	s.writing.Lock() // nothing is stored now
	done := make(chan error, 1)
	go func() { done <- s.StageFetched(segmentPages{id: pages(100)}) }()
	for s.fetched.clock.Load() == before {
		runtime.Gosched()
	}
	for range 1000 { // it goes as far as it can
		runtime.Gosched()
	}
	for len(kicked) > 0 {
		<-kicked
	}
	if got, err := s.Evict(t.Context()); err != nil || got.Left != 8 {
		t.Errorf("evicted %+v, %v", got, err)
	}
	s.writing.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !s.NeedsEvict() || len(kicked) == 0 {
		t.Error("16 pages are not over a quota of 10")
	}
}

// Pages of small pushes are of many Segments, a few each: to store them takes no
// transaction for each Segment.
func TestPagesOfManySegmentsTakeFewTransactions(t *testing.T) {
	s := openNew(t)
	few := make(segmentPages)
	for i := range uint64(100) {
		few[volume.NewSegmentID()] = pages(1, 2, i)
	}
	before := dbOf(s).MaxVersion()
	if err := s.StageFetched(few); err != nil {
		t.Fatal(err)
	}
	staged := dbOf(s).MaxVersion()
	for id, entries := range few {
		id[15]++
		if err := s.Land(t.Context(), id, entries); err != nil {
			t.Fatal(err)
		}
	}
	s.AwaitLanded(t.Context())
	if n, m := staged-before, dbOf(s).MaxVersion()-staged; n == 0 || n > 4 || m == 0 || m > 20 {
		t.Errorf("pages of 100 segments took %d transactions, and %d where they landed", n, m)
	}
	for id, entries := range few {
		if page, err := s.Page(id, 2); err != nil || *page != *entries[1].Page {
			t.Fatalf("page 2 of segment %s: %v", id, err)
		}
	}
}
