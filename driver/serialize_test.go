package driver_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/serdes"

	"graft/internal/sqlitefile"
	"graft/internal/testdir"
	"graft/vfs"
)

// TestSerializeATag takes the bytes of a tag, which are those of its export but for
// counters, and makes another tag of them beside a reader.
func TestSerializeATag(t *testing.T) {
	dir := testdir.InMemory(t)
	db := open(t, "tag=main dir='%s'", dir)
	fill(db)
	exported := filepath.Join(testdir.InMemory(t), "exported")
	db.exec("PRAGMA graft_export = " + quote(exported))
	want, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	var image []byte
	raw(t, db, func(c *sqlite3.Conn) (err error) {
		image, err = serdes.Serialize(c, "main")
		return err
	})
	for _, b := range [][]byte{want, image} {
		sqlitefile.Header(b).SetCounter(1)
		sqlitefile.Header(b).SetCookie(1) // a backup raises it
	}
	if !bytes.Equal(image, want) {
		t.Fatalf("%d bytes are not those of the export, which are %d", len(image), len(want))
	}

	to := open(t, "tag=to dir='%s'", dir)
	to.exec("CREATE TABLE t(a, b)", "INSERT INTO t VALUES (1, 'old')")
	lsn := to.head()
	reader := newPlayer(t, uriOf(dir, "to"), "OTHER")
	before := reader.play("BEGIN; " + content)
	raw(t, to, func(c *sqlite3.Conn) error { return serdes.Deserialize(c, "main", image) })
	wantError(t, errors.New(before), "1 3 ok")
	for statement, text := range map[string]string{content: "1 3 ok", "DELETE FROM t": "database is locked"} {
		wantError(t, errors.New(reader.play(statement)), text)
	}
	wantError(t, errors.New(reader.play("ROLLBACK; "+content)), wholeContent)
	to.want(content, wholeContent)
	if got := to.head(); got != lsn+1 {
		t.Errorf("LSN %d after %d", got, lsn)
	}
	to.exec("INSERT INTO t VALUES (5000, 'y')")
	db.want(content, wholeContent)
}

// TestDeserializeLikeAFile gives a tag and a file images, whole and not: what becomes of
// both is the same, and what is refused leaves them as they were. An image of another page
// size that is smaller cuts the tag before it is refused: that makes no commit either.
func TestDeserializeLikeAFile(t *testing.T) {
	dir, files := testdir.InMemory(t), testdir.InMemory(t)
	path := filepath.Join(files, "source")
	image := func(statements ...string) []byte {
		t.Helper()
		db := openPlain(t, path)
		db.SetMaxOpenConns(1)
		db.exec(statements...)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err := errors.Join(err, os.Remove(path)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	const table = "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b); WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 500) INSERT INTO t SELECT i, printf('%.100c', 'x') FROM n"
	whole := image(table)
	damaged := bytes.Clone(whole)
	clear(damaged[5*4096:])
	for name, b := range map[string][]byte{
		"whole":    whole,
		"WAL mode": image("PRAGMA journal_mode = wal", table),
		"vacuums":  image("PRAGMA auto_vacuum = full", table),
		"UTF-16":   image("PRAGMA encoding = 'UTF-16le'", table),
		"none":     nil,
		"cut":      whole[:len(whole)/2],
		"no pages": whole[:4096*3+100],
		"header":   whole[:100],
		"damaged":  damaged,
		"text":     bytes.Repeat([]byte("no database "), 4096),
	} {
		t.Run(name, func(t *testing.T) {
			g := newPlayer(t, uriOf(dir, name), "OTHER")
			f := newPlayer(t, plainURI(filepath.Join(files, name)), "OTHER")
			together(t, g, f, "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'old')")
			got, want := serdes.Deserialize(g.conn, "main", bytes.Clone(b)), serdes.Deserialize(f.conn, "main", bytes.Clone(b))
			if (got == nil) != (want == nil) || got != nil && got.Error() != want.Error() {
				t.Errorf("graft says %v, a file %v", got, want)
			}
			t.Log(got)
			for _, statement := range []string{content, "PRAGMA encoding", "PRAGMA auto_vacuum", "PRAGMA page_count", "SELECT name FROM sqlite_schema",
				"CREATE TABLE u(a); INSERT INTO u VALUES (1); SELECT count(*) FROM u", "VACUUM", content} {
				together(t, g, f, statement)
			}
		})
	}
	for name, b := range map[string][]byte{
		"pages of 1024 bytes":  image("PRAGMA page_size = 1024", table),
		"pages of 65536 bytes": image("PRAGMA page_size = 65536", table),
	} {
		db := open(t, "tag='%s' dir='%s'", name, dir)
		fill(db)
		lsn := db.head()
		raw(t, db, func(c *sqlite3.Conn) error {
			err := serdes.Deserialize(c, "main", b)
			wantIs(t, err, sqlite3.IOERR)
			wantError(t, vfs.Cause(c, err), name, "graft_import")
			return nil
		})
		db.want(content, wholeContent)
		if got := db.head(); got != lsn {
			t.Errorf("%s: LSN %d after %d", name, got, lsn)
		}
	}
}
