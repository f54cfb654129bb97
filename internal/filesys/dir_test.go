package filesys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDirKeepsWhatIsWritten(t *testing.T) {
	path := t.TempDir()
	d := Dir(path)
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("hello"), 3); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(7), f.Sync(), d.SyncDir()); err != nil {
		t.Fatal(err)
	}
	if size, err := f.Size(); size != 7 || err != nil {
		t.Fatalf("size %d, %v", size, err)
	}
	b := make([]byte, 9)
	if n, err := f.ReadAt(b, 0); string(b[:n]) != "\x00\x00\x00hell" || err != io.EOF {
		t.Fatalf("read %q, %v", b[:n], err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("sync of a closed file: %v", err)
	}
	if f, err = d.Open("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("H"), 3); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(path, "a")); string(got) != "\x00\x00\x00Hell" {
		t.Fatalf("file holds %q", got)
	}
}

func TestDirNames(t *testing.T) {
	path := t.TempDir()
	d := Dir(path)
	if err := os.Mkdir(filepath.Join(path, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "a", "c"} {
		f, err := d.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.Rename("c", "a"), d.SyncDir()); err != nil {
		t.Fatal(err)
	}
	if names, err := d.List(); !slices.Equal(names, []string{"a", "b"}) || err != nil {
		t.Fatalf("names %q, %v", names, err)
	}
	if _, err := d.Create("a"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("create a again: %v", err)
	}
	if err := d.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open what is removed: %v", err)
	}
	if err := d.Remove("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("remove what is removed: %v", err)
	}
}

func TestDirRefusesPaths(t *testing.T) {
	d := Dir(t.TempDir())
	for _, name := range []string{"", ".", "..", "a/b", "../a", "/a"} {
		if _, err := d.Create(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("create %q: %v", name, err)
		}
		if err := d.Rename("a", name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("rename to %q: %v", name, err)
		}
		if err := d.Remove(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
}
