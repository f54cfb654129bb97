package driver_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver"
)

// makeFile writes a SQLite database by plain SQLite, and gives its path.
func makeFile(t *testing.T, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source.sqlite")
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range append(statements,
		"CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, printf('%.100c', 'x') FROM n",
		"CREATE INDEX i ON t(b, a)") {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return path
}

func TestImportTakesAnyDatabase(t *testing.T) {
	sources := map[string]string{
		"page_size=4096":  makeFile(t),
		"page_size=512":   makeFile(t, "PRAGMA page_size = 512"),
		"page_size=65536": makeFile(t, "PRAGMA page_size = 65536"),
		"wal":             makeFile(t, "PRAGMA journal_mode = wal"),
		"wal of 1024":     makeFile(t, "PRAGMA page_size = 1024", "PRAGMA journal_mode = wal"),
		"utf-16":          makeFile(t, "PRAGMA encoding = 'UTF-16le'"),
		"auto_vacuum":     makeFile(t, "PRAGMA auto_vacuum = full"),
		"reserved bytes":  makeReserved(t),
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			before, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			db := open(t, "tag=main dir='%s'", dir)
			db.exec("PRAGMA graft_import = '" + source + "'")
			db.wantStatus("+1 r_")
			db.want("SELECT count(*) || ' ' || sum(length(b)) FROM t", "2000 200000")
			db.want("SELECT a FROM t INDEXED BY i WHERE b = printf('%.100c', 'x') ORDER BY a LIMIT 1", "1")
			db.want("PRAGMA page_size", "4096")
			db.want("PRAGMA integrity_check", "ok")
			db.exec("INSERT INTO t VALUES (5000, 'y')")
			if after, err := os.ReadFile(source); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the source was touched (%v)", err)
			}
			db.fails("PRAGMA graft_import = '"+source+"'", "already")
			wantNoLeftovers(t, dir)
		})
	}
}

// makeReserved writes a database with checksums in reserved bytes.
func makeReserved(t *testing.T) string {
	t.Helper()
	path := makeFile(t)
	conn, err := sqlite3.Open("file:" + filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.EnableChecksums("main"); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantNoLeftovers(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "tmp", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestImportReadsAWALThatWasNotCheckpointed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "live.sqlite")
	live, err := sqlite3.Open("file:" + filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if err := live.Exec("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)"); err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(path + "-wal")
	if err != nil || len(wal) == 0 {
		t.Fatalf("there is no WAL to test with: %v", err)
	}
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.exec("PRAGMA graft_import = '" + path + "'")
	db.want("SELECT count(*) FROM t", "3")
	if after, err := os.ReadFile(path + "-wal"); err != nil || !bytes.Equal(wal, after) {
		t.Errorf("the WAL was touched (%v)", err)
	}
}

// TestImportOfAStalePageCount has a file as SQLite before 3.7 leaves it: the
// counter moved, and the page count in the header did not.
func TestImportOfAStalePageCount(t *testing.T) {
	path := makeFile(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[27]++
	copy(data[28:32], []byte{0, 0, 0, 5})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.exec("PRAGMA graft_import = '"+path+"'", "PRAGMA user_version = 3")
	db.want("SELECT count(*) FROM t", "2000")
	db.want("PRAGMA page_count", fmt.Sprint(len(data)/4096))
	db.want("PRAGMA integrity_check", "ok")
}

func TestImportRefusesWhatIsNoDatabase(t *testing.T) {
	whole, err := os.ReadFile(makeFile(t))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"letter":    bytes.Repeat([]byte("Dear reader. "), 1000),
		"empty":     {},
		"short":     whole[:50],
		"truncated": whole[:len(whole)/2],
		"scrambled": append(append([]byte{}, whole[:16]...), bytes.Repeat([]byte{0xA5}, 8000)...),
	}
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			db := open(t, "tag=main dir='%s'", dir)
			t.Log(db.fails("PRAGMA graft_import = '"+path+"'", path))
			db.wantStatus("_ r_")
			wantNoLeftovers(t, dir)
			db.exec("CREATE TABLE t(a)")
			db.want("PRAGMA integrity_check", "ok")
		})
	}
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.fails("PRAGMA graft_import = '/nowhere/at all'", "/nowhere/at all")
	db.fails("PRAGMA graft_import = '"+t.TempDir()+"'", "not a file")
}

func TestExportGivesAPlainDatabase(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 2", "UPDATE t SET a = 3")
	path := filepath.Join(t.TempDir(), "it's an export.sqlite")
	db.exec(fmt.Sprintf("PRAGMA graft_export = '%s'", strings.ReplaceAll(path, "'", "''")))
	plain, err := sqlite3.Open("file:" + filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for query, want := range map[string]string{"SELECT a FROM t": "3", "PRAGMA integrity_check": "ok"} {
		s, _, err := plain.Prepare(query)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Step() || s.ColumnText(0) != want {
			t.Errorf("%s: %q, %v", query, s.ColumnText(0), s.Err())
		}
		s.Close()
	}
	db.fails(fmt.Sprintf("PRAGMA graft_export = '%s'", strings.ReplaceAll(path, "'", "''")), "exists already")
	db.fails("PRAGMA graft_export = '/nowhere/at all/x'", "/nowhere/at all")
}
