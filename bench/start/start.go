// Package start is what small programs do that open one database and ask it once.
// What they hold beside SQLite is as little as they can.
package start

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
)

// Query is what is asked.
const Query = "SELECT count(*), max(length(b)) FROM (SELECT b FROM t WHERE a < 100)"

// Main asks the database of the first argument, by a driver and a data source
// name made of it, and prints the answer and the anonymous memory in bytes.
func Main(driver string, source func(path string) string) {
	if err := run(driver, source(os.Args[1])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(driver, source string) error {
	db, err := sql.Open(driver, source)
	if err != nil {
		return err
	}
	var rows, length int
	if err := db.QueryRow(Query).Scan(&rows, &length); err != nil {
		return err
	}
	fmt.Println(rows, length, anonymous())
	return db.Close()
}

// anonymous is the anonymous resident memory where Linux tells it, or 0.
func anonymous() (n int64) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	if _, after, ok := bytes.Cut(data, []byte("\nRssAnon:")); ok {
		if _, err := fmt.Sscanf(string(after[:min(len(after), 64)]), "%d kB", &n); err != nil {
			return 0
		}
	}
	return n << 10
}
