package driver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"graft"
	"graft/volume"
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

// document gives what a pragma says as JSON.
func (db *database) document(pragma string) (doc map[string]any) {
	db.t.Helper()
	if err := json.Unmarshal([]byte(db.ask("PRAGMA "+pragma)), &doc); err != nil {
		db.t.Fatal(err)
	}
	return doc
}

// checkMoved checks the document of a pragma that moved a tag: against what package
// graft says, and the Graft, its remote Volume and the Graft that it left, where those
// are known.
func checkMoved(t *testing.T, db *graft.DB, tag string, doc map[string]any, id, from, left string) {
	t.Helper()
	g, err := db.Graft(context.Background(), tag)
	if err != nil {
		t.Fatal(err)
	}
	info, err := g.Info()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%v %v %v %v", doc["tag"], doc["graft"], doc["remote"], doc["exists"]), fmt.Sprintf("%s %v %v true", tag, info.Graft, info.Remote); got != want {
		t.Errorf("the document says %s, and it is %s", got, want)
	}
	if id != "" && doc["graft"] != id || from != "" && doc["remote"] != from {
		t.Errorf("it is Graft %v of %v, want %s of %s", doc["graft"], doc["remote"], id, from)
	}
	was, _ := doc["left"].(map[string]any)
	if left == "" && doc["left"] != nil || left != "" && was["graft"] != left {
		t.Errorf("it left %v, want %s", doc["left"], left)
	}
}

// TestASwitchMakesAClone has graft_switch = 'VOLUMEID:REMOTE' make it, by a statement and
// in a data source name, and then the other pragmas that move a tag. What their
// documents say is what is so.
func TestASwitchMakesAClone(t *testing.T) {
	remote, ctx := "mem://"+t.Name(), context.Background()
	a := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE x(a)", "INSERT INTO x VALUES (1)", "PRAGMA graft_push", "INSERT INTO x VALUES (2)", "PRAGMA graft_push")
	source := a.document("graft_info_json")["remote"].(string)

	dir := t.TempDir()
	held, err := graft.Open(ctx, dir, &graft.Options{Remote: remote})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	b := open(t, "tag=main dir='%s'", dir)
	b.SetMaxOpenConns(1)
	b.exec("CREATE TABLE own(a)")
	moved := func(tag string, doc map[string]any, id, from, left string) {
		t.Helper()
		checkMoved(t, held, tag, doc, id, from, left)
	}
	own := b.document("graft_info_json")["graft"].(string)
	first, second := volume.NewVolumeID().String(), volume.NewVolumeID().String()
	moved("main", b.document("graft_switch_json = '"+first+":"+source+"'"), first, source, own)
	b.want("SELECT group_concat(a) FROM x", "1,2")
	named := open(t, "file:named?dir=%s&_pragma=%s", escape(dir), escape("graft_switch('"+second+":"+source+"')"))
	named.want("SELECT count(*) FROM x", "2")
	moved("named", named.document("graft_switch_json = '"+second+":"+source+"'"), second, source, "")

	moved("main", b.document("graft_checkout_json = '"+source+":1'"), "", "", first)
	b.want("SELECT group_concat(a) FROM x", "1")
	checked := b.document("graft_info_json")["graft"].(string)
	moved("main", b.document("graft_fork_json"), "", "", checked)
	moved("aside", b.document("graft_fork_json = 'aside'"), "", "", "")
}

// TestDocumentsOfResetsAndFiles checks what the documents of graft_reset, graft_export
// and graft_import say.
func TestDocumentsOfResetsAndFiles(t *testing.T) {
	remote, dir := "mem://"+t.Name(), t.TempDir()
	a := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE x(a)", "INSERT INTO x VALUES (1)", "PRAGMA graft_push", "INSERT INTO x VALUES (2)", "PRAGMA graft_push")
	named := open(t, "tag=named dir='%s' remote=%s", dir, remote)
	named.exec("PRAGMA graft_clone = " + quote(a.document("graft_info_json")["remote"].(string)))
	named.exec("INSERT INTO x VALUES (3)")
	a.exec("INSERT INTO x VALUES (4)", "PRAGMA graft_push")
	doc := named.document("graft_reset_json")
	if got := fmt.Sprintf("%v %v", doc["from"], doc["to"]); got != "2 3" {
		t.Errorf("the reset went from and to %s", got)
	}
	open(t, "tag=%s dir='%s'", quote(doc["backup"].(string)), dir).want("SELECT group_concat(a) FROM x", "1,2,3")
	named.want("SELECT group_concat(a) FROM x", "1,2,4")

	path := filepath.Join(t.TempDir(), "x.db")
	doc = named.document("graft_export_json = " + quote(path))
	if pages := named.ask("PRAGMA page_count"); fmt.Sprintf("%v %v", doc["path"], doc["pages"]) != path+" "+pages {
		t.Errorf("exported %v, want %s pages", doc, pages)
	}
	to := open(t, "tag=imported dir='%s'", dir)
	doc = to.document("graft_import_json = " + quote(path))
	if pages := to.ask("PRAGMA page_count"); fmt.Sprintf("%v %v", doc["path"], doc["pages"]) != path+" "+pages {
		t.Errorf("imported %v, want %s pages", doc, pages)
	}
	to.want("SELECT group_concat(a) FROM x", "1,2,4")
}
