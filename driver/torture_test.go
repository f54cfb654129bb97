package driver_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The torture is in the manner of SQLite's mptest: a process whose connections
// write and read one database, and is killed in the middle, again and again.
//
// Each writer appends numbered entries to a log, moves money between accounts and
// keeps, in a row of its own, how many entries it made and a checksum over them.
// So every Snapshot can be checked by itself, and a later one against an earlier.

const (
	tortureEnv = "GRAFT_TEST_TORTURE"
	writers    = 5
	readers    = 3
	accounts   = 40
	deposit    = 100

	perTransaction = 3 // entries at most
)

var tortureRounds = flag.Int("torture.rounds", 4, "how often the process of TestTorture is killed")

// TestTorture kills a process while it writes. What it said is committed must be
// there, in order, with at most one transaction of each writer more.
func TestTorture(t *testing.T) {
	dir := t.TempDir()
	bucket, _ := fileBucket(t)
	name := fmt.Sprintf("tag=main dir='%s' remote='%s'", dir, bucket)
	db := open(t, "%s", name)
	db.exec("CREATE TABLE account(id INTEGER PRIMARY KEY, balance)",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO account SELECT i, %d FROM n", accounts, deposit),
		"CREATE TABLE log(writer, number, text, PRIMARY KEY (writer, number))",
		"CREATE TABLE writer(id INTEGER PRIMARY KEY, entries, checksum)",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO writer SELECT i - 1, 0, 0 FROM n", writers))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var acknowledged view
	for round := range *tortureRounds {
		acknowledged = acknowledged.latest(tortureOnce(t, name, time.Duration(150+rand.IntN(350))*time.Millisecond))
		db := open(t, "%s", name)
		db.want("PRAGMA integrity_check", "ok")
		found, err := look(context.Background(), db)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for w, n := range acknowledged {
			if found[w] < n || found[w] > n+perTransaction {
				t.Fatalf("round %d: writer %d has %d entries, and %d were acknowledged", round, w, found[w], n)
			}
		}
		acknowledged = found
		db.exec("PRAGMA graft_push")
		remote := db.line("graft_info", "Remote:")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		replica := open(t, "tag=main dir='%s' remote='%s'", t.TempDir(), bucket)
		replica.exec("PRAGMA graft_clone = '" + remote + "'")
		if got, err := look(context.Background(), replica); err != nil || got != found {
			t.Fatalf("round %d: a replica has %v, %v; want %v", round, got, err, found)
		}
		if err := replica.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged == (view{}) {
		t.Error("nothing was committed")
	}
}

// tortureOnce lets a process write for a while, kills it, and gives what it
// acknowledged.
func tortureOnce(t *testing.T, name string, d time.Duration) view {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), tortureEnv+"="+name)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var seen view
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		if timer == nil {
			timer = time.AfterFunc(d, func() { _ = child.Process.Kill() })
		}
		writer, number, ok := strings.Cut(lines.Text(), " ")
		w, err1 := strconv.Atoi(writer)
		n, err2 := strconv.Atoi(number)
		if !ok || err1 != nil || err2 != nil || w < 0 || w >= writers {
			_ = child.Process.Kill()
			t.Fatalf("the process says %q", lines.Text())
		}
		seen[w] = n
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the process was not killed: %v", err)
	}
	return seen
}

// view is how many entries each writer has.
type view [writers]int

// latest takes the larger ones of both.
func (v view) latest(other view) view {
	for w := range v {
		v[w] = max(v[w], other[w])
	}
	return v
}

// look reads a database in one transaction, which must be consistent in itself.
func look(ctx context.Context, db interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}) (v view, err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	for range 2 { // the second time it must be the same
		var again view
		if again, err = lookOnce(ctx, tx); err != nil {
			return v, err
		}
		if v != (view{}) && v != again {
			return v, fmt.Errorf("a transaction sees %v, then %v", v, again)
		}
		v = again
	}
	return v, nil
}

func lookOnce(ctx context.Context, tx *sql.Tx) (v view, err error) {
	var money, count int
	if err := tx.QueryRowContext(ctx, "SELECT sum(balance), count(*) FROM account").Scan(&money, &count); err != nil {
		return v, err
	}
	if money != accounts*deposit || count != accounts {
		return v, fmt.Errorf("%d accounts have %d", count, money)
	}
	var entries, sums [writers]int
	rows, err := tx.QueryContext(ctx, "SELECT writer, number, text FROM log ORDER BY writer, number")
	if err != nil {
		return v, err
	}
	defer rows.Close()
	for rows.Next() {
		var w, n int
		var text string
		if err := rows.Scan(&w, &n, &text); err != nil {
			return v, err
		}
		if entries[w]++; n != entries[w] {
			return v, fmt.Errorf("writer %d: entry %d comes after %d", w, n, entries[w]-1)
		}
		sums[w] = addSum(sums[w], text)
	}
	if err := rows.Err(); err != nil {
		return v, err
	}
	for w := range writers {
		var n, sum int
		if err := tx.QueryRowContext(ctx, "SELECT entries, checksum FROM writer WHERE id = ?", w).Scan(&n, &sum); err != nil {
			return v, err
		}
		if n != entries[w] || sum != sums[w] {
			return v, fmt.Errorf("writer %d has %d entries with checksum %d, and says %d with %d", w, entries[w], sums[w], n, sum)
		}
	}
	return entries, nil
}

func addSum(sum int, text string) int {
	return int(crc32.Update(uint32(sum), crc32.IEEETable, []byte(text)))
}

// tortured is the process that is killed. It ends with 1 when it finds a fault.
func tortured(name string) int {
	db, err := sql.Open("graft", name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	var said sync.Mutex
	var running sync.WaitGroup
	start := func(do func() error) {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := do(); err != nil {
					cancel(err)
				}
			}
		})
	}
	for w := range writers {
		start(func() error { return write(ctx, db, w, &said) })
	}
	for range readers {
		var last view
		start(func() error {
			v, err := look(ctx, db)
			if err == nil && v.latest(last) != v {
				err = fmt.Errorf("a reader sees %v after %v", v, last)
			}
			last = v
			return err
		})
	}
	start(func() error {
		_, err := db.ExecContext(ctx, "PRAGMA graft_push")
		time.Sleep(20 * time.Millisecond)
		return err
	})
	running.Wait()
	fmt.Fprintln(os.Stderr, context.Cause(ctx))
	return 1
}

// write makes one transaction, or begins some and takes them back, and says when
// it was committed.
func write(ctx context.Context, db *sql.DB, w int, said *sync.Mutex) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n, sum int
	if err := tx.QueryRow("SELECT entries, checksum FROM writer WHERE id = ?", w).Scan(&n, &sum); err != nil {
		return err
	}
	exec := func(statement string, args ...any) {
		if err == nil {
			_, err = tx.Exec(statement, args...)
		}
	}
	if rand.IntN(4) == 0 { // what is taken back
		exec("SAVEPOINT s")
		exec("UPDATE account SET balance = 0")
		exec("DELETE FROM log WHERE writer = ?", w)
		exec("ROLLBACK TO s")
	}
	for range perTransaction {
		n++
		text := strings.Repeat(strconv.Itoa(rand.IntN(1e9)), 1+rand.IntN(200))
		sum = addSum(sum, text)
		exec("INSERT INTO log VALUES (?, ?, ?)", w, n, text)
		if rand.IntN(2) == 0 {
			break
		}
	}
	amount := rand.IntN(50)
	exec("UPDATE account SET balance = balance - ? WHERE id = ?", amount, 1+rand.IntN(accounts))
	exec("UPDATE account SET balance = balance + ? WHERE id = ?", amount, 1+rand.IntN(accounts))
	exec("UPDATE writer SET entries = ?, checksum = ? WHERE id = ?", n, sum, w)
	if err != nil || rand.IntN(8) == 0 {
		return err // and rolled back
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	said.Lock()
	defer said.Unlock()
	_, err = io.WriteString(os.Stdout, fmt.Sprintln(w, n))
	return err
}
