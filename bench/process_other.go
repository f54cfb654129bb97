//go:build !linux

package main

import (
	"context"
	"io/fs"
	"runtime"
	"time"
)

// anonymousMemory is known on Linux alone.
func anonymousMemory() (int64, error) { return 0, skipped(memoryIsLinux) }

// awaitIdle collects garbage, and gives what runs in the background a moment.
func awaitIdle(context.Context, time.Duration) {
	runtime.GC()
	time.Sleep(200 * time.Millisecond)
}

func allocated(info fs.FileInfo) int64 { return info.Size() }

func inMemory(string) bool { return false }

func fileSystemOf(string) string { return "" }

func memoryDir() string { return "" }
