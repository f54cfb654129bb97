package driver_test

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestSwitchShowsTheOtherTag(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES ('main')")
	db.exec("PRAGMA graft_switch = 'it''s another'")
	db.want("SELECT count(*) FROM sqlite_schema", "0")
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES ('another')")
	db.want("SELECT a FROM t", "another")
	db.exec("PRAGMA graft_switch = 'main'")
	db.want("SELECT a FROM t", "main")
	tags := db.ask("PRAGMA graft_tags")
	var names []string
	for l := range strings.Lines(tags) {
		if name, ok := strings.CutPrefix(l, "Tag: "); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	if got := strings.Join(names, "|"); got != "it's another|main (current)" {
		t.Errorf("tags: %s", got)
	}
	db.exec("BEGIN", "SELECT a FROM t")
	db.fails("PRAGMA graft_switch = 'it''s another'", "inside a transaction")
	db.exec("ROLLBACK")
}

// TestASwitchForgetsTheSchema has two young databases of equal schema cookies:
// SQLite would go on with the schema of the first.
func TestASwitchForgetsTheSchema(t *testing.T) {
	dir := t.TempDir()
	a := open(t, "tag=a dir='%s'", dir)
	a.SetMaxOpenConns(1)
	b := open(t, "tag=b dir='%s'", dir)
	a.exec("CREATE TABLE people(id INTEGER PRIMARY KEY, name)", "INSERT INTO people VALUES (1, 'ann')")
	b.exec("CREATE TABLE secrets(id INTEGER PRIMARY KEY, secret)", "INSERT INTO secrets VALUES (7, 'hush')")
	for range 3 {
		a.want("SELECT name FROM people", "ann")
		a.exec("PRAGMA graft_switch = 'b'")
		a.fails("SELECT name FROM people", "no such table")
		a.fails("INSERT INTO people VALUES (8, 'x')", "no such table")
		a.want("SELECT secret FROM secrets", "hush")
		a.exec("PRAGMA graft_switch = 'a'")
	}
	a.exec("PRAGMA graft_switch = 'b'", "CREATE INDEX s ON secrets(secret)", "INSERT INTO secrets VALUES (8, 'x')", "CREATE TABLE more(a)")
	b.want("SELECT count(*) FROM secrets", "2")
	b.want("SELECT count(*) FROM more", "0")
	b.want("PRAGMA schema_version", "3") // as it would be without a switch
	b.want("PRAGMA integrity_check", "ok")
	a.exec("PRAGMA graft_switch = 'a'")
	a.want("SELECT name FROM people", "ann")
}

// TestASwitchToAnEmptyTagForgetsTheSchema has the tag filled by another
// connection after this one has begun a transaction on it, and read nothing.
func TestASwitchToAnEmptyTagForgetsTheSchema(t *testing.T) {
	dir := t.TempDir()
	a := open(t, "tag=a dir='%s'", dir)
	a.SetMaxOpenConns(1)
	a.exec("CREATE TABLE people(id INTEGER PRIMARY KEY, name)", "INSERT INTO people VALUES (1, 'ann')")
	a.want("SELECT name FROM people", "ann")
	a.exec("PRAGMA graft_switch = 'e'", "BEGIN IMMEDIATE", "ROLLBACK")
	e := open(t, "tag=e dir='%s'", dir)
	e.exec("CREATE TABLE secrets(id INTEGER PRIMARY KEY, secret)", "INSERT INTO secrets VALUES (1, 'hush')")
	a.fails("SELECT name FROM people", "no such table")
	a.want("SELECT secret FROM secrets", "hush")
}

func TestASwitchForgetsTheSchemaAtAnyCookie(t *testing.T) {
	dir := t.TempDir()
	a := open(t, "tag=a dir='%s'", dir)
	a.SetMaxOpenConns(1)
	b := open(t, "tag=b dir='%s'", dir)
	b.exec("CREATE TABLE secrets(id INTEGER PRIMARY KEY, secret)", "INSERT INTO secrets VALUES (1, 'hush')")
	a.exec("CREATE TABLE people(id INTEGER PRIMARY KEY, name)", "INSERT INTO people VALUES (1, 'ann')", "PRAGMA schema_version = -1")
	for range 4 {
		a.want("SELECT name FROM people", "ann")
		a.exec("PRAGMA graft_switch = 'b'")
		a.fails("SELECT name FROM people", "no such table")
		a.want("SELECT secret FROM secrets", "hush")
		a.exec("PRAGMA graft_switch = 'a'")
	}
}

func TestACloneForgetsTheSchema(t *testing.T) {
	remote := "mem://" + t.Name()
	a := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE x(id INTEGER PRIMARY KEY, xx)", "INSERT INTO x VALUES (1, 'xx')", "PRAGMA graft_push")
	b := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	b.SetMaxOpenConns(1)
	b.exec("CREATE TABLE other(id INTEGER PRIMARY KEY, o)")
	clone := "PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'"
	b.fails(clone, "tag main has 1 of them", "not pushed")
	b.want("SELECT count(*) FROM other", "0")
	b.exec("PRAGMA graft_push", clone)
	b.fails("SELECT o FROM other", "no such table")
	b.want("SELECT xx FROM x", "xx")
}

// TestAWriterDoesNotBlockItself has a pull and a clone wait for a transaction
// that goes on with fetching and with opening another tag.
func TestAWriterDoesNotBlockItself(t *testing.T) {
	remote := "mem://" + t.Name()
	a := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE x(id)", "PRAGMA graft_push")
	clone := "PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'"
	dir := t.TempDir()
	b := open(t, "tag=main dir='%s' remote=%s", dir, remote)
	b.exec(clone)
	a.exec("INSERT INTO x VALUES (1)", "PRAGMA graft_push")
	ctx := context.Background()
	for _, waiting := range []string{"PRAGMA graft_pull", clone} {
		tx, err := b.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		cancellable, cancel := context.WithCancel(ctx)
		go func() { _, err := b.ExecContext(cancellable, waiting); ended <- err }()
		limited, stop := context.WithTimeout(ctx, 30*time.Second)
		var text string
		for range 20 { // the other waits by one of these
			if err := tx.QueryRowContext(limited, "PRAGMA graft_fetch").Scan(&text); err != nil {
				t.Fatalf("%s: fetch: %v", waiting, err)
			}
			if err := tx.QueryRowContext(limited, "PRAGMA graft_tags").Scan(&text); err != nil {
				t.Fatalf("%s: tags: %v", waiting, err)
			}
		}
		third := open(t, "tag=third dir='%s' remote=%s", dir, remote)
		if err := third.PingContext(limited); err != nil {
			t.Fatalf("%s: open: %v", waiting, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", waiting, err)
		}
		cancel()
		stop()
		b.want("SELECT count(*) FROM x", "1")
	}
}

func TestWhatMovesTheConnectionIsRefusedInAnyTransaction(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s' remote=mem://%s", dir, t.Name())
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE x(a)", "ATTACH 'file:other?vfs=graft&dir="+escape(dir)+"' AS o",
		"BEGIN DEFERRED", "INSERT INTO main.x VALUES (1)")
	for _, p := range []string{"o.graft_pull", "o.graft_push", "graft_pull", "o.graft_switch = 'main'"} {
		db.fails("PRAGMA "+p, "inside a transaction")
	}
	db.exec("COMMIT", "PRAGMA graft_push", "PRAGMA o.graft_pull")
}

func TestLockingModeStaysNormal(t *testing.T) {
	dir := t.TempDir()
	a := open(t, "tag=a dir='%s' _pragma=locking_mode(exclusive)", dir)
	a.SetMaxOpenConns(1)
	b := open(t, "tag=a dir='%s'", dir)
	b.exec("CREATE TABLE t(x)")
	a.want("SELECT count(*) FROM t", "0")
	a.want("PRAGMA locking_mode", "normal")
	b.exec("INSERT INTO t VALUES (1)")
	a.want("SELECT count(*) FROM t", "1")
	a.exec("INSERT INTO t VALUES (2)")
	b.exec("INSERT INTO t VALUES (3)")
	a.want("SELECT count(*) FROM t", "3")
}
