package main

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// lsCall and lsReply are what the program litestream reads and writes: see there.
type lsCall struct {
	Op   string
	URL  string  `json:",omitempty"`
	Path string  `json:",omitempty"`
	Poll float64 `json:",omitempty"`
	SQL  string  `json:",omitempty"`
	Args []any   `json:",omitempty"`
	N    int     `json:",omitempty"`
}

type lsReply struct {
	Columns []string
	Rows    [][]string
	Seconds float64
	Error   string
}

// lsProgram is Litestream in a process of its own.
type lsProgram struct{ *dialogue }

func startLitestream(ctx context.Context, path string) (*lsProgram, error) {
	d, err := startDialogue(exec.CommandContext(ctx, path))
	if err != nil {
		return nil, err
	}
	return &lsProgram{d}, nil
}

func (p *lsProgram) do(c lsCall) (r lsReply, err error) {
	if err := p.exchange(c, &r); err != nil {
		return r, fmt.Errorf("litestream: %s: %w", c.Op, err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("litestream: %s: %s", c.Op, r.Error)
	}
	return r, nil
}

// replica lets the program open a database of a bucket, and gives it as one of
// database/sql's: the queries go through the pipe.
func (p *lsProgram) replica(url string, poll time.Duration) (*sql.DB, error) {
	if _, err := p.do(lsCall{Op: "replica", URL: url, Poll: poll.Seconds()}); err != nil {
		return nil, err
	}
	db := sql.OpenDB(pipe{p})
	db.SetMaxOpenConns(1)
	return db, nil
}

// pipe is a connector and the one connection that it makes. It can query.
type pipe struct{ program *lsProgram }

func (p pipe) Connect(context.Context) (sqldriver.Conn, error) { return p, nil }

func (p pipe) Driver() sqldriver.Driver { return nil }

func (p pipe) Prepare(string) (sqldriver.Stmt, error) { return nil, errors.ErrUnsupported }

func (p pipe) Begin() (sqldriver.Tx, error) { return nil, errors.ErrUnsupported }

func (p pipe) Close() error { return nil }

func (p pipe) QueryContext(_ context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	c := lsCall{Op: "query", SQL: query}
	for _, a := range args {
		c.Args = append(c.Args, a.Value)
	}
	r, err := p.program.do(c)
	if err != nil {
		return nil, err
	}
	return &pipeRows{lsReply: r}, nil
}

type pipeRows struct{ lsReply }

func (r *pipeRows) Columns() []string { return r.lsReply.Columns }

func (r *pipeRows) Close() error { return nil }

func (r *pipeRows) Next(into []sqldriver.Value) error {
	if len(r.Rows) == 0 {
		return io.EOF
	}
	for i, v := range r.Rows[0] {
		into[i] = v
	}
	r.Rows = r.Rows[1:]
	return nil
}
