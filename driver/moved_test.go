package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"graft"
)

// cloned gives two replicas of a table x, of which the first pushed it.
func cloned(t *testing.T, options string) (a, b *database) {
	t.Helper()
	remote := "mem://" + t.Name()
	a = open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE x(id)", "INSERT INTO x VALUES (1)", "PRAGMA graft_push")
	b = open(t, "tag=main dir='%s' remote=%s %s", t.TempDir(), remote, options)
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	return a, b
}

func begin(t *testing.T, db *database) *sql.Tx {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func runIn(t *testing.T, tx *sql.Tx, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := tx.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestAReaderOfWhatMovedCannotWrite has the content moved under a transaction
// that has only read.
func TestAReaderOfWhatMovedCannotWrite(t *testing.T) {
	a, b := cloned(t, "_txlock=deferred")
	clone := "PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'"
	for _, c := range []struct{ local, move string }{
		{"SELECT 1", "PRAGMA graft_pull"},
		{"INSERT INTO x VALUES (3)", "PRAGMA graft_reset"},
		{"SELECT 1", clone},
	} {
		b.exec(c.local)
		tx := begin(t, b)
		before := ask(t, tx, "SELECT count(*) FROM x")
		a.exec("INSERT INTO x VALUES (2)", "PRAGMA graft_push")
		b.exec(c.move)
		if got := ask(t, tx, "SELECT count(*) FROM x"); got != before {
			t.Errorf("%s: the transaction sees %s rows, and saw %s", c.move, got, before)
		}
		_, err := tx.Exec("INSERT INTO x VALUES (4)")
		wantIs(t, err, sqlite3.BUSY_SNAPSHOT, graft.ErrStale)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		b.want("SELECT count(*) FROM x", a.ask("SELECT count(*) FROM x"))
	}
}

// TestAPullWaitsForTheWriter pulls while a transaction writes.
func TestAPullWaitsForTheWriter(t *testing.T) {
	a, b := cloned(t, "")
	a.exec("INSERT INTO x VALUES (2)", "PRAGMA graft_push")
	tx := begin(t, b)
	runIn(t, tx, "INSERT INTO x VALUES (3)")
	pulled := make(chan error, 1)
	go func() {
		_, err := b.Exec("PRAGMA graft_pull")
		pulled <- err
	}()
	select {
	case err := <-pulled:
		t.Fatalf("the pull did not wait: %v", err)
	case <-time.After(20 * time.Millisecond): // a pull that does not wait takes less, or is found another time
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wantIs(t, <-pulled, graft.ErrDiverged)
	b.wantStatus("+1 r1+1")
}

// TestAPushDoesNotDisturbTheWriter pushes between two statements of a
// transaction.
func TestAPushDoesNotDisturbTheWriter(t *testing.T) {
	a, _ := cloned(t, "")
	a.exec("INSERT INTO x VALUES (2)")
	tx := begin(t, a)
	runIn(t, tx, "INSERT INTO x VALUES (3)")
	a.exec("PRAGMA graft_push")
	a.wantStatus("3 r2")
	runIn(t, tx, "INSERT INTO x VALUES (4)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	a.wantStatus("3+1 r2")
	a.want("SELECT count(*) FROM x", "4")
}

// misses gives how many pages SQLite did not find in the cache of a connection
// since it was asked last.
func misses(t *testing.T, conn *sql.Conn) (n int64) {
	t.Helper()
	err := conn.Raw(func(c any) (err error) {
		n, _, err = c.(interface{ Raw() *sqlite3.Conn }).Raw().Status(sqlite3.DBSTATUS_CACHE_MISS, true)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTheCacheOfAConnection is warm over the connection's own commits, and not
// trusted when the content has moved.
func TestTheCacheOfAConnection(t *testing.T) {
	_, b := cloned(t, "")
	conn, err := b.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run(t, conn, "INSERT INTO x VALUES (0)")
	misses(t, conn)
	for i := range 20 {
		run(t, conn, fmt.Sprintf("UPDATE x SET id = %d", i))
	}
	if n := misses(t, conn); n > 2 {
		t.Errorf("%d pages were read again in 20 commits of the connection", n)
	}
	if got := ask(t, conn, "SELECT sum(id) FROM x"); got != "38" {
		t.Errorf("the table has %s", got)
	}
	b.exec("PRAGMA graft_reset")
	if got := ask(t, conn, "SELECT count(*) || ' ' || sum(id) FROM x"); got != "1 1" {
		t.Errorf("after graft_reset the connection sees %s", got)
	}
}

// TestACancelledCommitIsRolledBack leaves the lock free.
func TestACancelledCommitIsRolledBack(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=busy_timeout(0)", t.TempDir())
	db.exec("CREATE TABLE t(a)")
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run(t, conn, "BEGIN", "INSERT INTO t VALUES (1)")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = conn.ExecContext(ctx, "COMMIT")
	wantIs(t, err, context.Canceled)
	run(t, conn, "ROLLBACK")
	db.exec("INSERT INTO t VALUES (2)")
	db.want("SELECT group_concat(a) FROM t", "2")
}

// TestAContextEndsWhatWaitsForTheWriter cancels pragmas that move the content.
func TestAContextEndsWhatWaitsForTheWriter(t *testing.T) {
	a, b := cloned(t, "")
	a.exec("INSERT INTO x VALUES (2)", "PRAGMA graft_push")
	tx := begin(t, b)
	for _, p := range []string{"graft_pull", "graft_reset", "graft_new", "graft_fork", "graft_clone = '" + a.line("graft_info", "Remote:") + "'"} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := b.ExecContext(ctx, "PRAGMA "+p)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", p, err)
		}
	}
	runIn(t, tx, "INSERT INTO x VALUES (3)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	b.wantStatus("+1 r1+1")
}

// TestPragmasOfADataSourceName run where no transaction can be open.
func TestPragmasOfADataSourceName(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.exec("CREATE TABLE t(a)", "PRAGMA graft_fork = 'other'", "INSERT INTO t VALUES (1)")
	other := open(t, "tag=main dir='%s' _pragma=graft_switch(other)", dir)
	other.want("SELECT count(*) FROM t", "0")
	other.exec("INSERT INTO t VALUES (2), (3)")
	db.want("SELECT count(*) FROM t", "1")
	open(t, "tag=other dir='%s'", dir).want("SELECT count(*) FROM t", "2")
	fresh := open(t, "tag=main dir='%s' _pragma=graft_new(x)", dir)
	fresh.SetMaxOpenConns(1)
	fresh.want("SELECT count(*) FROM t", "1")
	open(t, "tag=x dir='%s' mode=rw", dir).want("SELECT count(*) FROM sqlite_schema", "0")
}

// TestFormsOfTimesAndLocks gives each value of _timefmt and _txlock that is known.
func TestFormsOfTimesAndLocks(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for option, want := range map[string]string{
		"": "2026-01-02T03:04:05Z", "_timefmt=rfc3339": "2026-01-02T03:04:05Z", "_timefmt=sqlite": "2026-01-02 03:04:05",
		"_txlock=exclusive": "2026-01-02T03:04:05Z",
	} {
		db := open(t, "tag=main dir='%s' _pragma=busy_timeout(0) %s", t.TempDir(), option)
		db.exec("CREATE TABLE t(a TIMESTAMP)")
		if _, err := db.Exec("INSERT INTO t VALUES (?)", at); err != nil {
			t.Fatal(err)
		}
		var back time.Time
		if err := db.QueryRow("SELECT a FROM t").Scan(&back); err != nil || !back.Equal(at) {
			t.Errorf("%q reads %v, %v", option, back, err)
		}
		db.want("SELECT CAST(a AS TEXT) FROM t", want)
		tx := begin(t, db) // immediate, or exclusive
		if _, err := db.Begin(); !errors.Is(err, sqlite3.BUSY) {
			t.Errorf("%q: a second transaction begins with %v", option, err)
		}
		db.want("SELECT count(*) FROM t", "1")
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("graft", "tag=main dir=x _txlock=concurrent")
	if err == nil {
		db.Close()
	}
	wantError(t, err, "_txlock=concurrent", "deferred, immediate, exclusive")
}
