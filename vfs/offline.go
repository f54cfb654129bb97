package vfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"graft"
	"graft/internal/meter"
)

// dryRun is a run of a query that makes no request.
type dryRun struct {
	missing graft.PageIdx // that could not be read first, or 0
}

// note notes a page that could not be read.
func (d *dryRun) note(p graft.PageIdx) {
	if d != nil && d.missing == 0 {
		d.missing = p
	}
}

// offline is whether a database, or a query, needs the bucket.
type offline struct {
	graft.Offline
	query bool
	ran   bool          // the query
	page  graft.PageIdx // that it missed first: SQLite gives up there, so others are not known
}

// can tells whether the bucket is not needed.
func (o offline) can() bool {
	if o.query {
		return o.ran
	}
	return o.Missing == 0 && o.Whole
}

func (f *file) pragmaOffline(ctx context.Context, query string) (string, any, error) {
	got := offline{query: query != ""}
	var roots []graft.PageIdx
	if got.query {
		err := f.withoutRequests(func(d *dryRun) error {
			var err error
			roots, err = f.explain(query)
			if err == nil {
				err = f.run(query)
			}
			got.ran, got.page = err == nil, d.missing
			if d.missing > 0 {
				return nil
			}
			return err
		})
		if err != nil {
			return "", nil, err
		}
	}
	if !got.query || len(roots) > 0 {
		var err error
		if got.Offline, err = f.graft.Offline(ctx, roots...); err != nil {
			return "", nil, err
		}
	}
	return offlineText(got), newOfflineDoc(got), nil
}

// withoutRequests calls fn while reads of the file make no request.
func (f *file) withoutRequests(fn func(*dryRun) error) error {
	budget := f.stats.budget
	f.dry, f.stats.budget = &dryRun{}, meter.Budget{None: true}
	f.stats.begin(f.interrupt())
	defer func() {
		f.dry, f.stats.budget, f.cause = nil, budget, nil
		f.stats.begin(f.interrupt())
	}()
	return fn(f.dry)
}

// prepare prepares one statement that only reads.
func (f *file) prepare(query string) (*sqlite3.Stmt, error) {
	if f.conn == nil {
		return nil, errors.New("graft: the connection is not known to the file")
	}
	stmt, tail, err := f.conn.Prepare(query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil || strings.Trim(tail, " \t\r\n;") != "":
		err = errors.New("graft: pragma graft_offline takes one query")
	case !stmt.ReadOnly():
		err = errors.New("graft: pragma graft_offline takes a query that only reads")
	default:
		return stmt, nil
	}
	if stmt != nil {
		err = errors.Join(err, stmt.Close())
	}
	return nil, err
}

// explain gives the root pages of the tables and indexes that a query opens.
func (f *file) explain(query string) (roots []graft.PageIdx, err error) {
	plain, err := f.prepare(query) // EXPLAIN of what writes only reads
	if err != nil {
		return nil, err
	}
	if err := plain.Close(); err != nil {
		return nil, err
	}
	stmt, err := f.prepare("EXPLAIN " + query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	for stmt.Step() {
		switch stmt.ColumnText(1) {
		case "OpenRead", "ReopenIdx":
		default:
			continue
		}
		root, database := graft.PageIdx(stmt.ColumnInt64(3)), stmt.ColumnInt64(4)
		if database > 1 {
			return nil, errors.New("graft: pragma graft_offline takes a query of the main database")
		}
		if database == 0 && root > 0 && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots, stmt.Err()
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

func offlineText(o offline) string {
	var b strings.Builder
	switch {
	case o.query && o.ran:
		b.WriteString("Yes: the query ran without the bucket.\n")
	case o.query:
		fmt.Fprintf(&b, "No: page %d is missing, and perhaps others.\n", o.page)
	case o.can():
		fmt.Fprintf(&b, "Yes: %s.\n", coverageText(o.Coverage))
	default:
		fmt.Fprintf(&b, "No: %s.\n", coverageText(o.Coverage))
	}
	for _, t := range o.Trees {
		fmt.Fprintf(&b, "  %s: %s\n", nameText(t.Name), coverageText(t.Coverage))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

type offlineDoc struct {
	Offline bool          `json:"offline"`
	Page    graft.PageIdx `json:"page"`
	coverageDoc
	Trees []treeDoc `json:"trees"`
}

type treeDoc struct {
	Name string `json:"name"`
	coverageDoc
}

func newOfflineDoc(o offline) offlineDoc {
	doc := offlineDoc{o.can(), o.page, newCoverageDoc(o.Coverage), []treeDoc{}}
	for _, t := range o.Trees {
		doc.Trees = append(doc.Trees, treeDoc{t.Name, newCoverageDoc(t.Coverage)})
	}
	return doc
}
