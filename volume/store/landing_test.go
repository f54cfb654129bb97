package store

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"graft/volume"
)

// openStalling gives a store in which Badger stops in the middle of the next write.
func openStalling(t *testing.T) (*Store, *stallingHandler) {
	t.Helper()
	h := newStallingHandler(midWrite)
	s, err := Open(t.TempDir(), Options{Logger: slog.New(h)})
	must(t, err)
	must(t, s.Stage(volume.NewSegmentID(), pages(1, 1, 0))) // whatever the first one does once
	h.armed.Store(true)
	return s, h
}

// TestWhatHasLandedIsReadBeforeItIsStored reads pages and objects while Badger does not
// get on with them, and again when they are stored and the store was opened anew.
func TestWhatHasLandedIsReadBeforeItIsStored(t *testing.T) {
	s, h := openStalling(t)
	id := volume.NewSegmentID()
	object := []byte("an object")
	sum := volume.HashOf(object)
	must(t, s.Land(t.Context(), id, pages(1, 9, 1)))
	must(t, s.LandObjects(map[volume.Hash][]byte{sum: object}))
	check := func() {
		t.Helper()
		readAll(t, s, id, pages(1, 9, 1))
		if b, err := s.Object(sum); err != nil || string(b) != string(object) {
			t.Errorf("object %q, %v", b, err)
		}
		for p, want := range map[volume.PageIdx]bool{9: true, 10: false} {
			if has, err := s.HasPage(id, p); err != nil || has != want {
				t.Errorf("page %d is here: %v, %v", p, has, err)
			}
		}
	}
	<-h.stalled
	check()
	if has, err := s.stores(id, 1); err != nil || has {
		t.Errorf("page 1 is stored: %v, %v", has, err)
	}
	close(h.goOn)
	s.AwaitLanded(t.Context())
	if has, err := s.stores(id, 9); err != nil || !has || s.landing.inUse.Load() {
		t.Errorf("page 9 is stored: %v, %v; in memory: %v", has, err, s.landing.inUse.Load())
	}
	check()
	must(t, s.Close())
	s, err := Open(s.dir, Options{})
	must(t, err)
	defer closeStore(t, s)
	check()
}

// TestCloseStoresWhatHasLanded closes a store at once.
func TestCloseStoresWhatHasLanded(t *testing.T) {
	s := openNew(t)
	id := volume.NewSegmentID()
	for p := volume.PageIdx(1); p <= 2*landBatch; p += 64 {
		must(t, s.Land(t.Context(), id, pages(p, p+63, 1)))
	}
	must(t, s.Close())
	if err := s.Land(t.Context(), id, pages(1, 1, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("landed in a store that is closed: %v", err)
	}
	s, err := Open(s.dir, Options{})
	must(t, err)
	defer closeStore(t, s)
	readAll(t, s, id, pages(1, 2*landBatch, 1))
}

// TestLandingWaitsForRoom lands more than there is room for while Badger does not get
// on, until its context ends; what it brought is kept all the same.
func TestLandingWaitsForRoom(t *testing.T) {
	s, h := openStalling(t)
	defer closeStore(t, s)
	id := volume.NewSegmentID()
	must(t, s.Land(t.Context(), id, pages(1, maxLanding, 1)))
	<-h.stalled
	ctx, cancel := context.WithCancel(t.Context())
	var over atomic.Bool
	landed := make(chan error)
	go func() {
		err := s.Land(ctx, id, pages(maxLanding+1, maxLanding+2, 1))
		if !over.Load() {
			err = errors.Join(err, errors.New("it did not wait"))
		}
		landed <- err
	}()
	s.landing.mu.Lock()
	for s.landing.mu.moved == nil { // until it waits
		s.landing.mu.Unlock()
		s.landing.mu.Lock()
	}
	s.landing.mu.Unlock()
	over.Store(true)
	cancel()
	must(t, <-landed)
	readAll(t, s, id, pages(maxLanding+1, maxLanding+2, 1))
	close(h.goOn)
	s.AwaitLanded(t.Context())
	readAll(t, s, id, pages(1, maxLanding+2, 1))
	if n, err := s.stores(id, maxLanding+2); !n || err != nil {
		t.Errorf("it is stored: %v, %v", n, err)
	}
}

// TestWhatLandsTwiceIsStoredOnce counts what is stored.
func TestWhatLandsTwiceIsStoredOnce(t *testing.T) {
	s, h := openStalling(t)
	defer closeStore(t, s)
	id := volume.NewSegmentID()
	before := s.fetched.count.Load()
	for range 3 {
		must(t, s.Land(t.Context(), id, pages(1, 4, 1)))
	}
	close(h.goOn)
	s.AwaitLanded(t.Context())
	if n := s.fetched.count.Load() - before; n != 4 {
		t.Errorf("4 pages count as %d", n)
	}
}

// TestWhatCannotBeStoredIsGivenUp lands pages on a full disk.
func TestWhatCannotBeStoredIsGivenUp(t *testing.T) {
	full := atomic.Bool{}
	s, err := Open(t.TempDir(), Options{freeSpace: func(string) (uint64, error) {
		if full.Load() {
			return 1 << 20, nil
		}
		return 1 << 40, nil
	}})
	must(t, err)
	defer closeStore(t, s)
	defer full.Store(false)
	full.Store(true)
	id := volume.NewSegmentID()
	must(t, s.Land(t.Context(), id, pages(1, 600, 1)))
	s.AwaitLanded(t.Context())
	if _, err := s.Page(id, 600); !errors.Is(err, ErrNotFound) || s.landing.inUse.Load() {
		t.Errorf("page 600: %v; in memory: %v", err, s.landing.inUse.Load())
	}
}
