package testdir

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCopyKeepsBytesAndHoles(t *testing.T) {
	from, to := InMemory(t), filepath.Join(t.TempDir(), "copy")
	name := filepath.Join("below", "file")
	if err := os.Mkdir(filepath.Join(from, "below"), 0o777); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 1<<20+7)
	copy(want[300_000:], "in the middle")
	f, err := os.Create(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(want[300_000:300_020], 300_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(want))); err != nil {
		t.Fatal(err)
	}
	if err := Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestCopyStillIsOfOneMoment copies two files that are written one after the other, always
// the same: a copy of which the second one is newer never was.
func TestCopyStillIsOfOneMoment(t *testing.T) {
	from, to := InMemory(t), filepath.Join(t.TempDir(), "copy")
	write := func(b byte) {
		for _, name := range []string{"a", "b"} {
			if err := os.WriteFile(filepath.Join(from, name), bytes.Repeat([]byte{b}, 100<<10), 0o666); err != nil {
				t.Error(err)
			}
		}
	}
	write(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := range byte(100) {
			write(b)
			time.Sleep(time.Millisecond)
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if err := CopyStill(to, from); err != nil {
			t.Fatal(err)
		}
		a, _ := os.ReadFile(filepath.Join(to, "a"))
		b, _ := os.ReadFile(filepath.Join(to, "b"))
		if len(b) == 100<<10 && len(a) == 100<<10 && b[0] > a[0] {
			t.Fatalf("the first file is of write %d, and the second one of %d", a[0], b[0])
		}
	}
}
