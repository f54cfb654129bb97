package filesys

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Dir gives the directory at path, which must exist, as the operating system has it.
func Dir(path string) FS { return dir(path) }

type dir string

func (d dir) Open(name string) (File, error) {
	return d.open("open", name, os.O_RDWR)
}

func (d dir) Create(name string) (File, error) {
	return d.open("create", name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d dir) open(op, name string, flag int) (File, error) {
	path, err := d.path(op, name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag, 0o666)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d dir) Remove(name string) error {
	path, err := d.path("remove", name)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

func (d dir) Rename(from, to string) error {
	old, err := d.path("rename", from)
	if err != nil {
		return err
	}
	path, err := d.path("rename", to)
	if err != nil {
		return err
	}
	return os.Rename(old, path)
}

func (d dir) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d dir) SyncDir() error { return syncDir(string(d)) }

// path refuses names that lead out of the directory or below it.
func (d dir) path(op, name string) (string, error) {
	if !filepath.IsLocal(name) || filepath.Base(name) != name || name == "." {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(string(d), name), nil
}

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync hides that of os.File, which also waits for times to be written.
func (f file) Sync() error { return syncData(f.File) }
