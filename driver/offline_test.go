package driver_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"graft/internal/faultbucket"
)

type offlineAnswer struct {
	Offline              bool
	Page, Pages, Missing int
	Bytes                int
	Whole                bool
	Trees                []struct {
		Name           string
		Pages, Missing int
		Whole          bool
	}
}

// offline asks for what is here, which takes no request.
func offline(t *testing.T, db *database, bucket *faultbucket.Bucket, pragma string) (a offlineAnswer) {
	t.Helper()
	bucket.Requests()
	if err := json.Unmarshal([]byte(db.ask(pragma)), &a); err != nil {
		t.Fatal(err)
	}
	if got := bucket.Requests(); len(got) > 0 {
		t.Errorf("%s made %v", pragma, got)
	}
	return a
}

func TestWhatCanBeReadOffline(t *testing.T) {
	bucket := faultbucket.New()
	a, b := openWarm(t, bucket, false), openWarm(t, bucket, false)
	a.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INTEGER)", "CREATE INDEX i ON t(c)", "CREATE TABLE other(x)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, hex(randomblob(100)), i*7919%20011 FROM n",
		"INSERT INTO other VALUES(zeroblob(9000))", "PRAGMA graft_push")
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	const all = "PRAGMA graft_offline_json"
	one := func(row string) string { return all + " = 'SELECT b FROM t WHERE c = " + row + "'" }

	got := offline(t, b, bucket, all)
	if got.Offline || got.Missing == 0 && got.Whole {
		t.Errorf("a new clone: %+v", got)
	}
	b.want("SELECT count(*) FROM sqlite_schema", "3")
	got = offline(t, b, bucket, one("500"))
	if got.Offline || got.Page == 0 || got.Whole || len(got.Trees) != 2 || got.Trees[0].Name != "t" || got.Trees[1].Name != "i" {
		t.Errorf("a query of a new clone: %+v", got)
	}
	want := a.ask("SELECT b FROM t WHERE c = 500")
	b.want("SELECT b FROM t WHERE c = 500", want)
	if got = offline(t, b, bucket, one("500")); !got.Offline || got.Page != 0 || got.Missing == 0 {
		t.Errorf("a query that was asked before: %+v", got)
	}
	if got = offline(t, b, bucket, one("19000")); got.Offline || got.Page == 0 {
		t.Errorf("a query of another row: %+v", got)
	}
	b.want("SELECT b FROM t WHERE c = 500", want) // the connection goes on
	b.want("SELECT b FROM t WHERE c = 19000", a.ask("SELECT b FROM t WHERE c = 19000"))

	b.exec("PRAGMA graft_pin = 'table t'")
	got = offline(t, b, bucket, all)
	if len(got.Trees) != 2 || got.Trees[0].Missing != 0 || !got.Trees[0].Whole || got.Trees[0].Pages < 1000 {
		t.Errorf("after one table was pinned: %+v", got)
	}
	if got = offline(t, b, bucket, all+" = 'SELECT sum(length(b)), max(c) FROM t'"); !got.Offline || got.Missing != 0 || !got.Whole {
		t.Errorf("a scan of what is pinned: %+v", got)
	}
	b.exec("PRAGMA graft_hydrate")
	if got = offline(t, b, bucket, all); !got.Offline || got.Missing != 0 || got.Bytes != 0 {
		t.Errorf("after it was hydrated: %+v", got)
	}
	for query, texts := range map[string][]string{
		"DELETE FROM t":            {"only reads"},
		"SELECT 1; SELECT 2":       {"one query"},
		" ":                        {"one query"},
		"SELECT 1; -- remark":      {"one query"},
		"SELECT x FROM other, abc": {"no such table: abc"},
	} {
		b.fails("PRAGMA graft_offline = '"+query+"'", texts...)
	}
	if text := b.ask("PRAGMA graft_offline = 'SELECT 1'"); !strings.HasPrefix(text, "Yes") {
		t.Errorf("a query of no table: %s", text)
	}
	b.exec("INSERT INTO t(b) VALUES (1)", "ATTACH 'file:/side?vfs=graft&dir="+url.QueryEscape(t.TempDir())+"' AS side", "CREATE TABLE side.s(x)")
	b.fails("PRAGMA main.graft_offline = 'SELECT * FROM s'", "main database")
}
