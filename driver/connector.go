package driver

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft"
	"graft/vfs"
)

// Options are the settings of connections that [NewConnector] makes. They mean
// what the keys of data source names do.
type Options struct {
	Mode       string   // ro, rw or rwc (default)
	Pragmas    []string // for each connection, as busy_timeout(1000)
	TxLock     string   // immediate (default), deferred or exclusive
	TimeFormat string
	Budget     string // of each statement, as 10MB or 20requests; empty: none

	// Init is called with each new connection, after the pragmas, which is closed
	// when it returns an error.
	Init func(*sqlite3.Conn) error
}

// NewConnector gives what [sql.OpenDB] needs to open a tag of a data directory
// that the program has opened itself. opts may be nil. Everything that is wrong
// with them is reported at once. db stays the caller's, and must be open until
// the first connection is; the sql.DB has a hold of its own from then until it is
// closed.
func NewConnector(db *graft.DB, tag string, opts *Options) (sqldriver.Connector, error) {
	if opts == nil {
		opts = &Options{}
	}
	c := vfs.Config{Tag: tag, Dir: db.Path(), Mode: opts.Mode, Pragmas: opts.Pragmas, TxLock: opts.TxLock, TimeFormat: opts.TimeFormat}
	name := c.URI()
	if opts.Budget != "" {
		name += "&budget=" + url.QueryEscape(opts.Budget)
	}
	config, err := vfs.ParseConfig(name) // checks it
	if err != nil {
		return nil, err
	}
	return newConnector(&Driver{}, config, opts.Init)
}

// connector makes the connections of one sql.DB. It holds the data directory
// open from the first one until Close, whether connections are idle or not.
type connector struct {
	driver *Driver
	config vfs.Config
	inner  sqldriver.Connector
	init   func(*sqlite3.Conn) error

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

// parseConnector reads a data source name.
func parseConnector(d *Driver, name string) (*connector, error) {
	config, err := vfs.ParseConfig(name)
	if err != nil {
		return nil, err
	}
	return newConnector(d, config, nil)
}

func newConnector(d *Driver, config vfs.Config, init func(*sqlite3.Conn) error) (*connector, error) {
	if config.TxLock == "" {
		config.TxLock = "immediate"
	}
	config.Pragmas = append([]string{defaultBusyTimeout}, config.Pragmas...)
	inner, err := (&sqlite3driver.SQLite{}).OpenConnector(config.URI())
	if err != nil {
		return nil, fmt.Errorf("graft: %w", err)
	}
	return &connector{driver: d, config: config, busyTimeout: lastBusyTimeout(config.Pragmas), inner: inner, init: init}, nil
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
		return nil, withCause(err, whyEnded(ctx)) // the VFS's is gone with the connection
	}
	opened := &conn{inner.(innerConn)}
	err = opened.Raw().Exec("PRAGMA " + c.busyTimeout)
	if err == nil && c.init != nil {
		err = c.init(opened.Raw())
	}
	if err != nil {
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
