//go:build vfs

// Program litestream plays Litestream in graft's benchmarks: a writer that
// replicates a database, or a replica that reads one by Litestream's VFS. It is a
// module of its own, and takes cgo and the tag vfs.
//
// It is told what to do by a line of JSON each on its standard input, and answers
// each by one: see [call] and [reply].
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/benbjohnson/litestream"
	_ "github.com/mattn/go-sqlite3"
	"github.com/psanford/sqlite3vfs"
	"github.com/superfly/ltx"
)

// call is what is to be done.
type call struct {
	Op   string // replica, writer, query, exec, push or compact
	URL  string // of the bucket; of replica and writer
	Path string // of the database; of writer
	Poll float64
	SQL  string
	Args []any
	N    int // compact: commits so far
}

// reply is what came of it. Rows are of a query: text alone.
type reply struct {
	Columns []string
	Rows    [][]string
	Seconds float64
	Error   string
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	p := &player{}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var c call
		if err := in.Decode(&c); err == io.EOF {
			break
		} else if err != nil {
			fail(err)
		}
		start := time.Now()
		r, err := p.do(context.Background(), c)
		r.Seconds = time.Since(start).Seconds()
		if err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			fail(err)
		}
	}
	if err := p.close(context.Background()); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "litestream:", err)
	os.Exit(1)
}

// player is a writer or a replica.
type player struct {
	sql *sql.DB
	db  *litestream.DB // of a writer
}

func (p *player) do(ctx context.Context, c call) (reply, error) {
	switch c.Op {
	case "replica":
		return reply{}, p.replica(c)
	case "writer":
		return reply{}, p.writer(c)
	case "query":
		return p.query(ctx, c)
	case "exec":
		_, err := p.sql.ExecContext(ctx, c.SQL, c.Args...)
		return reply{}, err
	case "push":
		return reply{}, p.push(ctx)
	case "compact":
		return reply{}, p.compact(ctx, c.N)
	}
	return reply{}, fmt.Errorf("no operation %q", c.Op)
}

// replica opens a database of the bucket by Litestream's VFS.
func (p *player) replica(c call) (err error) {
	v := litestream.NewVFS(newClient(c.URL), slog.Default())
	if c.Poll > 0 {
		v.PollInterval = time.Duration(c.Poll * float64(time.Second))
	}
	if err := sqlite3vfs.RegisterVFS("litestream", v); err != nil {
		return err
	}
	p.sql, err = sql.Open("sqlite3", "file:replica.db?vfs=litestream")
	if err != nil {
		return err
	}
	p.sql.SetMaxOpenConns(1)
	return nil
}

// writer opens a database, and replicates it when it is told to push.
func (p *player) writer(c call) (err error) {
	p.db = litestream.NewDB(c.Path)
	p.db.MonitorInterval = 0
	p.db.Replica = litestream.NewReplicaWithClient(p.db, newClient(c.URL))
	p.db.Replica.MonitorEnabled = false
	if err := p.db.Open(); err != nil {
		return err
	}
	p.sql, err = sql.Open("sqlite3", "file:"+c.Path+"?_busy_timeout=5000&_journal_mode=wal&_synchronous=normal")
	if err != nil {
		return err
	}
	p.sql.SetMaxOpenConns(1)
	return p.sql.Ping()
}

func (p *player) push(ctx context.Context) error {
	if err := p.db.Sync(ctx); err != nil {
		return err
	}
	return p.db.Replica.Sync(ctx)
}

// compact does what Litestream's default levels do after n commits, one a second:
// level 1 each 30 seconds, 2 each 5 minutes, 3 each hour; and it keeps the files of
// level 0 for 5 minutes.
func (p *player) compact(ctx context.Context, n int) error {
	for level, every := range []int{1: 30, 2: 300, 3: 3600} {
		if level == 0 || n%every != 0 {
			continue
		}
		if _, err := p.db.Compact(ctx, level); err != nil && !errors.Is(err, litestream.ErrNoCompaction) {
			return fmt.Errorf("compact to level %d: %w", level, err)
		}
	}
	const retention = 300
	if n%30 == 0 && n > retention {
		return p.db.EnforceRetentionByTXID(ctx, 0, ltx.TXID(n-retention))
	}
	return nil
}

// query gives the rows as text.
func (p *player) query(ctx context.Context, c call) (r reply, err error) {
	for i, a := range c.Args {
		if f, ok := a.(float64); ok { // JSON knows no integers
			c.Args[i] = int64(f)
		}
	}
	rows, err := p.sql.QueryContext(ctx, c.SQL, c.Args...)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	if r.Columns, err = rows.Columns(); err != nil {
		return r, err
	}
	for rows.Next() {
		values, pointers := make([]sql.NullString, len(r.Columns)), make([]any, len(r.Columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return r, err
		}
		var row []string
		for _, v := range values {
			row = append(row, v.String)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, rows.Err()
}

func (p *player) close(ctx context.Context) error {
	var errs []error
	if p.db != nil { // first, for its last sync reads the log, which the other empties
		errs = append(errs, p.db.Close(ctx))
	}
	if p.sql != nil {
		errs = append(errs, p.sql.Close())
	}
	return errors.Join(errs...)
}
