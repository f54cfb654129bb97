package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"graft"
	_ "graft/driver"
)

// machine is a data directory with a database handle, as a program has it.
type machine struct {
	name  string
	ctx   context.Context
	sql   *sql.DB
	db    *graft.DB // the same data directory, for what SQL does not tell
	graft *graft.Graft
	last  graft.RemoteStats
}

// open opens the data directory of a machine.
func (t *trip) open(name string) (_ *machine, err error) {
	m := &machine{name: name, ctx: t.ctx}
	dir, remote := filepath.Join(t.dir, name), bucketURL(t.dir)
	if m.db, err = graft.Open(t.ctx, dir, &graft.Options{Remote: remote}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if m.graft, err = m.db.Graft(t.ctx, "main"); err != nil {
		return nil, err
	}
	m.sql, err = sql.Open("graft", "tag=main dir="+quote(dir)+" remote="+quote(remote))
	return m, err
}

func (m *machine) close() error {
	var err error
	if m.sql != nil {
		err = m.sql.Close()
	}
	return errors.Join(err, m.db.Close())
}

// remote is the remote Volume of the machine's Graft.
func (m *machine) remote() (graft.VolumeID, error) {
	info, err := m.graft.Info()
	return info.Remote, err
}

// step runs one statement and prints its result.
func (m *machine) step(out io.Writer, what, statement string) error {
	answer, err := m.ask(statement)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return m.print(out, what, answer)
}

// ask runs one statement and gives its first row, the values with a comma
// between them, or nothing.
func (m *machine) ask(query string) (string, error) {
	rows, err := m.sql.QueryContext(m.ctx, query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(sql.NullString)
	}
	var answer string
	for first := true; rows.Next(); first = false {
		if err := rows.Scan(values...); err != nil {
			return "", err
		}
		if first {
			var texts []string
			for _, v := range values {
				texts = append(texts, v.(*sql.NullString).String)
			}
			answer = strings.Join(texts, ", ")
		}
	}
	return answer, rows.Err()
}

// print prints a step: its result, what it moved, and the pages that are here.
func (m *machine) print(out io.Writer, what, answer string) error {
	stats := m.db.RemoteStats()
	moved := stats.Sub(m.last)
	m.last = stats
	pages, err := m.presence()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-6s  %s\n", m.name, what)
	if answer != "" {
		fmt.Fprintf(out, "        %s\n", strings.ReplaceAll(answer, "\n", "\n        "))
	}
	fmt.Fprintf(out, "        %d requests, %d bytes in, %d bytes out; %d of %d pages here\n\n",
		moved.Requests(), moved.BytesIn, moved.BytesOut, pages.Present, pages.Written)
	return nil
}

// presence counts the pages that are here.
func (m *machine) presence() (p graft.Presence, err error) {
	err = m.graft.View(func(r *graft.Reader) error {
		p, err = r.Presence(m.ctx)
		return err
	})
	return p, err
}
