package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"reflect"
	"testing"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft/driver"
)

// parts are a connection, a statement and a result of a driver.
func parts(t *testing.T, d sqldriver.Driver, name string) []any {
	t.Helper()
	conn, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stmt, err := conn.Prepare("SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stmt.Close() })
	rows, err := stmt.(sqldriver.StmtQueryContext).QueryContext(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rows.Close() })
	return []any{conn, stmt, rows}
}

// TestNoOptionalInterfaceIsLost compares with go-sqlite3's own driver.
func TestNoOptionalInterfaceIsLost(t *testing.T) {
	optional := [][]reflect.Type{{
		reflect.TypeFor[sqlite3driver.Conn](),
		reflect.TypeFor[sqldriver.Pinger](), reflect.TypeFor[sqldriver.ExecerContext](),
		reflect.TypeFor[sqldriver.QueryerContext](), reflect.TypeFor[sqldriver.ConnPrepareContext](),
		reflect.TypeFor[sqldriver.ConnBeginTx](), reflect.TypeFor[sqldriver.SessionResetter](),
		reflect.TypeFor[sqldriver.Validator](), reflect.TypeFor[sqldriver.NamedValueChecker](),
	}, {
		reflect.TypeFor[sqldriver.NamedValueChecker](),
		reflect.TypeFor[sqldriver.StmtExecContext](), reflect.TypeFor[sqldriver.StmtQueryContext](),
	}, {
		reflect.TypeFor[sqldriver.RowsNextResultSet](), reflect.TypeFor[sqldriver.RowsColumnTypeScanType](),
		reflect.TypeFor[sqldriver.RowsColumnTypeDatabaseTypeName](), reflect.TypeFor[sqldriver.RowsColumnTypeLength](),
		reflect.TypeFor[sqldriver.RowsColumnTypeNullable](), reflect.TypeFor[sqldriver.RowsColumnTypePrecisionScale](),
	}}
	theirs := parts(t, &sqlite3driver.SQLite{}, "file::memory:")
	ours := parts(t, &driver.Driver{}, "tag=main dir="+t.TempDir())
	found := 0
	for i := range theirs {
		for _, o := range optional[i] {
			has := reflect.TypeOf(theirs[i]).Implements(o)
			if has {
				found++
			}
			if reflect.TypeOf(ours[i]).Implements(o) != has {
				t.Errorf("%T has %v: %v, and %T differs", theirs[i], o, has, ours[i])
			}
		}
	}
	if found != 11 {
		t.Errorf("%d interfaces compared", found)
	}
}

func TestRawAndSavepointsWorkAsInGoSQLite3(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, undo := range []error{nil, errors.New("undo")} {
		fill := func() (err error) {
			defer sqlite3driver.Savepoint(tx).Release(&err)
			if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
				return err
			}
			return undo
		}
		if err := fill(); !errors.Is(err, undo) {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		if n := c.(sqlite3driver.Conn).Raw().TotalChanges(); n != 2 {
			t.Errorf("the connection has made %d changes, want 2", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, conn, "SELECT count(*) FROM t"); got != "1" {
		t.Errorf("%s rows, want 1", got)
	}
}

func TestIsolationLevels(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=busy_timeout(0)", t.TempDir())
	db.exec("CREATE TABLE t(a)")
	ctx := context.Background()
	for level := sql.LevelDefault; level <= sql.LevelLinearizable+1; level++ {
		for _, readOnly := range []bool{false, true} {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
			if level >= sql.LevelLinearizable {
				wantError(t, err, "at most serializable", level.String())
				continue
			}
			if err != nil {
				t.Errorf("%v, read only %v: %v", level, readOnly, err)
				continue
			}
			// The write lock is taken by what may write alone.
			_, err = db.Exec("INSERT INTO t VALUES (1)")
			if (err == nil) != readOnly {
				t.Errorf("%v, read only %v: another writer gets %v", level, readOnly, err)
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestAReadOnlyTransactionStandsWhereItBegan commits between BEGIN and the first
// read.
func TestAReadOnlyTransactionStandsWhereItBegan(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	other := open(t, "tag='it''s' dir='%s'", dir)
	for _, d := range []*database{db, other} {
		d.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	}
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run(t, conn, "ATTACH 'file:it''s?vfs=graft&dir="+escape(dir)+`' AS "an ""other"""`)
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	db.exec("UPDATE t SET a = 2")
	other.exec("UPDATE t SET a = 2")
	const both = `SELECT (SELECT a FROM main.t) || (SELECT a FROM "an ""other""".t)`
	if got := ask(t, tx, both); got != "11" {
		t.Errorf("it sees %s, want 11", got)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, conn, both); got != "22" {
		t.Errorf("after it one sees %s, want 22", got)
	}
	run(t, conn, "INSERT INTO t VALUES (3)") // it may write again
}
