package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
)

// speedtest is a mix of statements in the manner of SQLite's speedtest1, the
// program that its authors measure with: https://sqlite.org/cpu.html. One
// operation is the whole of it, on tables of its own.
type speedtest struct {
	*prepared
	found string // what the queries of the last run gave
}

func newSpeedtest(ctx context.Context, s system, dir string, rows int) (sqlContender, error) {
	p, err := prepareAll(ctx, s, dir, rows, "SELECT 1")
	return &speedtest{prepared: p}, err
}

// run does the whole mix n times.
func (s *speedtest) run(ctx context.Context, _ *rand.Rand, n int) error {
	for i := range n {
		m := &mix{ctx: ctx, rows: s.rows, r: rand.New(rand.NewPCG(7, uint64(i)))}
		conn, err := s.dbs[0].Conn(ctx)
		if err != nil {
			return err
		}
		m.conn = conn
		m.all()
		if err := conn.Close(); m.err == nil {
			m.err = err
		}
		if m.err != nil {
			return m.err
		}
		s.found = m.found.String()
	}
	return nil
}

// answer is what the queries gave.
func (s *speedtest) answer(context.Context) (string, error) { return s.found, nil }

// mix runs statements until one fails.
type mix struct {
	ctx   context.Context
	conn  *sql.Conn
	rows  int
	r     *rand.Rand
	found strings.Builder
	err   error
}

// all is the mix. Names and keys have no order that a table or an index has.
func (m *mix) all() {
	m.exec("DROP TABLE IF EXISTS plain", "DROP TABLE IF EXISTS keyed", "DROP TABLE IF EXISTS words",
		"CREATE TABLE plain(a INTEGER, b INTEGER, c TEXT)", "CREATE TABLE keyed(a INTEGER PRIMARY KEY, b INTEGER UNIQUE, c TEXT)",
		"CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")
	m.insert("INSERT INTO plain VALUES (?1, ?2, ?3)", m.rows)
	m.insert("INSERT INTO keyed VALUES (?1, ?2, ?3)", m.rows)
	m.insert("INSERT INTO words VALUES (?3, ?1) ON CONFLICT DO UPDATE SET n = n + 1", m.rows)
	m.query("SELECT count(*), avg(b), sum(length(c)) FROM plain WHERE b BETWEEN ?1 AND ?1 + 1000", 10)
	m.query("SELECT count(*), avg(b), sum(length(c)) FROM plain WHERE c LIKE '%' || ?1 || '%'", 10)
	m.query("SELECT group_concat(a), 0, 0 FROM (SELECT a FROM plain ORDER BY c LIMIT 10 OFFSET ?1 % 1000)", 10)
	m.exec("CREATE INDEX plain_b ON plain(b)", "CREATE INDEX plain_ca ON plain(c, a)")
	m.query("SELECT count(*), avg(b), sum(length(c)) FROM plain WHERE b BETWEEN ?1 AND ?1 + 1000", m.rows/10)
	m.query("SELECT count(*), total(p.b), total(k.b) FROM plain p JOIN keyed k ON k.a = p.a WHERE p.b BETWEEN ?1 AND ?1 + 500", m.rows/50)
	m.query("SELECT a, b, length(c) FROM keyed WHERE a = 1 + ?1 % 100", m.rows)
	m.exec("BEGIN", "UPDATE plain SET b = b + 1 WHERE a % 3 = 0", "UPDATE keyed SET c = c || 'x' WHERE b % 2 = 0", "COMMIT",
		"BEGIN", "DELETE FROM plain WHERE b % 5 = 0", "DELETE FROM keyed WHERE a % 7 = 0", "COMMIT",
		"INSERT INTO plain SELECT a, b, c FROM keyed", "REPLACE INTO keyed SELECT a, b, c FROM keyed ORDER BY random() LIMIT 1000")
	for range m.rows / 100 { // each its own transaction
		m.exec(fmt.Sprintf("UPDATE keyed SET c = 'short' WHERE a = %d", 1+m.r.IntN(m.rows)))
	}
	m.exec("VACUUM", "ANALYZE")
	m.query("SELECT count(*), sum(a), sum(length(c)) FROM plain WHERE ?1 >= 0", 1)
	m.query("SELECT count(*), sum(a), sum(length(c)) FROM keyed WHERE ?1 >= 0", 1)
	m.query("SELECT count(*), sum(n), sum(length(word)) FROM words WHERE ?1 >= 0", 1)
}

func (m *mix) exec(statements ...string) {
	for _, s := range statements {
		if m.err != nil {
			return
		}
		if _, err := m.conn.ExecContext(m.ctx, s); err != nil {
			m.err = fmt.Errorf("%s: %w", s, err)
		}
	}
}

// insert inserts n rows in one transaction: a number, another that no second row
// has, and a text.
func (m *mix) insert(statement string, n int) {
	m.exec("BEGIN")
	m.prepared(statement, func(stmt *sql.Stmt) error {
		for i, other := range m.r.Perm(n) {
			if _, err := stmt.ExecContext(m.ctx, i+1, other, words(other)); err != nil {
				return err
			}
		}
		return nil
	})
	m.exec("COMMIT")
}

// query runs a query of three columns n times.
func (m *mix) query(statement string, n int) {
	m.prepared(statement, func(stmt *sql.Stmt) error {
		for range n {
			var columns [3]any
			if err := stmt.QueryRowContext(m.ctx, m.r.IntN(m.rows)).Scan(&columns[0], &columns[1], &columns[2]); err != nil {
				return err
			}
			fmt.Fprintln(&m.found, columns[:]...)
		}
		return nil
	})
}

func (m *mix) prepared(statement string, do func(*sql.Stmt) error) {
	if m.err != nil {
		return
	}
	stmt, err := m.conn.PrepareContext(m.ctx, statement)
	if err == nil {
		err = do(stmt)
		if err := stmt.Close(); m.err == nil {
			m.err = err
		}
	}
	if err != nil {
		m.err = fmt.Errorf("%s: %w", statement, err)
	}
}

// words spells a number.
func words(n int) string {
	digits := [...]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
	var b strings.Builder
	for _, d := range fmt.Sprint(n) {
		b.WriteString(digits[d-'0'] + " ")
	}
	return b.String()
}
