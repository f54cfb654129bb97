package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"
)

// maxInMemory is how many bytes of a temporary file are held in memory.
const maxInMemory = 4 << 20

// tempFile is a file that goes with its connection: in memory as long as it is
// small, then on disk, where it has no name if the system allows that. It is
// never synced. SQLite calls its methods one at a time.
type tempFile struct {
	dir  string // where it is made; "": that of the operating system
	mem  []byte
	disk *os.File // nil while everything is in mem
}

var _ sqlite3vfs.File = (*tempFile)(nil)

// ReadAt reads as [io.ReaderAt] does.
func (t *tempFile) ReadAt(p []byte, off int64) (n int, err error) {
	if t.disk != nil {
		n, err = t.disk.ReadAt(p, off)
		return n, t.fail(err, sqlite3.IOERR_READ)
	}
	if off < int64(len(t.mem)) {
		n = copy(p, t.mem[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes as [io.WriterAt] does. What was never written is zeros.
func (t *tempFile) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if t.disk == nil && end > maxInMemory {
		if err := t.moveToDisk(); err != nil {
			return 0, t.fail(err, sqlite3.IOERR_WRITE)
		}
	}
	if t.disk != nil {
		n, err := t.disk.WriteAt(p, off)
		return n, t.fail(err, sqlite3.IOERR_WRITE)
	}
	if end > int64(len(t.mem)) {
		t.mem = append(t.mem, make([]byte, end-int64(len(t.mem)))...)
	}
	return copy(t.mem[off:], p), nil
}

func (t *tempFile) moveToDisk() error {
	f, err := createUnnamed(t.dir)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(t.mem, 0); err != nil {
		return errors.Join(err, f.Close())
	}
	t.disk, t.mem = f, nil
	return nil
}

// createUnnamed makes a file in dir that is gone when it is closed, except on
// Windows: there the next open of the data directory removes it.
func createUnnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "sqlite-*")
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.CreateTemp("", "graft-sqlite-*") // the data directory was closed and removed
	}
	if err != nil || runtime.GOOS == "windows" {
		return f, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fail gives the code of SQLite for an error. io.EOF stays.
func (t *tempFile) fail(err error, code sqlite3.ExtendedErrorCode) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, syscall.ENOSPC):
		code = sqlite3.ExtendedErrorCode(sqlite3.FULL)
	}
	return sqlite3vfs.SystemError(fmt.Errorf("graft: temporary file: %w", err), code)
}

// Truncate cuts the file, or grows it by zeros.
func (t *tempFile) Truncate(size int64) error {
	if t.disk != nil {
		return t.fail(t.disk.Truncate(size), sqlite3.IOERR_TRUNCATE)
	}
	if size > int64(len(t.mem)) {
		_, err := t.WriteAt(nil, size)
		return err
	}
	t.mem = t.mem[:size]
	return nil
}

// Size is in bytes.
func (t *tempFile) Size() (int64, error) {
	if t.disk == nil {
		return int64(len(t.mem)), nil
	}
	info, err := t.disk.Stat()
	if err != nil {
		return 0, t.fail(err, sqlite3.IOERR_FSTAT)
	}
	return info.Size(), nil
}

// Close removes the file.
func (t *tempFile) Close() error {
	f := t.disk
	t.disk, t.mem = nil, nil
	if f == nil {
		return nil
	}
	err := f.Close()
	if runtime.GOOS == "windows" {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return t.fail(err, sqlite3.IOERR_CLOSE)
}

// Sync has nothing to do: after a crash nobody looks for the file.
func (t *tempFile) Sync(sqlite3vfs.SyncFlag) error { return nil }

// Lock allows everything: a connection has the file for itself.
func (t *tempFile) Lock(sqlite3vfs.LockLevel) error { return nil }

// Unlock does nothing.
func (t *tempFile) Unlock(sqlite3vfs.LockLevel) error { return nil }

// CheckReservedLock says no.
func (t *tempFile) CheckReservedLock() (bool, error) { return false, nil }

// SectorSize leaves it to SQLite.
func (t *tempFile) SectorSize() int { return 0 }

// DeviceCharacteristics are those of a file that needs no care.
func (t *tempFile) DeviceCharacteristics() sqlite3vfs.DeviceCharacteristic {
	return sqlite3vfs.IOCAP_POWERSAFE_OVERWRITE | sqlite3vfs.IOCAP_SAFE_APPEND |
		sqlite3vfs.IOCAP_SEQUENTIAL | sqlite3vfs.IOCAP_SUBPAGE_READ
}
