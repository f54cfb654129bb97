package driver_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"graft"
	_ "graft/vfs"
)

func TestBadDataSourceNamesSayWhatIsWrong(t *testing.T) {
	for name, texts := range map[string][]string{
		"":                                {"no tag"},
		"dir=/tmp/x":                      {"no tag"},
		"tag=":                            {"tag is empty"},
		"tag=main colour=blue":            {`unknown key "colour"`},
		"tag=main dir=/x autosync=soon":   {"autosync=soon", "duration"},
		"tag=main dir=/x mode=often":      {"mode=often"},
		"tag=main tag=other":              {"tag is given 2 times"},
		"tag=main dir='/x":                {"dir", "does not end"},
		"main":                            {`"main"`, "key=value"},
		"tag=main&dir=/x":                 {`"&dir=/x"`, "value of tag", "space"},
		"tag=main dir=/x,mode=ro":         {`",mode=ro"`, "value of dir"},
		"file:main?colour=blue":           {`unknown key "colour"`},
		"file:main?vfs=memdb":             {"memdb"},
		"file:?dir=/x":                    {"tag is empty"},
		"tag=main colour=blue mode=often": {"colour", "mode=often"},
		"tag=main _txlock=never":          {"_txlock=never"},
	} {
		_, err := sql.Open("graft", name)
		if err == nil {
			t.Errorf("%q: no error", name)
			continue
		}
		wantError(t, err, texts...)
	}
}

func TestDirectoryFromTheEnvironment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set", "by environment")
	t.Setenv("GRAFT_DIR", dir)
	t.Setenv("GRAFT_REMOTE", "mem://"+t.Name())
	db := open(t, "tag=main")
	db.exec("CREATE TABLE t(a)", "PRAGMA graft_push")
	db.wantStatus("1 r1")
	d, err := graft.Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if tags, err := d.Tags(context.Background()); err != nil || len(tags) != 1 || tags[0].Name != "main" {
		t.Errorf("tags %v, %v", tags, err)
	}
}

func TestNoDirectoryAsksForOne(t *testing.T) {
	for _, key := range []string{"GRAFT_DIR", "XDG_DATA_HOME", "HOME", "LocalAppData", "USERPROFILE", "home"} {
		t.Setenv(key, "")
	}
	_, err := sql.Open("graft", "tag=main")
	wantError(t, err, "dir=", "GRAFT_DIR")
}

func TestAnyFormOpensTheSameDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a dir with 'quotes' & more")
	const tag = "50% of it's ümläut?"
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	first := open(t, "tag=%s dir=%s", quoted(tag), quoted(dir))
	first.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (42)")

	second := open(t, "file:%s?dir=%s", escape(tag), escape(dir))
	second.want("SELECT a FROM t", "42")
	second.want("PRAGMA busy_timeout", "60000")

	third := open(t, "file:%s?dir=%s&_pragma=cache_size(7)&_pragma=threads(0)", escape(tag), escape(dir))
	third.want("PRAGMA cache_size", "7")
	third.want("PRAGMA busy_timeout", "60000")
	third.want("SELECT a FROM t", "42")

	conn, err := sqlite3.Open("file:" + escape(tag) + "?vfs=graft&dir=" + escape(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec("INSERT INTO t VALUES (43)"); err != nil {
		t.Fatal(err)
	}
	first.want("SELECT sum(a) FROM t", "85")
}

func TestPlainFormTakesTheEnvironment(t *testing.T) {
	t.Setenv("GRAFT_DIR", t.TempDir())
	conn, err := sqlite3.Open("file:main?vfs=graft")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	open(t, "tag=main").want("SELECT count(*) FROM t", "1")
	_, err = sqlite3.Open("file:main?vfs=graft&colour=blue")
	wantError(t, err, "colour")
}

func TestATagIsMadeByItsFirstWrite(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.want("SELECT count(*) FROM sqlite_schema", "0")
	if got, err := readTags(dir); err != nil || len(got) != 0 {
		t.Fatalf("after a read there are tags %v, %v", got, err)
	}
	for _, mode := range []string{"ro", "rw"} {
		ro := open(t, "tag=main dir='%s' mode=%s", dir, mode)
		wantError(t, ro.Ping(), `tag "main" does not exist`, dir)
	}
	db.exec("CREATE TABLE t(a)")
	if got, err := readTags(dir); err != nil || len(got) != 1 {
		t.Fatalf("after a write there are tags %v, %v", got, err)
	}
	ro := open(t, "tag=main dir='%s' mode=ro", dir)
	ro.want("SELECT count(*) FROM t", "0")
	ro.fails("INSERT INTO t VALUES (1)", "readonly")
	ro.fails("PRAGMA graft_switch = 'nowhere'", `tag "nowhere" does not exist`)
}

func readTags(dir string) ([]graft.TagInfo, error) {
	db, err := graft.Open(context.Background(), dir, nil)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return db.Tags(context.Background())
}

func TestHandlesOfOneDirectoryShareOneStore(t *testing.T) {
	dir := t.TempDir()
	a := open(t, "tag=main dir='%s' remote=mem://%s", dir, t.Name())
	b := open(t, "tag=main dir='%s'", filepath.Join(dir, "..", filepath.Base(dir)))
	a.exec("CREATE TABLE t(a)")
	b.exec("INSERT INTO t VALUES (1)")
	a.want("SELECT count(*) FROM t", "1")
	b.exec("PRAGMA graft_push") // the remote is the directory's
	c := open(t, "tag=main dir='%s' remote=mem://another", dir)
	wantError(t, c.Ping(), "remote", dir)
	d := open(t, "tag=main dir='%s' remote=mem://%s autosync=1h", dir, t.Name())
	wantError(t, d.Ping(), "autosync")

	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b.want("SELECT count(*) FROM t", "1")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	e := open(t, "tag=main dir='%s' remote=mem://%s", dir, t.Name())
	e.want("SELECT count(*) FROM t", "1")
	e.wantStatus("2 r1")
}

// escape writes s for a URI as SQLite reads it.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
