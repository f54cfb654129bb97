package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"graft/internal/filesys"
	"graft/volume"
	"graft/volume/store/badgerguard"
	"graft/volume/store/journal"
)

var (
	// ErrNotFound is returned when the store has no such tag, Graft, commit,
	// Segment or page.
	ErrNotFound = errors.New("graft: not in the local store")

	// ErrClosed is returned by a Store that was closed.
	ErrClosed = errors.New("graft: store is closed")

	// ErrFull is returned by what would write when the disk has less free
	// space than the reserve, or none. Reads go on.
	ErrFull = errors.New("graft: disk is full")

	// ErrPoisoned is returned by what would write after a sync has failed:
	// nobody knows what is on disk. It holds until the store is opened again,
	// which finds out. Reads go on. When Badger cannot be closed either, the
	// process must end before: until then Open is ErrInUse, and says so.
	ErrPoisoned = errors.New("graft: store is poisoned until it is opened again")
)

// DefaultCacheSize is the size of the page cache, in bytes, unless Options
// says otherwise.
const DefaultCacheSize = 32 << 20

// Options are the settings of a Store. The zero value is the default.
type Options struct {
	// CacheSize bounds the page cache, in bytes: of pages, and of places in Badger
	// of others.
	CacheSize int64

	// Quota bounds the pages that StageFetched stores and those that an alias
	// names, in bytes of pages. Zero: they are never evicted.
	Quota int64

	// OverQuota is called when Evict is due, by whoever stored a page or an alias. It must
	// not wait. Nil: nobody is told.
	OverQuota func()

	// Live tells whether some Snapshot in use may read a page that the local
	// Volume owner committed. Pages that it denies before they are in Badger
	// never get there. It is called in the background, and calls no method of
	// the Store. Nil: every page is.
	Live func(owner volume.VolumeID, ref PageRef) bool

	Logger *slog.Logger // nil discards

	// ApplyAt is how many bytes gather in memory before they are thinned out, or
	// applied to Badger together. Zero is what suits everybody but tests.
	ApplyAt int

	// For tests.
	journalFiles filesys.FS
	journal      journal.Options
	freeSpace    func(dir string) (uint64, error)
	midRead      func() // is called when a value was found and is not read yet
	midMake      func() // is called before Badger is opened in a new directory
}

func (o Options) withDefaults(dir string) Options {
	if o.CacheSize <= 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.Live == nil {
		o.Live = func(volume.VolumeID, PageRef) bool { return true }
	}
	if o.OverQuota == nil {
		o.OverQuota = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.journalFiles == nil {
		o.journalFiles = filesys.Dir(filepath.Join(dir, "journal"))
	}
	if o.freeSpace == nil {
		o.freeSpace = filesys.FreeSpace
	}
	if o.ApplyAt == 0 {
		o.ApplyAt = defaultApplyAt
	}
	return o
}

// Store is the open local store of one data directory. All methods are safe
// for concurrent use; pages and records that they return are shared and must
// not be changed.
//
// Locks are taken in the order commit, overlay. A Change takes both; a read
// takes the overlay's for a moment.
type Store struct {
	dir     string
	files   filesys.FS // of dir itself
	opts    Options
	log     *slog.Logger
	lock    *dirLock
	badger  making
	journal *journal.Journal

	cache    *pageCache
	places   *places
	segments segmentCache
	fetched  fetched
	landing  landing
	overlay  overlay

	commit  commitState
	applier applier
	space   space
	poison  poison
	reads   readTxns
	writing sync.RWMutex // read-held over a write to Badger; held while Badger takes none
	use     *usage
}

// Open opens the store in dir, which it makes if need be. One process at a
// time holds a directory: ErrInUse tells that another does. What a crash left
// in the redo journal is part of the store again. Damage that is found is
// ErrCorrupt, a directory of another format ErrVersion; nothing was changed
// then.
func Open(dir string, opts Options) (_ *Store, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	for _, name := range []string{".", "journal"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, files: filesys.Dir(dir), opts: opts.withDefaults(dir), lock: lock, use: newUsage()}
	s.poison.writer = newWriterHold()
	s.reads.writer = s.poison.writer
	s.log = s.opts.Logger
	s.fetched.setQuota(opts.Quota)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open data directory %s: %w", dir, err), s.closeParts())
		}
	}()
	isNew, err := s.prepareBadger()
	if err != nil {
		return nil, err
	}
	if err := checkFormat(s.files); err != nil {
		return nil, err
	}
	if err := checkMapping(dir); err != nil {
		return nil, err
	}
	forPlaces := s.opts.CacheSize / placesShare
	s.places = newPlaces(forPlaces)
	if s.cache, err = newPageCache(s.opts.CacheSize - forPlaces); err != nil {
		return nil, err
	}
	if err := s.checkReserve(0, openReserve); err != nil {
		return nil, err
	}
	if err := s.startBadger(isNew); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	s.startApplier()
	return s, nil
}

// openBadger opens Badger once it is sure that Badger can bear its files.
func (s *Store) openBadger() (*badger.DB, error) {
	if err := s.readyBadger(); err != nil {
		return nil, err
	}
	dir := s.badgerDir()
	size, err := directorySize(dir)
	if err != nil {
		return nil, err
	}
	o := badgerOptions(dir, size)
	o.Logger = badgerLogger{log: s.log, poison: &s.poison}
	db, err := badger.Open(o)
	if err != nil {
		return nil, openError(err)
	}
	return db, nil
}

// readyBadger makes Badger's files such that it can bear them.
func (s *Store) readyBadger() (err error) {
	unlock, err := s.lockBadger()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := badgerguard.Tidy(s.badgerDir()); err != nil {
		return err
	}
	return badgerguard.Prepare(s.badgerDir())
}

// Dir is the absolute path of the data directory.
func (s *Store) Dir() string { return s.dir }

// Close makes everything durable, closes the store and gives the directory
// free. It waits for calls that are under way, and does nothing the second
// time.
func (s *Store) Close() error {
	if !s.use.close() {
		return nil
	}
	s.landing.storer.Wait()
	err := s.stopApplier()
	if err == nil {
		err = s.writeApplied(s.clean())
	}
	if err := errors.Join(err, s.closeParts()); err != nil {
		return fmt.Errorf("close data directory %s: %w", s.dir, err)
	}
	return nil
}

// closeParts closes what is open, in the reverse order of opening.
func (s *Store) closeParts() error {
	var errs []error
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	s.reads.drop()
	left, err := s.closeBadger()
	if left {
		// It goes on compacting, and has its Logger, which has s.
		return errors.Join(append(errs, err, s.lock.keep(s.poison.first()))...)
	}
	return errors.Join(append(errs, err, s.lock.release())...)
}

// closeBadger closes Badger, if it is open, or tells that it has to be left alone.
func (s *Store) closeBadger() (left bool, err error) {
	if s.badger.made == nil {
		return false, nil
	}
	<-s.badger.made
	db := s.badger.db
	switch {
	case db == nil:
		return false, nil
	case s.poison.stuck.Load() || s.poison.writer.isHeld():
		return true, nil
	}
	err = s.poison.writer.run(db.Close)
	if errors.Is(err, errHeld) { // by now
		return true, s.poison.err()
	}
	return false, err
}

// poison is why a store takes no more writes.
type poison struct {
	mu    sync.Mutex
	cause error

	stuck atomic.Bool // Badger would neither read nor close: leave it alone

	writer *writerHold
}

func (p *poison) set(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == nil {
		p.cause = cause
	}
}

// first is the first cause, or nil.
func (p *poison) first() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

// err is nil, or ErrPoisoned with its cause.
func (p *poison) err() error {
	cause := p.first()
	if cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrPoisoned, cause)
}

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{volume.ErrCorrupt}, args...)...)
}

// logError logs what goes wrong in the background.
func (s *Store) logError(what string, err error) {
	s.log.Log(context.Background(), slog.LevelError, what, "dir", s.dir, "error", err)
}
