package driver_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft/internal/testdir"
)

// head gives the newest local LSN of a database.
func (db *database) head() (lsn uint64) {
	db.t.Helper()
	info := struct {
		LocalHead *uint64 `json:"local_head"`
	}{&lsn}
	if err := json.Unmarshal([]byte(db.ask("PRAGMA graft_info_json")), &info); err != nil {
		db.t.Fatal(err)
	}
	return lsn
}

// cancelling gives conn an SQL function of a number that calls what is behind cancel
// when that is 300.
func cancelling(t *testing.T, conn *sql.Conn, cancel *func()) {
	t.Helper()
	err := conn.Raw(func(c any) error {
		return c.(sqlite3driver.Conn).Raw().CreateFunction("cancelling", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
			if arg[0].Int() == 300 {
				(*cancel)()
			}
			ctx.ResultValue(arg[0])
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestACancelledStatement cancels one in its middle, on a tag and on a file. Of the
// transaction there is as much left as SQLite says, which is nothing when the
// statement writes; the connection goes on, others have the lock, and no commit is made.
func TestACancelledStatement(t *testing.T) {
	const (
		write = "UPDATE t SET b = cancelling(a)"
		read  = "SELECT sum(cancelling(t.a) * n.a) FROM t AS n, t WHERE n.a < 20"
		spill = "UPDATE t SET b = zeroblob(cancelling(a) * 3)"
	)
	for name, c := range map[string]struct {
		before    []string
		statement string
		goesOn    bool // the transaction does
	}{
		"write":                {nil, write, false},
		"write in transaction": {[]string{"BEGIN", "DELETE FROM t WHERE a < 10"}, write, false},
		"write in savepoint":   {[]string{"BEGIN", "DELETE FROM t WHERE a < 10", "SAVEPOINT s"}, write, false},
		"spilled":              {[]string{"PRAGMA cache_size = 1", "BEGIN", "DELETE FROM t WHERE a < 10"}, spill, false},
		"read":                 {nil, read, false},
		"read in transaction":  {[]string{"BEGIN", "DELETE FROM t WHERE a < 10"}, read, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t, "tag=main dir='%s' _pragma=busy_timeout(0) _txlock=deferred", testdir.InMemory(t))
			for _, db := range []*database{g, openPlain(t, testdir.InMemory(t)+"/plain.db")} {
				cancelled(t, db, c.before, c.statement, c.goesOn, db == g)
			}
		})
	}
}

func cancelled(t *testing.T, db *database, before []string, statement string, goesOn, isGraft bool) {
	t.Helper()
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 600) INSERT INTO t SELECT i, 'x' FROM n")
	head := uint64(0)
	if isGraft {
		head = db.head()
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	stop := func() { cancel() }
	cancelling(t, conn, &stop)
	run(t, conn, before...)
	_, err = conn.ExecContext(ctx, statement)
	wantIs(t, err, sqlite3.INTERRUPT)
	if isGraft {
		wantIs(t, err, context.Canceled)
	}
	const content = "SELECT count(*) || ' ' || count(DISTINCT b) || ' ' || total(length(b)) FROM t"
	if want := map[bool]string{false: "600 1 600.0", true: "591 1 591.0"}[goesOn]; ask(t, conn, content) != want {
		t.Errorf("%s: the connection sees %s, want %s", statement, ask(t, conn, content), want)
	}
	if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); (err == nil) != goesOn {
		t.Errorf("%s: ROLLBACK says %v", statement, err)
	}
	db.want(content, "600 1 600.0")
	if isGraft && db.head() != head {
		t.Errorf("%s made LSN %d after %d", statement, db.head(), head)
	}
	db.exec("UPDATE t SET b = 'y' WHERE a = 1") // the lock is free
	stop = func() {}
	run(t, conn, "BEGIN IMMEDIATE", "UPDATE t SET b = cancelling(a)", "COMMIT")
	db.want("SELECT sum(b) || (SELECT integrity_check FROM pragma_integrity_check) FROM t", "180300ok")
	if isGraft && db.head() != head+2 {
		t.Errorf("the head is LSN %d, want %d", db.head(), head+2)
	}
}
