package driver_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"graft"
	"graft/internal/faultbucket"
)

// coldReplica gives a replica of a database that the statements make, with
// nothing stored, and the database.
func coldReplica(t *testing.T, bucket *faultbucket.Bucket, statements ...string) (replica, source *database) {
	t.Helper()
	blob := bucket.Blob()
	t.Cleanup(func() { blob.Close() })
	dirs := []string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		db, err := graft.Open(context.Background(), dir, &graft.Options{Bucket: blob})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	source = open(t, "tag=main dir=%s", dirs[0])
	source.exec(statements...)
	source.exec("PRAGMA graft_push")
	replica = open(t, "tag=main dir=%s", dirs[1])
	replica.exec("PRAGMA graft_clone = '" + source.line("graft_info", "Remote:") + "'")
	return replica, source
}

// flight counts requests for frames, and how many were under way at most.
type flight struct {
	mu             sync.Mutex
	all, now, most int
}

func (f *flight) watch(bucket *faultbucket.Bucket) {
	isFrame := func(r faultbucket.Request) bool { return strings.HasPrefix(r.Key, "segments/") }
	bucket.Fail(func(r faultbucket.Request) error {
		if isFrame(r) {
			f.mu.Lock()
			f.all, f.now = f.all+1, f.now+1
			f.most = max(f.most, f.now)
			f.mu.Unlock()
			time.Sleep(2 * time.Millisecond) // so that they may meet
		}
		return nil
	}, func(r faultbucket.Request) error {
		if isFrame(r) {
			f.mu.Lock()
			f.now--
			f.mu.Unlock()
		}
		return nil
	})
}

// TestAColdScanTakesFewRequests reads a table of some seventy frames.
func TestAColdScanTakesFewRequests(t *testing.T) {
	bucket := faultbucket.New()
	replica, source := coldReplica(t, bucket, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, hex(randomblob(100)) FROM n")
	var f flight
	f.watch(bucket)
	const query = "SELECT count(*) || ' ' || sum(length(b)) || ' ' || max(b) FROM t"
	if got, want := replica.ask(query), source.ask(query); got != want {
		t.Errorf("the replica says %q, want %q", got, want)
	}
	if f.all > 20 {
		t.Errorf("%d requests for frames", f.all)
	}
}

// TestRowsOfAnIndexAreFetchedTogether reads rows far from one another, in the
// order of an index and against it.
func TestRowsOfAnIndexAreFetchedTogether(t *testing.T) {
	for _, order := range []string{"ASC", "DESC"} {
		bucket := faultbucket.New()
		replica, source := coldReplica(t, bucket, "CREATE TABLE t(a INTEGER PRIMARY KEY, u INTEGER, b TEXT)",
			"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, i % 2000, hex(randomblob(100)) FROM n",
			"CREATE INDEX byu ON t(u)")
		var f flight
		f.watch(bucket)
		query := "SELECT group_concat(b) FROM (SELECT b FROM t INDEXED BY byu WHERE u = 77 ORDER BY a " + order + " LIMIT 10)"
		if got, want := replica.ask(query), source.ask(query); got != want {
			t.Errorf("%s: the replica says %q, want %q", order, got, want)
		}
		if f.most < 4 {
			t.Errorf("%s: at most %d of %d requests for frames were under way at once", order, f.most, f.all)
		}
	}
}

// TestALargeValueTakesFewRequests reads the end of a value of fifty pages.
func TestALargeValueTakesFewRequests(t *testing.T) {
	bucket := faultbucket.New()
	replica, source := coldReplica(t, bucket, "CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 100) INSERT INTO t SELECT i, randomblob(200000) FROM n")
	var f flight
	f.watch(bucket)
	const query = "SELECT hex(substr(b, 199000, 5)) FROM t WHERE a = 77"
	if got, want := replica.ask(query), source.ask(query); got != want {
		t.Errorf("the replica says %q, want %q", got, want)
	}
	if f.all > 8 {
		t.Errorf("%d requests for frames", f.all)
	}
}
