package store

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"graft/volume"
)

// checkPages compares what is stored of a Segment with the entries.
func checkPages(t *testing.T, s *Store, id volume.SegmentID, want []volume.PageEntry) {
	t.Helper()
	for _, e := range want {
		if got, err := s.Page(id, e.Idx); err != nil || *got != *e.Page {
			t.Fatalf("page %d of segment %s: other content, or %v", e.Idx, id, err)
		}
	}
}

func checkNoPages(t *testing.T, s *Store, id volume.SegmentID, gone []volume.PageEntry) {
	t.Helper()
	for _, e := range gone {
		if _, err := s.Page(id, e.Idx); !errors.Is(err, ErrNotFound) {
			t.Fatalf("page %d of segment %s: %v", e.Idx, id, err)
		}
	}
}

func TestApplySurvivesReopen(t *testing.T) {
	s := openNew(t)
	local, remote := volume.NewSegmentID(), volume.NewSegmentID()
	graft := volume.GraftState{Local: someVolume, Remote: otherVolume, SyncPoint: volume.SyncPoint{Remote: 3, Local: 2}}
	c := Change{
		Tags:     []Tag{{"main", someVolume}, {"backup", otherVolume}},
		Grafts:   []volume.GraftState{graft},
		Commits:  []volume.Record{commit(t, someVolume, 1), commit(t, otherVolume, 7)},
		Segments: []volume.SegmentState{state(remote, 7, volume.Alias{Segment: local, Pages: volume.PageSetOf(2)})},
		Segment:  local,
		Pages:    pages(1, 3, 0),
	}
	apply(t, s, c)
	for range 2 {
		for _, tag := range c.Tags {
			if got, err := s.Tag(tag.Name); got != tag.Graft || err != nil {
				t.Errorf("tag %s: %s, %v", tag.Name, got, err)
			}
		}
		if got, err := s.Graft(someVolume); got != graft || err != nil {
			t.Errorf("graft %+v, %v", got, err)
		}
		for _, rec := range c.Commits {
			got, err := s.Commit(rec.Commit.Volume, rec.Commit.LSN)
			if err != nil || string(got.Bytes) != string(rec.Bytes) {
				t.Errorf("commit %d: %x, %v", rec.Commit.LSN, got.Bytes, err)
			}
		}
		if got, err := s.Segment(remote); err != nil || got.LSN != 7 || len(got.Aliases) != 1 {
			t.Errorf("segment %+v, %v", got, err)
		}
		checkPages(t, s, local, c.Pages)
		checkPages(t, s, remote, c.Pages[1:2])
		s = reopen(t, s)
	}
}

func TestFailedApplyChangesNothing(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	var tooBig Change // for a file of the journal
	tooBig.Tags = []Tag{{"big", someVolume}}
	for l := volume.LSN(1); l <= 50000; l++ {
		tooBig.Commits = append(tooBig.Commits, commit(t, someVolume, l))
	}
	tooBig.Segment, tooBig.Pages = id, pages(1, 3, 0)
	badKey := Change{
		Tags:   []Tag{{"good", someVolume}, {strings.Repeat("x", 70000), someVolume}},
		Grafts: []volume.GraftState{{Local: someVolume, Remote: otherVolume}}, Segment: id, Pages: pages(1, 3, 0),
	}
	tooMany := Change{Tags: []Tag{{"many", someVolume}}, Segment: id, Pages: make([]volume.PageEntry, MaxChangePages+1)}
	for i := range tooMany.Pages {
		tooMany.Pages[i] = volume.PageEntry{Idx: volume.PageIdx(i + 1), Page: new(volume.Page)}
	}
	for name, c := range map[string]Change{"too big": tooBig, "bad key": badKey, "too many pages": tooMany} {
		if err := s.Apply(c); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
	for range 2 {
		if tags, err := s.Tags(); len(tags) != 0 || err != nil {
			t.Errorf("tags %v, %v", tags, err)
		}
		if _, err := s.Graft(someVolume); !errors.Is(err, ErrNotFound) {
			t.Errorf("graft: %v", err)
		}
		if head, err := s.Head(someVolume); head != 0 || err != nil {
			t.Errorf("head %d, %v", head, err)
		}
		checkNoPages(t, s, id, pages(1, 3, 0))
		s = reopen(t, s)
	}
	apply(t, s, Change{Tags: []Tag{{"good", someVolume}}})
}

func TestApplyTakesMaxChangePages(t *testing.T) {
	s := openNew(t)
	c := Change{Segment: volume.NewSegmentID(), Pages: pages(1, MaxChangePages, 0), Commits: []volume.Record{commit(t, someVolume, 1)}}
	apply(t, s, c)
	checkPages(t, s, c.Segment, c.Pages)
	apply(t, s, Change{}) // changes nothing
}

func TestApplyIsSeenWhole(t *testing.T) {
	const changes = 60
	s := openNew(t)
	id := volume.NewSegmentID()
	var applied atomic.Uint64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for applied.Load() < changes {
				least := volume.LSN(applied.Load())
				head, err := s.Head(someVolume)
				if err != nil || head < least {
					t.Errorf("head %d after change %d, %v", head, least, err)
					return
				}
				if head == 0 {
					continue
				}
				if _, err := s.Commit(someVolume, head); err != nil {
					t.Errorf("head %d: %v", head, err)
				}
				got, err := s.Page(id, volume.PageIdx(head))
				if err != nil || *got != *page(uint64(head)) {
					t.Errorf("page of change %d: other content, or %v", head, err)
				}
				if g, err := s.Graft(someVolume); err != nil || g.SyncPoint.Local < head {
					t.Errorf("graft of change %d: %+v, %v", head, g, err)
				}
			}
		})
	}
	for l := volume.LSN(1); l <= changes; l++ {
		apply(t, s, Change{
			Commits: []volume.Record{commit(t, someVolume, l)},
			Grafts:  []volume.GraftState{{Local: someVolume, Remote: otherVolume, SyncPoint: volume.SyncPoint{Local: l}}},
			Segment: id, Pages: []volume.PageEntry{{Idx: volume.PageIdx(l), Page: page(uint64(l))}},
		})
		applied.Store(uint64(l))
	}
	wg.Wait()
}

func TestStagedPagesAreReadAndUnstaged(t *testing.T) {
	s := openNew(t)
	id, other := volume.NewSegmentID(), volume.NewSegmentID()
	all := pages(1, 5000, 0)
	if err := s.Stage(id, all); err != nil {
		t.Fatal(err)
	}
	if err := s.Stage(other, all[:3]); err != nil {
		t.Fatal(err)
	}
	newer := pages(1, 10, 1)
	if err := s.Stage(id, newer); err != nil {
		t.Fatal(err)
	}
	var gone volume.PageSet
	for p := volume.PageIdx(101); p <= 4000; p++ {
		gone.Add(p)
	}
	gone.Add(6000) // was never there
	if err := s.Unstage(id, gone); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		checkPages(t, s, id, newer)
		checkPages(t, s, id, all[10:100])
		checkNoPages(t, s, id, all[100:4000])
		checkPages(t, s, id, all[4000:])
		checkPages(t, s, other, all[:3])
		s = reopen(t, s)
	}
}

func TestApplyOverwritesStagedPages(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	if err := s.Stage(id, pages(1, 20, 0)); err != nil {
		t.Fatal(err)
	}
	newer := pages(5, 9, 1)
	apply(t, s, Change{Segment: id, Pages: newer})
	s = reopen(t, s)
	checkPages(t, s, id, newer)
	checkPages(t, s, id, pages(1, 4, 0))
	checkPages(t, s, id, pages(10, 20, 0))
}
