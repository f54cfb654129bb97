package main

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// peers are what runs the same work.
var peers = []system{graftSystem(""), fileSystem("wal", "full")}

// each runs a benchmark with a fresh database of rows rows on every system.
func each(b *testing.B, rows int, run func(b *testing.B, db *sql.DB)) {
	eachOn(b, peers, rows, run)
}

func eachOn(b *testing.B, systems []system, rows int, run func(b *testing.B, db *sql.DB)) {
	for _, s := range systems {
		b.Run(s.name, func(b *testing.B) {
			dbs, err := s.open(b.Context(), b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer closeAll(dbs)
			if err := fill(b.Context(), dbs[0], rows); err != nil {
				b.Fatal(err)
			}
			awaitIdle(b.Context(), 10*time.Second) // what the filling left to do is no part of it
			run(b, dbs[0])
		})
	}
}

func mustExec(b testing.TB, db *sql.DB, query string, args ...any) {
	b.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkOneRowTransaction(b *testing.B) {
	each(b, 1000, func(b *testing.B, db *sql.DB) {
		for i := 0; b.Loop(); i++ {
			mustExec(b, db, "UPDATE t SET b = ? WHERE a = ?", fmt.Sprint("value ", i), 1+i%1000)
		}
	})
}

const selectRows = 100_000 // 24 MB

func BenchmarkPointSelect(b *testing.B) { each(b, selectRows, selectPoints) }

// BenchmarkPointSelectLarge reads a database that no cache of graft's holds: its pages come
// from where they are stored, as those of a large one do.
func BenchmarkPointSelectLarge(b *testing.B) {
	eachOn(b, []system{graftSystem("pagecache=1MB"), fileSystem("wal", "full")}, selectRows, selectPoints)
}

// selectPoints reads random rows of selectRows.
func selectPoints(b *testing.B, db *sql.DB) {
	stmt, err := db.Prepare("SELECT b FROM t WHERE a = ?")
	if err != nil {
		b.Fatal(err)
	}
	defer stmt.Close()
	read := func(i int) {
		var text string
		if err := stmt.QueryRow(1 + (i*7919)%selectRows).Scan(&text); err != nil {
			b.Fatal(err)
		}
	}
	for i := range selectRows / 5 { // what fits into caches is there
		read(i)
	}
	for i := 0; b.Loop(); i++ {
		read(i)
	}
}

func BenchmarkBulkInsert(b *testing.B) {
	each(b, 1, func(b *testing.B, db *sql.DB) {
		for i := 0; b.Loop(); i++ {
			first := (i + 1) * 1_000_000
			mustExec(b, db, fillTable, first, first+99_999)
		}
	})
}

// BenchmarkColdPointQuery clones a database of 24 MB into a new data directory
// and asks it for one row; the bucket is memory.
func BenchmarkColdPointQuery(b *testing.B) {
	remote := "mem://" + b.Name()
	source, err := sql.Open("graft", "tag=main dir="+sqlite3.Quote(b.TempDir())+" remote="+remote)
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	if err := fill(b.Context(), source, 100_000); err != nil {
		b.Fatal(err)
	}
	mustExec(b, source, "PRAGMA graft_push")
	id := remoteOf(b, source)
	for b.Loop() {
		db, err := sql.Open("graft", "tag=main dir="+sqlite3.Quote(b.TempDir())+" remote="+remote)
		if err != nil {
			b.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		mustExec(b, db, "PRAGMA graft_clone = "+sqlite3.Quote(id))
		var text string
		if err := db.QueryRow("SELECT b FROM t WHERE a = 77777").Scan(&text); err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// remoteOf is the remote Volume of a database.
func remoteOf(b *testing.B, db *sql.DB) string {
	b.Helper()
	var info string
	if err := db.QueryRow("PRAGMA graft_info").Scan(&info); err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "Remote: "); ok {
			return strings.TrimSpace(id)
		}
	}
	b.Fatalf("no remote volume in %q", info)
	return ""
}
