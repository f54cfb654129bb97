package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"graft/internal/filesys"
	"graft/volume"
)

// The file FORMAT says what the directory is: the line below, with the version
// of the layout of the directory, of the keys of keys.go and of the records
// in them. It is written before anything else, and replaced as a whole.
const (
	formatFile = "FORMAT"
	formatLine = "graft data directory, format %d\n"

	formatVersion = 1
)

// checkFormat marks an empty directory with the format version, and refuses
// one of another.
func checkFormat(files filesys.FS) error {
	b, err := readSmall(files, formatFile)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFormat(files)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", formatFile, err)
	}
	var version int
	if n, err := fmt.Sscanf(string(b), formatLine, &version); n != 1 || err != nil || fmt.Sprintf(formatLine, version) != string(b) {
		return corruptf("%s is not that of a graft data directory", formatFile)
	}
	if version != formatVersion {
		return fmt.Errorf("%w: %s says %d instead of %d", volume.ErrVersion, formatFile, version, formatVersion)
	}
	return nil
}

// writeFormat replaces FORMAT: whole or not at all.
func writeFormat(files filesys.FS) (err error) {
	const draft = formatFile + ".new"
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", formatFile, err)
		}
	}()
	if err := files.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.Create(draft)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, formatLine, formatVersion), 0)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := files.Rename(draft, formatFile); err != nil {
		return err
	}
	return files.SyncDir()
}

// maxSmall bounds what readSmall reads, in bytes.
const maxSmall = 4096

func readSmall(files filesys.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, maxSmall)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}
