package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

func TestOnlyWhatChangesMakesACommit(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "INSERT INTO t VALUES (1, 'x')")
	db.wantStatus("+2 r_")
	ctx := context.Background()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE t SET b = 'y'"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	db.wantStatus("+2 r_")
	tx, err = db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, tx, "SELECT b FROM t")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	db.wantStatus("+2 r_")
	db.exec("UPDATE t SET b = 'x'") // as it was
	db.wantStatus("+2 r_")
	db.want("SELECT b FROM t", "x")
	db.exec("UPDATE t SET b = 'z'")
	db.wantStatus("+3 r_")
}

func TestRollbackAfterTheCacheSpilled(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=cache_size(10)", t.TempDir())
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 3000) INSERT INTO t SELECT i, printf('%.500c', 'x') FROM n")
	before := db.ask("SELECT sum(length(b)) || ' ' || count(*) FROM t")
	status := db.status()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"UPDATE t SET b = printf('%.700c', 'y')",
		"INSERT INTO t SELECT a + 10000, b FROM t",
		"DELETE FROM t WHERE a % 3 = 0",
	} {
		if _, err := tx.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	db.want("SELECT sum(length(b)) || ' ' || count(*) FROM t", before)
	db.wantStatus(status)
	db.want("PRAGMA integrity_check", "ok")
}

func TestSavepointsAndVacuum(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"BEGIN", "INSERT INTO t VALUES (1, randomblob(9000))", "SAVEPOINT s", "INSERT INTO t VALUES (2, 2)", "ROLLBACK TO s", "INSERT INTO t VALUES (3, 3)", "COMMIT")
	db.want("SELECT group_concat(a) FROM t", "1,3")
	db.exec("DELETE FROM t WHERE a = 1", "VACUUM")
	db.want("PRAGMA page_count", "2")
	db.exec("PRAGMA page_size = 16384", "VACUUM", "PRAGMA journal_mode = WAL", "INSERT INTO t VALUES (4, 4)")
	db.want("PRAGMA page_size", "4096")
	db.want("PRAGMA integrity_check", "ok")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, "tag=main dir='%s'", dir)
	db.want("SELECT group_concat(a) FROM t", "3,4")
	db.want("PRAGMA integrity_check", "ok")
}

func TestWhatCouldNotBeOpenedAgainIsNotCommitted(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(c any) error {
		return c.(interface{ Raw() *sqlite3.Conn }).Raw().EnableChecksums("main")
	})
	wantError(t, err, "checksums", "reserved bytes")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	db.wantStatus("+2 r_")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, "tag=main dir='%s'", dir)
	db.want("SELECT a FROM t", "1")
	db.exec("INSERT INTO t VALUES (2)")
}

func TestTransactionsAreImmediateUnlessTheyOnlyRead(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=busy_timeout(0)", t.TempDir())
	db.exec("CREATE TABLE t(a)")
	first, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Begin(); !errors.Is(err, sqlite3.BUSY) {
		t.Errorf("a second transaction begins with %v, want BUSY", err)
	}
	reader, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, reader, "SELECT count(*) FROM t")
	if _, err := reader.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a read-only transaction writes with %v, want READONLY", err)
	}
	if err := errors.Join(reader.Rollback(), first.Rollback()); err != nil {
		t.Fatal(err)
	}
	if second, err := db.Begin(); err != nil || second.Rollback() != nil {
		t.Error(err)
	}
}

func TestAReaderKeepsItsSnapshot(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, tx, "SELECT count(*) FROM t"); got != "1" {
		t.Fatal(got)
	}
	db.exec("INSERT INTO t VALUES (2)")
	db.want("SELECT count(*) FROM t", "2")
	if got := ask(t, tx, "SELECT count(*) FROM t"); got != "1" {
		t.Errorf("the reader sees %s rows", got)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestAStaleReaderCannotWrite(t *testing.T) {
	db := open(t, "tag=main dir='%s' _txlock=deferred", t.TempDir())
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	ask(t, tx, "SELECT a FROM t")
	db.exec("UPDATE t SET a = a + 1")
	_, err = tx.Exec("UPDATE t SET a = a + 10")
	if !errors.Is(err, sqlite3.BUSY_SNAPSHOT) {
		t.Errorf("error is %v, want BUSY_SNAPSHOT", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	db.exec("UPDATE t SET a = a + 100")
	db.want("SELECT a FROM t", "102")
}

func TestConcurrentIncrements(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, n)", "INSERT INTO t VALUES (1, 0), (2, 0)")
	const workers, each = 4, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := increment(db.DB, (w+i)%2 == 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	db.want("SELECT sum(n) FROM t", fmt.Sprint(workers*each))
	db.wantStatus(fmt.Sprintf("+%d r_", 2+workers*each))
	db.want("PRAGMA integrity_check", "ok")
}

// increment adds one, in one statement or by reading and writing.
func increment(db *sql.DB, statement bool) error {
	if statement {
		_, err := db.Exec("UPDATE t SET n = n + 1 WHERE a = 1")
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRow("SELECT n FROM t WHERE a = 2").Scan(&n); err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE t SET n = ? WHERE a = 2", n+1); err != nil {
		return err
	}
	return tx.Commit()
}

func TestACachedConnectionSeesWhatWasPulled(t *testing.T) {
	remote := "mem://" + t.Name()
	a := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "PRAGMA graft_push")
	b := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	reader, err := b.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for i := 2; i <= 5; i++ {
		if got := ask(t, reader, "SELECT max(a) FROM t"); got != fmt.Sprint(i-1) {
			t.Fatalf("the connection sees %s, want %d", got, i-1)
		}
		a.exec(fmt.Sprintf("UPDATE t SET a = %d", i), "PRAGMA graft_push")
		b.exec("PRAGMA graft_pull")
	}
	// Both sides write the same row in turn: no counter may repeat.
	for i := 10; i < 14; i++ {
		b.exec(fmt.Sprintf("UPDATE t SET a = %d", i), "PRAGMA graft_push")
		a.exec("PRAGMA graft_pull")
		a.want("SELECT a FROM t", fmt.Sprint(i))
		if got := ask(t, reader, "SELECT a FROM t"); got != fmt.Sprint(i) {
			t.Fatalf("the connection sees %s, want %d", got, i)
		}
	}
}

// TestRollbackOverFreePages rolls back what moved pages that are free, and of
// which SQLite has another content in its cache than it cared to write.
func TestRollbackOverFreePages(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=auto_vacuum(2)", t.TempDir())
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c TEXT)", "CREATE TABLE u AS SELECT * FROM t",
		"INSERT INTO t VALUES (21, 'x', '')", "CREATE INDEX i ON t(c, b)", "DROP TABLE u", "DROP INDEX i",
		"BEGIN", "SAVEPOINT s", "PRAGMA incremental_vacuum(6)", "ROLLBACK TO s", "COMMIT")
	db.want("SELECT a || b FROM t", "21x")
	db.want("PRAGMA integrity_check", "ok")
}
