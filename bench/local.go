package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// localWorkload is SQL on a local database.
type localWorkload struct {
	name, what string
	target     float64 // reference time / graft time
	graft      system
	references []system
	peers      []system
	shared     bool // the database is the large one, which is only read
	rows       func(size) int
	ops        func(size) int
	contender  func(ctx context.Context, s system, dir string, rows int) (sqlContender, error)
}

// sqlContender is a contender with open databases.
type sqlContender interface {
	contender
	close() error
}

var readReferences = []system{fileSystem("delete", "full"), fileSystem("wal", "full")}

// localTable are the workloads, for this program and for those that play peers.
func localTable() []localWorkload {
	full, normal := graftSystem("", "synchronous(full)"), graftSystem("", "synchronous(normal)")
	wal := fileSystem("wal", "full")
	durable, reading := peersOf(full, wal), peersOf(graftSystem(""), wal)
	table := []localWorkload{{
		name: "one-row-durable", what: "one-row UPDATE of 10,000 rows, synchronous=FULL", target: 0.8,
		graft: full, references: []system{wal}, peers: durable,
		rows: updateRows, ops: updates, contender: newUpdater,
	}, {
		name: "one-row-durable-8", what: "the same from 8 tags of one data directory at once, against one writer", target: 2,
		graft: graftSystem("", "synchronous(full)").severally(8), references: []system{fileSystem("wal", "full")},
		rows: updateRows, ops: updates, contender: newUpdater,
	}, {
		name: "one-row-normal", what: "one-row UPDATE of 10,000 rows, synchronous=NORMAL", target: 0.8,
		graft: normal, references: []system{fileSystem("wal", "normal")}, peers: peersOf(normal, fileSystem("wal", "normal")),
		rows: updateRows, ops: updates, contender: newUpdater,
	}, {
		name: "point-select-165MB", what: "SELECT of a random row by primary key, default page cache", target: 0.9,
		graft: graftSystem(""), references: readReferences, peers: reading, shared: true,
		rows: readRows, ops: selects, contender: newSelector,
	}, {
		name: "point-select-fits", what: "the same with a page cache of 256 MB", target: 1.3,
		graft: graftSystem("pagecache=256MB"), references: readReferences, shared: true,
		rows: readRows, ops: selects, contender: newSelector,
	}, {
		name: "scan-165MB", what: "SELECT sum(length(b)) over the same database", target: 0.9,
		graft: graftSystem(""), references: readReferences, peers: reading, shared: true,
		rows: readRows, ops: scans, contender: newScanner,
	}, {
		name: "bulk-1M", what: "INSERT of 1,000,000 rows, each a statement, in one transaction", target: 0.9,
		graft: full, references: []system{wal}, peers: durable,
		rows: func(size) int { return 0 }, ops: bulkRows, contender: newLoader,
	}, {
		name: "speedtest", what: "a mix of statements on tables of 10,000 rows, in the manner of SQLite's speedtest1",
		graft: full, references: readReferences, peers: durable,
		rows: mixRows, ops: func(size) int { return 1 }, contender: newSpeedtest,
	}, {
		name: "index-build", what: "CREATE INDEX over texts of 200 bytes, of 200,000 rows",
		graft: full, references: []system{wal}, peers: durable,
		rows: func(s size) int { return 20 * s.mixRows }, ops: func(size) int { return 1 }, contender: newIndexer,
	}}
	for _, n := range []int{1, 4, 16} {
		table = append(table, localWorkload{
			name: fmt.Sprint("mixed-", n), what: fmt.Sprintf("nine point SELECTs to one one-row transaction, FULL, by %d connections to one database", n),
			graft: full, references: []system{wal}, peers: durable,
			rows: updateRows, ops: func(s size) int { return 2 * s.updates }, contender: newMixer(n),
		})
	}
	return table
}

func localWorkloads() []workload {
	table := localTable()
	all := make([]workload, 0, len(table))
	for _, w := range table {
		all = append(all, workload{name: w.name, part: localPart, what: w.what, want: w.heldTo().String(), run: w.run})
	}
	return all
}

func updateRows(s size) int { return s.updateRows }
func updates(s size) int    { return s.updates }
func readRows(s size) int   { return s.rows }
func selects(s size) int    { return s.selects }
func scans(s size) int      { return s.scans }
func bulkRows(s size) int   { return s.bulkRows }
func mixRows(s size) int    { return s.mixRows }

func (w localWorkload) heldTo() target {
	if w.target == 0 {
		return target{} // it tells something
	}
	return target{relation: atLeast, bound: w.target, unit: ratio}
}

// run sets up the systems and lets them compete.
func (w localWorkload) run(ctx context.Context, e *env) (_ []row, err error) {
	systems := slices.Concat([]system{w.graft}, w.references, w.peers)
	dirs := make([]string, len(systems)) // of those that are missing: ""
	var missing []standing
	for i, s := range systems {
		if i > len(w.references) && e.unwanted(s.name) != "" {
			missing = append(missing, standing{System: s.name, Missing: e.unwanted(s.name)})
			continue
		}
		prog, err := e.program(ctx, s.program)
		if err != nil {
			return nil, err
		}
		if prog.path == "" {
			missing = append(missing, standing{System: s.name, Missing: prog.why})
			continue
		}
		if dirs[i], err = w.database(ctx, e, s, fmt.Sprint(i)); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if !w.shared || s.builder != nil {
			defer func() { err = errors.Join(err, os.RemoveAll(dirs[i])) }()
		}
	}
	c, stop, err := w.contest(ctx, e, systems, dirs)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return nil, err
	}
	r, err := c.row(ctx, w.name, w.heldTo())
	if err != nil {
		return nil, err
	}
	if r.Compared != nil {
		r.Compared.What = w.what
		r.Compared.Standings = append(r.Compared.Standings, missing...)
		for i := range w.references {
			r.Compared.Standings[1+i].System = "wazero " + w.references[i].name
		}
	}
	return []row{r}, nil
}

// contest opens the databases. The caller calls stop, whatever the error.
func (w localWorkload) contest(ctx context.Context, e *env, systems []system, dirs []string) (c contest, stop func() error, err error) {
	var opened []interface{ close() error }
	stop = func() error {
		var errs []error
		for _, o := range opened {
			errs = append(errs, o.close())
		}
		return errors.Join(errs...)
	}
	n := w.ops(e.size)
	c = contest{rounds: e.rounds, warm: max(n/5, 1), ops: n, rest: e.rest}
	for i, s := range systems {
		if dirs[i] == "" {
			continue
		}
		var who interface {
			contender
			close() error
		}
		if s.program == thisProgram {
			who, err = w.contender(ctx, s, dirs[i], w.rows(e.size))
		} else {
			who, err = newPeer(ctx, e, e.programs[s.program], w.name, s, dirs[i])
		}
		if err != nil {
			return c, stop, fmt.Errorf("%s: %w", s.name, err)
		}
		opened = append(opened, who)
		switch {
		case i == 0:
			c.subject = who
		case i <= len(w.references):
			c.references = append(c.references, who)
		default:
			c.peers = append(c.peers, who)
		}
	}
	return c, stop, nil
}

// database gives the directory of a database of w, built. A peer has a copy of
// its own of a shared one.
func (w localWorkload) database(ctx context.Context, e *env, s system, suffix string) (string, error) {
	builder := s
	if s.builder != nil {
		builder = *s.builder
	}
	if w.shared {
		shared, err := e.build("large-"+s.kept, func(dir string) error { return builder.setUp(ctx, dir, w.rows(e.size)) })
		if err != nil || s.builder == nil {
			return shared, err
		}
		dir := filepath.Join(e.dir, w.name+"-"+suffix)
		return dir, copyDir(dir, shared)
	}
	dir, err := e.fresh(w.name + "-" + suffix)
	if err != nil {
		return "", err
	}
	return dir, builder.setUp(ctx, dir, w.rows(e.size))
}

// prepared is a statement of each database of a system.
type prepared struct {
	system system
	rows   int
	dbs    []*sql.DB
	stmts  []*sql.Stmt
}

func prepareAll(ctx context.Context, s system, dir string, rows int, query string) (_ *prepared, err error) {
	dbs, err := s.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	p := &prepared{system: s, rows: rows, dbs: dbs}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	for _, db := range dbs {
		stmt, err := db.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		p.stmts = append(p.stmts, stmt)
	}
	return p, nil
}

func (p *prepared) name() string { return p.system.name }

func (p *prepared) close() error {
	var errs []error
	for _, stmt := range p.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, closeAll(p.dbs))...)
}

// updater does one-row transactions, on all databases at once.
type updater struct {
	*prepared
	last []update // of each database
}

// update is what a transaction writes.
type update struct {
	key  int
	text string
}

func newUpdater(ctx context.Context, s system, dir string, rows int) (sqlContender, error) {
	p, err := prepareAll(ctx, s, dir, rows, "UPDATE t SET b = ? WHERE a = ?")
	return updater{p, make([]update, s.tags)}, err
}

// run does n transactions, together.
func (u updater) run(ctx context.Context, r *rand.Rand, n int) error {
	var running sync.WaitGroup
	errs := make([]error, len(u.stmts))
	for i := range u.stmts {
		part, seed := (n*(i+1))/len(u.stmts)-(n*i)/len(u.stmts), r.Uint64()
		running.Go(func() { errs[i] = u.update(ctx, i, rand.New(rand.NewPCG(seed, 0)), part) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// update does n transactions on database i.
func (u updater) update(ctx context.Context, i int, r *rand.Rand, n int) error {
	for range n {
		key := 1 + r.IntN(u.rows)
		next := update{key: key, text: text(key, r)}
		result, err := u.stmts[i].ExecContext(ctx, next.text, next.key)
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if changed != 1 {
			return fmt.Errorf("update of row %d changed %d rows", key, changed)
		}
		u.last[i] = next
	}
	return nil
}

// answer is that all databases are whole, with their last updates.
func (u updater) answer(ctx context.Context) (string, error) {
	for i, db := range u.dbs {
		const damaged = "SELECT count(*), (SELECT count(*) FROM t WHERE length(b) <> 200 OR CAST(substr(b, 1, 8) AS INTEGER) <> a) FROM t"
		got, err := ask(ctx, db, damaged, 2)
		if err != nil {
			return "", err
		}
		if want := fmt.Sprint(u.rows, " ", 0); got != want {
			return "", fmt.Errorf("rows and damaged rows are %q, not %q", got, want)
		}
		var b string
		if err := db.QueryRowContext(ctx, "SELECT b FROM t WHERE a = ?", u.last[i].key).Scan(&b); err != nil {
			return "", err
		}
		if b != u.last[i].text {
			return "", fmt.Errorf("row %d has %q, not %q", u.last[i].key, b, u.last[i].text)
		}
	}
	return fmt.Sprint(u.rows, " rows"), nil
}

// text gives a text of textSize bytes for the row of a key.
func text(key int, r *rand.Rand) string {
	b := make([]byte, 0, textSize)
	b = fmt.Appendf(b, "%0*d", keyDigits, key)
	for len(b) < textSize {
		b = fmt.Appendf(b, "%016X", r.Uint64())
	}
	return string(b)
}

// selector reads random rows.
type selector struct{ *prepared }

func newSelector(ctx context.Context, s system, dir string, rows int) (sqlContender, error) {
	p, err := prepareAll(ctx, s, dir, rows, "SELECT b FROM t WHERE a = ?")
	if err != nil {
		return nil, err
	}
	c := selector{p}
	// What fits into caches is there before the first round: a row of nearly
	// every page is read, some twice, for a cache may not take what a scan reads.
	if err := c.run(ctx, rand.New(rand.NewPCG(3, 0)), rows/5); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (s selector) run(ctx context.Context, r *rand.Rand, n int) error {
	var b string
	for range n {
		key := 1 + r.IntN(s.rows)
		if err := s.stmts[0].QueryRowContext(ctx, key).Scan(&b); err != nil {
			return fmt.Errorf("select row %d: %w", key, err)
		}
		if got, err := strconv.Atoi(b[:min(keyDigits, len(b))]); err != nil || got != key {
			return fmt.Errorf("row %d has text %q", key, b)
		}
	}
	return nil
}

// answer is what the table has, whatever was done to it.
func (p *prepared) answer(ctx context.Context) (string, error) {
	return ask(ctx, p.dbs[0], "SELECT count(*), coalesce(sum(a), 0), coalesce(sum(length(b)), 0) FROM t", 3)
}

// scanner reads the whole table.
type scanner struct{ *prepared }

func newScanner(ctx context.Context, s system, dir string, rows int) (sqlContender, error) {
	p, err := prepareAll(ctx, s, dir, rows, "SELECT sum(length(b)) FROM t")
	return scanner{p}, err
}

func (s scanner) run(ctx context.Context, _ *rand.Rand, n int) error {
	for range n {
		var sum int
		if err := s.stmts[0].QueryRowContext(ctx).Scan(&sum); err != nil {
			return err
		}
		if want := s.rows * textSize; sum != want {
			return fmt.Errorf("the sum is %d, not %d", sum, want)
		}
	}
	return nil
}

// loader fills an empty database. Each run has a new one.
type loader struct {
	*prepared
	dir string
}

func newLoader(ctx context.Context, s system, dir string, _ int) (sqlContender, error) {
	l := &loader{prepared: &prepared{system: s}, dir: dir}
	return l, l.prepare(ctx)
}

// prepare puts an empty table in the place of what there is.
func (l *loader) prepare(ctx context.Context) error {
	err := errors.Join(l.close(), os.RemoveAll(l.dir), os.Mkdir(l.dir, 0o777))
	l.prepared = &prepared{system: l.system}
	if err != nil {
		return err
	}
	if err := l.system.setUp(ctx, l.dir, 0); err != nil {
		return err
	}
	p, err := prepareAll(ctx, l.system, l.dir, 0, "INSERT INTO t VALUES(?, ?)")
	if err != nil {
		return err
	}
	l.prepared = p
	return nil
}

// run inserts n rows in one transaction.
func (l *loader) run(ctx context.Context, r *rand.Rand, n int) (err error) {
	tx, err := l.dbs[0].BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	insert := tx.StmtContext(ctx, l.stmts[0])
	filler := text(0, r)
	for key := 1; key <= n; key++ {
		b := fmt.Sprintf("%0*d", keyDigits, key) + filler[keyDigits:]
		if _, err := insert.ExecContext(ctx, key, b); err != nil {
			return err
		}
	}
	return tx.Commit()
}
