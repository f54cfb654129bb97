package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"graft"
	"graft/internal/faultbucket"
	"graft/vfs"
)

func wantIs(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %q is not %q", err, target)
		}
	}
}

// diverged gives a handle of a database that has diverged.
func diverged(t *testing.T) *database {
	t.Helper()
	remote := "mem://" + t.Name()
	a := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	b := open(t, "tag=main dir='%s' remote=%s", t.TempDir(), remote)
	a.exec("CREATE TABLE t(a)", "PRAGMA graft_push")
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	a.exec("INSERT INTO t VALUES ('a')")
	b.exec("INSERT INTO t VALUES ('b')", "PRAGMA graft_push")
	return a
}

func TestErrorsOfPragmasHaveTheirCauses(t *testing.T) {
	db := diverged(t)
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	_, err := db.Exec("PRAGMA graft_push")
	wantIs(t, err, graft.ErrDiverged, sqlite3.ERROR)
	_, err = db.Query("PRAGMA graft_pull")
	wantIs(t, err, graft.ErrDiverged, sqlite3.ERROR)
	_, err = db.Prepare("PRAGMA graft_push")
	wantIs(t, err, graft.ErrDiverged, sqlite3.ERROR)
	// What fails next has nothing to do with it.
	if _, err = db.Exec("nonsense"); !errors.Is(err, sqlite3.ERROR) || errors.Is(err, graft.ErrDiverged) {
		t.Errorf("nonsense gives %v", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		raw := c.(interface{ Raw() *sqlite3.Conn }).Raw()
		return vfs.Cause(raw, raw.Exec("PRAGMA graft_push"))
	})
	wantIs(t, err, graft.ErrDiverged)
}

func TestBusyErrorsHaveTheirCauses(t *testing.T) {
	db := open(t, "tag=main dir='%s' _txlock=deferred _pragma=busy_timeout(0)", t.TempDir())
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	ask(t, tx, "SELECT a FROM t")
	db.exec("UPDATE t SET a = a + 1")
	_, err = tx.Exec("UPDATE t SET a = a + 10")
	wantIs(t, err, sqlite3.BUSY_SNAPSHOT, sqlite3.BUSY, graft.ErrStale)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	writer, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("UPDATE t SET a = 5")
	wantIs(t, err, sqlite3.BUSY, graft.ErrBusy)
	if err := writer.Rollback(); err != nil {
		t.Fatal(err)
	}
	db.exec("UPDATE t SET a = 5")
}

func TestAFailedCommitHasItsCause(t *testing.T) {
	dir := t.TempDir()
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	conn := attachFailing(t, db, dir)
	defer conn.Close()
	tx, err := conn.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("CREATE TABLE aux.z(a)"); err != nil {
		t.Fatal(err)
	}
	err = tx.Commit()
	wantIs(t, err, sqlite3.IOERR)
	wantError(t, err, "checksums", "reserved bytes")
	run(t, conn, "CREATE TABLE main.z(a)")
}

// replica makes a replica, in dir, of a table in bucket, with no page of it.
func replica(t *testing.T, bucket *faultbucket.Bucket, dir string) {
	t.Helper()
	opts := &graft.Options{Bucket: bucket.Blob()}
	t.Cleanup(func() { opts.Bucket.Close() })
	source := t.TempDir()
	for _, d := range []string{source, dir} {
		held, err := graft.Open(context.Background(), d, opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := held.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	a := open(t, "tag=main dir='%s'", source)
	a.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 1000) INSERT INTO t SELECT i, randomblob(200) FROM n",
		"PRAGMA graft_push")
	// Page 1 is neither in the newest commit then, nor in a checkpoint.
	a.exec("CREATE TABLE u(a)", "PRAGMA graft_push")
	a.exec("INSERT INTO u VALUES(1)", "PRAGMA graft_push")
	b := open(t, "tag=main dir='%s'", dir)
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
}

var errAway = errors.New("the bucket is away")

// TestAConnectionWithoutPageOne opens one when page 1 cannot be had.
func TestAConnectionWithoutPageOne(t *testing.T) {
	bucket, dir := faultbucket.New(), t.TempDir()
	replica(t, bucket, dir)
	bucket.Fail(func(faultbucket.Request) error { return errAway }, nil)
	db := open(t, "tag=main dir='%s'", dir)
	err := db.Ping()
	wantError(t, err, errAway.Error(), "read page 1")
	t.Log(err)
	_, err = sqlite3.Open("file:main?vfs=graft&dir=" + escape(dir))
	wantIs(t, err, sqlite3.IOERR)
	wantError(t, err, errAway.Error(), "read page 1")
	bucket.Fail(nil, nil)
	db.want("SELECT count(*) FROM t", "1000")
}

func TestAContextEndsAWait(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.SetMaxOpenConns(2)
	db.exec("CREATE TABLE t(a)")
	writer, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	why := errors.New("why")
	for name, wait := range map[string]func(context.Context) error{
		"begin": func(ctx context.Context) error { _, err := conn.BeginTx(ctx, nil); return err },
		"exec": func(ctx context.Context) error {
			_, err := conn.ExecContext(ctx, "INSERT INTO t VALUES (1)")
			return err
		},
		"argument": func(ctx context.Context) error {
			_, err := conn.ExecContext(ctx, "INSERT INTO t VALUES (?)", 1)
			return err
		},
	} {
		ctx, cancel := context.WithTimeoutCause(context.Background(), 1e7, why)
		err := wait(ctx)
		cancel()
		wantIs(t, err, context.DeadlineExceeded, why)
		t.Log(name, err)
	}
	if err := writer.Rollback(); err != nil {
		t.Fatal(err)
	}
	run(t, conn, "INSERT INTO t VALUES (2)")
	if got := ask(t, conn, "SELECT group_concat(a) FROM t"); got != "2" {
		t.Errorf("the table has %s", got)
	}
}

func TestAContextEndsAQuery(t *testing.T) {
	db := open(t, "tag=main dir='%s'", t.TempDir())
	db.SetMaxOpenConns(1)
	const endless = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n"
	ctx, cancel := context.WithTimeout(context.Background(), 1e7)
	defer cancel()
	_, err := db.ExecContext(ctx, endless)
	wantIs(t, err, context.DeadlineExceeded)
	again, cancel := context.WithTimeout(context.Background(), 1e7)
	defer cancel()
	wantIs(t, db.QueryRowContext(again, endless).Scan(new(int)), context.DeadlineExceeded)
	db.want("SELECT 1", "1")
}

// TestAContextEndsConnecting cancels when a pragma of the data source name runs.
func TestAContextEndsConnecting(t *testing.T) {
	bucket, dir := faultbucket.New(), t.TempDir()
	replica(t, bucket, dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	open(t, "tag=main dir='%s'", dir).want("PRAGMA schema_version", "2") // has the pages of every opening
	bucket.Fail(func(faultbucket.Request) error {
		cancel()
		return nil
	}, nil)
	db := open(t, "tag=main dir='%s' _pragma=integrity_check", dir)
	wantIs(t, db.PingContext(ctx), context.Canceled)
	db.want("SELECT count(*) FROM t", "1000")
}

// TestAContextEndsAFetch cancels when the request is under way.
func TestAContextEndsAFetch(t *testing.T) {
	bucket, dir := faultbucket.New(), t.TempDir()
	replica(t, bucket, dir)
	db := open(t, "tag=main dir='%s'", dir)
	db.SetMaxOpenConns(1)
	const all = "SELECT sum(length(b)) FROM t"
	for _, c := range []struct {
		name  string
		fetch func(context.Context) error
	}{
		{"connect", db.PingContext},
		{"query", func(ctx context.Context) error { return db.QueryRowContext(ctx, all).Scan(new(int)) }},
		{"exec", func(ctx context.Context) error { _, err := db.ExecContext(ctx, all); return err }},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		release := make(chan struct{})
		bucket.Fail(func(faultbucket.Request) error {
			cancel()
			<-release
			return errAway
		}, nil)
		err := c.fetch(ctx)
		close(release)
		bucket.Fail(nil, nil)
		if ctx.Err() == nil {
			t.Errorf("%s made no request", c.name)
		}
		wantIs(t, err, context.Canceled)
		cancel()
	}
	db.want("SELECT count(*) FROM t", "1000")
}

// TestACauseIsNotAnotherFiles has a plain file busy after the tag was stale.
func TestACauseIsNotAnotherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	p := openPlain(t, path)
	p.SetMaxOpenConns(1)
	p.exec("CREATE TABLE p(a)")
	db := open(t, "tag=main dir='%s' _txlock=deferred _pragma=busy_timeout(0)", t.TempDir())
	db.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run(t, conn, "ATTACH "+quote(plainURI(path))+" AS p", "BEGIN", "SELECT * FROM t")
	db.exec("UPDATE t SET a = 2")
	_, err = conn.ExecContext(context.Background(), "UPDATE t SET a = 3")
	wantIs(t, err, graft.ErrStale)
	run(t, conn, "ROLLBACK")
	p.exec("BEGIN IMMEDIATE")
	_, err = conn.ExecContext(context.Background(), "INSERT INTO p.p VALUES (1)")
	wantIs(t, err, sqlite3.BUSY)
	if errors.Is(err, graft.ErrStale) {
		t.Errorf("%v has the cause of another error", err)
	}
	p.exec("ROLLBACK")
}
