package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// ErrInUse is returned by Open when another process holds the data directory, or this
// one does because it could not close the store.
var ErrInUse = errors.New("graft: data directory is in use")

// dirLock is the hold of this process on a data directory: a lock of the
// operating system on the file LOCK, which ends with the process. The file
// LOCK.pid beside it names the holder, for the message of who comes second, and why
// it cannot give the directory free, if that is so.
type dirLock struct {
	lock    *flock.Flock
	pidPath string
}

func lockDir(dir string) (_ *dirLock, err error) {
	l := &dirLock{
		lock:    flock.New(filepath.Join(dir, "LOCK")),
		pidPath: filepath.Join(dir, "LOCK.pid"),
	}
	ok, err := l.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	if !ok {
		return nil, errors.Join(inUseError(dir, l.pidPath), l.lock.Close())
	}
	if err := os.WriteFile(l.pidPath, []byte(strconv.Itoa(os.Getpid())), 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory %s: %w", dir, err), l.lock.Close())
	}
	return l, nil
}

func inUseError(dir, pidPath string) error {
	holder, advice := "another process", "set dir= or GRAFT_DIR to another one"
	if b, err := os.ReadFile(pidPath); err == nil {
		text, cause, kept := strings.Cut(strings.TrimSpace(string(b)), "\n")
		if pid, err := strconv.Atoi(text); err == nil {
			holder = fmt.Sprintf("process %d", pid)
			if kept {
				holder += fmt.Sprintf(", which cannot close its local store since that failed (%s)", cause)
				advice = "end that process"
				if pid == os.Getpid() {
					advice = "restart this process"
				}
			}
		}
	}
	return fmt.Errorf("%w: %s is held by %s; %s", ErrInUse, dir, holder, advice)
}

// keep has this process hold the directory until it ends, because of cause. Whatever
// still has its files open must hold l.
func (l *dirLock) keep(cause error) error {
	text := strings.ReplaceAll(cause.Error(), "\n", " ")
	if err := os.WriteFile(l.pidPath, fmt.Appendf(nil, "%d\n%s", os.Getpid(), text), 0o666); err != nil {
		return fmt.Errorf("keep data directory: %w", err)
	}
	return nil
}

func (l *dirLock) release() error {
	err := os.Remove(l.pidPath)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.lock.Close())
}

// flocks are where Badger locks its folder itself, with a lock that flock knows. Elsewhere it locks
// another thing; on Windows no file can be cut that somebody has mapped.
var flocks = []string{"android", "darwin", "dragonfly", "freebsd", "ios", "linux", "netbsd", "openbsd"}

// lockBadger takes Badger's own lock on its folder, and gives what ends it. Badger looks at it only
// when it opens the folder, which is too late for who changes files before. LOCK does not say whether a
// program that is not graft has the folder open, nor does a new one that stands in for a LOCK that
// somebody took away.
func (s *Store) lockBadger() (unlock func() error, err error) {
	if !slices.Contains(flocks, runtime.GOOS) {
		return func() error { return nil }, nil
	}
	lock := flock.New(s.badgerDir(), flock.SetFlag(os.O_RDONLY))
	ok, err := lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrNotExist): // nobody has
		return lock.Close, nil
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", s.badgerDir(), err)
	case !ok:
		return nil, errors.Join(inUseError(s.dir, filepath.Join(s.badgerDir(), "LOCK")), lock.Close())
	}
	return lock.Close, nil
}
