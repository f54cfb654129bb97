//go:build !linux

package filesys

import "os"

func syncData(f *os.File) error { return f.Sync() }
