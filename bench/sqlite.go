package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver"
	_ "modernc.org/sqlite"

	_ "graft/driver"
	"graft/vfs"
)

// system is a way to keep a SQLite database, with settings.
type system struct {
	name   string
	driver string
	source func(dir, tag string) string // data source name
	tags   int                          // databases of the system that a workload uses at once
	kept   string                       // systems that may share a built database have the same; "": none may

	program string  // that plays it; "": this one
	builder *system // that makes its databases; nil: itself
}

// common are the pragmas of every system: SQLite's own cache is the same.
const common = "cache_size(-2000)"

// graftSystem is graft with these pragmas, and keys of the data source name.
func graftSystem(keys string, pragmas ...string) system {
	return system{
		name: "graft", driver: "graft", tags: 1, kept: "graft",
		source: func(dir, tag string) string {
			name := "tag=" + tag + " dir=" + sqlite3.Quote(dir) + " " + keys
			for _, p := range append(pragmas, common) {
				name += " _pragma=" + p
			}
			return name
		},
	}
}

// fileSystem is go-sqlite3's own file VFS.
func fileSystem(journal, synchronous string) system {
	return system{
		name: strings.ToUpper(journal + "+" + synchronous), driver: "sqlite3", tags: 1, kept: "file-" + journal,
		source: func(dir, tag string) string {
			name := "file:" + filepath.ToSlash(filepath.Join(dir, tag+".db")) + "?_txlock=immediate"
			for _, p := range []string{"busy_timeout(60000)", "journal_mode(" + journal + ")", "synchronous(" + synchronous + ")", common} {
				name += "&_pragma=" + p
			}
			return name
		},
	}
}

// The peers of a workload that graft does in one system and go-sqlite3's file VFS
// in another.
func peersOf(graft, file system) []system {
	wasm2go, modernc, mattn := file, file, file
	wasm2go.name, wasm2go.program = wasm2goProgram+" "+file.name, wasm2goProgram
	modernc.name, modernc.driver = "modernc "+file.name, "sqlite"
	mattn.name, mattn.program, mattn.driver = mattnProgram+" "+file.name, mattnProgram, mattnProgram
	mattn.source = func(dir, tag string) string { return mattnSource(file.source(dir, tag)) }
	on := graft
	on.name, on.program = subjectName+onWasm2go, wasm2goProgram
	peers := []system{on, wasm2go, modernc, mattn}
	for i := range peers {
		peers[i].builder = &file
	}
	peers[0].builder = &graft
	return peers
}

// mattnSource turns the pragmas of a data source name into mattn's form.
func mattnSource(source string) string {
	for _, name := range []string{"busy_timeout", "journal_mode", "synchronous", "cache_size"} {
		source = strings.Replace(source, "_pragma="+name+"(", "_"+name+"=", 1)
	}
	return strings.ReplaceAll(source, ")", "")
}

// severally is s with n databases at once.
func (s system) severally(n int) system {
	s.tags = n
	return s
}

// open gives one connection to each of the databases that s has in dir.
func (s system) open(ctx context.Context, dir string) (_ []*sql.DB, err error) {
	vfs.ConfigureEngine() // for the file VFS, too
	var dbs []*sql.DB
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(dbs))
		}
	}()
	for i := range s.tags {
		db, err := sql.Open(s.driver, s.source(dir, fmt.Sprintf("t%d", i)))
		if err != nil {
			return nil, refusal(err)
		}
		dbs = append(dbs, db)
		db.SetMaxOpenConns(1)
		if err := db.PingContext(ctx); err != nil {
			return nil, refusal(err)
		}
	}
	return dbs, nil
}

// refusal tells a key of the data source name that this tree does not know from
// what is wrong.
func refusal(err error) error {
	if strings.Contains(err.Error(), "unknown key") {
		return skipped(err.Error())
	}
	return err
}

func closeAll(dbs []*sql.DB) error {
	var errs []error
	for _, db := range dbs {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

const (
	// createTable makes the one table that all workloads have.
	createTable = "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)"

	// fillTable adds rows with the keys that are given, and texts of textSize
	// bytes: the key, and what is random.
	fillTable = "WITH RECURSIVE n(i) AS (VALUES(?1) UNION ALL SELECT i+1 FROM n WHERE i < ?2) " +
		"INSERT INTO t SELECT i, printf('%08d', i) || hex(randomblob(96)) FROM n"

	keyDigits = 8
	textSize  = keyDigits + 2*96
)

// fill makes a table of rows rows, with keys from 1.
func fill(ctx context.Context, db *sql.DB, rows int) error {
	if _, err := db.ExecContext(ctx, createTable); err != nil {
		return err
	}
	const step = 50_000 // of a transaction
	for first := 1; first <= rows; first += step {
		if _, err := db.ExecContext(ctx, fillTable, first, min(first+step-1, rows)); err != nil {
			return err
		}
	}
	return nil
}

// setUp builds databases of rows rows in dir.
func (s system) setUp(ctx context.Context, dir string, rows int) error {
	dbs, err := s.open(ctx, dir)
	if err != nil {
		return err
	}
	for _, db := range dbs {
		if err := fill(ctx, db, rows); err != nil {
			return errors.Join(err, closeAll(dbs))
		}
	}
	return closeAll(dbs)
}

// ask gives the columns of the one row of a query, as text.
func ask(ctx context.Context, db *sql.DB, query string, columns int) (string, error) {
	values := make([]string, columns)
	pointers := make([]any, columns)
	for i := range values {
		pointers[i] = &values[i]
	}
	if err := db.QueryRowContext(ctx, query).Scan(pointers...); err != nil {
		return "", err
	}
	return strings.Join(values, " "), nil
}
