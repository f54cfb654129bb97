// Package driver is the database/sql driver named "graft":
//
//	db, err := sql.Open("graft", "tag=main")
//
// A data source name is pairs key=value with spaces between them. A value that
// has spaces stands in single quotes, and a quote in it is doubled. Instead,
// go-sqlite3's form "file:TAG?key=value&…" is taken, with the same keys:
//
//	tag        the Tag to open; its first write makes it
//	dir        the data directory; without it that of the environment variable
//	           GRAFT_DIR, or a folder graft where the operating system keeps
//	           data of applications
//	remote     the URL of the bucket; without it that of GRAFT_REMOTE, or none
//	autosync   interval, as 10s, at which all Tags are pulled and pushed
//	pagecache  size of the cache of pages in memory, as 64MB; 32 MiB without it
//	mode       ro: read only, and the Tag must exist; rw: it must exist;
//	           rwc (default)
//	_pragma    a pragma for each connection, as busy_timeout(1000); may repeat
//	_txlock    how BEGIN locks: immediate (default), deferred, exclusive
//	_timefmt   how times are written, as in go-sqlite3's driver
//
// dir, remote, autosync and pagecache belong to the data directory: all who have it open
// in a process share one store, and give the same or nothing. tag and the rest
// are each connection's.
//
// The pragmas of graft run when a statement is prepared. PRAGMA graft_switch
// moves the one connection that it runs on: take a [sql.Conn] for it, or the
// pool has connections of both tags.
//
// The package is a thin layer over the driver of github.com/ncruces/go-sqlite3:
// see there for types and times. Its connections are that driver's Conn, which
// [sql.Conn.Raw] gives.
//
// Transactions are serializable at all levels up to that, and linearizable ones
// are refused. One that is ReadOnly sees from BeginTx on what is there then.
//
// Errors are those of SQLite with what caused them: next to
// errors.Is(err, sqlite3.BUSY_SNAPSHOT) these hold: errors.Is(err,
// graft.ErrDiverged) of a PRAGMA graft_push, errors.Is(err, graft.ErrCorrupt)
// of a query, errors.Is(err, context.Canceled) of what was interrupted. What
// [sql.Conn.Raw] gives has SQLite's errors alone; see [graft/vfs.Cause].
// The SQLite that it runs is compiled by wazero once and kept on disk; see
// [graft/vfs.CacheEnv].
package driver

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft"
	"graft/vfs"
)

// Name is the name of the driver.
const Name = "graft"

func init() { sql.Register(Name, &Driver{}) }

// Driver is the driver. It has no state.
type Driver struct{}

var _ sqldriver.DriverContext = (*Driver)(nil)

// Open opens one connection. database/sql uses [Driver.OpenConnector] instead.
// The data directory stays open until the connection is closed.
func (d *Driver) Open(name string) (sqldriver.Conn, error) {
	c, err := newConnector(d, name)
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(context.Background())
	return conn, errors.Join(err, c.Close()) // the connection's file has a hold of its own
}

// OpenConnector reads a data source name. It opens nothing yet.
func (d *Driver) OpenConnector(name string) (sqldriver.Connector, error) {
	return newConnector(d, name)
}

// connector makes the connections of one sql.DB. It holds the data directory
// open from the first one until Close, whether connections are idle or not.
type connector struct {
	driver *Driver
	config vfs.Config
	inner  sqldriver.Connector

	// busyTimeout is the pragma that is run again when a connection is open:
	// before, it cannot have the VFS's way to wait.
	busyTimeout string

	mu struct {
		sync.Mutex
		db     *graft.DB
		closed bool
	}
}

// defaultBusyTimeout is how long a connection waits for another's transaction:
// go-sqlite3's own, which it drops where pragmas are given.
const defaultBusyTimeout = "busy_timeout(60000)"

func newConnector(d *Driver, name string) (*connector, error) {
	config, err := vfs.ParseConfig(name)
	if err != nil {
		return nil, err
	}
	if config.TxLock == "" {
		config.TxLock = "immediate"
	}
	config.Pragmas = append([]string{defaultBusyTimeout}, config.Pragmas...)
	inner, err := (&sqlite3driver.SQLite{}).OpenConnector(config.URI())
	if err != nil {
		return nil, fmt.Errorf("graft: %w", err)
	}
	return &connector{driver: d, config: config, busyTimeout: lastBusyTimeout(config.Pragmas), inner: inner}, nil
}

// lastBusyTimeout gives the pragma that sets the busy timeout.
func lastBusyTimeout(pragmas []string) (last string) {
	for _, p := range pragmas {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(p)), "busy_timeout") {
			last = p
		}
	}
	return last
}

// Driver gives the driver.
func (c *connector) Driver() sqldriver.Driver { return c.driver }

// Connect opens a connection, and before the first one the data directory.
func (c *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	db, err := c.hold(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.fetchHeader(ctx, db); err != nil {
		return nil, fmt.Errorf("graft: open tag %s: %w", c.config.Tag, err)
	}
	vfs.ConfigureEngine()
	inner, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, err
	}
	opened := &conn{inner.(innerConn)}
	if err := opened.Raw().Exec("PRAGMA " + c.busyTimeout); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// fetchHeader gets the page that SQLite reads when it opens a file: it does so
// before it tells the file of its connection, and so of ctx.
func (c *connector) fetchHeader(ctx context.Context, db *graft.DB) error {
	g, err := db.Graft(ctx, c.config.Tag)
	if err != nil {
		return err
	}
	return g.View(func(r *graft.Reader) error {
		if r.PageCount() == 0 {
			return nil
		}
		_, err := r.Page(ctx, 1)
		return err
	})
}

// hold gives the data directory, which it opens if this is the first
// connection. The errors of opening it are clearer here than through SQLite.
func (c *connector) hold(ctx context.Context) (*graft.DB, error) {
	c.mu.Lock()
	held, closed := c.mu.db, c.mu.closed
	c.mu.Unlock()
	switch {
	case closed:
		return nil, errors.New("graft: the database handle is closed")
	case held != nil:
		return held, nil
	}
	db, err := vfs.OpenConfig(ctx, c.config)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.mu.db == nil && !c.mu.closed {
		c.mu.db = db
	}
	held = c.mu.db
	c.mu.Unlock()
	if held == db {
		return db, nil
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return c.hold(ctx) // another connection was first, or Close
}

// Close gives the data directory free. sql.DB.Close calls it, after it has
// closed the connections.
func (c *connector) Close() error {
	c.mu.Lock()
	db := c.mu.db
	c.mu.db, c.mu.closed = nil, true
	c.mu.Unlock()
	if db == nil {
		return nil
	}
	return db.Close()
}
