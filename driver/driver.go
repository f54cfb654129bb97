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
//	remote     the URL of the bucket; without it that of the data directory if it
//	           is open, or else of GRAFT_REMOTE, or none
//	autosync   interval, as 10s, at which all Tags are pulled and pushed
//	warm       on: a clone fetches the pages that another replica has published as
//	           used, by PRAGMA graft_warm_publish
//	hedge      percentile, as 95: a get whose answer does not begin within the time that
//	           so many percent of recent ones took is made once more, and the first
//	           answer taken; never without it
//	pagecache  size of the cache of pages in memory, as 64MB; 32 MiB without it
//	budget     what each statement may take of the bucket to read pages: bytes, as
//	           10MB, or requests, as 20requests; no bound without it
//	cache      how much of what was fetched from the bucket is kept in the data
//	           directory, as 512MB; all without it. In names for the plain VFS it
//	           is _cache
//	mode       ro: read only, and the Tag must exist; rw: it must exist;
//	           rwc (default)
//	_pragma    a pragma for each connection, as busy_timeout(1000); may repeat
//	_txlock    how BEGIN locks: immediate (default), deferred, exclusive
//	_timefmt   how times are written, as in go-sqlite3's driver
//
// The names that github.com/mattn/go-sqlite3 has for pragmas are taken, too, and
// run before those of _pragma: _busy_timeout or _timeout, _auto_vacuum or
// _vacuum, _case_sensitive_like or _cslike, _defer_foreign_keys or _defer_fk,
// _foreign_keys or _fk, _ignore_check_constraints, _journal_mode or _journal,
// _locking_mode or _locking, _query_only, _recursive_triggers or _rt,
// _secure_delete, _synchronous or _sync, _writable_schema, _cache_size. Any other
// key is an error.
//
// dir, remote, autosync, warm, hedge, pagecache and cache belong to the data
// directory: all who have it open in a process share one store, and give the same or
// nothing. tag and the rest
// are each connection's.
//
// The pragmas of graft run when a statement is prepared. PRAGMA graft_switch
// moves the one connection that it runs on: take a [sql.Conn] for it, or the
// pool has connections of both tags.
//
// A connection waits for others that write for as long as busy_timeout says, a
// minute without it, and in the order in which they came.
//
// A statement that has spent its budget fails with [graft.ErrBudget] before the
// request that would exceed it is made; the connection goes on. What is fetched ahead
// takes half of it at most. Preparing counts
// with the first run. Pragmas of graft are counted and not bounded, as is the first
// page when a connection opens. A request that several statements wait for counts
// for the one that made it. PRAGMA graft_stats and [graft.DB.Stats] tell what was
// taken.
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
	c, err := parseConnector(d, name)
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(context.Background())
	return conn, errors.Join(err, c.Close()) // the connection's file has a hold of its own
}

// OpenConnector reads a data source name. It opens nothing yet.
func (d *Driver) OpenConnector(name string) (sqldriver.Connector, error) {
	return parseConnector(d, name)
}
