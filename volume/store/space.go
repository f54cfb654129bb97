package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"graft/volume"
)

// Badger writes to mapped files: on a full disk that is no error but the end of
// the process. So graft stops writing while there is still room for what Badger
// does on its own, its value log, tables and compactions. Whoever fills the
// disk faster than that, from outside, still hits it.
const (
	writeReserve = 64 << 20 // bytes that must stay free for a Change to begin
	applyReserve = 32 << 20 // and for the journal to be applied
	openReserve  = 8 << 20  // and for a directory to be opened
)

// minGarbage is how many pages must be dead before a sweep is worth it.
const minGarbage = 8192

// space is what the store knows of its garbage.
type space struct {
	stored   atomic.Int64 // pages that went to Badger since the last sweep
	replaced atomic.Int64 // pages that newer ones took the place of since then
	kept     atomic.Int64 // pages that the last sweep left
	written  atomic.Int64 // bytes that may be written before the free space is looked at again
	unclean  atomic.Bool  // a crash, or somebody before, may have left orphans
	swept    atomic.Bool  // kept is known

	// gate is held while keys of Volumes are deleted, and read-held while one
	// begins to be held. It is taken before mu.
	gate sync.RWMutex

	mu struct {
		sync.Mutex
		held   map[[16]byte]int      // Segments and Volumes that are about to be referred to
		staged map[[16]byte]struct{} // Segments that had pages staged since they are held
		young  map[[16]byte]struct{} // held since the sweep began; nil when none runs
	}
}

// Hold keeps the pages of a Segment, or what belongs to a Volume, from being
// swept until release, which is called once, although nothing refers to them yet.
func (s *Store) Hold(id [16]byte) (release func()) {
	sp := &s.space
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.held == nil {
		sp.mu.held, sp.mu.staged = make(map[[16]byte]int), make(map[[16]byte]struct{})
	}
	sp.mu.held[id]++
	if sp.mu.young != nil {
		sp.mu.young[id] = struct{}{}
	}
	return func() {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		if sp.mu.held[id]--; sp.mu.held[id] == 0 {
			delete(sp.mu.held, id)
			delete(sp.mu.staged, id)
		}
	}
}

// HoldVolume is Hold for a Volume of which something may be stored already. It
// waits for the part of a sweep that deletes such: what the caller then finds of
// the Volume stays.
func (s *Store) HoldVolume(v volume.VolumeID) (release func()) {
	s.space.gate.RLock()
	defer s.space.gate.RUnlock()
	return s.Hold(v)
}

// touch keeps a Segment, of which pages are staged, from the sweep that runs, if
// one does.
func (sp *space) touch(id [16]byte) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.held[id] > 0 {
		sp.mu.staged[id] = struct{}{}
	}
	if sp.mu.young != nil {
		sp.mu.young[id] = struct{}{}
	}
}

func (sp *space) isHeld(id [16]byte) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.mu.held[id] > 0
}

func (sp *space) isYoung(id [16]byte) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	_, ok := sp.mu.young[id]
	return ok
}

// isStaging tells whether somebody holds a Segment of which pages are staged. At
// Close those are orphans: a Writer was left open.
func (sp *space) isStaging() bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return len(sp.mu.staged) > 0
}

// beginSweep begins to gather what is young.
func (sp *space) beginSweep() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.mu.young = make(map[[16]byte]struct{}, len(sp.mu.held))
	for id := range sp.mu.held {
		sp.mu.young[id] = struct{}{}
	}
	sp.stored.Store(0)
	sp.replaced.Store(0)
}

func (sp *space) endSweep() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.mu.young = nil
}

// replaced notes that stored pages are in no newest Snapshot any more. They leave
// the page cache to others.
func (s *Store) replaced(refs []PageRef) {
	s.space.replaced.Add(int64(len(refs)))
	for _, ref := range refs {
		s.cache.drop(ref)
	}
}

// ReplacedUnseen notes that newer pages take the place of n others, which no Change
// names and of which not all may be stored.
func (s *Store) ReplacedUnseen(n int) { s.space.replaced.Add(int64(n)) }

// NeedsSweep tells whether enough is dead for a sweep: a third of what lives,
// or what a crash has left.
func (s *Store) NeedsSweep() bool {
	return s.space.unclean.Load() || s.space.garbage() > max(minGarbage, s.space.kept.Load()/3)
}

// garbage is how many stored pages are dead, at most.
func (sp *space) garbage() int64 { return max(0, min(sp.stored.Load(), sp.replaced.Load())) }

// live is how many bytes of stored pages live, at most: those that the last
// sweep left, and newer ones. It is not known before the first sweep.
func (sp *space) live() (n int64, known bool) {
	return (sp.kept.Load() + sp.stored.Load()) * volume.PageSize, sp.swept.Load()
}

// SweepDue has the store remember that there is something to sweep, even over a
// Close.
func (s *Store) SweepDue() { s.space.unclean.Store(true) }

// checkSpace returns ErrFull unless n bytes can be written, with the reserve
// left over.
//
// It looks at the file system once in a while alone, for that takes as long as
// writing a small record.
func (s *Store) checkSpace(n int64) error {
	if s.space.written.Add(-n) >= 0 {
		return nil
	}
	if err := s.checkReserve(n, writeReserve); err != nil {
		return err
	}
	s.space.written.Store(checkEvery)
	return nil
}

// checkEvery is how many bytes are written between two looks at the free space.
// The reserve has room for it.
const checkEvery = 1 << 20

func (s *Store) checkReserve(n, reserve int64) error {
	free, err := s.opts.freeSpace(s.dir)
	if err != nil {
		return fmt.Errorf("look for free space: %w", err)
	}
	if need := uint64(n + reserve); free < need {
		return fmt.Errorf("%w: %d MB are free at %s, and %d MB must be", ErrFull, free>>20, s.dir, need>>20)
	}
	return nil
}

// directorySize is the sum of the sizes of the files in a directory, or zero
// when it does not exist.
func directorySize(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, fmt.Errorf("look at %s: %w", filepath.Join(dir, e.Name()), err)
		}
		size += info.Size()
	}
	return size, err
}

// Live is what a sweep leaves in the store.
type Live struct {
	Pages   *PageRefSet
	Unknown *LeafSet                       // every page of such a leaf stays, of whatever Segment
	Locals  map[volume.VolumeID]volume.LSN // local Volumes, and the oldest commit that stays of each
	Remotes map[volume.VolumeID]RemoteLog  // remote Volumes
	Objects map[volume.Hash]bool           // cached objects
}

// RemoteLog says which commits of a remote Volume stay. A log of a remote Volume may
// have gaps anyway: a fetch jumps.
type RemoteLog struct {
	From   volume.LSN          // it and all later ones; zero: all
	Before map[volume.LSN]bool // those of the earlier ones
}

// stays tells whether commit l stays.
func (g RemoteLog) stays(l volume.LSN) bool { return l >= g.From || g.Before[l] }

// has tells whether a page stays.
func (l *Live) has(ref PageRef) bool {
	return l.Unknown.Contains(volume.LeafOf(ref.Idx)) || l.Pages.Contains(ref)
}
