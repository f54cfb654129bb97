package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestWritersTakeTurns has connections write one tag as fast as they can. Who
// has committed goes to the end of the queue: nearly no two commits in a row are
// of one connection. Where each asks again and again, most are.
func TestWritersTakeTurns(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=synchronous(off)", t.TempDir())
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, n)", "INSERT INTO t VALUES (1, 0)")
	for name, write := range map[string]func(conn *sql.Conn, committing func()) error{
		"transaction": writeTransaction,
		"text":        writeText,
	} {
		t.Run(name, func(t *testing.T) {
			before := db.ask("SELECT n FROM t")
			const writers, each, most = 8, 60, 8 * 60 * 10
			var order []int // of commits; the open transaction guards it, and counts
			counts := make([]int, writers)
			begin := 0 // of order: all have committed twice, and write
			var done sync.WaitGroup
			for w := range writers {
				conn, err := db.Conn(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				done.Go(func() {
					defer conn.Close()
					for enough := false; !enough; {
						err := write(conn, func() {
							order = append(order, w)
							counts[w]++
							if slices.Min(counts) < 2 {
								begin = len(order)
							}
							enough = slices.Min(counts) >= each || len(order) >= most
						})
						if err != nil {
							t.Errorf("writer %d: %v", w, err)
							return
						}
					}
				})
			}
			done.Wait()
			end := len(order) - writers // who is done waits for nothing
			repeats := 0
			for i := begin + 1; i < end; i++ {
				if order[i] == order[i-1] {
					repeats++
				}
			}
			t.Logf("%d repeats in %d commits", repeats, end-begin)
			if slices.Min(counts) < each || repeats > (end-begin)/2 {
				t.Errorf("%d of %d commits are of the connection before: %v", repeats, end-begin, order)
			}
			if got, want := db.ask("SELECT n - "+before+" FROM t"), fmt.Sprint(len(order)); got != want {
				t.Errorf("%s increments, want %s", got, want)
			}
		})
	}
}

func writeTransaction(conn *sql.Conn, committing func()) error {
	tx, err := conn.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec("UPDATE t SET n = n + 1"); err != nil {
		return err
	}
	committing()
	return tx.Commit()
}

func writeText(conn *sql.Conn, committing func()) error {
	ctx := context.Background()
	for _, s := range []string{"BEGIN IMMEDIATE", "UPDATE t SET n = n + 1"} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	committing()
	_, err := conn.ExecContext(ctx, "COMMIT")
	return err
}

// TestADeferredTransactionThatReadsDoesNotWait would wait for itself otherwise,
// where one goroutine has both.
func TestADeferredTransactionThatReadsDoesNotWait(t *testing.T) {
	db := open(t, "tag=main dir='%s' _txlock=deferred", t.TempDir())
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	reader, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	ask(t, reader, "SELECT a FROM t")
	writer, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		t.Fatal(err)
	}
	_, err = reader.Exec("INSERT INTO t VALUES (2)")
	wantIs(t, err, sqlite3.BUSY)
	if err := errors.Join(writer.Rollback(), reader.Rollback()); err != nil {
		t.Fatal(err)
	}
	db.exec("INSERT INTO t VALUES (3)")
}

// TestAConnectionDoesNotWaitForItself attaches its own tag: the default timeout
// is a minute.
func TestAConnectionDoesNotWaitForItself(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)", "ATTACH 'file:main?vfs=graft&dir="+escape(dir)+"' AS again", "BEGIN", "INSERT INTO main.t VALUES (1)")
	_, err := db.Exec("INSERT INTO again.t VALUES (2)")
	wantIs(t, err, sqlite3.BUSY)
	db.exec("COMMIT")
	db.want("SELECT group_concat(a) FROM again.t", "1")
}

// TestWritersOfTwoTagsInAnyOrder attaches each to the other: who waits with one
// in hand gives up after its timeout.
func TestWritersOfTwoTagsInAnyOrder(t *testing.T) {
	dir := t.TempDir()
	tags := []string{"a", "b"}
	var conns []*sql.Conn
	for i, tag := range tags {
		db := open(t, "tag=%s dir='%s' _pragma=busy_timeout(5)", tag, dir)
		db.exec("CREATE TABLE t(a)")
		conn, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		run(t, conn, "ATTACH 'file:"+tags[1-i]+"?vfs=graft&dir="+escape(dir)+"' AS other")
		conns = append(conns, conn)
	}
	var done sync.WaitGroup
	for _, conn := range conns {
		done.Go(func() {
			for written := 0; written < 20; {
				_, err := conn.ExecContext(context.Background(), "BEGIN IMMEDIATE; INSERT INTO main.t VALUES (1); INSERT INTO other.t VALUES (1); COMMIT")
				switch {
				case err == nil:
					written++
				case errors.Is(err, sqlite3.BUSY):
					_, _ = conn.ExecContext(context.Background(), "ROLLBACK") // if BEGIN had both
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	for _, conn := range conns {
		if got := ask(t, conn, "SELECT count(*) FROM t"); got != "40" {
			t.Errorf("%s rows, want 40", got)
		}
	}
}

func TestPragmaBusyTimeout(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=busy_timeout(7)", t.TempDir())
	db.SetMaxOpenConns(2)
	db.exec("CREATE TABLE t(a)")
	db.want("PRAGMA busy_timeout", "7")
	for value, want := range map[string]string{"12": "12", "-1": "0", "0": "0", "'20x'": "20", "x": "0"} {
		db.exec("PRAGMA busy_timeout = " + value)
		db.want("PRAGMA main.busy_timeout", want)
	}
	db.exec("PRAGMA busy_timeout = 0")
	writer, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	run(t, writer, "PRAGMA busy_timeout = 0", "BEGIN IMMEDIATE")
	_, err = db.Exec("PRAGMA busy_timeout = 3; INSERT INTO t VALUES (1)")
	wantIs(t, err, sqlite3.BUSY) // and it ends
	run(t, writer, "ROLLBACK")
	db.exec("INSERT INTO t VALUES (1)")
}
