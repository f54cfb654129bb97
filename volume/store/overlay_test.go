package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store/journal"
)

// applied is what a test has applied so far, one Segment for each commit.
type applied struct {
	sync.Mutex
	segments []volume.SegmentID
	newest   atomic.Uint64
}

func (a *applied) add(id volume.SegmentID) {
	a.Lock()
	defer a.Unlock()
	a.segments = append(a.segments, id)
	a.newest.Add(1)
}

// get gives the Segment of a commit, and of one of the newest if it is 0.
func (a *applied) get(l volume.LSN) (volume.SegmentID, volume.LSN) {
	a.Lock()
	defer a.Unlock()
	if l == 0 {
		l = volume.LSN(len(a.segments))
	}
	return a.segments[l-1], l
}

// TestReadsBesideApply reads while changes pass from the journal to Badger: what
// was applied is there at each moment, and nothing goes back.
func TestReadsBesideApply(t *testing.T) {
	const commits = 400
	s, err := Open(testdir.InMemory(t), Options{CacheSize: 1, journal: journal.Options{FileSize: 32 << 10, Files: 4}, ApplyAt: 20 << 10})
	must(t, err)
	defer closeStore(t, s)
	a := &applied{}
	must(t, applyNext(s, a, 1))
	stop := make(chan struct{})
	var readers, writer sync.WaitGroup
	for n := range 3 {
		readers.Go(func() {
			var seen volume.LSN
			for i := n; !t.Failed(); i++ {
				select {
				case <-stop:
					return
				default:
				}
				seen = readNewest(t, s, a, seen)
				readOlder(t, s, a, 1+volume.LSN(i*31)%seen)
			}
		})
	}
	readers.Go(func() {
		for !t.Failed() {
			select {
			case <-stop:
				return
			default:
				if err := s.Flush(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	writer.Go(func() {
		for l := volume.LSN(2); l <= commits && !t.Failed(); l++ {
			if err := applyNext(s, a, l); err != nil {
				t.Error(err)
			}
		}
	})
	writer.Wait()
	close(stop)
	readers.Wait()
}

// applyNext applies commit l with two pages. The tag newest and the state of the
// Graft change with it, another tag is there in every second commit, and each
// tenth adds one that stays.
func applyNext(s *Store, a *applied, l volume.LSN) error {
	rec, err := volume.EncodeCommit(volume.Commit{Volume: someVolume, LSN: l, PageCount: 2})
	if err != nil {
		return err
	}
	id, named := volume.NewSegmentID(), someVolume
	binary.BigEndian.PutUint64(named[8:], uint64(l))
	c := Change{
		Tags: []Tag{{"newest", named}}, Commits: []volume.Record{rec},
		Grafts:  []volume.GraftState{{Local: someVolume, Remote: otherVolume, SyncPoint: volume.SyncPoint{Local: l}}},
		Segment: id, Pages: editedPages(2, uint64(l)), Relaxed: l%5 > 0,
	}
	if l > 1 {
		old, _ := a.get(l - 1)
		c.Replaced = []PageRef{{old, 1}, {old, 2}}
	}
	if l%10 == 1 {
		c.Tags = append(c.Tags, Tag{fmt.Sprintf("a%04d", l), someVolume})
	}
	if even := (Tag{"even", someVolume}); l%2 == 0 {
		c.Tags = append(c.Tags, even)
	} else {
		c.DeleteTags = []string{even.Name}
	}
	if err := s.Apply(c); err != nil {
		return err
	}
	a.add(id)
	return nil
}

// readNewest wants nothing to be older than commit seen, or than what is applied.
func readNewest(t *testing.T, s *Store, a *applied, seen volume.LSN) volume.LSN {
	seen = max(seen, volume.LSN(a.newest.Load()))
	head, err := s.Head(someVolume)
	if err != nil || head < seen {
		t.Errorf("head %d after %d, %v", head, seen, err)
		return seen
	}
	if rec, err := s.Commit(someVolume, head); err != nil || rec.Commit.LSN != head {
		t.Errorf("commit %d: %v", head, err)
	}
	g, err := s.Graft(someVolume)
	if err != nil || g.SyncPoint.Local < head {
		t.Errorf("graft of commit %d after %d, %v", g.SyncPoint.Local, head, err)
	}
	tags, err := s.Tags()
	if stay := 1 + (int(head)-1)/10; err != nil || len(tags) < 1+stay || tags[len(tags)-1].Name != "newest" {
		t.Errorf("%d tags after commit %d, %v", len(tags), head, err)
	} else if named := tags[len(tags)-1].Graft; binary.BigEndian.Uint64(named[8:]) < uint64(head) {
		t.Errorf("tag of an older commit than %d: %x", head, named[8:])
	}
	if grafts, err := s.Grafts(); err != nil || len(grafts) != 1 || grafts[0].SyncPoint.Local < g.SyncPoint.Local {
		t.Errorf("grafts %+v after commit %d, %v", grafts, g.SyncPoint.Local, err)
	}
	return head
}

// readOlder reads the pages of commit l, if it was applied.
func readOlder(t *testing.T, s *Store, a *applied, l volume.LSN) {
	if uint64(l) > a.newest.Load() {
		l = 0
	}
	id, l := a.get(l)
	for _, want := range editedPages(2, uint64(l)) {
		if has, err := s.HasPage(id, want.Idx); !has || err != nil {
			t.Errorf("has page %d of commit %d: %t, %v", want.Idx, l, has, err)
		}
		if page, err := s.Page(id, want.Idx); err != nil || *page != *want.Page {
			t.Errorf("page %d of commit %d: another content, or %v", want.Idx, l, err)
		}
	}
}

func TestOpsSurviveEncoding(t *testing.T) {
	want := []op{
		{key: keyTag("main"), value: someVolume[:]},
		{key: keyTag("gone")},
		{key: keyPage(volume.NewSegmentID(), 7), value: page(1)[:]},
		{key: keyPage(volume.NewSegmentID(), 7), patch: append(aSegment[:], 1, 1, 1, 2, 3, 4, 5, 6, 7, 8)},
		{key: []byte{0}, value: []byte{}},
	}
	got, err := decodeOps(appendOps(nil, want))
	must(t, err)
	same := func(a, b op) bool {
		return bytes.Equal(a.key, b.key) && bytes.Equal(a.value, b.value) && (a.value == nil) == (b.value == nil) && bytes.Equal(a.patch, b.patch)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("decoded %v", got)
	}
}

func FuzzDecodeOps(f *testing.F) {
	set := op{key: keyTag("main"), value: someVolume[:]}
	for _, ops := range [][]op{
		nil,
		{set},
		{{key: keyTag("gone")}, set},
		{{key: keyPage(volume.NewSegmentID(), 7), value: page(1)[:]}, {key: []byte("k"), value: []byte{}}},
		{{key: bytes.Repeat([]byte{'x'}, 300), value: bytes.Repeat([]byte{1}, 20000)}},
		{{key: keyPage(aSegment, 7), patch: append(aSegment[:], 0xff, 3, 1, 1, 2, 3, 4, 5, 6, 7, 8)}, {key: keyPage(aSegment, 8), patch: aSegment[:]}},
	} {
		b := appendOps(nil, ops)
		f.Add(b)
		if len(b) > 0 {
			f.Add(b[:len(b)-1])
		}
	}
	f.Add([]byte{opSet, 0x81, 0x00, 'k', 0})       // a length that is too long
	f.Add([]byte{opSet, 1, 'k', 0xff, 0xff, 0x7f}) // a value that is
	f.Add([]byte{opDelete, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		given := slices.Clone(b)
		ops, err := decodeOps(b)
		if !bytes.Equal(b, given) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		if again := appendOps(nil, ops); !bytes.Equal(again, given) {
			t.Fatalf("%x is encoded as %x", given, again)
		}
		size := 0
		for _, o := range ops {
			size += len(o.key) + len(o.value)
		}
		if size > len(b) {
			t.Fatalf("ops of %d bytes in %d", size, len(b))
		}
	})
}

func wantCorrupt(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, volume.ErrCorrupt) {
		t.Fatal(err)
	}
}
