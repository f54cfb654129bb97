package store

import (
	"errors"
	"math"
	"slices"
	"testing"

	"graft/volume"
)

func TestTagsComeInTheOrderOfTheirNames(t *testing.T) {
	s := openNew(t)
	if tags, err := s.Tags(); len(tags) != 0 || err != nil {
		t.Errorf("a new store has tags %v, %v", tags, err)
	}
	names := []string{"main", "b", "a/b", "a", "ä", "mainz", "Main", "0"}
	for _, name := range names {
		apply(t, s, Change{Tags: []Tag{{name, someVolume}}})
	}
	apply(t, s, Change{Tags: []Tag{{"b", otherVolume}}})
	tags, err := s.Tags()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var got []string
	for _, tag := range tags {
		got = append(got, tag.Name)
		want := someVolume
		if tag.Name == "b" {
			want = otherVolume
		}
		if tag.Graft != want {
			t.Errorf("tag %s names %s", tag.Name, tag.Graft)
		}
	}
	if !slices.Equal(got, names) {
		t.Errorf("tags %q, want %q", got, names)
	}
	if _, err := s.Tag("mai"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a prefix of a tag: %v", err)
	}
}

func TestHeadIsTheNewestOfItsVolumeAlone(t *testing.T) {
	s := openNew(t)
	v, before, after := someVolume, someVolume, someVolume
	before[15], v[15], after[15] = 1, 2, 3
	check := func(id volume.VolumeID, want volume.LSN) {
		t.Helper()
		if got, err := s.Head(id); got != want || err != nil {
			t.Errorf("head %d, %v; want %d", got, err, want)
		}
	}
	check(v, 0)
	apply(t, s, Change{Commits: []volume.Record{commit(t, before, 9), commit(t, after, 1)}})
	check(v, 0)
	for _, l := range []volume.LSN{1, 2, 255, 256, 65536, 1 << 40, math.MaxUint64} {
		apply(t, s, Change{Commits: []volume.Record{commit(t, v, l)}})
		check(v, l)
	}
	check(before, 9)
	check(after, 1)
	apply(t, s, Change{Commits: []volume.Record{commit(t, v, 3)}})
	check(v, math.MaxUint64)
}

func TestLogComesOldestFirst(t *testing.T) {
	s := openNew(t)
	for l := volume.LSN(1); l <= 5; l++ {
		apply(t, s, Change{Commits: []volume.Record{commit(t, someVolume, l)}})
	}
	for _, c := range []struct {
		r    volume.LSNRange
		want []volume.LSN
	}{
		{volume.LSNRange{}, nil},
		{volume.LSNRange{First: 4, Last: 3}, nil},
		{volume.LSNRange{First: 1, Last: 5}, []volume.LSN{1, 2, 3, 4, 5}},
		{volume.LSNRange{First: 2, Last: 4}, []volume.LSN{2, 3, 4}},
		{volume.LSNRange{First: 5, Last: 5}, []volume.LSN{5}},
	} {
		var got []volume.LSN
		err := s.Log(someVolume, c.r, func(rec volume.Record) error {
			got = append(got, rec.Commit.LSN)
			return nil
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", c.r, got, err)
		}
	}
	stop, calls := errors.New("stop"), 0
	err := s.Log(someVolume, volume.LSNRange{First: 1, Last: 5}, func(volume.Record) error {
		if calls++; calls == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestLogWithAGapIsCorrupt(t *testing.T) {
	s := openNew(t)
	apply(t, s, Change{Commits: []volume.Record{commit(t, someVolume, 1), commit(t, someVolume, 3)}})
	for _, last := range []volume.LSN{2, 3, 4} {
		var got []volume.LSN
		err := s.Log(someVolume, volume.LSNRange{First: 1, Last: last}, func(rec volume.Record) error {
			got = append(got, rec.Commit.LSN)
			return nil
		})
		var place *volume.Error
		if !errors.Is(err, volume.ErrCorrupt) || !errors.As(err, &place) || place.Volume != someVolume || place.LSN != 2 {
			t.Errorf("up to %d: %v", last, err)
		}
		if errors.Is(err, ErrNotFound) || !slices.Equal(got, []volume.LSN{1}) {
			t.Errorf("up to %d: %v, %v", last, got, err)
		}
	}
}

func TestCommitRefusesAnotherRecord(t *testing.T) {
	s := openNew(t)
	if _, err := s.Commit(someVolume, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("no commit: %v", err)
	}
	good := commit(t, someVolume, 1).Bytes
	for name, b := range map[string][]byte{
		"of another volume": commit(t, otherVolume, 1).Bytes,
		"of another LSN":    commit(t, someVolume, 2).Bytes,
		"cut off":           good[:len(good)-1],
		"empty":             {},
		"damaged":           append(slices.Clone(good[:20]), good[19:]...),
	} {
		putRaw(t, s, keyLog(someVolume, 1), b)
		_, err := s.Commit(someVolume, 1)
		var place *volume.Error
		if !errors.Is(err, volume.ErrCorrupt) || !errors.As(err, &place) || place.Volume != someVolume || place.LSN != 1 {
			t.Errorf("%s: %v", name, err)
		}
		err = s.Log(someVolume, volume.LSNRange{First: 1, Last: 1}, func(volume.Record) error { return nil })
		if !errors.Is(err, volume.ErrCorrupt) {
			t.Errorf("%s: log gives %v", name, err)
		}
	}
}

func TestDamagedValuesAreCorrupt(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	putRaw(t, s, keyTag("main"), someVolume[:15])
	putRaw(t, s, keyGraft(someVolume), []byte("no record"))
	putRaw(t, s, keySegment(id), []byte("no record"))
	putRaw(t, s, keyPage(id, 1), make([]byte, volume.PageSize-1))
	putRaw(t, s, keyPage(id, 2), nil)
	for name, f := range map[string]func() error{
		"tag":           func() error { _, err := s.Tag("main"); return err },
		"tags":          func() error { _, err := s.Tags(); return err },
		"graft":         func() error { _, err := s.Graft(someVolume); return err },
		"segment":       func() error { _, err := s.Segment(id); return err },
		"short page":    func() error { _, err := s.Page(id, 1); return err },
		"empty page":    func() error { _, err := s.Page(id, 2); return err },
		"page by alias": func() error { _, err := s.Page(id, 3); return err },
		"has page":      func() error { _, err := s.HasPage(id, 3); return err },
	} {
		if err := f(); !errors.Is(err, volume.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPageIsFoundDirectlyOrByAlias(t *testing.T) {
	s := openNew(t)
	remote, first, second, unknown := volume.NewSegmentID(), volume.NewSegmentID(), volume.NewSegmentID(), volume.NewSegmentID()
	apply(t, s, Change{Segment: remote, Pages: pages(1, 2, 0)})
	apply(t, s, Change{Segment: first, Pages: pages(1, 4, 1)})
	apply(t, s, Change{Segment: second, Pages: pages(1, 5, 2)})
	apply(t, s, Change{Segments: []volume.SegmentState{state(remote, 1,
		volume.Alias{Segment: first, Pages: volume.PageSetOf(2, 3)},
		volume.Alias{Segment: second, Pages: volume.PageSetOf(5, 6)},
	)}})
	for name, c := range map[string]struct {
		id   volume.SegmentID
		p    volume.PageIdx
		want *volume.Page
	}{
		"direct":                       {remote, 1, pages(1, 1, 0)[0].Page},
		"direct before an alias":       {remote, 2, pages(2, 2, 0)[0].Page},
		"by the first alias":           {remote, 3, pages(3, 3, 1)[0].Page},
		"not in the set of an alias":   {remote, 4, nil},
		"by the second alias":          {remote, 5, pages(5, 5, 2)[0].Page},
		"the alias's page is not here": {remote, 6, nil},
		"no such page":                 {remote, 7, nil},
		"no such segment":              {unknown, 1, nil},
		"page 0":                       {remote, 0, nil},
	} {
		got, err := s.Page(c.id, c.p)
		has, hasErr := s.HasPage(c.id, c.p)
		if has != (c.want != nil) || hasErr != nil {
			t.Errorf("%s: HasPage gives %t, %v", name, has, hasErr)
		}
		switch {
		case c.want == nil && !errors.Is(err, ErrNotFound):
			t.Errorf("%s: %v", name, err)
		case c.want != nil && (err != nil || *got != *c.want):
			t.Errorf("%s: other content, or %v", name, err)
		}
	}
}

// Two Grafts of one remote Volume may store its commits in any order.
func TestHeadIsTheNewestWhereverItLies(t *testing.T) {
	s := openNew(t)
	for _, l := range []volume.LSN{3, 2} {
		rec, err := volume.EncodeCommit(volume.Commit{Volume: someVolume, LSN: l, PageCount: 1})
		must(t, err)
		must(t, s.Apply(Change{Commits: []volume.Record{rec}}))
		if l == 3 {
			must(t, s.Flush())
		}
	}
	if head, err := s.Head(someVolume); head != 3 || err != nil {
		t.Errorf("head %d, %v", head, err)
	}
}
