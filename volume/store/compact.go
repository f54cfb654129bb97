package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"graft/volume/store/badgerguard"
)

// Compact gives space back to the file system that nothing takes up any more.
// It works beside everything else, but only one runs at a time.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.use.acquire(); err != nil {
		return err
	}
	defer s.use.release()
	if err := errors.Join(s.checkReserve(0, applyReserve), s.poison.err()); err != nil {
		return err
	}
	next := s.journal.Next()
	if err := s.collectAll(ctx); err != nil {
		return err
	}
	rotated, err := s.rotate(ctx)
	if err == nil && rotated {
		err = s.collectAll(ctx)
	}
	return errors.Join(err, s.trimJournal(next))
}

// collectAll writes all files of the value log anew that are worth it, but the
// newest.
func (s *Store) collectAll(ctx context.Context) error {
	if err := s.flushMemtables(); err != nil {
		return err
	}
	db, err := s.await()
	if err != nil {
		return err
	}
	// Compaction alone finds out how much of each file of the value log is dead.
	if err := db.Flatten(1); err != nil {
		return fmt.Errorf("compact badger: %w", err)
	}
	for ctx.Err() == nil {
		err := badgerguard.CheckGC(s.badgerDir(), discardRatio)
		if err == nil {
			err = s.collect()
		}
		switch {
		case errors.Is(err, badger.ErrNoRewrite):
			return nil
		case err != nil:
			return fmt.Errorf("collect the value log: %w", err)
		}
	}
	return context.Cause(ctx)
}

func (s *Store) badgerDir() string { return filepath.Join(s.dir, "badger") }

// collect writes one file of the value log anew, if one is worth it. Badger
// looks at its memtable without a lock then, so nothing else writes to it.
func (s *Store) collect() error {
	return s.alone(func(db *badger.DB) error { return db.RunValueLogGC(discardRatio) })
}

// alone runs fn while nobody else writes to Badger. It gives the transaction of reads up, before
// lest what is dead is kept for it, and afterwards since places have changed.
func (s *Store) alone(fn func(*badger.DB) error) error {
	db, err := s.await()
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.poison.err(); err != nil {
		return err
	}
	s.reads.drop()
	defer s.reads.drop()
	return s.orPoisoned(s.poison.writer.run(func() error { return fn(db) }))
}

// discardRatio is how much of a file of the value log must be dead for it to be
// written anew.
const discardRatio = 0.4

// filler is what fills a file of the value log up. Its key has no meaning.
const (
	keyFiller  = "}"
	fillerSize = 1 << 20
)

// rotate has Badger begin a new file of the value log when more is dead in the
// newest than lives at all, so that it can be collected. What it writes for that
// is seven times what it gives back, at most, and then little is dead in the
// newest. Without the space for it, it does nothing.
func (s *Store) rotate(ctx context.Context) (rotated bool, err error) {
	db, err := s.await()
	if err != nil {
		return false, err
	}
	size := db.Opts().ValueLogFileSize
	newest, garbage, err := badgerguard.Newest(s.badgerDir())
	if err != nil {
		return false, err
	}
	if live, known := s.space.live(); !known || garbage < max(live, size/8) {
		return false, nil
	}
	if err := s.checkReserve(size, applyReserve); err != nil {
		if errors.Is(err, ErrFull) {
			return false, nil
		}
		return false, err
	}
	return s.fillUp(ctx, newest, size)
}

// fillUp fills a file of the value log up until it is not the newest, as Badger
// begins a new one when it has passed its size.
func (s *Store) fillUp(ctx context.Context, newest uint64, size int64) (rotated bool, err error) {
	filler := make([]byte, fillerSize)
	for filled := int64(0); filled <= size; filled += fillerSize {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		err := s.update(func(txn *badger.Txn) error { return txn.Set([]byte(keyFiller), filler) })
		if err != nil {
			return false, fmt.Errorf("fill the value log up: %w", err)
		}
		if now, _, err := badgerguard.Newest(s.badgerDir()); err != nil || now != newest {
			return err == nil, err
		}
	}
	return false, nil
}

// smallStore is what lives at most, in bytes, for the files of the journal to
// count.
const smallStore = 1 << 20

// trimJournal leaves one small file of the journal, unless somebody writes: next
// was the next redo record some time ago.
func (s *Store) trimJournal(next uint64) error {
	if live, known := s.space.live(); !known || live > smallStore || s.journal.Next() != next {
		return nil
	}
	if err := s.Flush(); err != nil {
		return err
	}
	return s.journal.Trim()
}

// keyFlush is a key of no meaning.
var keyFlush = []byte("~")

// flushMemtables has Badger write its memtables to tables, where compaction
// sees what was deleted. To drop a key is the one way to ask for it. Badger
// takes no writes meanwhile: changes go on in the journal. The filler is deleted
// before.
func (s *Store) flushMemtables() error {
	err := s.update(func(txn *badger.Txn) error {
		return errors.Join(txn.Set(keyFlush, nil), txn.Delete([]byte(keyFiller)))
	})
	if err == nil {
		err = s.alone(func(db *badger.DB) error { return db.DropPrefix(keyFlush) })
	}
	if err != nil {
		return fmt.Errorf("flush badger: %w", err)
	}
	return nil
}
