package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"graft/internal/filesys"
)

const (
	namePrefix = "journal-"
	newSuffix  = ".new"
)

func fileName(number int) string { return fmt.Sprintf("%s%08d", namePrefix, number) }

// parseName gives the number of the file, and whether it is one of the journal.
func parseName(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, namePrefix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && name == fileName(n)
}

// file is an open file of the journal.
type file struct {
	filesys.File
	name   string
	number int
	salt   salt
	size   int64 // bytes that are there and synced once; guarded by Journal.append
	pos    int64 // where the next record goes; guarded by Journal.append

	last uint64 // newest record that Open or Append put here, or 0; guarded by Journal.mu
}

// createFile makes the file of a number:
//
//	1 make    a file under the name with .new, and write header and zeros to it
//	2 sync    it, and close it, since Windows would not rename it
//	3 rename  it
//	4 entry   sync the directory
//
// So a file without .new has a good header, whatever happens. Before 4 nobody uses it; Open removes what a crash before
// 3 leaves, and after 3 it is a file without records.
func createFile(fsys filesys.FS, number int, size int64) (_ *file, err error) {
	name, s := fileName(number), newSalt()
	temp := name + newSuffix
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	made := temp
	defer func() {
		if err != nil {
			err = fmt.Errorf("create %s: %w", name, err)
			_ = fsys.Remove(made) // at best; it does no harm
		}
	}()
	if err := writeNew(fsys, temp, s, size); err != nil {
		return nil, err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return nil, err
	}
	made = name
	if err := fsys.SyncDir(); err != nil {
		return nil, err
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, name: name, number: number, salt: s, size: size, pos: fileHeader}, nil
}

func writeNew(fsys filesys.FS, name string, s salt, size int64) (err error) {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, size)
	encodeFileHeader(b, s)
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Sync()
}

// grow writes zeros from size to end. They count when they are synced.
func (f *file) grow(end, step int64) error {
	zeros := make([]byte, min(end-f.size, step))
	for off := f.size; off < end; off += int64(len(zeros)) {
		zeros = zeros[:min(end-off, step)]
		if _, err := f.WriteAt(zeros, off); err != nil {
			_ = f.Truncate(f.size) // at best; what stays is zeros
			return err
		}
	}
	return nil
}

func closeFiles(files []*file) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
