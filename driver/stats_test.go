package driver_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft"
	"graft/driver"
	"graft/internal/faultbucket"
	"graft/vfs"
)

// cold is a replica without pages of a table with 20000 rows, t(a, b).
type cold struct {
	*sql.Conn
	t      *testing.T
	bucket *faultbucket.Bucket
	graft  *graft.DB
}

func newCold(t *testing.T, keys string) *cold {
	t.Helper()
	bucket := faultbucket.New()
	blob := bucket.Blob()
	t.Cleanup(func() { _ = blob.Close() })
	var dbs [2]*graft.DB
	for i := range dbs {
		db, err := graft.Open(context.Background(), t.TempDir(), &graft.Options{Bucket: blob})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		dbs[i] = db
	}
	a := open(t, "tag=main dir=%s", dbs[0].Path())
	a.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, hex(randomblob(100)) FROM n",
		"PRAGMA graft_push")
	b := open(t, "tag=main dir=%s %s", dbs[1].Path(), keys)
	conn, err := b.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &cold{conn, t, bucket, dbs[1]}
	if _, err := c.ExecContext(context.Background(), "PRAGMA graft_clone = '"+a.line("graft_info", "Remote:")+"'"); err != nil {
		t.Fatal(err)
	}
	bucket.Requests()
	return c
}

// counts is what PRAGMA graft_stats_json tells of one of its parts.
type counts struct {
	Requests     int `json:"requests"`
	Gets         int `json:"gets"`
	RoundTrips   int `json:"round_trips"`
	BytesIn      int `json:"bytes_in"`
	PagesCached  int `json:"pages_cached"`
	PagesLocal   int `json:"pages_local"`
	PagesFetched int `json:"pages_fetched"`

	RequestDollars float64 `json:"request_dollars"`
}

func (c *cold) stats() (s struct{ Statement, Connection, Process counts }) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(ask(c.t, c, "PRAGMA graft_stats_json")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cold) statsInGo(schema string) (s vfs.Stats) {
	c.t.Helper()
	err := c.Raw(func(conn any) error {
		var ok bool
		if s, ok = vfs.StatsOf(conn.(sqlite3driver.Conn).Raw(), schema); !ok {
			c.t.Errorf("%s is not of graft", schema)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// count runs a query that counts something.
func (c *cold) count(query string) (n int, err error) {
	err = c.QueryRowContext(context.Background(), query).Scan(&n)
	return n, err
}

func TestStatsOfEachStatement(t *testing.T) {
	c := newCold(t, "")
	before := c.stats()
	sum := before.Connection.Requests
	for _, query := range []string{"SELECT count(*) FROM t WHERE a = 17777", "SELECT count(b) FROM t", "SELECT count(b) FROM t"} {
		if _, err := c.count(query); err != nil {
			t.Fatal(err)
		}
		made := len(c.bucket.Requests())
		s := c.stats()
		got := s.Statement
		if sum += made; got.Requests != made || got.Gets != made || got.RoundTrips > made || (got.RoundTrips > 0) != (made > 0) || s.Connection.Requests != sum {
			t.Errorf("%s: %+v of %+v, want %d requests of %d", query, got, s.Connection, made, sum)
		}
		if (got.BytesIn > 0) != (made > 0) || (got.PagesFetched > 0) != (made > 0) {
			t.Errorf("%s: %+v with %d requests", query, got, made)
		}
		if again := c.stats(); again != s {
			t.Errorf("asked twice: %+v, then %+v", s, again)
		}
		if inGo := c.statsInGo("main"); inGo.Statement.Requests() != int64(made) || inGo.Connection.Requests() != int64(sum) ||
			inGo.Statement.RequestDollars() != got.RequestDollars || s.Connection.RequestDollars < 0.4e-6*float64(sum) {
			t.Errorf("%s: %+v in Go, %+v in SQL, of %d requests", query, inGo, s, made)
		}
		if p := c.graft.Stats(); int(p.Requests()) != s.Process.Requests || s.Process.Requests < sum || int(p.Pages()) < s.Connection.PagesFetched {
			t.Errorf("DB.Stats is %+v beside %+v", p, s)
		}
	}
	if s := c.stats(); sum < 10 || s.Connection.PagesCached+s.Connection.PagesLocal == 0 {
		t.Errorf("the connection has %+v", s.Connection)
	}
}

// Statements of one transaction count each on their own, and what preparing took
// counts with the first run alone.
func TestStatsOfPreparedStatements(t *testing.T) {
	c := newCold(t, "")
	ctx := context.Background()
	tx, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	c.bucket.Requests() // of BEGIN
	stmt, err := tx.Prepare("SELECT length(b) FROM t WHERE a = ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for _, row := range []int{19000, 5000} {
		var n int
		if err := stmt.QueryRow(row).Scan(&n); err != nil {
			t.Fatal(err)
		}
		made := len(c.bucket.Requests())
		var s struct{ Statement counts }
		if err := json.Unmarshal([]byte(ask(t, tx, "PRAGMA graft_stats_json")), &s); err != nil {
			t.Fatal(err)
		}
		if made == 0 || s.Statement.Requests != made {
			t.Errorf("row %d: %+v, want %d requests", row, s.Statement, made)
		}
	}
}

func TestABudgetEndsAStatementBeforeItIsExceeded(t *testing.T) {
	for budget, most := range map[string]graft.Stats{"4requests": {Gets: 4}, "200kB": {BytesIn: 200_000}} {
		t.Run(budget, func(t *testing.T) {
			c := newCold(t, "budget="+budget)
			_, err := c.count("SELECT count(b) FROM t")
			if !errors.Is(err, graft.ErrBudget) {
				t.Fatalf("a scan ends with %v", err)
			}
			wantError(t, err, "budget=", "PRAGMA graft_hydrate")
			made, s := len(c.bucket.Requests()), c.stats().Statement
			if made == 0 || made != s.Requests || most.Gets > 0 && made != int(most.Gets) || most.BytesIn > 0 && s.BytesIn > int(most.BytesIn) {
				t.Errorf("the bucket had %d requests, of %+v", made, s)
			}
			for _, row := range []int{19000, 5000} { // each has a budget of its own
				if n, err := c.count(fmt.Sprintf("SELECT count(b) FROM t WHERE a = %d", row)); err != nil || n != 1 {
					t.Errorf("row %d afterwards: %d, %v", row, n, err)
				}
			}
			if _, err := c.ExecContext(context.Background(), "PRAGMA graft_hydrate"); err != nil {
				t.Errorf("hydrate, which is not bounded: %v", err)
			}
			if n, err := c.count("SELECT count(b) FROM t"); err != nil || n != 20000 {
				t.Errorf("the scan of what is here: %d, %v", n, err)
			}
			if _, err := c.ExecContext(context.Background(), "INSERT INTO t(b) VALUES (1)"); err != nil {
				t.Errorf("a write afterwards: %v", err)
			}
		})
	}
}

func TestAConnectorHasABudget(t *testing.T) {
	c := newCold(t, "mode=rwc")
	connector, err := driver.NewConnector(c.graft, "main", &driver.Options{Budget: "2 requests"})
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(b) FROM t").Scan(&n); !errors.Is(err, graft.ErrBudget) {
		t.Errorf("a scan ends with %v", err)
	}
}
