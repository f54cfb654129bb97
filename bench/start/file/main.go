// Program file opens a file by go-sqlite3 alone: see package start.
package main

import (
	_ "github.com/ncruces/go-sqlite3/driver"

	"graft/bench/start"
)

func main() {
	start.Main("sqlite3", func(path string) string { return "file:" + path })
}
