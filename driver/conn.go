package driver

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft/vfs"
)

// conn is a connection of go-sqlite3's driver whose errors have their causes.
// It has each optional interface that the inner connection has.
type conn struct {
	inner innerConn
}

// innerConn is what go-sqlite3's connections are.
type innerConn interface {
	sqlite3driver.Conn
	sqldriver.ExecerContext
	sqldriver.NamedValueChecker
	sqldriver.Tx
}

var (
	_ innerConn               = (*conn)(nil)
	_ sqldriver.ConnBeginTx   = (*conn)(nil)
	_ sqldriver.ExecerContext = (*conn)(nil)
)

// Raw gives the connection of go-sqlite3. Its errors are SQLite's own; see
// [vfs.Cause].
func (c *conn) Raw() *sqlite3.Conn { return c.inner.Raw() }

func (c *conn) Close() error { return c.inner.Close() }

// Begin is BeginTx with the defaults.
func (c *conn) Begin() (sqldriver.Tx, error) {
	return c.BeginTx(context.Background(), sqldriver.TxOptions{})
}

// BeginTx begins a transaction. All levels up to serializable are serializable.
// One that only reads has its Snapshots from here on.
func (c *conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	switch sql.IsolationLevel(opts.Isolation) {
	case sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelWriteCommitted,
		sql.LevelRepeatableRead, sql.LevelSnapshot:
		opts.Isolation = sqldriver.IsolationLevel(sql.LevelDefault)
	case sql.LevelSerializable:
		if opts.ReadOnly { // else go-sqlite3 takes the write lock
			opts.Isolation = sqldriver.IsolationLevel(sql.LevelDefault)
		}
	default:
		return nil, fmt.Errorf("graft: transactions are at most serializable, not %s", sql.IsolationLevel(opts.Isolation))
	}
	if _, err := c.inner.BeginTx(ctx, opts); err != nil {
		return nil, c.explain(ctx, err)
	}
	if opts.ReadOnly {
		if err := c.pin(ctx); err != nil {
			return nil, errors.Join(c.explain(ctx, err), c.inner.Rollback())
		}
	}
	return c, nil
}

// pin lets the open transaction of each database stand on its newest Snapshot.
func (c *conn) pin(ctx context.Context) error {
	raw := c.Raw()
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	var pins strings.Builder
	for n := 0; ; n++ {
		schema := raw.DBName(n)
		if schema == "" {
			return raw.Exec(pins.String())
		}
		if schema != "temp" {
			fmt.Fprintf(&pins, "PRAGMA %s.schema_version;", sqlite3.QuoteIdentifier(schema))
		}
	}
}

// Commit and Rollback end the transaction: the connection is its own Tx.
func (c *conn) Commit() error { return c.explain(context.Background(), c.inner.Commit()) }

func (c *conn) Rollback() error { return c.explain(context.Background(), c.inner.Rollback()) }

// Prepare is PrepareContext without a context.
func (c *conn) Prepare(query string) (sqldriver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	count := vfs.NewStatement()
	s, err := c.inner.PrepareContext(count.Context(ctx), query)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return &stmt{conn: c, inner: s.(innerStmt), prepared: count}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	counted := ctx
	if query != "" { // go-sqlite3's Savepoint looks at the type of ctx
		run := vfs.NewStatement()
		defer run.End()
		counted = run.Context(ctx)
	}
	r, err := c.inner.ExecContext(counted, query, args)
	return r, c.explain(ctx, err)
}

func (c *conn) CheckNamedValue(v *sqldriver.NamedValue) error { return c.inner.CheckNamedValue(v) }

// explain gives an error its cause: the end of the context that interrupted
// what failed, or what the VFS knows.
func (c *conn) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil // before code is allocated
	}
	var code sqlite3.ErrorCode
	if !errors.As(err, &code) {
		return err // none of SQLite's
	}
	cause := vfs.Cause(c.Raw(), err)
	// Of who waits for another writer SQLite says that it is busy.
	if ctx.Err() != nil && (code == sqlite3.INTERRUPT || code == sqlite3.BUSY || errors.Is(cause, context.Cause(ctx))) {
		cause = whyEnded(ctx)
	}
	return withCause(err, cause)
}

// whyEnded gives the error of a context and its cause, or nil.
func whyEnded(ctx context.Context) error {
	ended, why := ctx.Err(), context.Cause(ctx)
	if errors.Is(why, ended) {
		return why
	}
	return fmt.Errorf("%w: %w", ended, why)
}

// withCause gives an error its cause, which may be nil.
func withCause(err, cause error) error {
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return &causedError{err, cause}
}

// causedError is an error of SQLite with its cause. Both are found by errors.Is
// and errors.As.
type causedError struct{ err, cause error }

func (e *causedError) Error() string {
	text := e.err.Error()
	if cause := e.cause.Error(); !strings.Contains(text, cause) {
		text += ": " + cause
	}
	return text
}

func (e *causedError) Unwrap() []error { return []error{e.err, e.cause} }
