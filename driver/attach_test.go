package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// attachFailing attaches another tag, whose next commit fails.
func attachFailing(t *testing.T, db *database, dir string) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, "ATTACH 'file:aux?vfs=graft&dir="+escape(dir)+"' AS aux")
	err = conn.Raw(func(c any) error {
		_, err := c.(interface{ Raw() *sqlite3.Conn }).Raw().FileControl("aux", sqlite3.FCNTL_RESERVE_BYTES, 8)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func run(t *testing.T, conn *sql.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestARollbackAfterPublishing lets a COMMIT of two databases fail in the
// second, when the first is published and its tail is cut off. SQLite has no
// copy of pages that it moved out of the tail.
func TestARollbackAfterPublishing(t *testing.T) {
	const fill = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 200) "
	for _, mode := range []string{"none", "full", "incremental"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, "tag=main dir='%s' _pragma=auto_vacuum(%s)", dir, mode)
			db.SetMaxOpenConns(1)
			db.exec("CREATE TABLE a(x)", "CREATE TABLE b(k INTEGER PRIMARY KEY, x)",
				fill+"INSERT INTO a SELECT randomblob(3000) FROM n",
				fill+"INSERT INTO b SELECT i, randomblob(3000) FROM n")
			if mode == "incremental" {
				db.exec("DELETE FROM a")
			}
			const content = "SELECT (SELECT count(*) FROM a) || ' ' || count(*) || ' ' || sum(length(x)) FROM b"
			want := db.ask(content)
			conn := attachFailing(t, db, dir)
			run(t, conn, "BEGIN", "CREATE TABLE aux.z(x)")
			if mode == "incremental" {
				run(t, conn, "PRAGMA main.incremental_vacuum")
			} else {
				run(t, conn, "DELETE FROM main.a")
			}
			_, err := conn.ExecContext(context.Background(), "COMMIT")
			wantError(t, err, "checksums")
			if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err == nil {
				t.Error("the transaction was still open")
			}
			if got := ask(t, conn, content); got != want {
				t.Errorf("the connection sees %q, want %q", got, want)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(t, "tag=main dir='%s'", dir)
			db.want(content, want)
			db.want("PRAGMA integrity_check", "ok")
			db.exec("INSERT INTO b VALUES (1000, 'x')", "VACUUM")
			db.want("PRAGMA integrity_check", "ok")
		})
	}
}

// TestARollbackAfterPublishingTheFirstTable takes back the transaction that made
// a database.
func TestARollbackAfterPublishingTheFirstTable(t *testing.T) {
	for _, switched := range []bool{false, true} {
		t.Run(fmt.Sprintf("switched=%v", switched), func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, "tag=main dir='%s'", dir)
			db.SetMaxOpenConns(1)
			tag := "main"
			if switched {
				tag = "other"
				db.exec("CREATE TABLE y(a)", "SELECT * FROM y", "PRAGMA graft_switch = 'other'")
			}
			conn := attachFailing(t, db, dir)
			run(t, conn, "BEGIN", "CREATE TABLE main.x(a)", "CREATE TABLE aux.z(a)")
			_, err := conn.ExecContext(context.Background(), "COMMIT")
			wantError(t, err, "checksums")
			const tables = "SELECT count(*) FROM main.sqlite_schema"
			if got := ask(t, conn, tables); got != "0" {
				t.Errorf("the connection sees %s tables", got)
			}
			other := open(t, "tag=%s dir='%s'", tag, dir)
			other.want(tables, "0")
			run(t, conn, "CREATE TABLE main.w(a)", "INSERT INTO main.w VALUES (7)")
			other.want("SELECT a FROM w", "7")
			other.want("PRAGMA integrity_check", "ok")
			other.want("PRAGMA schema_version", "1")
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestARollbackAfterPublishingUsesNoCookieTwice has another connection know the
// schema that was taken back.
func TestARollbackAfterPublishingUsesNoCookieTwice(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)")
	conn := attachFailing(t, db, dir)
	run(t, conn, "BEGIN", "CREATE TABLE main.people(a)", "CREATE TABLE aux.z(a)")
	_, err := conn.ExecContext(context.Background(), "COMMIT")
	wantError(t, err, "checksums")
	// Cookie 2 was that of people; the rollback took 3.
	other := open(t, "tag=main dir='%s'", dir)
	other.want("PRAGMA schema_version", "3")
	run(t, conn, "CREATE TABLE main.secrets(a)", "INSERT INTO secrets VALUES (1)")
	other.want("SELECT a FROM secrets", "1")
	other.want("PRAGMA schema_version", "4")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAttachAnotherTag(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)", "ATTACH 'file:other?vfs=graft&dir="+escape(dir)+"' AS o",
		"CREATE TABLE o.t(a)", "BEGIN", "INSERT INTO main.t VALUES (1)", "INSERT INTO o.t VALUES (2)", "COMMIT")
	db.want("SELECT (SELECT a FROM main.t) || (SELECT a FROM o.t)", "12")
	open(t, "tag=other dir='%s'", dir).want("SELECT a FROM t", "2")
}

func TestPathsWithoutAURIAreRefused(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	t.Setenv("GRAFT_DIR", elsewhere)
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	backup := filepath.Join(t.TempDir(), "backup.db")
	db.fails("VACUUM INTO '"+backup+"'", "is no URI", "graft_export", "vfs=os")
	db.fails("ATTACH 'other' AS o", "is no URI")
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("the default directory has %v, %v", left, err)
	}
	db.exec(fmt.Sprintf("VACUUM INTO 'file:%s?vfs=os'", filepath.ToSlash(backup)))
	if _, err := os.Stat(backup); err != nil {
		t.Error(err)
	}
}

// TestAJournalThatSQLiteKeeps sets each mode by a plain main database, for the
// attached tag too: the journal of one transaction serves the next, after a
// COMMIT of both and after one of the tag alone.
func TestAJournalThatSQLiteKeeps(t *testing.T) {
	for _, locking := range []string{"normal", "exclusive"} {
		for _, mode := range []string{"delete", "truncate", "persist", "memory"} {
			t.Run(locking+" "+mode, func(t *testing.T) {
				dir := t.TempDir()
				g := open(t, "tag=main dir='%s'", dir)
				g.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "CREATE INDEX i ON t(b)",
					numbers+"INSERT INTO t SELECT i, printf('1st%.300c', 'x') FROM n LIMIT 100")
				p := openPlain(t, filepath.Join(t.TempDir(), "p.db"))
				p.SetMaxOpenConns(1)
				p.exec("CREATE TABLE p(a)", "ATTACH "+quote(uriOf(dir, "main"))+" AS g",
					"PRAGMA journal_mode = "+mode, "PRAGMA locking_mode = "+locking)
				change := func(from, to string) string {
					return fmt.Sprintf("UPDATE g.t SET b = replace(b, '%s', '%s')", from, to)
				}
				p.exec("BEGIN", "INSERT INTO p VALUES (1)", change("1st", "2nd"), "COMMIT", change("2nd", "3rd"),
					"BEGIN", change("3rd", "4th"), "ROLLBACK",
					"BEGIN", change("3rd", "5th"), "SAVEPOINT s", change("5th", "6th"), "ROLLBACK TO s", "COMMIT",
					"BEGIN", "INSERT INTO p VALUES (2)", change("5th", "7th"), "ROLLBACK")
				const content = "SELECT group_concat(DISTINCT substr(b, 1, 3)) FROM t"
				p.want(content, "5th")
				g.want(content, "5th")
				p.exec("UPDATE g.t SET b = b || 'z' WHERE a % 20 = 0")
				g.want("PRAGMA integrity_check", "ok")
				g.want("SELECT count(*) FROM t WHERE b LIKE '5th%z'", "5")
			})
		}
	}
}

// TestASuperJournalIsForTagsAlone writes a tag and a plain file in one COMMIT,
// from either side. The plain file of a main database that is a tag could not be
// rolled back: not after a crash, and not when another database fails.
func TestASuperJournalIsForTagsAlone(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "p.db")
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)", "ATTACH "+quote(plainURI(path))+" AS p", "CREATE TABLE p.p(a)", "INSERT INTO p.p VALUES (1)",
		"ATTACH "+quote(uriOf(dir, "other"))+" AS o", "CREATE TABLE o.o(a)")
	for _, writes := range [][]string{
		{"INSERT INTO main.t VALUES (2)", "UPDATE p.p SET a = 2"},
		{"UPDATE p.p SET a = 2", "INSERT INTO o.o VALUES (2)", "INSERT INTO main.t VALUES (2)"},
	} {
		db.exec("BEGIN")
		db.exec(writes...)
		wantIs(t, db.fails("COMMIT", path, "not of graft", "ATTACH"), sqlite3.CANTOPEN)
		db.fails("ROLLBACK", "no transaction")
	}
	const content = "SELECT (SELECT count(*) FROM main.t) || (SELECT group_concat(a) FROM p.p) || (SELECT count(*) FROM o.o)"
	db.want(content, "010")
	db.exec("BEGIN", "INSERT INTO main.t VALUES (3)", "INSERT INTO o.o VALUES (3)", "COMMIT",
		"BEGIN", "SELECT * FROM main.t", "UPDATE p.p SET a = 3", "COMMIT")
	db.want(content, "131")
	db.exec("DETACH p", "DETACH o")

	plain := openPlain(t, path)
	plain.SetMaxOpenConns(1)
	plain.exec("ATTACH "+quote(uriOf(dir, "main"))+" AS g", "BEGIN", "INSERT INTO g.t VALUES (4)", "UPDATE p SET a = 4", "COMMIT")
	plain.want("SELECT (SELECT sum(a) FROM g.t) || ' ' || a FROM p", "7 4")
	db.want("SELECT sum(a) FROM t", "7")
}

// guestOf gives a connection whose main database is in memory, with a tag
// attached as g.
func guestOf(t *testing.T, dir, tag string) *database {
	t.Helper()
	p, err := sql.Open("sqlite3", "file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.SetMaxOpenConns(1)
	db := &database{p, t}
	db.exec("ATTACH " + quote(uriOf(dir, tag)) + " AS g")
	return db
}

// TestALockOfAGuestIsReleased sets EXCLUSIVE before and after ATTACH.
func TestALockOfAGuestIsReleased(t *testing.T) {
	dir := t.TempDir()
	g := open(t, "tag=main dir='%s' _pragma=busy_timeout(0)", dir)
	g.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	const count = "SELECT count(*) FROM g.t"
	p := guestOf(t, dir, "main")
	p.exec("PRAGMA locking_mode = EXCLUSIVE")
	p.want(count, "1")
	g.exec("INSERT INTO t VALUES (2)")
	p.want(count, "2")
	p.exec("INSERT INTO g.t VALUES (3)")
	g.exec("INSERT INTO t VALUES (4)")
	p.exec("BEGIN", "INSERT INTO g.t VALUES (5)", "PRAGMA locking_mode = EXCLUSIVE", "COMMIT")
	g.exec("INSERT INTO t VALUES (6)")
	p.want(count, "6")
	p.exec("DETACH g", "ATTACH "+quote(uriOf(dir, "main"))+" AS g")
	p.want(count, "6")
	g.exec("INSERT INTO t VALUES (7)")
	p.want(count, "7")
	p.exec("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = WAL", "INSERT INTO g.t VALUES (8)")
	g.want("SELECT count(*) || (SELECT integrity_check FROM pragma_integrity_check) FROM t", "8ok")
}

// TestAGuestHasAJournal fails a statement half-way, with each journal_mode set by
// the main database before the transaction and in it.
func TestAGuestHasAJournal(t *testing.T) {
	for _, mode := range []string{"off", "memory", "wal", "persist"} {
		for _, when := range []string{"before", "in"} {
			if when == "in" && mode != "off" && mode != "memory" {
				continue // as before
			}
			t.Run(mode+" "+when, func(t *testing.T) {
				dir := t.TempDir()
				g := open(t, "tag=main dir='%s'", dir)
				g.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", numbers+"INSERT INTO t SELECT i, printf('%.3000c', 'x') FROM n LIMIT 10")
				p := guestOf(t, dir, "main")
				set := "PRAGMA journal_mode = " + mode
				if when == "before" {
					p.exec(set, "BEGIN IMMEDIATE")
				} else {
					p.exec("BEGIN IMMEDIATE", set)
				}
				p.fails("UPDATE g.t SET b = printf('%.3000c', 'y'), a = iif(a = 9, 10, a)", "UNIQUE")
				_, err := p.Exec("COMMIT")
				if unknown := when == "in" && (mode == "off" || mode == "memory"); unknown {
					wantIs(t, err, sqlite3.IOERR)
				} else if err != nil {
					t.Fatal(err)
				}
				g.want("SELECT count(*) FROM t WHERE b LIKE 'x%'", "10")
				p.exec("UPDATE g.t SET b = 'z'")
				g.want("SELECT count(*) || (SELECT integrity_check FROM pragma_integrity_check) FROM t WHERE b = 'z'", "10ok")
			})
		}
	}
}
