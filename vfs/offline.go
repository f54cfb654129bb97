package vfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ncruces/go-sqlite3"

	"graft"
	"graft/internal/meter"
	"graft/internal/sqlitefile"
)

// QueryOffline tells whether a query can run without the bucket.
type QueryOffline struct {
	Runs bool // it does

	// Missing is the pages that it asked for and that are not here, in that order. What
	// they lead to is not known here: the query took their rows to have no values, and
	// entries of an index to be like the one beside them, so that it may need more pages than
	// these, and not all of them. The first is needed.
	Missing []graft.PageIdx
	Bytes   int64 // of the frames to fetch for them, as far as their place is known here
	Stopped bool  // the query did not come further than the last one

	graft.Offline // the tables and indexes that it may read
}

// OfflineOf tells whether a query, which only reads, can run without the bucket on a
// database that conn has open, such as "main". It runs it without requests, and
// throws its result away. The caller has the connection to itself, as in Raw of a
// sql.Conn, and no transaction is open.
func OfflineOf(conn *sqlite3.Conn, schema, query string) (QueryOffline, error) {
	f := fileOf(conn, schema)
	switch {
	case f == nil:
		return QueryOffline{}, fmt.Errorf("graft: %q is no database of graft", schema)
	case f.inTransaction():
		return QueryOffline{}, errors.New("graft: a transaction is open")
	}
	return f.queryOffline(f.interrupt(), query)
}

func (f *file) pragmaOffline(ctx context.Context, query string) (string, any, error) {
	if query == "" {
		got, err := f.graft.Offline(ctx)
		return offlineText(got), newOfflineDoc(got), err
	}
	got, err := f.queryOffline(ctx, query)
	return queryText(got), newQueryDoc(got), err
}

// queryOffline tells whether a query can run without the bucket.
func (f *file) queryOffline(ctx context.Context, query string) (got QueryOffline, err error) {
	if !f.isOpen() {
		return got, errors.New("graft: the connection is not open yet")
	}
	if fileOf(f.conn, "main") != f {
		return got, errOtherDatabase
	}
	var roots []graft.PageIdx
	err = f.withoutRequests(func(d *dryRun) error {
		roots, err = f.dryRun(d, query)
		got.Runs = err == nil && len(d.missing) == 0
		got.Missing, got.Stopped = d.missing, err != nil
		if d.failure == nil && len(d.missing) > 0 && ctx.Err() == nil {
			return nil
		}
		return err
	})
	if err != nil {
		return QueryOffline{}, err
	}
	if len(got.Missing) > 0 {
		missing, err := f.graft.PagesOffline(ctx, got.Missing)
		if err != nil {
			return QueryOffline{}, err
		}
		got.Bytes = missing.Bytes
	}
	if len(roots) > 0 {
		got.Offline, err = f.graft.Offline(ctx, roots...)
	}
	return got, err
}

// withoutRequests calls fn while reads of the file make no request.
func (f *file) withoutRequests(fn func(*dryRun) error) error {
	budget, before := f.stats.budget, f.interrupt()
	ctx, cancel := context.WithCancel(before)
	defer cancel()
	d := newDryRun(cancel)
	f.conn.SetInterrupt(ctx)
	f.dropCache() // so that all pages are asked for
	f.dry, f.stats.budget = d, meter.Budget{None: true}
	f.stats.begin(ctx)
	defer func() {
		if d.late != nil {
			d.late.Stop()
		}
		f.conn.SetInterrupt(before)
		f.dropCache()
		f.dry, f.stats.budget, f.cause = nil, budget, nil
		f.stats.begin(before)
	}()
	return fn(d)
}

// dryRun runs a query to its end, in one transaction, and gives the root pages of the
// tables and indexes that it opens. Other pages stand in for missing ones, but where
// the query reads the schema or virtual tables, which may keep what they read.
func (f *file) dryRun(d *dryRun, query string) (roots []graft.PageIdx, err error) {
	if err := f.conn.Exec("BEGIN"); err != nil {
		return nil, err
	}
	defer func() {
		f.conn.SetInterrupt(context.Background()) // the end of the transaction is never late
		if !f.conn.GetAutocommit() {              // SQLite may have rolled back after an error
			err = errors.Join(err, f.conn.Exec("ROLLBACK"))
		}
	}()
	// From here on it has its Snapshot, and the schema of that.
	if err := f.run("SELECT 1 FROM main.sqlite_schema LIMIT 1"); err != nil {
		return nil, err
	}
	opened, err := f.explain(query)
	if err != nil {
		return nil, err
	}
	if _, readsSchema := opened.isTable[1]; f.reader.PageCount() > 0 && !readsSchema && !opened.virtual {
		first, err := f.page(f.reader, 1)
		if err != nil {
			return nil, err
		}
		d.roots, d.reserved, d.pretends = opened.isTable, sqlitefile.Header(first[:]).Reserved(), true
	}
	return opened.roots, f.run(query)
}

// prepare prepares one statement that only reads.
func (f *file) prepare(query string) (*sqlite3.Stmt, error) {
	const onlyReads = "graft: pragma graft_offline takes a query that only reads"
	switch word := firstWord(query); strings.ToUpper(word) {
	case "SELECT", "WITH", "VALUES", "EXPLAIN", "":
	default: // SQLite takes BEGIN for one, and runs PRAGMA here
		return nil, fmt.Errorf("%s, and %s is none", onlyReads, word)
	}
	stmt, tail, err := f.conn.Prepare(query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil || strings.Trim(tail, " \t\r\n;") != "":
		err = errors.New("graft: pragma graft_offline takes one query")
	case !stmt.ReadOnly():
		err = errors.New(onlyReads)
	default:
		return stmt, nil
	}
	if stmt != nil {
		err = errors.Join(err, stmt.Close())
	}
	return nil, err
}

// firstWord gives the word that a statement begins with, behind comments.
func firstWord(query string) string {
	for {
		query = strings.TrimLeft(query, " \t\r\n\f;")
		switch {
		case strings.HasPrefix(query, "--"):
			_, query, _ = strings.Cut(query, "\n")
		case strings.HasPrefix(query, "/*"):
			_, query, _ = strings.Cut(query, "*/")
		default:
			end := strings.IndexFunc(query, func(r rune) bool { return !unicode.IsLetter(r) })
			if end < 0 {
				end = len(query)
			}
			return query[:end]
		}
	}
}

var errOtherDatabase = errors.New("graft: pragma graft_offline takes a query of the main database")

// opened is what a query opens.
type opened struct {
	roots   []graft.PageIdx        // of tables and indexes, in the order in which it opens them
	isTable map[graft.PageIdx]bool // each of these, or else it is an index
	virtual bool                   // and virtual tables
}

// explain tells what a query opens.
func (f *file) explain(query string) (got opened, err error) {
	plain, err := f.prepare(query) // EXPLAIN of what writes only reads
	if err != nil {
		return got, err
	}
	if err := plain.Close(); err != nil {
		return got, err
	}
	stmt, err := f.prepare("EXPLAIN " + query)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	got.isTable = make(map[graft.PageIdx]bool)
	for stmt.Step() {
		switch stmt.ColumnText(1) {
		case "VOpen":
			got.virtual = true
			continue
		case "OpenRead", "ReopenIdx":
		default:
			continue
		}
		root, database := graft.PageIdx(stmt.ColumnInt64(3)), stmt.ColumnInt64(4)
		if database > 1 {
			return got, errOtherDatabase
		}
		if database == 0 && root > 0 && !slices.Contains(got.roots, root) {
			got.roots = append(got.roots, root)
			got.isTable[root] = !strings.HasPrefix(stmt.ColumnText(5), "k(") // how an index is sorted
		}
	}
	return got, stmt.Err()
}

// run runs a query to its end.
func (f *file) run(query string) (err error) {
	stmt, err := f.prepare(query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	for stmt.Step() {
	}
	return stmt.Err()
}

func offlineText(o graft.Offline) string {
	how := "No"
	if canOffline(o) {
		how = "Yes"
	}
	return fmt.Sprintf("%s: %s.%s", how, coverageText(o.Coverage), treesText(o.Trees))
}

// canOffline tells whether a database can be read without the bucket.
func canOffline(o graft.Offline) bool { return o.Missing == 0 && o.Whole }

func queryText(o QueryOffline) string {
	answer := "Yes: the query ran without the bucket."
	switch {
	case o.Stopped:
		answer = fmt.Sprintf("No: the query stopped at the last of these pages that are missing: %s; %d bytes to fetch or more.", pagesText(o.Missing), o.Bytes)
	case !o.Runs:
		answer = fmt.Sprintf("No: these pages are missing, and perhaps those that they lead to: %s; %d bytes to fetch.", pagesText(o.Missing), o.Bytes)
	}
	return answer + treesText(o.Trees)
}

func treesText(trees []graft.TreeCoverage) string {
	var b strings.Builder
	for _, t := range trees {
		fmt.Fprintf(&b, "\n  %s: %s", nameText(t.Name), coverageText(t.Coverage))
	}
	return b.String()
}

// pagesText lists pages, those that follow one another as first-last.
func pagesText(pages []graft.PageIdx) string {
	var b strings.Builder
	for i := 0; i < len(pages); i++ {
		first := pages[i]
		for i+1 < len(pages) && pages[i+1] == pages[i]+1 {
			i++
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, first)
		if pages[i] != first {
			fmt.Fprintf(&b, "-%d", pages[i])
		}
	}
	return b.String()
}

// offlineDoc is of a database, and of a query, which has the fields of the pages that
// it lacks.
type offlineDoc struct {
	Offline    bool            `json:"offline"`
	Lacks      []graft.PageIdx `json:"lacks"`
	LacksBytes int64           `json:"lacks_bytes"`
	Stopped    bool            `json:"stopped"`
	coverageDoc
	Trees []treeDoc `json:"trees"`
}

type treeDoc struct {
	Name string `json:"name"`
	coverageDoc
}

func newOfflineDoc(o graft.Offline) offlineDoc {
	doc := offlineDoc{Offline: canOffline(o), Lacks: []graft.PageIdx{}, coverageDoc: newCoverageDoc(o.Coverage), Trees: []treeDoc{}}
	for _, t := range o.Trees {
		doc.Trees = append(doc.Trees, treeDoc{t.Name, newCoverageDoc(t.Coverage)})
	}
	return doc
}

func newQueryDoc(o QueryOffline) offlineDoc {
	doc := newOfflineDoc(o.Offline)
	doc.Offline, doc.LacksBytes, doc.Stopped = o.Runs, o.Bytes, o.Stopped
	doc.Lacks = append(doc.Lacks, o.Missing...)
	return doc
}
