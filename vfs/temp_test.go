package vfs

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// TestTempFileMovesToDisk writes over the limit, with a hole, and finds all of it.
func TestTempFileMovesToDisk(t *testing.T) {
	f := &tempFile{dir: t.TempDir()}
	var want []byte
	for i, off := range []int{0, 100, maxInMemory - 50, maxInMemory + 5000, 7} {
		b := bytes.Repeat([]byte{byte(i + 1)}, 200)
		if n, err := f.WriteAt(b, int64(off)); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
		if end := off + len(b); end > len(want) {
			want = append(want, make([]byte, end-len(want))...)
		}
		copy(want[off:], b)
		if size, err := f.Size(); size != int64(len(want)) || err != nil {
			t.Fatalf("size %d, %v; want %d", size, err, len(want))
		}
		got := make([]byte, len(want)+1)
		if n, err := f.ReadAt(got, 0); err != io.EOF || !bytes.Equal(got[:n], want) {
			t.Fatalf("read %d bytes, %v; want %d", n, err, len(want))
		}
		if onDisk := f.disk != nil; onDisk != (len(want) > maxInMemory) {
			t.Fatalf("on disk with %d bytes: %t", len(want), onDisk)
		}
	}
	for _, size := range []int64{maxInMemory / 2, maxInMemory} {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Size(); got != size || err != nil {
			t.Fatalf("size %d, %v; want %d", got, err, size)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(f.dir); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestTempFileInMemory grows, shrinks and reads past its end.
func TestTempFileInMemory(t *testing.T) {
	f := &tempFile{}
	for _, size := range []int64{10, 3, 8} {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		b := bytes.Repeat([]byte{9}, 20)
		if n, err := f.ReadAt(b, 0); n != int(size) || err != io.EOF || !bytes.Equal(b[:n], make([]byte, n)) {
			t.Errorf("read %d of %d bytes, %v: %v", n, size, err, b)
		}
		if n, err := f.ReadAt(b, 50); n != 0 || err != io.EOF {
			t.Errorf("read %d bytes past the end, %v", n, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
