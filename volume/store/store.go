package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"graft/volume"
)

var (
	// ErrNotFound is returned when the store has no such tag, Graft, commit,
	// Segment or page.
	ErrNotFound = errors.New("graft: not in the local store")

	// ErrClosed is returned by a Store that was closed.
	ErrClosed = errors.New("graft: store is closed")
)

// Options are the settings of a Store. The zero value is the default.
type Options struct {
	Logger *slog.Logger // nil discards
}

// Store is the open local store of one data directory. All methods are safe
// for concurrent use; pages and records that they return are shared and must
// not be changed.
type Store struct {
	dir  string
	lock *dirLock
	db   *badger.DB

	segments segmentCache

	// use is read-held by every method and write-held by Close alone, so that
	// Badger is never closed under a call. Nothing is taken inside it.
	use struct {
		sync.RWMutex
		closed bool
	}
}

// formatVersion is the version of the layout of the data directory: the keys
// of keys.go and the records of package volume.
const formatVersion = 1

// Open opens the store in dir, which it makes if need be. One process at a
// time holds a directory: ErrInUse tells that another does.
func Open(dir string, opts Options) (_ *Store, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.release())
		}
	}()
	db, err := badger.Open(badgerOptions(filepath.Join(dir, "badger"), opts.Logger))
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	s := &Store{dir: dir, lock: lock, db: db}
	if err := s.checkFormat(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// badgerOptions keep pages in the value log, small memtables, and nothing that
// a 32-bit build reads back wrongly. SyncWrites is the one mode of Badger that
// survives a power cut.
func badgerOptions(dir string, logger *slog.Logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = nil
	if logger != nil {
		o.Logger = badgerLogger{logger}
	}
	o.SyncWrites = true
	o.VerifyValueChecksum = true
	o.ChecksumVerificationMode = options.OnTableAndBlockRead
	o.ValueThreshold = 1024
	o.ValueLogFileSize = 32 << 20
	o.MemTableSize = 2 << 20
	o.NumMemtables = 2
	o.BaseTableSize = 4 << 20
	o.BaseLevelSize = 4 << 20
	o.TableSizeMultiplier = 1
	o.NumLevelZeroTables = 2
	o.NumLevelZeroTablesStall = 6
	o.NumCompactors = 2
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.DetectConflicts = false
	o.MetricsEnabled = false
	return o
}

// checkFormat marks an empty store with the format version, and refuses one of
// another.
func (s *Store) checkFormat() error {
	b, err := s.get(keyFormat)
	switch {
	case errors.Is(err, ErrNotFound):
		return s.db.Update(func(txn *badger.Txn) error {
			return txn.Set(keyFormat, []byte{formatVersion})
		})
	case err != nil:
		return err
	case len(b) != 1 || b[0] != formatVersion:
		return fmt.Errorf("%w: data directory %s has format %x, not %d", volume.ErrVersion, s.dir, b, formatVersion)
	}
	return nil
}

// Dir is the absolute path of the data directory.
func (s *Store) Dir() string { return s.dir }

// Close closes the store and gives the directory free. It waits for calls that
// are under way, and does nothing the second time.
func (s *Store) Close() error {
	s.use.Lock()
	defer s.use.Unlock()
	if s.use.closed {
		return nil
	}
	s.use.closed = true
	if err := errors.Join(s.db.Close(), s.lock.release()); err != nil {
		return fmt.Errorf("close data directory %s: %w", s.dir, err)
	}
	return nil
}

// acquire keeps the store open until release. It fails once it is closed.
func (s *Store) acquire() error {
	s.use.RLock()
	if s.use.closed {
		s.use.RUnlock()
		return ErrClosed
	}
	return nil
}

func (s *Store) release() { s.use.RUnlock() }

// view runs fn in a read transaction.
func (s *Store) view(fn func(txn *badger.Txn) error) error {
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	return s.db.View(fn)
}

// get reads the value of one key, which the caller owns.
func (s *Store) get(key []byte) (value []byte, err error) {
	err = s.view(func(txn *badger.Txn) error {
		value, err = getIn(txn, key)
		return err
	})
	return value, err
}

func getIn(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := itemIn(txn, key)
	if err != nil {
		return nil, err
	}
	value, err := item.ValueCopy(nil)
	return value, readError(key, err)
}

func itemIn(txn *badger.Txn, key []byte) (*badger.Item, error) {
	item, err := txn.Get(key)
	return item, readError(key, err)
}

// readError says what Badger's errors mean: a key that is not there, or bytes
// that cannot be read back.
func readError(key []byte, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, badger.ErrKeyNotFound):
		return ErrNotFound
	}
	return fmt.Errorf("%w: read %q of the local store: %w", volume.ErrCorrupt, key, err)
}

// badgerLogger hands what Badger says to a slog.Logger.
type badgerLogger struct{ log *slog.Logger }

func (l badgerLogger) say(level slog.Level, format string, args []any) {
	l.log.Log(context.Background(), level, strings.TrimSpace(fmt.Sprintf(format, args...)), "component", "badger")
}

func (l badgerLogger) Errorf(format string, args ...any)   { l.say(slog.LevelError, format, args) }
func (l badgerLogger) Warningf(format string, args ...any) { l.say(slog.LevelWarn, format, args) }
func (l badgerLogger) Infof(format string, args ...any)    { l.say(slog.LevelDebug, format, args) }
func (l badgerLogger) Debugf(format string, args ...any)   { l.say(slog.LevelDebug, format, args) }
