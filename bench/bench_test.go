// Package bench measures graft beside what a user would pick instead, on the
// same work in one run. It is a module of its own, so that peers never enter
// the requirements of graft.
//
// So far it has the local work of one connection, beside go-sqlite3's own file
// VFS on the same engine, and a cold query of a clone.
package bench

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver"

	_ "graft/driver"
	"graft/vfs"
)

func init() { vfs.ConfigureEngine() } // for the file VFS, too

// systems are what runs the same work.
var systems = []struct {
	name string
	open func(dir string) (*sql.DB, error)
}{
	{"graft", func(dir string) (*sql.DB, error) {
		return sql.Open("graft", "tag=main dir="+sqlite3.Quote(dir)+" _pragma=cache_size(-2000)")
	}},
	{"file-wal-full", func(dir string) (*sql.DB, error) {
		return sql.Open("sqlite3", "file:"+filepath.ToSlash(filepath.Join(dir, "db"))+
			"?_txlock=immediate&_pragma=busy_timeout(60000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=cache_size(-2000)")
	}},
}

// each runs a benchmark with a fresh database of rows rows on every system.
func each(b *testing.B, rows int, run func(b *testing.B, db *sql.DB)) {
	for _, s := range systems {
		b.Run(s.name, func(b *testing.B) {
			db, err := s.open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			exec(b, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
			exec(b, db, "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < ?) INSERT INTO t SELECT i, hex(randomblob(100)) FROM n", rows)
			b.ResetTimer()
			run(b, db)
		})
	}
}

func exec(b *testing.B, db *sql.DB, query string, args ...any) {
	b.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkOneRowTransaction(b *testing.B) {
	each(b, 1000, func(b *testing.B, db *sql.DB) {
		for i := range b.N {
			exec(b, db, "UPDATE t SET b = ? WHERE a = ?", fmt.Sprint("value ", i), 1+i%1000)
		}
	})
}

func BenchmarkPointSelect(b *testing.B) {
	const rows = 100_000 // 24 MB
	each(b, rows, func(b *testing.B, db *sql.DB) {
		stmt, err := db.Prepare("SELECT b FROM t WHERE a = ?")
		if err != nil {
			b.Fatal(err)
		}
		defer stmt.Close()
		for i := range b.N {
			var text string
			if err := stmt.QueryRow(1 + (i*7919)%rows).Scan(&text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBulkInsert(b *testing.B) {
	each(b, 1, func(b *testing.B, db *sql.DB) {
		for i := range b.N {
			exec(b, db, "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 100000) INSERT INTO t SELECT i + ?, hex(randomblob(100)) FROM n", (i+1)*1_000_000)
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
	exec(b, source, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
	exec(b, source, "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 100000) INSERT INTO t SELECT i, hex(randomblob(100)) FROM n")
	exec(b, source, "PRAGMA graft_push")
	id := remoteOf(b, source)
	for b.Loop() {
		db, err := sql.Open("graft", "tag=main dir="+sqlite3.Quote(b.TempDir())+" remote="+remote)
		if err != nil {
			b.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		exec(b, db, "PRAGMA graft_clone = "+sqlite3.Quote(id))
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
