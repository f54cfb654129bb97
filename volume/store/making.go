package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"graft/internal/filesys"
)

// making is Badger, which is opened beside the first use of a new data directory: to
// make its files takes longer than all else (docs/adr/0023). Until then nothing is in
// it, so that reads find nothing there, and writes wait.
//
// A crash may leave files that Badger cannot open. Nothing was written to them yet,
// only to the journal, and the file makingFile says so: they are made anew.
type making struct {
	made chan struct{} // closed once db or err is there; nil before that begins
	db   *badger.DB    // there with an err, if the directory could not be marked as made
	err  error
}

// makingFile is there from before FORMAT is, until the first Badger of a directory is
// open. It is gone for good before anything is written to that.
const makingFile = "badger.new"

// prepareBadger tells whether there is no Badger yet. It takes away what a crash has
// left of one that was being made.
func (s *Store) prepareBadger() (isNew bool, err error) {
	_, err = os.Lstat(s.badgerDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	isNew, err = markMaking(s.files, err == nil)
	if err != nil {
		return false, fmt.Errorf("make %s: %w", makingFile, err)
	}
	if isNew {
		err = os.RemoveAll(s.badgerDir())
	}
	return isNew, err
}

// markMaking tells whether Badger is new in a directory, and marks it so. What makes
// FORMAT durable makes the mark durable, too.
func markMaking(files filesys.FS, hasBadger bool) (isNew bool, err error) {
	names, err := files.List()
	if err != nil {
		return false, err
	}
	if slices.Contains(names, makingFile) {
		return true, nil
	}
	if hasBadger || slices.Contains(names, formatFile) {
		return false, nil
	}
	f, err := files.Create(makingFile)
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// unmarkMaking takes the mark away, for good when it returns nil.
func unmarkMaking(files filesys.FS) error {
	if err := files.Remove(makingFile); err != nil {
		return err
	}
	return files.SyncDir()
}

// startBadger opens Badger, beside what follows if it is new.
func (s *Store) startBadger(isNew bool) error {
	m := &s.badger
	m.made = make(chan struct{})
	if isNew {
		go s.makeBadger()
		return nil
	}
	defer close(m.made)
	if m.db, m.err = s.openBadger(); m.err == nil {
		s.fetched.opened = m.db.MaxVersion()
	}
	return m.err
}

// makeBadger opens Badger in a new directory. Where that fails, the store takes no
// writes; there is nothing to read.
func (s *Store) makeBadger() {
	m := &s.badger
	defer close(m.made)
	if s.opts.midMake != nil {
		s.opts.midMake()
	}
	db, err := s.openBadger()
	if err == nil {
		err = unmarkMaking(s.files)
	}
	if err != nil {
		s.poison.set(err)
		s.logError("make badger", err)
	} else {
		s.reads.keep(db) // to begin one waits for writes, once there are any
	}
	m.db, m.err = db, err
}

// await gives Badger, for a write, once it is open.
func (s *Store) await() (*badger.DB, error) {
	<-s.badger.made
	if s.badger.err != nil {
		return nil, s.poison.err()
	}
	return s.badger.db, nil
}

// read runs fn in the shared read transaction of Badger, and gives its epoch. While
// nothing is in it, nothing is found.
func (s *Store) read(fn func(*badger.Txn) error) (epoch uint64, err error) {
	db := s.badger.reading()
	if db == nil {
		return 0, ErrNotFound
	}
	return s.reads.view(db, fn)
}

// reading gives Badger for a read, or nil while nothing is in it.
func (m *making) reading() *badger.DB {
	select {
	case <-m.made:
		return m.db
	default:
		return nil
	}
}
