package vfs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"

	"graft"
)

// exportFile writes the pages of a Snapshot to a new SQLite file at path, whole
// or not at all. Pages that are not stored here are fetched. The file has the
// stored change counter, so equal content gives equal bytes.
func exportFile(ctx context.Context, r *graft.Reader, path string) (err error) {
	if err := refuseExisting(path); err != nil {
		return err
	}
	temp := fmt.Sprintf("%s.%016x.tmp", path, rand.Uint64())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	err = writePages(ctx, f, r)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = publishFile(temp, path)
	}
	if err != nil {
		return fmt.Errorf("export to %s: %w", path, errors.Join(err, os.Remove(temp)))
	}
	return nil
}

func writePages(ctx context.Context, f *os.File, r *graft.Reader) error {
	w := bufio.NewWriterSize(f, 1<<20)
	for p := graft.PageIdx(1); r.PageCount().Has(p); p++ {
		page, err := r.Page(ctx, p)
		if err != nil {
			return err
		}
		if _, err := w.Write(page[:]); err != nil {
			return err
		}
	}
	return w.Flush()
}

// publishFile gives the file at temp the name path, unless that is taken.
func publishFile(temp, path string) error {
	err := os.Link(temp, path)
	switch {
	case err == nil:
		return os.Remove(temp)
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// The file system has no hard links.
	if err := refuseExisting(path); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func refuseExisting(path string) error {
	_, err := os.Lstat(path)
	if err == nil {
		return fmt.Errorf("graft: %s exists already", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("graft: %w", err)
	}
	return nil
}
