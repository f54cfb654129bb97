//go:build !windows

package objstore

import (
	"errors"
	"io/fs"
	"os"
)

// syncDir makes the entries of the directory at path durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// lacksLinks reports whether err, from os.Link, says that there are no hard links.
func lacksLinks(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission)
}
