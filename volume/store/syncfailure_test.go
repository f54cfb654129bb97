package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"graft/internal/testdir"
)

// syncFailure has a write of Badger's fail to be synced: Badger's own writer says so, once its
// values are written and before anything points to them. What a power cut leaves of them
// is for the test to choose.
type syncFailure struct {
	slog.Handler
	logs   string // of which kind the logs are that are not synced: ".vlog" or ".mem"
	before string // where they are copied to, as they are before that write

	mu struct {
		sync.Mutex
		store *Store
		after string // what Badger says before the writes that are counted
		left  int    // how many there are up to the one that fails
		now   bool
		err   error
	}

	fail func() error // has syncs fail from now on; nil: the writer says so alone
	says saying       // what it says then
	at   string       // instead of what, or after it

	until string        // what somebody else says first, or nothing
	said  chan struct{} // he has
}

func newSyncFailure(before string) *syncFailure {
	return &syncFailure{Handler: slog.DiscardHandler, logs: ".vlog", before: before, says: sayings[0], at: "Writing to memtable", said: make(chan struct{})}
}

// arm lets write number n of s fail, counted from when Badger has said after.
func (f *syncFailure) arm(s *Store, after string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.store, f.mu.after, f.mu.left = s, after, n
}

func (f *syncFailure) Enabled(context.Context, slog.Level) bool { return true }

func (f *syncFailure) Handle(_ context.Context, r slog.Record) error {
	if s := f.hear(r.Message); s != nil {
		if f.until != "" {
			<-f.said
		}
		f.says.say(s) // without the lock: it may not return
	}
	return nil
}

// hear gives the store whose sync fails now.
func (f *syncFailure) hear(text string) *Store {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.after != "" && strings.Contains(text, f.mu.after) {
		f.mu.after = ""
	}
	switch {
	case f.until != "" && strings.Contains(text, f.until):
		close(f.said)
	case strings.Contains(text, f.at) && f.mu.now:
		f.mu.now = false
		return f.mu.store
	case text == midWrite && f.mu.store != nil && f.mu.after == "":
		if f.mu.left--; f.mu.left == 0 {
			f.mu.err = copyLogs(f.before, f.mu.store.badgerDir(), f.logs)
			if f.mu.now = f.fail == nil; f.fail != nil {
				f.mu.err = errors.Join(f.mu.err, f.fail())
			}
		}
	}
	return nil
}

// copyLogs copies the logs of a kind.
func copyLogs(to, from, kind string) error {
	paths, err := filepath.Glob(filepath.Join(from, "*"+kind))
	for _, path := range paths {
		err = errors.Join(err, testdir.CopyFile(filepath.Join(to, filepath.Base(path)), path))
	}
	return err
}

// endProcess lets a Badger end whose writer is held, and gives the directory free, as the
// end of the process does.
func (s *Store) endProcess(t *testing.T) {
	t.Helper()
	close(s.poison.writer.goOn)
	s.poison.writer.left.Wait()
	must(t, errors.Join(dbOf(s).Close(), s.lock.release()))
}

// sector is a part of a file that a disk writes whole or not at all.
type sector struct {
	file string
	off  int64
	data []byte
}

// unsynced is Badger's folder, and what was written to the newest log of a kind since it was last
// synced.
type unsynced struct {
	synced  string // a copy, that log as it was then
	sectors []sector
	begun   string // the log, if it was not there yet, or nothing
	size    int64  // of that
}

// newUnsynced takes Badger's folder, of which before has the logs of a kind as they were last synced.
func newUnsynced(t *testing.T, badgerDir, before, kind string) unsynced {
	t.Helper()
	u := unsynced{synced: testdir.InMemory(t)}
	copyBadger(t, u.synced, badgerDir)
	paths, err := filepath.Glob(filepath.Join(u.synced, "*"+kind))
	must(t, err)
	newest := slices.Max(paths) // the others are synced before it is begun
	synced := filepath.Join(before, filepath.Base(newest))
	u.add(t, newest, synced)
	must(t, os.Remove(newest))
	if _, err := os.Stat(synced); err == nil {
		must(t, testdir.CopyFile(newest, synced))
	}
	return u
}

// add adds the sectors of a log that are not synced.
func (u *unsynced) add(t *testing.T, now, synced string) {
	t.Helper()
	const size = 512
	news := readWritten(t, now)
	olds := make([]byte, len(news))
	if _, err := os.Stat(synced); err == nil {
		copy(olds, readWritten(t, synced))
	} else {
		info, err := os.Stat(now)
		must(t, err)
		u.begun, u.size = filepath.Base(now), info.Size()
	}
	for off := 0; off < len(news); off += size {
		if data := news[off:min(off+size, len(news))]; !bytes.Equal(data, olds[off:off+len(data)]) {
			u.sectors = append(u.sectors, sector{filepath.Base(now), int64(off), data})
		}
	}
}

// readWritten reads a log up to its first hole.
func readWritten(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	var b bytes.Buffer
	for testdir.NextData(file, int64(b.Len())) == int64(b.Len()) {
		n, err := io.Copy(&b, io.NewSectionReader(file, int64(b.Len()), 64<<10))
		must(t, err)
		if n == 0 {
			break
		}
	}
	return b.Bytes()
}

// cut makes the folder that a power cut leaves: a share of the sectors, in fourths, is on disk.
func (u *unsynced) cut(t *testing.T, dir string, r *rand.Rand, share int) {
	t.Helper()
	must(t, testdir.Copy(dir, u.synced))
	for _, part := range u.sectors {
		if r.IntN(4) < share {
			writeAt(t, filepath.Join(dir, part.file), part.data, part.off)
		}
	}
	if u.begun != "" && r.IntN(2) == 0 { // it is there, at least
		path := filepath.Join(dir, u.begun)
		writeAt(t, path, nil, 0)
		must(t, os.Truncate(path, u.size))
	}
}

func writeAt(t *testing.T, path string, data []byte, off int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	must(t, err)
	_, err = file.WriteAt(data, off)
	must(t, errors.Join(err, file.Close()))
}
