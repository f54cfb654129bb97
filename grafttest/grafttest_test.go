package grafttest_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"graft/grafttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func want(t *testing.T, db *sql.DB, query, want string) {
	t.Helper()
	var got string
	if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
		t.Fatalf("%s gives %q, %v, want %q", query, got, err, want)
	}
}

func TestOpenIsEmptyAndItsOwn(t *testing.T) {
	a, b := grafttest.Open(t), grafttest.Open(t)
	for _, db := range []*sql.DB{a, b} {
		want(t, db, "PRAGMA synchronous", "0")
		exec(t, db, "CREATE TABLE t(a)", "PRAGMA graft_push")
		want(t, db, "SELECT count(*) FROM t", "0")
		exec(t, db, "INSERT INTO t VALUES (1)")
	}
}

func TestOpenIsGoneWithItsTest(t *testing.T) {
	var dir string
	var db *sql.DB
	t.Run("it", func(t *testing.T) {
		dir = t.TempDir() + "/it's here"
		db = grafttest.OpenWith(t, grafttest.Options{Dir: dir, Tag: "it's", Pragmas: []string{"cache_size(7)"}})
		exec(t, db, "CREATE TABLE t(a)")
		want(t, db, "PRAGMA cache_size", "7")
		other := grafttest.OpenWith(t, grafttest.Options{Dir: dir})
		if got := text(t, other, "PRAGMA graft_tags"); !strings.Contains(got, "it's") {
			t.Errorf("tags are %s", got)
		}
	})
	if err := db.Ping(); err == nil {
		t.Error("the database is open")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory is there")
	}
}

func text(t *testing.T, db *sql.DB, query string) (got string) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReplicasSeeEachOther(t *testing.T) {
	a := grafttest.OpenWith(t, grafttest.Options{Tag: "it's"})
	exec(t, a, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "PRAGMA graft_push", "INSERT INTO t VALUES (2)")
	b := grafttest.Replica(t, a)
	want(t, b, "SELECT group_concat(a) FROM t", "1")
	exec(t, a, "PRAGMA graft_push")
	exec(t, b, "PRAGMA graft_pull", "INSERT INTO t VALUES (3)", "PRAGMA graft_push")
	exec(t, a, "PRAGMA graft_pull")
	want(t, a, "SELECT group_concat(a) FROM t", "1,2,3")
	want(t, grafttest.Replica(t, b), "SELECT group_concat(a) FROM t", "1,2,3")
}

// failing is a test that cannot go on.
type failing struct {
	testing.TB
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) { panic(f) }

func TestWhatCannotBeOpenedEndsTheTest(t *testing.T) {
	for name, open := range map[string]func(testing.TB){
		"remote":          func(t testing.TB) { grafttest.OpenWith(t, grafttest.Options{Remote: "ftp://host"}) },
		"nothing pushed":  func(tb testing.TB) { grafttest.Replica(tb, grafttest.Open(t)) },
		"another pragma":  func(t testing.TB) { grafttest.OpenWith(t, grafttest.Options{Pragmas: []string{"x("}}) },
		"another's bytes": func(t testing.TB) { grafttest.OpenWith(t, grafttest.Options{Tag: "/"}) },
	} {
		ended := func() (ended bool) {
			f := &failing{TB: t}
			defer func() { ended = recover() == any(f) }()
			open(f)
			return false
		}()
		if !ended {
			t.Errorf("%s: the test goes on", name)
		}
	}
}
