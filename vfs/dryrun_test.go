package vfs

import (
	"errors"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// newDryMachine has a clone of a table t of rows 1 to 200, of which the schema is here,
// and the file of it.
func newDryMachine(t *testing.T) (*machine, *file) {
	t.Helper()
	remote := "file://" + (&url.URL{Path: filepath.ToSlash(filepath.Join(t.TempDir(), "bucket"))}).EscapedPath()
	a, b := newMachine(t, "a", escape(remote)), newMachine(t, "b", escape(remote))
	for _, statement := range []string{
		"CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 200) INSERT INTO t SELECT i, hex(randomblob(400)) FROM n",
		"PRAGMA graft_push",
	} {
		if err := a.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	id := a.field("graft_info_json", "remote")
	if err := b.Exec("PRAGMA graft_clone = '" + id + "'"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ask("SELECT count(*) FROM sqlite_schema"); err != nil {
		t.Fatal(err)
	}
	return b, fileOf(b.Conn, "main")
}

// A query that ends only when it finds what is missing is stopped.
func TestADryRunEnds(t *testing.T) {
	_, f := newDryMachine(t)
	err := f.withoutRequests(func(d *dryRun) error {
		d.pretence = time.Millisecond
		_, err := f.dryRun(d, "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i%200+1 FROM n WHERE (SELECT b FROM t WHERE a = i) IS NULL) SELECT i FROM n WHERE i < 0")
		if len(d.missing) == 0 {
			t.Error("no page is missing")
		}
		return err
	})
	if !errors.Is(err, sqlite3.INTERRUPT) {
		t.Error(err)
	}
	if !f.conn.GetAutocommit() || f.inTransaction() {
		t.Error("its transaction is open")
	}
}

// A function that a query calls cannot write over what stands in for a page.
func TestADryRunDoesNotWrite(t *testing.T) {
	b, f := newDryMachine(t)
	var inner []error
	err := b.CreateFunction("spoil", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
		inner = append(inner, b.Exec("UPDATE t SET b = 'spoiled' WHERE a = 50"))
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.queryOffline(t.Context(), "SELECT sum(spoil(b)) FROM t WHERE a < 3")
	if err != nil || len(got.Missing) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if len(inner) == 0 || inner[0] == nil {
		t.Errorf("the function wrote: %v", inner)
	}
	if text, err := b.ask("SELECT length(b) FROM t WHERE a = 50"); text != "800" {
		t.Errorf("the row has %q, %v", text, err)
	}
}
