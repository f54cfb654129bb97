// Program modernc opens a file by modernc.org/sqlite: see package start.
package main

import (
	_ "modernc.org/sqlite"

	"graft/bench/start"
)

func main() {
	start.Main("sqlite", func(path string) string { return "file:" + path })
}
