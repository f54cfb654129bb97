package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	"pgregory.net/rapid"
)

// twins are a database in graft and one in a file, that are told the same.
type twins struct {
	graft, file *sql.Conn
	inTx        bool
}

func (tw *twins) exec(t *rapid.T, statement string) {
	var errs [2]error
	for i, c := range []*sql.Conn{tw.graft, tw.file} {
		_, errs[i] = c.ExecContext(context.Background(), statement)
	}
	if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) {
		t.Fatalf("%s: graft says %v, a file %v", statement, errs[0], errs[1])
	}
}

func (tw *twins) compare(t *rapid.T, query string) {
	var got [2]string
	for i, c := range []*sql.Conn{tw.graft, tw.file} {
		if err := c.QueryRowContext(context.Background(), query).Scan(&got[i]); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	if got[0] != got[1] {
		t.Fatalf("%s: graft says %q, a file %q", query, got[0], got[1])
	}
}

// TestLikeAFile tells graft and go-sqlite3's file VFS the same, with a cache so
// small that it spills, and compares what they answer.
func TestLikeAFile(t *testing.T) {
	root, files := t.TempDir(), t.TempDir()
	holder := open(t, "tag=none dir='%s'", root) // the directory stays open
	holder.want("SELECT 1", "1")
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		pragmas := fmt.Sprintf("cache_size(%d)", rapid.SampledFrom([]int{1, 10, 100, -2000}).Draw(t, "cache"))
		vacuum := fmt.Sprintf("auto_vacuum(%d)", rapid.IntRange(0, 2).Draw(t, "auto_vacuum"))
		g, err := sql.Open("graft", fmt.Sprintf("tag=twin%d dir='%s' _pragma=%s _pragma=%s _pragma=synchronous(off)", n, root, vacuum, pragmas))
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		f, err := sqlite3driver.Open("file:" + filepath.ToSlash(filepath.Join(files, fmt.Sprint(n))) + ".db?_pragma=page_size(4096)&_pragma=" + vacuum + "&_pragma=" + pragmas + "&_pragma=synchronous(off)")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		tw := &twins{}
		for conn, db := range map[**sql.Conn]*sql.DB{&tw.graft: g, &tw.file: f} {
			if *conn, err = db.Conn(context.Background()); err != nil {
				t.Fatal(err)
			}
			defer (*conn).Close()
		}
		tw.exec(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c TEXT)")
		t.Repeat(tw.actions())
		if tw.inTx {
			tw.exec(t, "COMMIT")
		}
		tw.compare(t, "PRAGMA integrity_check")
	})
}

func (tw *twins) actions() map[string]func(*rapid.T) {
	key := func(t *rapid.T) int { return rapid.IntRange(1, 300).Draw(t, "key") }
	run := func(format string, args ...func(*rapid.T) int) func(*rapid.T) {
		return func(t *rapid.T) {
			values := make([]any, len(args))
			for i, arg := range args {
				values[i] = arg(t)
			}
			tw.exec(t, fmt.Sprintf(format, values...))
		}
	}
	size := func(t *rapid.T) int { return rapid.SampledFrom([]int{1, 100, 1000, 9000}).Draw(t, "size") }
	inTx := func(want bool, then bool, statement string) func(*rapid.T) {
		return func(t *rapid.T) {
			if tw.inTx != want {
				t.Skip("not an action of this state: rapid takes another") // the test goes on
			}
			tw.exec(t, statement)
			tw.inTx = then
		}
	}
	return map[string]func(*rapid.T){
		"insert":     run("INSERT OR REPLACE INTO t VALUES (%d, printf('%%.%dc', 'x'), '')", key, size),
		"many":       run("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 100) INSERT OR REPLACE INTO t SELECT i + %d, printf('%%.%dc', 'm'), i FROM n", key, size),
		"update":     run("UPDATE t SET b = printf('%%.%dc', 'u') WHERE a %% 7 = %d %% 7", size, key),
		"delete":     run("DELETE FROM t WHERE a BETWEEN %d AND %d", key, key),
		"fails":      run("INSERT INTO t SELECT a + %d, b, c FROM t ORDER BY a", key), // often, half way
		"index":      run("CREATE INDEX IF NOT EXISTS i ON t(c, b)"),
		"drop index": run("DROP INDEX IF EXISTS i"),
		"table":      run("CREATE TABLE IF NOT EXISTS u AS SELECT * FROM t"),
		"drop table": run("DROP TABLE IF EXISTS u"),
		"begin":      inTx(false, true, "BEGIN"),
		"commit":     inTx(true, false, "COMMIT"),
		"rollback":   inTx(true, false, "ROLLBACK"),
		"savepoint":  inTx(true, true, "SAVEPOINT s"),
		"release":    inTx(true, true, "RELEASE s"),
		"back":       inTx(true, true, "ROLLBACK TO s"),
		"vacuum":     inTx(false, false, "VACUUM"),
		"shrink":     run("PRAGMA incremental_vacuum(%d)", key),
		"":           func(t *rapid.T) { tw.compare(t, contentOf("t")) },
	}
}

// contentOf is a query for all that a table has, in few bytes.
func contentOf(table string) string {
	return strings.ReplaceAll("SELECT (SELECT group_concat(name) FROM sqlite_schema) || (SELECT coalesce(group_concat(a || ':' || substr(b, 1, 3) || length(b) || ':' || c), '') FROM TABLE)", "TABLE", table)
}
