package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"graft"
	"graft/driver"
	"graft/internal/faultbucket"
)

// openWarm opens tag main of a new data directory on a bucket.
func openWarm(t *testing.T, bucket *faultbucket.Bucket, warm bool) *database {
	t.Helper()
	blob := bucket.Blob()
	db, err := graft.Open(context.Background(), t.TempDir(), &graft.Options{Bucket: blob, Warm: warm})
	if err != nil {
		t.Fatal(err)
	}
	connector, err := driver.NewConnector(db, "main", nil)
	if err != nil {
		t.Fatal(err)
	}
	sqlDB := sql.OpenDB(connector)
	t.Cleanup(func() {
		for _, closer := range []func() error{sqlDB.Close, db.Close, blob.Close} {
			if err := closer(); err != nil {
				t.Error(err)
			}
		}
	})
	return &database{sqlDB, t}
}

// A clone that gets what another replica has used asks for nothing more, and what
// was never used is fetched as ever.
func TestRequestsOfAWarmClone(t *testing.T) {
	bucket := faultbucket.New()
	a, b := openWarm(t, bucket, false), openWarm(t, bucket, false)
	a.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INTEGER)", "CREATE INDEX i ON t(c)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, hex(randomblob(100)), i*7919%20011 FROM n",
		"PRAGMA graft_push")
	clone := "PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'"
	query := func(db *database, c int) string {
		return db.ask(fmt.Sprintf("SELECT group_concat(b) FROM t WHERE c BETWEEN %d AND %d", c, c+3))
	}
	b.exec(clone)
	want := query(b, 1000)
	b.exec("PRAGMA graft_warm_publish")
	c := openWarm(t, bucket, true)
	bucket.Requests()
	c.exec(clone)
	if got := query(c, 1000); got != want || want == "" {
		t.Errorf("the rows are %q, want %q", got, want)
	}
	if got := bucket.Requests(); len(got) != 4 {
		t.Errorf("clone and query took %v", got)
	}
	if got, want := query(c, 15000), query(a, 15000); got != want || want == "" {
		t.Errorf("the rows are %q, want %q", got, want)
	}
	c.want("PRAGMA integrity_check", "ok")
}
