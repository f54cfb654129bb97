// Quickstart takes a SQLite database through graft: it imports it, pushes it to
// a bucket, clones it into a second data directory, queries it there with only
// the pages that the queries need, writes on the clone, pushes back, and pulls.
// It prints what each step moved.
//
//	go run ./examples/quickstart [DATABASE]
//
// The bucket is a folder, and all that it makes lies in a temporary one. Without
// an argument it makes a database of its own.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"graft"
	"graft/vfs"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: quickstart [DATABASE]")
	}
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	if _, err := run(context.Background(), os.Stdout, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// report is what the run found, for the test.
type report struct {
	answers       map[string]string // of the queries on the clone
	presentBefore graft.Presence    // on the clone after its queries
	exported      int64             // bytes, equal on both sides
}

// run does the whole round trip with the database at source, or with one of its
// own if that is empty.
func run(ctx context.Context, out io.Writer, source string) (_ report, err error) {
	vfs.ConfigureEngine() // for the plain SQLite of makeDatabase, too
	dir, err := os.MkdirTemp("", "graft-quickstart-*")
	if err != nil {
		return report{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if source == "" {
		source = filepath.Join(dir, "shop.sqlite")
		if err := makeDatabase(ctx, source, allPurchases); err != nil {
			return report{}, fmt.Errorf("make a database: %w", err)
		}
	}
	t := &trip{ctx: ctx, out: out, dir: dir, report: report{answers: make(map[string]string)}}
	err = t.travel(source)
	return t.report, errors.Join(err, t.close())
}

// trip is one run: two machines and the bucket between them.
type trip struct {
	ctx    context.Context
	out    io.Writer
	dir    string
	first  *machine
	second *machine
	report report
}

func (t *trip) travel(source string) (err error) {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Database %s, %.1f MB. Bucket and data directories are in %s.\n\n", filepath.Base(source), float64(info.Size())/1e6, t.dir)
	if t.first, err = t.open("first"); err != nil {
		return err
	}
	if err := t.first.step(t.out, "import the database", "PRAGMA graft_import = "+quote(source)); err != nil {
		return err
	}
	if err := t.first.step(t.out, "push it", "PRAGMA graft_push"); err != nil {
		return err
	}
	if err := t.queryClone(); err != nil {
		return err
	}
	if err := t.writeBack(); err != nil {
		return err
	}
	return t.compare()
}

// queryClone clones the first machine's database and queries it.
func (t *trip) queryClone() (err error) {
	remote, err := t.first.remote()
	if err != nil {
		return err
	}
	if t.second, err = t.open("second"); err != nil {
		return err
	}
	if err := t.second.step(t.out, "clone it", "PRAGMA graft_clone = "+quote(remote.String())); err != nil {
		return err
	}
	queries, err := chooseQueries(t.ctx, t.second.sql)
	if err != nil {
		return err
	}
	for _, q := range queries {
		answer, err := t.second.ask(q)
		if err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
		t.report.answers[q] = answer
		if err := t.second.print(t.out, q, answer); err != nil {
			return err
		}
	}
	t.report.presentBefore, err = t.second.graft.Audit(t.ctx)
	return err
}

// writeBack writes on the clone and brings that to the first machine.
func (t *trip) writeBack() error {
	for _, s := range []struct {
		m           *machine
		what, query string
	}{
		{t.second, "make a table", "CREATE TABLE graft_notes(id INTEGER PRIMARY KEY, text TEXT NOT NULL)"},
		{t.second, "write into it", "INSERT INTO graft_notes(text) VALUES ('from the clone')"},
		{t.second, "push back", "PRAGMA graft_push"},
		{t.first, "pull", "PRAGMA graft_pull"},
		{t.first, "read it", "SELECT text FROM graft_notes"},
	} {
		if err := s.m.step(t.out, s.what, s.query); err != nil {
			return err
		}
	}
	return nil
}

// compare checks both databases, and exports them to equal bytes.
func (t *trip) compare() error {
	var exports [2][]byte
	for i, m := range []*machine{t.first, t.second} {
		answer, err := m.ask("PRAGMA integrity_check")
		if err != nil {
			return err
		}
		if answer != "ok" {
			return fmt.Errorf("integrity check of the %s: %s", m.name, answer)
		}
		if err := m.print(t.out, "PRAGMA integrity_check", answer); err != nil {
			return err
		}
		path := filepath.Join(t.dir, m.name+".sqlite")
		if err := m.step(t.out, "export", "PRAGMA graft_export = "+quote(path)); err != nil {
			return err
		}
		if exports[i], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	if !bytes.Equal(exports[0], exports[1]) {
		return errors.New("the exports differ")
	}
	t.report.exported = int64(len(exports[0]))
	fmt.Fprintf(t.out, "Both exports have the same %d bytes.\n", t.report.exported)
	return nil
}

func (t *trip) close() error {
	var errs []error
	for _, m := range []*machine{t.second, t.first} {
		if m != nil {
			errs = append(errs, m.close())
		}
	}
	return errors.Join(errs...)
}

// bucketURL is that of a folder in dir.
func bucketURL(dir string) string {
	path := filepath.ToSlash(filepath.Join(dir, "bucket"))
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// quote makes a value safe in SQL and in a data source name.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
