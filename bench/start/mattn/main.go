//go:build bench_mattn

// Program mattn opens a file by mattn/go-sqlite3, which takes cgo: see package
// start. The tag is for go vet and go build of all packages where there is none.
package main

import (
	_ "github.com/mattn/go-sqlite3"

	"graft/bench/start"
)

func main() {
	start.Main("sqlite3", func(path string) string { return "file:" + path })
}
