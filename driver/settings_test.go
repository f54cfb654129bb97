package driver_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"graft/internal/testdir"
)

// settings are pragmas that change how SQLite keeps a file, with every value
// that it knows.
var settings = map[string][]string{
	"journal_mode":       {"delete", "truncate", "persist", "memory", "wal", "off", "nonsense"},
	"locking_mode":       {"normal", "exclusive", "nonsense"},
	"synchronous":        {"off", "normal", "full", "extra", "0", "1", "2", "3"},
	"page_size":          {"512", "1024", "2048", "4096", "8192", "16384", "32768", "65536", "1000", "0", "-1"},
	"auto_vacuum":        {"none", "full", "incremental"},
	"temp_store":         {"default", "file", "memory"},
	"mmap_size":          {"0", "1048576", "-1"},
	"cache_spill":        {"off", "on", "5"},
	"cache_size":         {"1", "10", "-100"},
	"secure_delete":      {"off", "on", "fast"},
	"journal_size_limit": {"0", "4096", "-1"},
	"max_page_count":     {"10000"},
	"fullfsync":          {"on"},
	"cell_size_check":    {"on"},
	"encoding":           {"'UTF-8'", "'UTF-16le'", "'UTF-16be'"},
	"wal_checkpoint":     {"truncate"},
	"incremental_vacuum": {"10"},
	"application_id":     {"7"},
	"user_version":       {"7"},
}

const numbers = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 400) "

// TestEverySetting sets each of them before there is a table, when there is one,
// and before a VACUUM. Whether it works or is refused, what was written is there,
// a rollback takes back what it has to, and the database can be opened again.
func TestEverySetting(t *testing.T) {
	for pragma, values := range settings {
		for _, value := range values {
			t.Run(pragma+"="+value, func(t *testing.T) {
				t.Parallel()
				checkSetting(t, fmt.Sprintf("PRAGMA %s = %s", pragma, value))
			})
		}
	}
}

func checkSetting(t *testing.T, set string) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s' _pragma=busy_timeout(1000)", dir)
	db.SetMaxOpenConns(1)
	try := func(statements ...string) {
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Logf("%s: %v", s, err) // it may be refused
			}
		}
	}
	const content = "SELECT count(*) || ' ' || total(a) || ' ' || total(length(b)) FROM t"
	check := func(when, want string) {
		t.Helper()
		if got := db.ask(content); got != want {
			t.Fatalf("%s: %q, want %q", when, got, want)
		}
		if got := db.ask("PRAGMA integrity_check"); got != "ok" {
			t.Fatalf("%s: integrity_check: %s", when, got)
		}
	}
	try(set)
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", numbers+"INSERT INTO t SELECT i, printf('%.400c', 'x') FROM n")
	check("after the first rows", "400 80200.0 160000.0")
	try(set)
	db.exec("BEGIN", "DELETE FROM t WHERE a > 200", "SAVEPOINT s", "UPDATE t SET b = 'gone'", "ROLLBACK TO s", "COMMIT")
	check("after a deletion", "200 20100.0 80000.0")
	db.exec("BEGIN", "UPDATE t SET b = printf('%.900c', 'y')", numbers+"INSERT INTO t SELECT i + 1000, b FROM n, t WHERE a = 1", "ROLLBACK")
	check("after a rollback", "200 20100.0 80000.0")
	try(set, "VACUUM")
	check("after VACUUM", "200 20100.0 80000.0")
	db.exec("INSERT INTO t VALUES (1000, 'last')")
	check("after the last row", "201 21100.0 80004.0")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, "tag=main dir='%s'", dir)
	check("opened again", "201 21100.0 80004.0")
	db.want("PRAGMA page_size", "4096")
	db.exec("VACUUM", "DELETE FROM t")
	check("emptied", "0 0.0 0.0")
	db.want("PRAGMA journal_mode", "delete")
}

// pinnedSettings are the settings that a tag has always.
var pinnedSettings = map[string]string{"journal_mode": "delete", "locking_mode": "normal", "page_size": "4096"}

// TestSettingsAreReadBack sets each by a statement, by the data source name, and on a
// tag that a plain file has attached. It is what it is on a file, or stays pinned.
func TestSettingsAreReadBack(t *testing.T) {
	dir := testdir.InMemory(t)
	open(t, "tag=main dir='%s'", dir).want("SELECT 1", "1") // the directory stays open
	plain := openPlain(t, filepath.Join(dir, "plain.db"))
	plain.SetMaxOpenConns(1)
	n := 0
	for pragma, values := range settings {
		if pragma == "wal_checkpoint" || pragma == "incremental_vacuum" {
			continue // they set nothing
		}
		for _, value := range values {
			n++
			tag := fmt.Sprintf("%s%d", pragma, n)
			want, ok := pinnedSettings[pragma]
			if !ok {
				file := openPlain(t, filepath.Join(dir, tag))
				want = readBack(file, "main", pragma, value)
				file.Close()
			}
			// A VFS that maps nothing may answer nothing.
			differs := func(got string) bool { return got != want && (pragma != "mmap_size" || got != "") }
			db := open(t, "tag=%s dir='%s'", tag, dir)
			if got := readBack(db, "main", pragma, value); differs(got) {
				t.Errorf("%s = %s is read back as %s, want %s", pragma, value, got, want)
			}
			db.Close()
			db = open(t, "file:%s-named?dir=%s&_pragma=%s", tag, escape(dir), escape(pragma+"("+value+")"))
			if got := readBack(db, "main", pragma, ""); differs(got) {
				t.Errorf("_pragma=%s(%s) is read back as %s, want %s", pragma, value, got, want)
			}
			db.Close()
			plain.exec("ATTACH " + quote(uriOf(dir, tag+"-attached")) + " AS g")
			// A database that is attached has the encoding of the first.
			if got := readBack(plain, "g", pragma, value); differs(got) && pragma != "encoding" {
				t.Errorf("g.%s = %s is read back as %s, want %s", pragma, value, got, want)
			}
			plain.exec("DETACH g")
		}
	}
}

// readBack sets a pragma, unless value is empty, makes a table, and reads the pragma.
func readBack(db *database, schema, pragma, value string) string {
	db.t.Helper()
	if db.SetMaxOpenConns(1); value != "" {
		db.exec(fmt.Sprintf("PRAGMA %s.%s = %s", schema, pragma, value))
	}
	db.exec("CREATE TABLE " + schema + ".t(a)")
	var got string
	err := db.QueryRow("PRAGMA " + schema + "." + pragma).Scan(&got)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		db.t.Errorf("%s: %v", pragma, err)
	}
	if ok := db.ask("PRAGMA " + schema + ".integrity_check"); ok != "ok" {
		db.t.Errorf("%s = %s: integrity_check: %s", pragma, value, ok)
	}
	return got
}
