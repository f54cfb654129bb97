package snapshot

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/filesys"
)

// memoryDir gives an empty directory in memory where there is one: syncs take time.
func memoryDir(t *testing.T) string {
	const memory = "/dev/shm"
	if free, err := filesys.FreeSpace(memory); err == nil && free > 2<<30 && free < 1<<50 {
		if dir, err := os.MkdirTemp(memory, "graft-snapshot"); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

// kill opens the store as a process that is killed now would leave it. Nothing works in
// the background but the store itself.
func (g *graft) kill(t rapid.TB) {
	t.Helper()
	g.lives++
	old, dir := g.dir, filepath.Join(g.base, strconv.Itoa(g.lives))
	copyOfMoment(t, dir, old)
	if err := errors.Join(g.store.Close(), os.RemoveAll(old)); err != nil {
		t.Fatal(err)
	}
	g.dir = dir
	g.openStore(t)
}

// copyOfMoment copies a directory as it is at one moment: the store applies its journal
// when it likes, and Badger moves its files.
func copyOfMoment(t rapid.TB, to, from string) {
	t.Helper()
	var err error
	for range 100 {
		if err = errors.Join(os.RemoveAll(to), eachFile(from, func(name string, file []byte) error {
			return writeFile(filepath.Join(to, name), file)
		})); err == nil {
			err = eachFile(from, func(name string, file []byte) error {
				b, err := os.ReadFile(filepath.Join(to, name))
				if err == nil && !bytes.Equal(b, file) {
					err = errors.New(name + " has changed")
				}
				return err
			})
		}
		if err == nil {
			return
		}
	}
	t.Fatalf("copy %s: %v", from, err)
}

// eachFile calls fn with the content of each file below dir.
func eachFile(dir string, fn func(name string, file []byte) error) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		file, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		return fn(name, file)
	})
}

var zeros = make([]byte, 64<<10)

// writeFile writes a new file, and few zeros at its end: Badger's are mapped and long.
func writeFile(path string, file []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	used := file
	for n := len(used) - len(zeros); n >= 0 && bytes.Equal(used[n:], zeros); n -= len(zeros) {
		used = used[:n]
	}
	if err := os.WriteFile(path, used, 0o666); err != nil {
		return err
	}
	return os.Truncate(path, int64(len(file)))
}
