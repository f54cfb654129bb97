// Package testdir has directories for tests: in memory, where what a disk keeps is not
// the matter, and copies of what a process that is killed leaves behind.
package testdir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"

	"graft/internal/filesys"
)

// InMemory gives an empty directory in memory where there is one, and one on the disk
// otherwise: syncs take time. It is gone with the test.
func InMemory(t interface {
	TempDir() string
	Cleanup(func())
}) string {
	const memory = "/dev/shm"
	if free, err := filesys.FreeSpace(memory); err == nil && free > 2<<30 && free < 1<<50 {
		if dir, err := os.MkdirTemp(memory, "graft-test"); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

// Copy copies the files below a directory, and keeps their holes.
func Copy(to, from string) error {
	return eachFile(to, from, CopyFile)
}

// CopyStill is Copy as of one moment of a directory that somebody writes to: what it
// copied was there at the same time.
func CopyStill(to, from string) (err error) {
	for range 1000 {
		if err = errors.Join(os.RemoveAll(to), Copy(to, from)); err == nil {
			err = eachFile(to, from, compareFile)
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is never still: %w", from, err)
}

// eachFile calls fn with each file below from and its place below to, the directory of
// which is there.
func eachFile(to, from string, fn func(to, from string) error) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o777)
		}
		return fn(filepath.Join(to, rel), path)
	})
}

// CopyFile copies one file, and keeps its holes.
func CopyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf := make([]byte, 64<<10)
	for off := NextData(in, 0); off < info.Size(); off = NextData(in, off) {
		n, err := in.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return err
		}
		if _, err := out.WriteAt(buf[:n], off); err != nil {
			return err
		}
		off += int64(len(buf))
	}
	return out.Truncate(info.Size())
}

// compareFile fails unless both files have the same bytes.
func compareFile(a, b string) error {
	x, err := os.ReadFile(a)
	if err != nil {
		return err
	}
	y, err := os.ReadFile(b)
	if err == nil && !bytes.Equal(x, y) {
		err = fmt.Errorf("%s has changed", b)
	}
	return err
}

// NextData gives the first offset from off on where f has no hole, or a high number.
func NextData(f *os.File, off int64) int64 {
	if runtime.GOOS != "linux" {
		return off
	}
	const seekData = 3
	off, err := f.Seek(off, seekData)
	if err != nil {
		return math.MaxInt64 // no data
	}
	return off
}
