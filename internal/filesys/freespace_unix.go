//go:build linux || darwin || freebsd || dragonfly

package filesys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FreeSpace gives the bytes that this process may still write to the file
// system of a directory, or the highest number where the system does not tell.
func FreeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize), nil
}
