package driver_test

import (
	"context"
	"testing"

	"graft"
	"graft/internal/faultbucket"
)

// A cold replica answers a point query with the newest commit, the checkpoint's
// root, and for the one page that is in no bundle its chunk and its frame.
func TestRequestsOfAColdPointQuery(t *testing.T) {
	bucket := faultbucket.New()
	blob := bucket.Blob()
	defer blob.Close()
	opts := &graft.Options{Bucket: blob}
	source, replica := t.TempDir(), t.TempDir()
	for _, dir := range []string{source, replica} {
		db, err := graft.Open(context.Background(), dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	a := open(t, "tag=main dir=%s", source)
	a.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, hex(randomblob(100)) FROM n",
		"PRAGMA graft_push")
	want := a.ask("SELECT b FROM t WHERE a = 17777")
	b := open(t, "tag=main dir=%s", replica)
	bucket.Requests()
	b.exec("PRAGMA graft_clone = '" + a.line("graft_info", "Remote:") + "'")
	if got := b.ask("SELECT b FROM t WHERE a = 17777"); got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
	if got := bucket.Requests(); len(got) > 5 {
		t.Errorf("a cold point query took %v", got)
	}
	b.want("PRAGMA integrity_check", "ok")
}
