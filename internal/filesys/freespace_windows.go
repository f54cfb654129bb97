package filesys

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// FreeSpace gives the bytes that this process may still write to the file
// system of a directory, or the highest number where the system does not tell.
func FreeSpace(dir string) (uint64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return free, nil
}
