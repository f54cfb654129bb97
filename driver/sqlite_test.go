package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft"
	"graft/vfs"
)

// quote writes s as SQL text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// uriOf gives the URI of a tag. The slash keeps SQLite from taking :memory: for no
// file.
func uriOf(dir, tag string) string {
	return "file:/" + escape(tag) + "?vfs=graft&dir=" + escape(dir)
}

// plainURI gives the URI of a plain file.
func plainURI(path string) string { return "file:" + escape(filepath.ToSlash(path)) + "?vfs=os" }

// openPlain opens a plain file.
func openPlain(t *testing.T, path string) *database {
	t.Helper()
	db, err := sql.Open("sqlite3", plainURI(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &database{db, t}
}

// content is what shows that a copy is whole.
const content = "SELECT count(*) || ' ' || sum(length(b)) || ' ' || (SELECT integrity_check FROM pragma_integrity_check) FROM t"

const wholeContent = "2000 200000 ok"

// fill makes what content shows.
func fill(db *database) {
	db.t.Helper()
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, printf('%.100c', 'x') FROM n",
		"CREATE INDEX i ON t(b, a)")
}

// oddTags are Tags that SQL, URIs or texts might misread.
var oddTags = []string{
	"50% off", "%41", "%", "it's", `say "hi"`, "two\nlines", "tab\there", " padded ", "ümläut 日本 🌱", "a:b",
	"VeehMw3mvcYpMNwqGpVmU2:1", "a?b&c=d#e", "a/b/../c", "C:\\dir", "-", "x-journal", "main-wal", ":memory:", strings.Repeat("y", 255),
}

// oddPaths gives such paths in a folder, for files that do not exist.
func oddPaths(t *testing.T) (paths []string) {
	names := []string{"50% off.db", "it's.db", "a&b=c#d.db", "ümläut.db"}
	if runtime.GOOS != "windows" {
		names = append(names, `say "hi".db`, "two\nlines.db", "what?.db")
	}
	dir := t.TempDir()
	for _, n := range names {
		paths = append(paths, filepath.Join(dir, n))
	}
	return paths
}

func TestEveryTagWorksInEachForm(t *testing.T) {
	dir := t.TempDir()
	pool := open(t, "tag=main dir=%s", quote(dir))
	pool.SetMaxOpenConns(1)
	pool.exec("CREATE TABLE t(a)")
	for i, tag := range oddTags {
		pairs := open(t, "tag=%s dir=%s", quote(tag), quote(dir))
		pairs.exec("CREATE TABLE t(a)", fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
		uri := open(t, "file:%s?dir=%s", escape(tag), escape(dir))
		uri.want("SELECT a FROM t", fmt.Sprint(i))
		pool.exec("PRAGMA graft_switch = " + quote(tag))
		pool.want("SELECT a FROM t", fmt.Sprint(i))
		pool.exec("PRAGMA graft_switch = 'main'", "ATTACH "+quote(uriOf(dir, tag))+" AS o")
		pool.want("SELECT a FROM o.t", fmt.Sprint(i))
		pool.exec("DETACH o")
		if len(tag) < 200 {
			pairs.exec("PRAGMA graft_fork = "+quote(tag+" fork"), "PRAGMA graft_new = "+quote(tag+" new"))
			open(t, "tag=%s dir=%s", quote(tag+" fork"), quote(dir)).want("SELECT a FROM t", fmt.Sprint(i))
		}
	}
	tags, err := readTags(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, t := range tags {
		names[t.Name] = true
	}
	for _, tag := range oddTags {
		if !names[tag] {
			t.Errorf("there is no tag %q", tag)
		}
	}
}

func TestBadTagsAreRefusedInEachForm(t *testing.T) {
	dir := t.TempDir()
	pool := open(t, "tag=main dir=%s", quote(dir))
	pool.exec("CREATE TABLE t(a)")
	for tag, text := range map[string]string{
		"/etc/passwd":            "begins with a slash",
		strings.Repeat("z", 256): "over the limit",
		"bad \xff":               "not UTF-8",
	} {
		if graft.ValidateTag(tag) == nil {
			t.Errorf("%q is a tag", tag)
		}
		for _, p := range []string{"graft_switch", "graft_new", "graft_fork"} {
			pool.fails("PRAGMA "+p+" = "+quote(tag), text)
		}
		db, err := sql.Open("graft", "tag="+quote(tag)+" dir="+quote(dir))
		if err == nil {
			err = db.Ping()
			db.Close()
		}
		wantError(t, err, text)
	}
	if tags, err := readTags(dir); err != nil || len(tags) != 1 {
		t.Errorf("tags %v, %v", tags, err)
	}
}

func TestVacuumIntoAPlainFile(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir=%s", quote(dir))
	fill(db)
	for _, path := range oddPaths(t) {
		db.exec("VACUUM INTO " + quote(plainURI(path)))
		openPlain(t, path).want(content, wholeContent)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestVacuumIntoATag(t *testing.T) {
	dir := t.TempDir()
	plain := openPlain(t, makeFile(t))
	db := open(t, "tag=main dir=%s", quote(dir))
	fill(db)
	for _, tag := range oddTags {
		plain.exec("VACUUM INTO " + quote(uriOf(dir, tag)))
		copied := open(t, "tag=%s dir=%s", quote(tag), quote(dir))
		copied.want(content, wholeContent)
		copied.exec("INSERT INTO t VALUES (5000, 'y')")
		plain.fails("VACUUM INTO "+quote(uriOf(dir, tag)), "output file already exists")
	}
	db.exec("VACUUM INTO " + quote(uriOf(dir, "from a tag")))
	open(t, "tag='from a tag' dir=%s", quote(dir)).want(content, wholeContent)
	db.exec("VACUUM")
	db.want(content, wholeContent)
}

func TestExportAndImportTakeAnyPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50%41 of it's #data")
	db := open(t, "tag=main dir=%s", quote(dir))
	fill(db)
	for i, path := range oddPaths(t) {
		db.exec("PRAGMA graft_export = " + quote(path))
		openPlain(t, path).want(content, wholeContent)
		to := open(t, "tag=to%d dir=%s", i, quote(dir))
		to.exec("PRAGMA graft_import = " + quote(path))
		to.want(content, wholeContent)
		db.fails("PRAGMA graft_export = "+quote(path), "exists already")
		plain := path + ".attached"
		db.exec("ATTACH " + quote(plainURI(plain)) + " AS p; CREATE TABLE p.t AS SELECT * FROM main.t; DETACH p")
		openPlain(t, plain).want(content, wholeContent)
	}
}

// raw calls fn with go-sqlite3's connection.
func raw(t *testing.T, db *database, fn func(*sqlite3.Conn) error) {
	t.Helper()
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error { return fn(c.(sqlite3driver.Conn).Raw()) }); err != nil {
		t.Fatal(err)
	}
}

func TestBackupBothWays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "it's 50% off.db")
	db := open(t, "tag=main dir=%s", quote(dir))
	fill(db)
	raw(t, db, func(c *sqlite3.Conn) error { return c.Backup("main", plainURI(path)) })
	openPlain(t, path).want(content, wholeContent)

	to := open(t, "tag='it''s 50%% off' dir=%s", quote(dir))
	to.exec("CREATE TABLE other(a)", "INSERT INTO other VALUES (1)")
	to.want("SELECT count(*) FROM other", "1")
	raw(t, to, func(c *sqlite3.Conn) error { return c.Restore("main", plainURI(path)) })
	to.want(content, wholeContent)
	to.fails("SELECT * FROM other", "no such table")
	to.exec("INSERT INTO t VALUES (5000, 'y')")

	raw(t, to, func(c *sqlite3.Conn) error { return c.Restore("main", uriOf(dir, "main")) })
	to.want(content, wholeContent)
	raw(t, db, func(c *sqlite3.Conn) error { return c.Backup("main", uriOf(dir, "backup")) })
	open(t, "tag=backup dir=%s", quote(dir)).want(content, wholeContent)
}

// TestCopiesOfOtherFiles takes files of each page size and mode into tags, in
// the three ways of SQLite. Those of another page size are refused.
func TestCopiesOfOtherFiles(t *testing.T) {
	for _, size := range []int{512, 1024, 4096, 16384, 65536} {
		for _, mode := range []string{"delete", "wal"} {
			if mode == "wal" && size != 4096 && size != 1024 {
				continue
			}
			t.Run(fmt.Sprintf("%d %s", size, mode), func(t *testing.T) {
				dir, path := t.TempDir(), filepath.Join(t.TempDir(), "plain.db")
				plain := openPlain(t, path)
				plain.SetMaxOpenConns(1)
				plain.exec(fmt.Sprintf("PRAGMA page_size = %d", size), "PRAGMA journal_mode = "+mode,
					"CREATE TABLE t(a, b)", numbers+"INSERT INTO t SELECT i, printf('%.100c', 'x') FROM n")
				to := open(t, "tag=restored dir='%s'", dir)
				to.exec("CREATE TABLE t(a, b)", "INSERT INTO t VALUES (1, 'old')")
				errs := map[string]error{"restored": nil, "saved": nil, "vacuumed": nil}
				raw(t, to, func(c *sqlite3.Conn) error {
					err := c.Restore("main", plainURI(path))
					if errs["restored"] = err; err != nil {
						wantError(t, vfs.Cause(c, err), fmt.Sprintf("pages of %d bytes", size), "graft_import")
					}
					return nil
				})
				raw(t, plain, func(c *sqlite3.Conn) error {
					var logged []string
					if err := c.ConfigLog(func(_ sqlite3.ExtendedErrorCode, text string) { logged = append(logged, text) }); err != nil {
						return err
					}
					defer c.ConfigLog(nil)
					for tag, do := range map[string]func(uri string) error{
						"saved":    func(uri string) error { return c.Backup("main", uri) },
						"vacuumed": func(uri string) error { return c.Exec("VACUUM INTO " + quote(uri)) },
					} {
						logged = nil
						err := do(uriOf(dir, tag))
						if errs[tag] = err; err != nil {
							wantError(t, vfs.Cause(c, err), fmt.Sprintf("pages of %d bytes", size), "graft_import", "VACUUM INTO")
							wantError(t, errors.New(strings.Join(logged, "\n")), fmt.Sprintf("pages of %d bytes", size))
						}
						if again := vfs.Cause(c, err); again != nil {
							t.Errorf("%s: the cause is told twice: %v", tag, again)
						}
					}
					return nil
				})
				plain.exec("PRAGMA page_size = 4096", "VACUUM INTO "+quote(uriOf(dir, "converted")))
				open(t, "tag=converted dir='%s'", dir).want(content, "400 40000 ok")
				for tag, err := range errs {
					want := "400 40000 ok"
					if size != 4096 {
						wantIs(t, err, sqlite3.IOERR)
						want = "1 3 ok"
					} else if err != nil {
						t.Errorf("%s: %v", tag, err)
					}
					db := to
					if tag != "restored" {
						db = open(t, "tag=%s dir='%s'", tag, dir)
						db.exec("CREATE TABLE IF NOT EXISTS t(a, b)")
						if size != 4096 {
							db.exec("INSERT INTO t VALUES (1, 'old')")
						}
					}
					db.want(content, want)
					db.want("PRAGMA journal_mode", "delete")
					db.exec("INSERT INTO t VALUES (2, 'new')", "VACUUM")
					open(t, "tag=%s dir='%s'", tag, dir).want("PRAGMA integrity_check", "ok")
				}
			})
		}
	}
}

func TestTwoTagsInOneStatement(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=a dir=%s", quote(dir))
	db.SetMaxOpenConns(1)
	fill(db)
	db.exec("ATTACH "+quote(uriOf(dir, "b"))+" AS b", "CREATE TABLE b.u AS SELECT a, 2*a AS c FROM main.t",
		"BEGIN", "UPDATE main.t SET b = 'z' WHERE a > 1000", "DELETE FROM b.u WHERE a > 1000", "COMMIT")
	db.want("SELECT count(*) || ' ' || sum(c) FROM main.t JOIN b.u USING (a)", "1000 1001000")
	db.exec("BEGIN", "DELETE FROM main.t", "DELETE FROM b.u", "ROLLBACK")
	for _, schema := range []string{"main", "b"} {
		db.want("PRAGMA "+schema+".integrity_check", "ok")
	}
	open(t, "tag=b dir=%s", quote(dir)).want("SELECT count(*) FROM u", "1000")
	open(t, "tag=a dir=%s", quote(dir)).want("SELECT count(*) FROM t WHERE b = 'z'", "1000")
}

// TestACopyIntoATagHasItsCause has the file that the copy is written to closed when
// the error is reported.
func TestACopyIntoATagHasItsCause(t *testing.T) {
	path, dir := filepath.Join(t.TempDir(), "plain.db"), t.TempDir()
	openPlain(t, path).exec("PRAGMA page_size = 8192", "CREATE TABLE t(a)")
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	db.exec("CREATE TABLE t(a)", "ATTACH "+quote(plainURI(path))+" AS p")
	wantIs(t, db.fails("VACUUM p INTO "+quote(uriOf(dir, "o")), "pages of 8192 bytes"), sqlite3.IOERR)
	if _, err := db.Exec("SELECT * FROM absent"); err == nil || strings.Contains(err.Error(), "8192") {
		t.Errorf("another statement gives %v", err)
	}
}
