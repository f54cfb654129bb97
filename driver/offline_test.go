package driver_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft/internal/faultbucket"
	"graft/vfs"
)

type offlineAnswer struct {
	Offline        bool
	Lacks          []int
	LacksBytes     int `json:"lacks_bytes"`
	Stopped        bool
	Pages, Missing int
	Bytes          int
	Whole          bool
	Trees          []struct {
		Name           string
		Pages, Missing int
		Whole          bool
	}
}

// offline asks for what is here, which takes no request.
func offline(t *testing.T, db querier, bucket *faultbucket.Bucket, pragma string) (a offlineAnswer) {
	t.Helper()
	bucket.Requests()
	if err := json.Unmarshal([]byte(ask(t, db, pragma)), &a); err != nil {
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
	if got.Offline || len(got.Lacks) == 0 || got.LacksBytes == 0 || got.Whole || len(got.Trees) != 2 || got.Trees[0].Name != "t" || got.Trees[1].Name != "i" {
		t.Errorf("a query of a new clone: %+v", got)
	}
	want := a.ask("SELECT b FROM t WHERE c = 500")
	b.want("SELECT b FROM t WHERE c = 500", want)
	if got = offline(t, b, bucket, one("500")); !got.Offline || len(got.Lacks) > 0 || got.Missing == 0 {
		t.Errorf("a query that was asked before: %+v", got)
	}
	if got = offline(t, b, bucket, one("19000")); got.Offline || len(got.Lacks) == 0 {
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
		"DELETE FROM t":                      {"only reads"},
		"WITH a AS (SELECT 1) DELETE FROM t": {"only reads"},
		"BEGIN":                              {"only reads"},
		"/* a */ -- b\n pragma graft_new":    {"only reads", "pragma is none"},
		"SELECT 1; SELECT 2":                 {"one query"},
		" ":                                  {"one query"},
		"SELECT 1; -- remark":                {"one query"},
		"SELECT x FROM other, abc":           {"no such table: abc"},
	} {
		b.fails("PRAGMA graft_offline = '"+query+"'", texts...)
	}
	if text := b.ask("PRAGMA graft_offline = 'SELECT 1'"); !strings.HasPrefix(text, "Yes") {
		t.Errorf("a query of no table: %s", text)
	}
	b.exec("INSERT INTO t(b) VALUES (1)", "ATTACH 'file:/side?vfs=graft&dir="+url.QueryEscape(t.TempDir())+"' AS side", "CREATE TABLE side.s(x)")
	b.fails("PRAGMA main.graft_offline = 'SELECT * FROM s'", "main database")
}

type dryQuery struct {
	query string
	lacks int  // pages at least
	all   bool // pages of its tables that are missing
	stops bool // at the last one
}

// dryQueries reads t, whose index i is here, and others, of which nothing is.
var dryQueries = []dryQuery{
	{"SELECT max(b) FROM t WHERE c BETWEEN 700 AND 710", 8, false, false},
	{"SELECT sum(length(b)) FROM t", 45, true, false},
	{"SELECT group_concat(a) FROM (SELECT a FROM t ORDER BY a DESC LIMIT 40)", 1, false, false},
	{"SELECT group_concat(c) FROM (SELECT c FROM t ORDER BY c DESC LIMIT 40)", 0, true, false},
	{"SELECT x.b || y.b FROM t AS x JOIN t AS y ON y.a = x.a + 1000 WHERE x.a = 600", 2, false, false},
	{"SELECT count(*) FROM w WHERE k > 'a'", 8, true, false},
	{"SELECT v FROM w WHERE k = 'k500'", 1, false, false},
	{"SELECT count(*) || sum(length(x)) || hex(substr(max(x), 8000, 2)) FROM other", 1, false, false},
	{"SELECT count(*) FROM t AS x JOIN w ON w.k = 'k' || x.a WHERE x.b > '8'", 45, false, false},
	{"SELECT max(b) || min(k) FROM t, w WHERE t.a = w.v", 15, false, false},
	{"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i*2 FROM n JOIN t ON t.a = n.i) SELECT count(*) FROM n", 6, false, false},
	{"SELECT name FROM sqlite_schema ORDER BY 1 LIMIT 1", 0, true, false},
	{"SELECT 'many' FROM t WHERE a IN (SELECT value FROM json_each('[1, 999]')) AND b > '' LIMIT 1", 1, false, true},
}

// What stands in for a page that is missing is seen by nothing but the dry run: not by
// later statements of the connection, nor by others, nor by what they write.
func TestADryRunLeavesNothingBehind(t *testing.T) {
	bucket := faultbucket.New()
	a, b := openWarm(t, bucket, false), openWarm(t, bucket, false)
	a.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INTEGER)", "CREATE INDEX i ON t(c DESC)", "CREATE TABLE other(x)",
		"CREATE TABLE w(k TEXT PRIMARY KEY, v INTEGER, pad) WITHOUT ROWID",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, hex(randomblob(50)), i*7919%2003 FROM n",
		"INSERT INTO w SELECT 'k' || a, a*3, randomblob(50) FROM t WHERE a < 600",
		"INSERT INTO other VALUES (zeroblob(9000)), (NULL), (randomblob(20000))")
	dryQueries := dryQueries
	if a.ask("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'") == "1" { // not on wasm2go
		a.exec("CREATE VIRTUAL TABLE f USING fts5(x)", "INSERT INTO f SELECT iif(a%7, 'red', 'blue') || b FROM t WHERE a < 200", "INSERT INTO f VALUES ('red')")
		dryQueries = append(slices.Clip(dryQueries), dryQuery{"SELECT group_concat(rowid) FROM f WHERE f MATCH 'red'", 1, false, true})
	}
	a.exec("PRAGMA graft_push")
	b.exec("PRAGMA graft_clone = '"+a.line("graft_info", "Remote:")+"'", "PRAGMA graft_pin = 'table i'")
	dry, other := b.conn(), b.conn() // each with pages in a cache of its own
	ask(t, dry, "SELECT count(*) FROM sqlite_schema")
	ask(t, dry, "SELECT b FROM t WHERE a = 1900")
	for _, q := range dryQueries {
		got := dryRun(t, dry, bucket, q.query)
		if got.Offline != (len(got.Lacks) == 0) || len(got.Lacks) < q.lacks || q.all && len(got.Lacks) != got.Missing || got.Stopped != q.stops {
			t.Errorf("%s: lacks %d pages, %d bytes, stopped %t, missing %d", q.query, len(got.Lacks), got.LacksBytes, got.Stopped, got.Missing)
		}
	}
	scan, write := dryQueries[1].query, "UPDATE t SET b = 'new' || b WHERE a % 500 = 7"
	a.exec(write)
	dryRun(t, dry, bucket, scan)
	if _, err := dry.ExecContext(t.Context(), write); err != nil {
		t.Error(err)
	}
	for _, q := range dryQueries {
		if q.query != scan {
			dryRun(t, dry, bucket, scan)
			wantOfBoth(t, q.query, a.ask(q.query), dry, other)
		}
		if got := dryRun(t, dry, bucket, q.query); q.query != scan && !got.Offline {
			t.Errorf("%s: lacks pages %v after it ran", q.query, got.Lacks)
		}
	}
	wantOfBoth(t, scan, a.ask(scan), dry, other)
	b.want("PRAGMA integrity_check", "ok")
}

func dryRun(t *testing.T, db querier, bucket *faultbucket.Bucket, query string) offlineAnswer {
	t.Helper()
	return offline(t, db, bucket, "PRAGMA graft_offline_json = '"+strings.ReplaceAll(query, "'", "''")+"'")
}

func wantOfBoth(t *testing.T, query, want string, dry, other *sql.Conn) {
	t.Helper()
	for name, conn := range map[string]*sql.Conn{"the connection of the dry run": dry, "another connection": other} {
		if got := ask(t, conn, query); got != want {
			t.Errorf("%s, on %s: %.40q, want %.40q", query, name, got, want)
		}
	}
}

// In Go it is the same.
func TestOfflineOf(t *testing.T) {
	bucket := faultbucket.New()
	a, b := openWarm(t, bucket, false), openWarm(t, bucket, false)
	a.want("PRAGMA graft_offline = 'SELECT count(*) FROM sqlite_schema'", "Yes: the query ran without the bucket.\n  sqlite_schema: all 0 pages are here") // of an empty tag
	a.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 300) INSERT INTO t SELECT i, randomblob(900) FROM n", "PRAGMA graft_push")
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	conn, query := b.conn(), "SELECT sum(length(b)) FROM t"
	ask(t, conn, "SELECT count(*) FROM sqlite_schema")
	err := conn.Raw(func(raw any) error {
		c := raw.(sqlite3driver.Conn).Raw()
		got, err := vfs.OfflineOf(c, "main", query)
		if err != nil || got.Runs || got.Stopped || len(got.Missing) < 50 || got.Bytes == 0 || len(got.Trees) != 1 || got.Trees[0].Missing != len(got.Missing) {
			t.Errorf("%+v, %v", got, err)
		}
		_, err = vfs.OfflineOf(c, "temp", query)
		wantError(t, err, `"temp" is no database of graft`)
		if err := c.Exec("BEGIN"); err != nil {
			return err
		}
		_, err = vfs.OfflineOf(c, "main", query)
		wantError(t, err, "transaction is open")
		return c.Exec("ROLLBACK")
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := ask(t, conn, "PRAGMA graft_offline = '"+query+"'"); !strings.HasPrefix(text, "No: these pages are missing, and perhaps those that they lead to: ") || !strings.Contains(text, "-") {
		t.Errorf("as text: %s", text)
	}
}

// conn gives a connection, which is closed with the test.
func (db *database) conn() *sql.Conn {
	db.t.Helper()
	conn, err := db.Conn(context.Background())
	if err != nil {
		db.t.Fatal(err)
	}
	db.t.Cleanup(func() { conn.Close() })
	return conn
}
