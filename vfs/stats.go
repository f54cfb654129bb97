package vfs

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"graft"
	"graft/internal/meter"
)

// Statement counts what one statement takes of the bucket, in all databases of its
// connection.
type Statement struct {
	meter meter.Meter
	ahead meter.Ahead
	first meter.Context // the first that was asked for: most have no other
}

// NewStatement gives a Statement that has taken nothing.
func NewStatement() *Statement { return &Statement{} }

// Context gives a context of go-sqlite3's SetInterrupt under which what runs counts
// as s. Without one, a statement is as long as its transaction. The driver has one
// for each statement.
func (s *Statement) Context(ctx context.Context) context.Context {
	tab := meter.Tab{Statement: &s.meter, Ahead: &s.ahead}
	if s.first.Context != nil {
		return meter.With(ctx, tab)
	}
	s.first = meter.Context{Context: ctx, Tab: tab}
	return &s.first
}

// End tells that the statement will read no more: what is fetched ahead for it is
// given up. Without it, that ends with the transaction.
func (s *Statement) End() { s.ahead.End() }

// fileStats is what a connection has taken through one file.
type fileStats struct {
	total  meter.Meter
	budget meter.Budget // of each statement

	statement *meter.Meter // the last one that read
	of        context.Context
	ctx       context.Context // counted, made of the context of
}

// interrupt is the context of the statement that runs.
func (f *file) interrupt() context.Context {
	if f.conn == nil {
		return context.Background()
	}
	return f.conn.GetInterrupt()
}

// context is that of the statement that runs, for which it counts, and whose budget
// holds.
func (f *file) context() context.Context {
	s, ctx := &f.stats, f.interrupt()
	if ctx != s.of {
		s.begin(ctx)
	}
	return s.ctx
}

// begin counts for the statement that ctx belongs to, or else for a new one.
func (s *fileStats) begin(ctx context.Context) {
	tab := meter.Of(ctx)
	if s.statement = tab.Statement; s.statement == nil {
		s.statement = new(meter.Meter)
	}
	s.of = ctx
	s.ctx = meter.With(ctx, meter.Tab{Statement: s.statement, Total: &s.total, Budget: s.budget, Ahead: tab.Ahead})
}

// unbounded is context without the budget, for what was asked for by name.
func (f *file) unbounded() context.Context {
	return meter.With(f.context(), meter.Tab{Statement: f.stats.statement, Total: &f.stats.total})
}

// Stats is what was taken of the bucket and the local store through one database of a
// connection. [graft.DB.Stats] has what the whole data directory took.
type Stats struct {
	Statement  graft.Stats // by the last statement that read from it, in all databases of the connection
	Connection graft.Stats // by this database, since the connection opened it
}

// StatsOf gives the Stats of a database that conn has open, such as "main", and whether
// it is one of graft. The caller has the connection to itself, as in Raw of a sql.Conn.
func StatsOf(conn *sqlite3.Conn, schema string) (s Stats, ok bool) {
	f := fileOf(conn, schema)
	if f == nil {
		return Stats{}, false
	}
	return f.taken(), true
}

func (f *file) taken() (s Stats) {
	if f.stats.statement != nil {
		s.Statement = f.stats.statement.Stats()
	}
	s.Connection = f.stats.total.Stats()
	return s
}

// pragmaStats gives what was counted. It does not count as a statement.
func (f *file) pragmaStats(context.Context, string) (string, any, error) {
	s, all := f.taken(), f.db.Stats()
	return statsText(s.Statement, s.Connection, all), statsDoc{newCountsDoc(s.Statement), newCountsDoc(s.Connection), newCountsDoc(all)}, nil
}
