package main

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"sync"
)

// mixer reads and writes one database by several connections.
type mixer struct {
	*prepared
	conns []*sql.Conn
}

// writeShare is how many operations there are to one that writes.
const writeShare = 10

// newMixer gives the constructor of a mixer with n connections.
func newMixer(n int) func(ctx context.Context, s system, dir string, rows int) (sqlContender, error) {
	return func(ctx context.Context, s system, dir string, rows int) (_ sqlContender, err error) {
		dbs, err := s.open(ctx, dir)
		if err != nil {
			return nil, err
		}
		m := &mixer{prepared: &prepared{system: s, rows: rows, dbs: dbs}}
		defer func() {
			if err != nil {
				err = errors.Join(err, m.close())
			}
		}()
		dbs[0].SetMaxOpenConns(n + 1) // answer takes another
		for range n {
			conn, err := dbs[0].Conn(ctx)
			if err != nil {
				return nil, err
			}
			m.conns = append(m.conns, conn)
		}
		return m, nil
	}
}

func (m *mixer) close() error {
	var errs []error
	for _, conn := range m.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(append(errs, m.prepared.close())...)
}

// run does n operations, together.
func (m *mixer) run(ctx context.Context, r *rand.Rand, n int) error {
	errs := make([]error, len(m.conns))
	var working sync.WaitGroup
	for i, conn := range m.conns {
		part, own := n*(i+1)/len(m.conns)-n*i/len(m.conns), rand.New(rand.NewPCG(r.Uint64(), 0))
		working.Go(func() {
			for k := range part {
				work := readRow
				if k%writeShare == 0 {
					work = writeRow
				}
				if errs[i] = work(ctx, conn, 1+own.IntN(m.rows), own); errs[i] != nil {
					return
				}
			}
		})
	}
	working.Wait()
	return errors.Join(errs...)
}

// answer is that the table is whole.
func (m *mixer) answer(ctx context.Context) (string, error) {
	return ask(ctx, m.dbs[0], "SELECT count(*), sum(a), sum(length(b)), sum(CAST(substr(b, 1, 8) AS INTEGER) <> a) FROM t", 4)
}

// indexer builds an index, which is dropped before each run.
type indexer struct{ *prepared }

func newIndexer(ctx context.Context, s system, dir string, rows int) (sqlContender, error) {
	p, err := prepareAll(ctx, s, dir, rows, "SELECT 1")
	return indexer{p}, err
}

func (x indexer) prepare(ctx context.Context) error {
	_, err := x.dbs[0].ExecContext(ctx, "DROP INDEX IF EXISTS t_b")
	return err
}

// run builds the index once.
func (x indexer) run(ctx context.Context, _ *rand.Rand, _ int) error {
	_, err := x.dbs[0].ExecContext(ctx, "CREATE INDEX t_b ON t(b)")
	return err
}

// answer counts by the index.
func (x indexer) answer(ctx context.Context) (string, error) {
	return ask(ctx, x.dbs[0], "SELECT count(*), sum(length(b)) FROM t INDEXED BY t_b WHERE b >= ''", 2)
}
