package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
)

// openSmall gives a store whose page cache takes fewer pages than it knows places
// of, and counts how often Badger is asked for a value.
func openSmall(t *testing.T) (s *Store, looks *atomic.Int64) {
	t.Helper()
	looks = new(atomic.Int64)
	s, err := Open(t.TempDir(), Options{CacheSize: 256 << 10, midRead: func() { looks.Add(1) }})
	must(t, err)
	t.Cleanup(func() { closeStore(t, s) })
	return s, looks
}

// readAll reads pages and fails unless they are as wanted.
func readAll(t *testing.T, s *Store, id volume.SegmentID, want []volume.PageEntry) {
	t.Helper()
	for _, e := range want {
		got, _, err := s.PageIn(id, e.Idx, new(volume.Page))
		if err != nil || *got != *e.Page {
			t.Fatalf("page %d: other content, or %v", e.Idx, err)
		}
	}
}

func TestPageIsLookedForOnce(t *testing.T) {
	const n = 150 // 48 fit into the cache
	s, looks := openSmall(t)
	staged, remote := volume.NewSegmentID(), volume.NewSegmentID()
	must(t, s.Stage(staged, pages(1, n, 1)))
	apply(t, s, Change{
		Segments: []volume.SegmentState{state(remote, 1, volume.Alias{Segment: staged, Pages: volume.PageSetOf(1, 2, 3)})},
	})
	looks.Store(0)
	readAll(t, s, staged, pages(1, n, 1))
	if looks.Load() != n {
		t.Fatalf("%d pages took %d looks", n, looks.Load())
	}
	readAll(t, s, remote, pages(1, 3, 1))
	for range 10 {
		looks.Store(0)
		readAll(t, s, staged, pages(1, n, 1))
		if looks.Load() > n/10 { // some were driven out
			t.Errorf("pages whose places are known took %d looks", looks.Load())
		}
		looks.Store(0)
		if readAll(t, s, remote, pages(1, 3, 1)); looks.Load() >= 6 {
			t.Errorf("pages whose places are known, by an alias, took %d looks", looks.Load())
		}
	}
}

func TestPlaceEndsWithItsPage(t *testing.T) {
	s, _ := openSmall(t)
	id := volume.NewSegmentID()
	s.cache.room.Store(0)
	must(t, s.Stage(id, pages(1, 9, 1)))
	readAll(t, s, id, pages(1, 9, 1))
	must(t, s.Unstage(id, volume.PageSetOf(4)))
	if _, err := s.Page(id, 4); !errors.Is(err, ErrNotFound) {
		t.Errorf("a page that was removed: %v", err)
	}
	readAll(t, s, id, pages(5, 9, 1))
}

// Badger may remove what a place names, although somebody has it in hand.
func TestPlaceThatIsGoneIsLookedForAnew(t *testing.T) {
	s, looks := openSmall(t)
	kept := volume.NewSegmentID()
	want := pages(1, 1, 0)
	must(t, s.Stage(kept, want))
	must(t, s.Stage(volume.NewSegmentID(), pages(1, 5000, 1)))
	v, err := s.find(keyPage(kept, 1), nil)
	must(t, err)
	live := Live{Pages: NewPageRefSet()}
	live.Pages.Add(PageRef{kept, 1})
	_, err = s.Sweep(context.Background(), func(context.Context) (Live, error) { return live, nil })
	must(t, errors.Join(err, s.flushMemtables(), dbOf(s).Flatten(1), s.collect()))
	if b, err := v.item.ValueCopy(nil); err == nil && len(b) > 0 {
		t.Fatal("the value did not move")
	}
	v.epoch = s.reads.epoch.Load()
	s.places.put(PageRef{kept, 1}, v)
	looks.Store(0)
	readAll(t, s, kept, want)
	if looks.Load() == 0 {
		t.Error("nobody looked")
	}
}

func TestPlacesAreForMany(t *testing.T) {
	s, _ := openSmall(t)
	id := volume.NewSegmentID()
	want := pages(1, 150, 1)
	must(t, s.Stage(id, want))
	var running sync.WaitGroup
	for seed := range uint64(4) {
		running.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			for range 2000 {
				e := want[r.IntN(len(want))]
				got, _, err := s.PageIn(id, e.Idx, new(volume.Page))
				if err != nil || *got != *e.Page {
					t.Errorf("page %d: other content, or %v", e.Idx, err)
					return
				}
			}
		})
	}
	for range 20 {
		must(t, s.Stage(volume.NewSegmentID(), pages(1, 2, 2)))
	}
	running.Wait()
}

func TestPlacesKeepToTheirMemory(t *testing.T) {
	const item = 16 + 24 + 24 // the pointer of 12 bytes, the key and a header that it points to
	size := unsafe.Sizeof(placeSlot{}) + unsafe.Sizeof(pagePlace{}) + unsafe.Sizeof(badger.Item{}) + item
	if size > placeSize {
		t.Errorf("a place takes %d bytes, not %d", size, placeSize)
	}
	if p := newPlaces(1 << 20); len(p.slots)*placeSize > 1<<20 || len(p.slots) < 3500 {
		t.Errorf("%d places in 1 MiB", len(p.slots))
	}
}
