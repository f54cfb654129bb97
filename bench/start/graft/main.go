// Program graft opens a database of graft's: see package start.
package main

import (
	"github.com/ncruces/go-sqlite3"

	"graft/bench/start"
	_ "graft/driver"
)

func main() {
	start.Main("graft", func(path string) string { return "tag=t0 dir=" + sqlite3.Quote(path) })
}
