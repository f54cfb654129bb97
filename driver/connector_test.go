package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"gocloud.dev/blob/memblob"

	"graft"
	"graft/driver"
)

// TestAConnectorOfAnOpenDirectory has a bucket that no name leads to, and
// another one in the environment.
func TestAConnectorOfAnOpenDirectory(t *testing.T) {
	t.Setenv("GRAFT_REMOTE", "mem://"+t.Name())
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	ctx := context.Background()
	held, err := graft.Open(ctx, t.TempDir(), &graft.Options{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	inits := 0
	connector, err := driver.NewConnector(held, "it's", &driver.Options{
		Pragmas: []string{"cache_size(77)"},
		Init:    func(c *sqlite3.Conn) error { inits++; return c.Exec("PRAGMA user_version = 5") },
	})
	if err != nil {
		t.Fatal(err)
	}
	db := &database{sql.OpenDB(connector), t}
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)", "PRAGMA graft_push")
	db.want("PRAGMA cache_size", "77")
	db.want("PRAGMA user_version", "5")
	db.want("PRAGMA busy_timeout", "60000")
	if inits != 1 {
		t.Errorf("%d connections were initialized, want 1", inits)
	}
	keys, err := bucket.List(nil).Next(ctx)
	if err != nil {
		t.Errorf("the bucket has %v, %v", keys, err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	db.exec("INSERT INTO t VALUES (1)", "PRAGMA graft_push") // by a hold of its own
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAConnectorSaysAllThatIsWrong(t *testing.T) {
	held, err := graft.Open(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, err = driver.NewConnector(held, "", nil)
	wantError(t, err, "tag is empty")
	_, err = driver.NewConnector(held, "main", &driver.Options{Mode: "often", TxLock: "never", Budget: "much"})
	wantError(t, err, "mode=often", "_txlock=never", "budget=much")
	refuse := errors.New("refused")
	connector, err := driver.NewConnector(held, "main", &driver.Options{Init: func(*sqlite3.Conn) error { return refuse }})
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	wantIs(t, db.Ping(), refuse)
}

// TestMattnsNamesOfPragmas sets each, to what it is not without it.
func TestMattnsNamesOfPragmas(t *testing.T) {
	for _, c := range []struct{ parameter, query, want string }{
		{"_busy_timeout=7", "PRAGMA busy_timeout", "7"},
		{"_timeout=8", "PRAGMA busy_timeout", "8"},
		{"_auto_vacuum=full", "PRAGMA auto_vacuum", "1"},
		{"_vacuum=incremental", "PRAGMA auto_vacuum", "2"},
		{"_case_sensitive_like=1", "SELECT 'a' LIKE 'A'", "0"},
		{"_cslike=on", "SELECT 'a' LIKE 'A'", "0"},
		{"_defer_foreign_keys=1", "PRAGMA defer_foreign_keys", "1"},
		{"_foreign_keys=0", "PRAGMA foreign_keys", "0"},
		{"_fk=no", "PRAGMA foreign_keys", "0"},
		{"_ignore_check_constraints=1", "PRAGMA ignore_check_constraints", "1"},
		{"_journal_mode=WAL", "PRAGMA journal_mode", "delete"}, // pinned
		{"_locking_mode=EXCLUSIVE", "PRAGMA locking_mode", "normal"},
		{"_query_only=yes", "PRAGMA query_only", "1"},
		{"_recursive_triggers=1", "PRAGMA recursive_triggers", "1"},
		{"_rt=true", "PRAGMA recursive_triggers", "1"},
		{"_secure_delete=fast", "PRAGMA secure_delete", "2"},
		{"_synchronous=OFF", "PRAGMA synchronous", "0"},
		{"_sync=1", "PRAGMA synchronous", "1"},
		{"_writable_schema=1", "PRAGMA writable_schema", "1"},
		{"_cache_size=-77", "PRAGMA cache_size", "-77"},
	} {
		db := open(t, "tag=main dir='%s' %s", t.TempDir(), c.parameter)
		if got := db.ask(c.query); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.parameter, c.query, got, c.want)
		}
	}
	_, err := sql.Open("graft", "tag=main _loc=auto _crypt=1")
	wantError(t, err, `"_loc"`, `"_crypt"`)
}
