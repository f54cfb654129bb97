package main

import "testing"

func TestFileSystem(t *testing.T) {
	const mounts = "overlay / overlay rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk ext4 rw 0 0\n/dev/vdc /work xfs rw 0 0\n"
	for path, want := range map[string]string{"/": "overlay", "/home/x": "overlay", "/tmp": "tmpfs", "/tmp/disk/a": "ext4", "/tmp/disks": "tmpfs", "/work": "xfs"} {
		if got := fileSystemIn(mounts, path); got != want {
			t.Errorf("%s is on %q, not %q", path, got, want)
		}
	}
	if fileSystemOf(t.TempDir()) == "" {
		t.Error("no file system of a directory that there is")
	}
}
