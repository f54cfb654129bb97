package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"graft/volume"
)

// badgerOptions keep pages in the value log, small memtables, and nothing that
// a 32-bit build reads back wrongly. SyncWrites is the one mode of Badger that
// survives a power cut.
//
// Files of the value log are whole units of reclaimed space, and each is open
// all the time: they are small in a small store, of size bytes now, and large
// in a large one. But who stages pages waits while one of them is collected.
func badgerOptions(dir string, size int64) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = nil
	o.SyncWrites = true
	o.VerifyValueChecksum = true
	o.ChecksumVerificationMode = options.OnTableAndBlockRead
	o.ValueThreshold = 1024
	o.ValueLogFileSize = min(max(size/64, 8<<20), 128<<20)
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

// dirLockError is how Badger says that it has the directory open.
const dirLockError = "Cannot acquire directory lock"

// openError says what a failure of badger.Open means: its errors lose their
// chain, and files were found readable before.
func openError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) || errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), dirLockError) {
		return fmt.Errorf("open badger: %w", err)
	}
	return corruptf("open badger: %w", err)
}

// view runs fn in the shared read transaction of Badger, or not while nothing is in it.
func (s *Store) view(fn func(txn *badger.Txn) error) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	if s.poison.stuck.Load() {
		return s.poison.err()
	}
	db := s.badger.reading()
	if db == nil {
		return nil
	}
	_, err := s.reads.view(db, fn)
	return err
}

// get reads the value of one key, which is shared.
func (s *Store) get(key []byte) ([]byte, error) { return s.getIn(key, nil) }

// getIn is get that reads from Badger into buf, if that is long enough.
func (s *Store) getIn(key, buf []byte) ([]byte, error) {
	if err := s.use.acquire(); err != nil {
		return nil, err
	}
	defer s.use.release()
	if o, ok := s.overlay.get(key); !ok {
		return s.getBadgerIn(key, buf)
	} else if o.value != nil {
		return o.value, nil
	}
	return nil, ErrNotFound
}

// getBadger reads a value from Badger, which the caller owns and holds open.
func (s *Store) getBadger(key []byte) ([]byte, error) { return s.getBadgerIn(key, nil) }

// getBadgerIn is getBadger that reads into buf, if that is long enough.
func (s *Store) getBadgerIn(key, buf []byte) ([]byte, error) {
	v, err := s.find(key, buf)
	return v.value, err
}

// find reads a value from Badger, which the caller owns and holds open, into buf,
// if that is long enough.
func (s *Store) find(key, buf []byte) (v found, err error) {
	if s.poison.stuck.Load() {
		return found{}, s.poison.err()
	}
	for range readTries {
		v, err = s.tryBadger(key, buf)
		if err == nil && len(v.value) > 0 || errors.Is(err, ErrNotFound) {
			return v, err
		}
	}
	if err == nil {
		err = readError(key, errors.New("empty value"))
	}
	return found{}, err
}

// readTries is how often a value is looked for that cannot be read. Badger removes
// a file of its value log when what lives in it was written anew, although
// somebody has just found a value there: its next look finds the new place.
// It may give no error then, but no bytes either; no value of graft's is empty.
const readTries = 4

// tryBadger reads a value once.
func (s *Store) tryBadger(key, buf []byte) (v found, err error) {
	v.epoch, err = s.read(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if s.opts.midRead != nil {
			s.opts.midRead()
		}
		if err == nil {
			v.item = item
			v.value, err = item.ValueCopy(buf)
		}
		return readError(key, err)
	})
	return v, err
}

// has tells whether a key has a value, which it does not read.
func (s *Store) has(key []byte) (bool, error) {
	if err := s.use.acquire(); err != nil {
		return false, err
	}
	defer s.use.release()
	if o, ok := s.overlay.get(key); ok {
		return o.value != nil, nil
	}
	if s.poison.stuck.Load() {
		return false, s.poison.err()
	}
	_, err := s.read(func(txn *badger.Txn) error {
		_, err := txn.Get(key)
		return readError(key, err)
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
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

// badgerLogger hands what Badger says to a slog.Logger, and poisons the store
// for what Badger says instead of returning it.
type badgerLogger struct {
	log    *slog.Logger
	poison *poison
}

// The beginnings of what Badger v4.9 logs instead of returning it.
const (
	// failedSync: Badger goes on as if the value log was on disk.
	failedSync = "Error while curlf sync"
	// failedLastSync is in what "writeRequests:" says of a file of the value log that is full. It fails
	// those who wait, and the next ones go on.
	failedLastSync = "Unable to sync value log"
	// failedMemtable is what "writeRequests:" says of a memtable's log that could not be written or
	// synced. It fails those who wait, and the next ones go on behind what may not be on disk.
	failedMemtable = "writeRequests: writeRequests err:"
)

var (
	// holds: nothing may be written behind, nor point to, what may not be on disk.
	holds = []string{failedSync, failedLastSync, failedMemtable}
	// fatal: nobody knows what is on disk, or a log may have lost its end.
	fatal = []string{
		failedSync, "writeRequests:", "error flushing memtable to disk", "While trying to flush memtable",
		"Got error:", "Ignoring table", "LOG Compact FAILED", "While running doCompact", "While running compact def",
	}
	// stuck: Badger tries again for ever, or its next read panics.
	stuck = []string{"error flushing memtable to disk", "Got error:"}
)

func (l badgerLogger) say(level slog.Level, format string, args []any) string {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.log.Log(context.Background(), level, text, "component", "badger")
	return text
}

func (l badgerLogger) hear(level slog.Level, format string, args []any) {
	text := l.say(level, format, args)
	begins := func(prefix string) bool { return strings.Contains(text, prefix) }
	if slices.ContainsFunc(fatal, begins) {
		l.poison.set(errors.New("badger: " + text))
	}
	if slices.ContainsFunc(stuck, begins) {
		l.poison.stuck.Store(true)
	}
	if slices.ContainsFunc(holds, begins) {
		l.poison.writer.hold()
	}
}

func (l badgerLogger) Errorf(format string, args ...any)   { l.hear(slog.LevelError, format, args) }
func (l badgerLogger) Warningf(format string, args ...any) { l.hear(slog.LevelWarn, format, args) }
func (l badgerLogger) Infof(format string, args ...any)    { l.say(slog.LevelDebug, format, args) }
func (l badgerLogger) Debugf(format string, args ...any)   { l.say(slog.LevelDebug, format, args) }
