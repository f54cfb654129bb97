package objstore

import (
	"errors"
	"io/fs"
	"syscall"
)

// syncDir does nothing: Windows cannot sync a directory, and NTFS keeps its entries in a journal of its own.
func syncDir(string) error { return nil }

// lacksLinks reports whether err, from os.Link, says that there are no hard links.
func lacksLinks(err error) bool {
	const errorInvalidFunction = syscall.Errno(1) // from FAT
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errorInvalidFunction)
}
