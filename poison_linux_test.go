package graft_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"graft"
)

// breakJournal has every file of the journal that is open in dir lose what is written to
// it, and fail to be synced: it becomes /dev/null.
func breakJournal(t *testing.T, dir string) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for _, e := range fds {
		path, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || !strings.HasPrefix(path, filepath.Join(dir, "journal")+"/") {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err == nil {
			err = unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC)
		}
		if err != nil {
			t.Fatal(err)
		}
		broken++
	}
	if broken == 0 {
		t.Fatal("no file of the journal is open")
	}
}

// TestFailedFsyncPoisonsUntilReopened fails the fsync of a commit. That one is in doubt; no
// later one is made, reads go on, and the same process opens the directory again and has
// all that was acknowledged.
func TestFailedFsyncPoisonsUntilReopened(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db, err := graft.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := graftOf(t, db, "main")
	write(t, g, "first")
	write(t, g, "acknowledged")
	breakJournal(t, dir)
	update := func(text string) error {
		_, err := g.Update(ctx, func(w *graft.Writer) error {
			page := new(graft.Page)
			copy(page[:], text)
			return w.Write(1, page)
		})
		return err
	}
	for _, text := range []string{"in doubt", "later", "last"} {
		if err := update(text); !errors.Is(err, graft.ErrPoisoned) {
			t.Errorf("update %q: %v", text, err)
		}
		if got := read(t, g); got != "acknowledged" && got != "in doubt" {
			t.Errorf("after update %q: read %q", text, got)
		}
	}
	main := g
	g = graftOf(t, db, "other")
	if err := update("of another"); !errors.Is(err, graft.ErrPoisoned) {
		t.Errorf("update of another Graft: %v", err)
	}
	if got := read(t, main); got != "acknowledged" && got != "in doubt" {
		t.Errorf("after all updates: read %q", got)
	}
	if err := db.Close(); !errors.Is(err, graft.ErrPoisoned) {
		t.Errorf("close: %v", err)
	}

	db = openDB(t, dir, nil)
	g = graftOf(t, db, "main")
	if got := read(t, g); got != "acknowledged" && got != "in doubt" {
		t.Errorf("opened again: read %q", got)
	}
	if err := update("after"); err != nil {
		t.Errorf("opened again: %v", err)
	}
	if got := read(t, g); got != "after" {
		t.Errorf("opened again and written to: read %q", got)
	}
}
