package vfs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"graft"
)

// exportFile writes the pages of a Snapshot to a new SQLite file at path, whole
// or not at all. Pages that are not stored here are fetched. The file has the
// stored change counter, so equal content gives equal bytes.
func exportFile(ctx context.Context, r *graft.Reader, path string) (err error) {
	if err := refuseExisting(path); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".graft-export-*")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("export to %s: %w", path, errors.Join(err, temp.Close(), os.Remove(temp.Name())))
		}
	}()
	w := bufio.NewWriterSize(temp, 1<<20)
	for p := graft.PageIdx(1); r.PageCount().Has(p); p++ {
		page, err := r.Page(ctx, p)
		if err != nil {
			return err
		}
		if _, err := w.Write(page[:]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := temp.Chmod(0o644); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := refuseExisting(path); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return temp.Close()
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
