package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"graft/internal/filesys"
	"graft/volume"
)

// The file FORMAT says what the directory is: the line that formatText gives, with
// the version of the layout of the directory, of the keys of keys.go and of the
// records in them. It is written before anything but makingFile, and replaced as a
// whole.
//
// Badger has numbers in the machine's byte order in its tables and pointers, so
// that a directory can be opened by machines of one byte order alone. That of
// big-endian ones says so.
const (
	formatFile = "FORMAT"
	formatLine = "graft data directory, format %d%s\n"

	formatVersion = 1
)

// formatText gives the content of FORMAT.
func formatText(version int, big bool) string {
	order := ""
	if big {
		order = ", big endian"
	}
	return fmt.Sprintf(formatLine, version, order)
}

// bigEndian is whether this machine has the most significant byte first.
var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

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
	version, big, ok := parseFormat(string(b))
	switch {
	case !ok:
		return corruptf("%s is not that of a graft data directory", formatFile)
	case version != formatVersion:
		return fmt.Errorf("%w: %s says %d instead of %d", volume.ErrVersion, formatFile, version, formatVersion)
	case big != bigEndian:
		return fmt.Errorf("%w: the directory was written by a machine of the other byte order: clone from the bucket", volume.ErrVersion)
	}
	return nil
}

// parseFormat reads what formatText gave.
func parseFormat(text string) (version int, big, ok bool) {
	if n, err := fmt.Sscanf(text, "graft data directory, format %d", &version); n != 1 || err != nil {
		return 0, false, false
	}
	big = text == formatText(version, true)
	return version, big, big || text == formatText(version, false)
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
	_, err = f.WriteAt([]byte(formatText(formatVersion, bigEndian)), 0)
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
