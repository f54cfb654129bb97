package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/dgraph-io/ristretto/v2/z"
)

// mapped are the processors of Linux on which Badger's files are known to be cut
// rightly. ristretto, which maps them, takes the second register of the system call
// mremap for the new size, as it is on amd64 and 386; elsewhere it is something
// else. Where ristretto does not know that, it gives up a file that it has cut: a
// store works until its first value log is full, and a crash leaves one that cannot
// be opened again.
var mapped = []string{"386", "amd64", "arm", "arm64", "s390x"}

// checkMapping refuses the directory where Badger would lose its files.
func checkMapping(dir string) error {
	if runtime.GOOS != "linux" || slices.Contains(mapped, runtime.GOARCH) {
		return nil
	}
	if err := tryMapping(dir); err != nil {
		return fmt.Errorf("badger cannot map files on %s/%s with this version of ristretto: %w", runtime.GOOS, runtime.GOARCH, err)
	}
	return nil
}

// tryMapping cuts a mapped file as Badger does.
func tryMapping(dir string) (err error) {
	path := filepath.Join(dir, "MAPPING")
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m, err := z.OpenMmapFile(path, os.O_RDWR|os.O_CREATE, 4<<16)
	if err != nil && !errors.Is(err, z.NewFile) {
		return err
	}
	err = m.Truncate(1 << 16)
	if err != nil {
		return errors.Join(err, m.Fd.Close(), os.Remove(path)) // the mapping is lost
	}
	return m.Delete()
}
