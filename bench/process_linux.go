package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// anonymousMemory reads RssAnon of this process: memory that is resident and no
// file's.
func anonymousMemory() (int64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, after, ok := bytes.Cut(data, []byte("\nRssAnon:"))
	if !ok {
		return 0, errors.New("no RssAnon in /proc/self/status")
	}
	var kib int64
	if _, err := fmt.Sscanf(string(after[:min(len(after), 64)]), "%d kB", &kib); err != nil {
		return 0, fmt.Errorf("read RssAnon: %w", err)
	}
	return kib << 10, nil
}

// awaitIdle collects garbage, lets the file systems write what is dirty, and
// waits until this process is idle, or for at most patience.
func awaitIdle(ctx context.Context, patience time.Duration) {
	const step = 50 * time.Millisecond
	runtime.GC()
	syscall.Sync()
	deadline := time.Now().Add(patience)
	last := cpuTime()
	for ctx.Err() == nil && time.Now().Before(deadline) {
		time.Sleep(step)
		now := cpuTime()
		if now-last < step/10 {
			return
		}
		last = now
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allocated is how much of the disk a file takes.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// inMemory tells whether a directory is not on a disk.
func inMemory(dir string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return false
	}
	kind := uint32(st.Type)
	return kind == tmpfs || kind == ramfs
}

// fileSystemOf is the type of the file system of a directory, or "".
func fileSystemOf(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return ""
	}
	return fileSystemIn(string(mounts), dir)
}

// fileSystemIn finds the mount that a path is on: the last one of the longest name.
func fileSystemIn(mounts, path string) (kind string) {
	longest := -1
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		at := strings.TrimSuffix(fields[1], "/")
		if (path == at || strings.HasPrefix(path, at+"/")) && len(at) >= longest {
			longest, kind = len(at), fields[2]
		}
	}
	return kind
}

// memoryDir is a directory in memory, or "".
func memoryDir() string {
	const dir = "/dev/shm"
	if !inMemory(dir) {
		return ""
	}
	return dir
}
