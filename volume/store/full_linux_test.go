package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"graft/internal/filesys"
)

// smallDisk mounts a file system of its own, in memory.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("to mount a small file system takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill leaves about free bytes of the disk.
func fill(t *testing.T, ballast string, free int64) {
	t.Helper()
	must(t, os.RemoveAll(ballast))
	now, err := filesys.FreeSpace(filepath.Dir(ballast))
	must(t, err)
	f, err := os.Create(ballast)
	must(t, err)
	for left := int64(now) - free; left > 0; left -= 1 << 20 {
		if _, err := f.Write(bytes.Repeat([]byte{1}, int(min(left, 1<<20)))); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	must(t, f.Close())
}

// TestDiskFillsUp writes to a small disk until it takes no more, and lets
// somebody else take what is left.
func TestDiskFillsUp(t *testing.T) {
	disk := smallDisk(t, "120m")
	w := newWorld(t, disk, small, 0)
	open := func() {
		s, err := Open(filepath.Join(disk, "data"), Options{})
		must(t, err)
		w.s = s
	}
	open()
	defer func() { _ = w.s.Close() }()
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast, writeReserve+6<<20)
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		if err = w.apply(w.change(100, n%2 == 0)); err == nil && n%10 == 0 {
			err = w.flush(w.s.Flush)
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("the disk is full: %v", err)
	}
	w.wantState(t)

	for _, free := range []int64{applyReserve + 4<<20, applyReserve - 4<<20} {
		fill(t, ballast, free)
		if err := w.apply(w.change(1, false)); !errors.Is(err, ErrFull) {
			t.Fatalf("apply: %v", err)
		}
		w.wantState(t)
	}
	for range 2 {
		if err := w.s.Close(); err != nil && !errors.Is(err, ErrFull) { // nil if all is applied
			t.Fatalf("close: %v", err)
		}
		open()
		w.wantState(t)
	}
	must(t, os.Remove(ballast))
	must(t, w.apply(w.change(1, false)))
	must(t, w.s.Close())
	open()
	w.wantState(t)
}
