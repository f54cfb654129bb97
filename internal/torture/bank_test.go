package torture

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"graft"
	_ "graft/driver"
)

// Transfers on machines that race on one remote Volume keep the sum, for every
// reader at every moment, and the replicas are equal as files, too.
func TestBank(t *testing.T) {
	t.Setenv("GRAFT_REMOTE", "")
	for machines, short := range map[int]int{2: 30, 8: 8} {
		t.Run(fmt.Sprint(machines), func(t *testing.T) {
			w := newWorld(t)
			all := w.newReplicas(machines, func() workload { return &bank{} })
			w.race(all, rounds(short))
			w.finish(all, &bank{})
			for _, m := range all {
				m.compareExport()
			}
		})
	}
}

const (
	accounts = 20
	balance  = 1000 // of each account, to begin with
	notes    = 30   // so many of the newest transfers have their note
)

// bank is the workload at the level of SQL.
type bank struct{ db *sql.DB }

func (b *bank) open(m *machine) {
	db, err := sql.Open("graft", fmt.Sprintf("tag=%s dir='%s'", tag(m.tags), m.dir))
	if err != nil {
		m.w.violation("%s: %v", m.name, err)
		return
	}
	b.db = db
}

func (b *bank) close(m *machine) {
	if b.db == nil {
		return
	}
	if err := b.db.Close(); err != nil {
		m.w.violation("%s: close: %v", m.name, err)
	}
}

// dice are what transaction id moves.
func (id opID) dice() (from, to, amount int64, note []byte) {
	d := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(id)))
	size := int(binary.LittleEndian.Uint16(d[8:])) % 9000
	return int64(d[0]) % accounts, int64(d[1]) % accounts, int64(d[2]), filled(id, 1)[:min(size, graft.PageSize)]
}

func (b *bank) run(ctx context.Context, m *machine, id opID, relaxed bool, mid func()) (before, after state, lsn graft.LSN, err error) {
	conn, err := b.db.Conn(ctx)
	if err != nil {
		return before, after, 0, err
	}
	defer conn.Close()
	level := "full"
	if relaxed {
		level = "normal"
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA auto_vacuum=full; PRAGMA synchronous="+level); err != nil {
		return before, after, 0, err
	}
	was, _ := m.info()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return before, after, 0, err
	}
	before, after, err = transfer(ctx, tx, id)
	if err == nil {
		mid()
		err = tx.Commit()
	} else {
		err = errors.Join(err, tx.Rollback())
	}
	is, _ := m.info()
	if (err == nil) != (is.LocalHead == was.LocalHead+1) {
		m.w.violation("%s: local head %d after %d, commit: %v", m.name, is.LocalHead, was.LocalHead, err)
	}
	return before, after, is.LocalHead, err
}

// transfer moves money from one account to another, if it has that.
func transfer(ctx context.Context, tx *sql.Tx, id opID) (before, after state, err error) {
	if err := makeTables(ctx, tx); err != nil {
		return before, after, err
	}
	if before, err = readChain(ctx, tx); err != nil {
		return before, after, err
	}
	after = before.next(id)
	from, to, amount, note := id.dice()
	for _, s := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO transfers SELECT ?, ?, ?, ?, min(balance, ?), ? FROM accounts WHERE id = ?", []any{after.n, int64(id), from, to, amount, note, from}},
		{"UPDATE accounts SET balance = balance - (SELECT amount FROM transfers WHERE n = ?) WHERE id = ?", []any{after.n, from}},
		{"UPDATE accounts SET balance = balance + (SELECT amount FROM transfers WHERE n = ?) WHERE id = ?", []any{after.n, to}},
		{"UPDATE transfers SET note = NULL WHERE n = ? - ?", []any{after.n, notes}},
		{"UPDATE chain SET n = ?, hash = ?", []any{after.n, after.hash[:]}},
	} {
		if _, err := tx.ExecContext(ctx, s.query, s.args...); err != nil {
			return before, after, err
		}
	}
	return before, after, nil
}

func makeTables(ctx context.Context, tx *sql.Tx) error {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil || n > 0 {
		return err
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`
		CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance);
		WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO accounts SELECT i, %d FROM n;
		CREATE TABLE transfers(n INTEGER PRIMARY KEY, id UNIQUE, src, dst, amount, note);
		CREATE INDEX by_account ON transfers(src, dst);
		CREATE TABLE chain(n, hash);
		INSERT INTO chain VALUES(0, zeroblob(%d))`, accounts-1, balance, sha256.Size))
	return err
}

// querier is a sql.DB, Conn or Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readChain(ctx context.Context, q querier) (s state, err error) {
	var hash []byte
	err = q.QueryRowContext(ctx, "SELECT n, hash FROM chain").Scan(&s.n, &hash)
	copy(s.hash[:], hash)
	return s, err
}

func (b *bank) state(ctx context.Context, m *machine) (state, error) {
	if err := b.checkSum(ctx); err != nil {
		return state{}, err
	}
	return readChain(ctx, b.db)
}

func (b *bank) checkSum(ctx context.Context) error {
	var n, sum int64
	err := b.db.QueryRowContext(ctx, "SELECT count(*), sum(balance) FROM accounts").Scan(&n, &sum)
	if err == nil && (n != accounts || sum != accounts*balance) {
		err = fmt.Errorf("%w: %d accounts have %d", errContent, n, sum)
	}
	return err
}

func (b *bank) beside(m *machine) {
	for range 3 {
		if err := b.checkSum(background); err != nil && !m.expected(err) && m.tags+m.life > 1 {
			m.w.violation("%s: a reader beside: %v", m.name, err)
		}
	}
	m.w.count("read beside a call")
}

// verify first fetches all pages: integrity_check calls those damage that it
// cannot have.
func (b *bank) verify(ctx context.Context, m *machine) ([]opID, error) {
	if _, err := m.pages(ctx); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	tx, err := b.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	var ok string
	if err := tx.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&ok); err != nil {
		return nil, err
	}
	if ok != "ok" {
		return nil, fmt.Errorf("%w: integrity_check: %s", errContent, ok)
	}
	m.w.count("integrity_check")
	return replay(ctx, tx)
}

// replay wants the balances and the chain to be what the transfers make.
func replay(ctx context.Context, tx *sql.Tx) (ids []opID, err error) {
	want, err := readChain(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT n, id, src, dst, amount, note FROM transfers ORDER BY n")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var sum state
	var balances [accounts]int64
	for i := range balances {
		balances[i] = balance
	}
	for rows.Next() {
		var n uint64
		var id, src, dst, amount int64
		var note []byte
		if err := rows.Scan(&n, &id, &src, &dst, &amount, &note); err != nil {
			return nil, err
		}
		from, to, asked, text := opID(id).dice()
		amountIs := min(asked, balances[from])
		if n+notes <= want.n {
			text = nil
		}
		if sum = sum.next(opID(id)); n != sum.n || src != from || dst != to || amount != amountIs || string(note) != string(text) {
			return nil, fmt.Errorf("%w: transfer %d", errContent, n)
		}
		balances[from] -= amount
		balances[to] += amount
		ids = append(ids, opID(id))
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if sum != want {
		return nil, fmt.Errorf("%w: the transfers make state %s, chain has %s", errContent, sum, want)
	}
	return ids, checkBalances(ctx, tx, balances)
}

func checkBalances(ctx context.Context, tx *sql.Tx, want [accounts]int64) error {
	rows, err := tx.QueryContext(ctx, "SELECT id, balance FROM accounts")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, got int64
		if err := rows.Scan(&id, &got); err != nil {
			return err
		}
		if id < 0 || id >= accounts || got != want[id] {
			return fmt.Errorf("%w: account %d has %d", errContent, id, got)
		}
	}
	return rows.Err()
}

// compareExport wants the file that a machine exports to hold its pages.
func (m *machine) compareExport() {
	m.w.t.Helper()
	path := filepath.Join(m.w.base, fmt.Sprintf("export%d", m.id))
	want, err := m.pages(background)
	if err == nil {
		_, err = m.work.(*bank).db.Exec(fmt.Sprintf("PRAGMA graft_export = '%s'", path))
	}
	got, readErr := os.ReadFile(path)
	if err := errors.Join(err, readErr); err != nil || !samePages(got, want) {
		m.w.t.Errorf("%s: its export has %d bytes, or others than its %d bytes of pages: %v", m.name, len(got), len(want), err)
	}
}
