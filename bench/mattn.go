//go:build bench_mattn

package main

import _ "github.com/mattn/go-sqlite3" // under a name that -ldflags gives it, for go-sqlite3 has its own
