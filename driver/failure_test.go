package driver_test

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"graft"
	_ "graft/objstore/s3"
)

// pushed makes a database of some pages and pushes it.
func pushed(t *testing.T, remote string) *database {
	t.Helper()
	db := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 1000) INSERT INTO t SELECT i, randomblob(200) FROM n",
		"PRAGMA graft_push")
	return db
}

func TestDamagedSegmentsFailQueriesClearly(t *testing.T) {
	remote, dir := fileBucket(t)
	a := pushed(t, remote)
	want := a.ask("SELECT hex(sum(length(b))) FROM t")
	segments, err := filepath.Glob(filepath.Join(dir, "segments", "*"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	whole, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), whole...)
	for i := 0; i < len(flipped); i += 1000 {
		flipped[i] ^= 0x10
	}
	for name, damaged := range map[string][]byte{"flipped": flipped, "truncated": whole[:20]} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
			b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
			if err := os.WriteFile(segments[0], damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			var n string
			err := b.QueryRow("SELECT hex(sum(length(b))) FROM t").Scan(&n)
			wantError(t, err, "corrupt data", "segments/"+filepath.Base(segments[0]))
			if !errors.Is(err, graft.ErrCorrupt) || !errors.Is(err, sqlite3.IOERR) {
				t.Errorf("error %v is not both ErrCorrupt and IOERR", err)
			}
			t.Log(err)
			if err := os.WriteFile(segments[0], whole, 0o600); err != nil {
				t.Fatal(err)
			}
			b.want("SELECT hex(sum(length(b))) FROM t", want) // the connection goes on
			b.want("PRAGMA integrity_check", "ok")
		})
	}
}

func TestAnUnreachableBucket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // nobody listens there
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
	db := open(t, "tag=main dir='%s' remote=s3://bucket?endpoint=http://%s&use_path_style=true&region=us-east-1", t.TempDir(), address)
	db.exec("CREATE TABLE t(a)")
	for _, p := range []string{"graft_push", "graft_fetch", "graft_pull"} {
		err := db.fails("PRAGMA "+p, "refused")
		if strings.Contains(err.Error(), "verysecret") {
			t.Error("the error tells the secret")
		}
		t.Log(err)
	}
	db.want("SELECT count(*) FROM t", "0")
	db.exec("INSERT INTO t VALUES (1)")
	db.wantStatus("+2 r_")
}

func TestABucketThatGoesAwayAndComesBack(t *testing.T) {
	remote, dir := fileBucket(t)
	a := pushed(t, remote)
	a.exec("INSERT INTO t VALUES (5000, 'x')")
	b := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	b.exec("PRAGMA graft_clone = '"+a.line("graft_info", "Remote:")+"'", "SELECT b FROM t WHERE a = 1")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	t.Log(a.fails("PRAGMA graft_push", dir))
	a.want("SELECT b FROM t WHERE a = 5000", "x")
	t.Log(b.fails("SELECT sum(length(b)) FROM t", "read page", dir)) // the first pages are here
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	b.want("SELECT sum(length(b)) FROM t", "200000")
	a.exec("PRAGMA graft_push")
	a.wantStatus("3 r2")
}

func TestAnotherBucketThanItWasPushedTo(t *testing.T) {
	remote, _ := fileBucket(t)
	other, otherDir := fileBucket(t)
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s' remote=%s", dir, remote)
	db.exec("CREATE TABLE t(a)", "PRAGMA graft_push", "INSERT INTO t VALUES (1)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, "tag=main dir='%s' remote=%s", dir, other)
	for _, p := range []string{"graft_push", "graft_pull", "graft_fetch"} {
		t.Log(db.fails("PRAGMA "+p, "not the one that this data directory was synced with"))
	}
	db.want("SELECT count(*) FROM t", "1")
	if left, _ := filepath.Glob(filepath.Join(otherDir, "*")); len(left) > 0 {
		t.Errorf("the other bucket has %v", left)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, "tag=main dir='%s' remote=%s", dir, remote)
	db.exec("PRAGMA graft_push")
	db.wantStatus("2 r2")
}

func TestARemoteThatCannotBeOpened(t *testing.T) {
	for remote, texts := range map[string][]string{
		"ftp://host/path":              {"ftp"},
		"file:///nowhere/at/all":       {"/nowhere/at"},
		"s3://bucket?nonsense=x":       {"nonsense"},
		"file://relative/path":         {"relative"},
		"gs://bucket":                  {"gs"},
		"://":                          {"malformed URL"},
		"s3://user:verysecret@bucket?": {},
	} {
		db := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
		err := db.Ping()
		if len(texts) > 0 {
			wantError(t, err, texts...)
		}
		if err != nil && strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: the error tells the secret: %v", remote, err)
		}
	}
}

const holderEnv = "GRAFT_TEST_HOLD_DIRECTORY"

// holdDirectory is another process that has a data directory open until its
// input ends.
func holdDirectory() {
	db, err := sql.Open("graft", fmt.Sprintf("tag=main dir='%s'", os.Getenv(holderEnv)))
	if err == nil {
		_, err = db.Exec("CREATE TABLE t(a)")
	}
	fmt.Println("ready", err)
	io.Copy(io.Discard, os.Stdin)
}

func TestADirectoryThatAnotherProcessHolds(t *testing.T) {
	dir := t.TempDir()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holderEnv+"="+dir)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready <nil>\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	db := open(t, "tag=main dir='%s'", dir)
	err = db.Ping()
	wantError(t, err, fmt.Sprintf("process %d", holder.Process.Pid), dir, "GRAFT_DIR", "dir=")
	if !errors.Is(err, graft.ErrInUse) {
		t.Errorf("%v is not ErrInUse", err)
	}
	t.Log(err)
	// It is killed, as by a crash: what it committed is there, and the lock is not.
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	_ = in.Close()
	db.want("SELECT count(*) FROM t", "0")
}
