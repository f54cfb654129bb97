package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"graft"
	"graft/internal/faultbucket"
	"graft/internal/meter"
)

// coldReplica gives a replica of a database that the statements make, with
// nothing stored, and the database.
func coldReplica(t *testing.T, bucket *faultbucket.Bucket, statements ...string) (replica, source *database) {
	t.Helper()
	source = openCold(t, bucket)
	source.exec(statements...)
	source.exec("PRAGMA graft_push")
	return coldClone(t, bucket, source.line("graft_info", "Remote:")), source
}

// coldClone gives a replica with nothing stored.
func coldClone(t *testing.T, bucket *faultbucket.Bucket, remote string) *database {
	t.Helper()
	replica := openCold(t, bucket)
	replica.exec("PRAGMA graft_clone = '" + remote + "'")
	return replica
}

// openCold gives a database without content.
func openCold(t *testing.T, bucket *faultbucket.Bucket) *database {
	t.Helper()
	blob := bucket.Blob()
	t.Cleanup(func() { blob.Close() })
	db, err := graft.Open(context.Background(), t.TempDir(), &graft.Options{Bucket: blob})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return open(t, "tag=main dir=%s", db.Path())
}

// flight counts requests for frames, and how many were under way at most.
type flight struct {
	mu             sync.Mutex
	all, now, most int
	met            chan struct{}
}

// watch counts the requests of bucket. Until there are meet of them under way at once, each waits
// a while for the others.
func (f *flight) watch(bucket *faultbucket.Bucket, meet int) {
	f.met = make(chan struct{})
	isFrame := func(r faultbucket.Request) bool { return strings.HasPrefix(r.Key, "segments/") }
	bucket.Fail(func(r faultbucket.Request) error {
		if isFrame(r) {
			f.mu.Lock()
			f.all, f.now = f.all+1, f.now+1
			if f.now == meet && f.most < meet {
				close(f.met)
			}
			f.most = max(f.most, f.now)
			f.mu.Unlock()
			time.Sleep(2 * time.Millisecond) // lest whoever reads be as fast as what is fetched ahead
			select {
			case <-f.met:
			case <-time.After(100 * time.Millisecond):
			}
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

// scanned is some two hundred frames of a table in the order of its keys, and as many
// of an index that is not.
var scanned = []string{"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)", "CREATE TABLE u(c INTEGER, d TEXT)", "CREATE INDEX byc ON u(c, d)",
	"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 8000) INSERT INTO t SELECT i, hex(randomblob(90)) FROM n",
	"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 8000) INSERT INTO u SELECT i * 7919 % 8009, hex(randomblob(60)) FROM n"}

// scans are ways to run a query with a value.
var scans = map[string]func(db *database, query string) error{
	"autocommit": func(db *database, query string) error {
		_, err := db.Exec(query)
		return err
	},
	"update": func(db *database, query string) error {
		_, err := db.Exec("UPDATE t SET b = 0 WHERE a = -(" + query + ")")
		return err
	},
	"delete": func(db *database, query string) error {
		_, err := db.Exec("DELETE FROM t WHERE a = -(" + query + ")")
		return err
	},
	"transaction":           func(db *database, query string) error { return inTx(db, query, nil) },
	"read-only transaction": func(db *database, query string) error { return inTx(db, query, &sql.TxOptions{ReadOnly: true}) },
}

func inTx(db *database, query string, opts *sql.TxOptions) error {
	tx, err := db.BeginTx(context.Background(), opts)
	if err != nil {
		return err
	}
	_, err = tx.Exec(query)
	return errors.Join(err, tx.Rollback())
}

// TestAColdScanTakesFewRequests reads leaves that lie in order and such that do not.
func TestAColdScanTakesFewRequests(t *testing.T) {
	bucket := faultbucket.New()
	_, source := coldReplica(t, bucket, scanned...)
	from := source.line("graft_info", "Remote:")
	for name, run := range scans {
		for _, order := range []string{"ASC", "DESC"} {
			replica := coldClone(t, bucket, from)
			for _, scan := range []struct {
				query string
				most  int
			}{ // in this order: the last scan runs into the pages of the first
				{"SELECT sum(length(d)) FROM (SELECT d FROM u INDEXED BY byc ORDER BY c %s LIMIT 3600)", 100},
				{"SELECT sum(length(b)) FROM (SELECT b FROM t ORDER BY a %s LIMIT 3600)", 50},
			} {
				var f flight
				f.watch(bucket, 2)
				query := fmt.Sprintf(scan.query, order)
				if err := run(replica, query); err != nil {
					t.Fatal(err)
				}
				if f.all < 2 || f.all > scan.most || f.most < 2 {
					t.Errorf("%s of %s: %d requests for frames, at most %d at once", name, query, f.all, f.most)
				}
				bucket.Fail(nil, nil)
			}
		}
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
		f.watch(bucket, 4)
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
	f.watch(bucket, 1)
	const query = "SELECT hex(substr(b, 199000, 5)) FROM t WHERE a = 77"
	if got, want := replica.ask(query), source.ask(query); got != want {
		t.Errorf("the replica says %q, want %q", got, want)
	}
	if f.all > 12 {
		t.Errorf("%d requests for frames", f.all)
	}
}

// TestWhatIsFetchedAheadEndsWithTheQuery looks inside a transaction, which goes on.
func TestWhatIsFetchedAheadEndsWithTheQuery(t *testing.T) {
	bucket := faultbucket.New()
	defer bucket.Hang(nil) // lest a failure wait for what hangs
	replica, _ := coldReplica(t, bucket, scanned...)
	ahead := func(ctx context.Context, _ faultbucket.Request) bool { return meter.Of(ctx).Speculative }
	await := func(hang bool) {
		for deadline := time.Now().Add(10 * time.Second); bucket.Hanging() > 0 != hang; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d requests hang", bucket.Hanging())
			}
		}
	}
	tx, err := replica.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, order := range []string{"ASC", "DESC"} { // one is cancelled, one is closed
		bucket.Hang(ahead)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		rows, err := tx.QueryContext(ctx, "SELECT d FROM u INDEXED BY byc ORDER BY c "+order)
		if err != nil {
			t.Fatal(err)
		}
		// A request that has begun hangs soon: whoever reads on before that may wait for it.
		for n := 0; n < 200 && rows.Next() && bucket.Hanging() == 0; n++ {
			time.Sleep(time.Millisecond)
		}
		await(true)
		if order == "ASC" {
			cancel()
		} else if err := rows.Close(); err != nil {
			t.Error(err)
		}
		await(false)
		rows.Close()
		bucket.Requests()
		// What was given up is fetched when it is asked for, and ahead again.
		var f flight
		bucket.Hang(nil)
		f.watch(bucket, 2)
		ask(t, tx, "SELECT sum(length(d)) FROM (SELECT d FROM u INDEXED BY byc ORDER BY c "+order+" LIMIT 3600)")
		if f.all < 2 || f.all > 100 || f.most < 2 {
			t.Errorf("%s: %d requests for frames, at most %d at once", order, f.all, f.most)
		}
		bucket.Fail(nil, nil)
	}
}
