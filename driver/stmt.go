package driver

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"

	"graft/vfs"
)

// stmt is a prepared statement of go-sqlite3's driver whose errors have their
// causes.
type stmt struct {
	conn     *conn
	inner    innerStmt
	prepared *vfs.Statement // what preparing took, until the statement runs first
}

// innerStmt is what go-sqlite3's statements are.
type innerStmt interface {
	sqldriver.Stmt
	sqldriver.StmtExecContext
	sqldriver.StmtQueryContext
	sqldriver.NamedValueChecker
}

var _ innerStmt = (*stmt)(nil)

func (s *stmt) Close() error { return s.inner.Close() }

func (s *stmt) NumInput() int { return s.inner.NumInput() }

func (s *stmt) CheckNamedValue(v *sqldriver.NamedValue) error { return s.inner.CheckNamedValue(v) }

// Exec is ExecContext without a context.
func (s *stmt) Exec(args []sqldriver.Value) (sqldriver.Result, error) {
	return s.ExecContext(context.Background(), namedValues(args))
}

// Query is QueryContext without a context.
func (s *stmt) Query(args []sqldriver.Value) (sqldriver.Rows, error) {
	return s.QueryContext(context.Background(), namedValues(args))
}

// run gives what counts a run of the statement. The first run counts together with
// what preparing took.
func (s *stmt) run() *vfs.Statement {
	count := s.prepared
	if s.prepared = nil; count == nil {
		count = vfs.NewStatement()
	}
	return count
}

func namedValues(args []sqldriver.Value) []sqldriver.NamedValue {
	named := make([]sqldriver.NamedValue, len(args))
	for i, v := range args {
		named[i] = sqldriver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return named
}

func (s *stmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	run := s.run()
	defer run.End()
	r, err := s.inner.ExecContext(run.Context(ctx), args)
	return r, s.conn.explain(ctx, err)
}

func (s *stmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	run := s.run()
	r, err := s.inner.QueryContext(run.Context(ctx), args)
	if err != nil {
		run.End()
		return nil, s.conn.explain(ctx, err)
	}
	return &rows{innerRows: r.(innerRows), conn: s.conn, ctx: ctx, run: run}, nil
}

// rows is a result of go-sqlite3's driver whose errors have their causes. The
// context is that of the query, which go-sqlite3 keeps too.
type rows struct {
	innerRows
	conn *conn
	ctx  context.Context
	run  *vfs.Statement
}

// innerRows is what go-sqlite3's results are.
type innerRows interface {
	sqldriver.Rows
	sqldriver.RowsColumnTypeDatabaseTypeName
	sqldriver.RowsColumnTypeNullable
	sqldriver.RowsColumnTypeScanType
}

func (r *rows) Next(dest []sqldriver.Value) error {
	err := r.innerRows.Next(dest)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return r.conn.explain(r.ctx, err)
}

func (r *rows) Close() error {
	r.run.End()
	return r.conn.explain(r.ctx, r.innerRows.Close())
}
