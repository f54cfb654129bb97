package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	_ "graft/driver"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(tortureEnv); name != "" {
		os.Exit(tortured(name))
	}
	if os.Getenv(holderEnv) != "" {
		holdDirectory()
		return
	}
	goleak.VerifyTestMain(m)
}

// database is a handle with helpers that end the test on errors.
type database struct {
	*sql.DB
	t *testing.T
}

// open opens a data source name; the handle is closed with the test.
func open(t *testing.T, format string, args ...any) *database {
	t.Helper()
	db, err := sql.Open("graft", fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &database{db, t}
}

// exec runs statements.
func (db *database) exec(statements ...string) {
	db.t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			db.t.Fatalf("%s: %v", s, err)
		}
	}
}

// ask gives the first value of a query.
func (db *database) ask(query string, args ...any) string {
	db.t.Helper()
	return ask(db.t, db, query, args...)
}

// querier is a sql.DB, Conn or Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func ask(t *testing.T, q querier, query string, args ...any) string {
	t.Helper()
	var s string
	if err := q.QueryRowContext(context.Background(), query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// want checks the first value of a query.
func (db *database) want(query, want string) {
	db.t.Helper()
	if got := db.ask(query); got != want {
		db.t.Fatalf("%s: got %q, want %q", query, got, want)
	}
}

// fails runs a statement whose error must say all of texts, and gives it.
func (db *database) fails(statement string, texts ...string) error {
	db.t.Helper()
	_, err := db.Exec(statement)
	wantError(db.t, err, texts...)
	return err
}

func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Fatalf("error %q does not say %q", err, text)
		}
	}
}

// line gives the rest of the line of a pragma's text that begins with prefix.
func (db *database) line(pragma, prefix string) string {
	db.t.Helper()
	text := db.ask("PRAGMA " + pragma)
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	db.t.Fatalf("pragma %s has no line %q: %s", pragma, prefix, text)
	return ""
}

func (db *database) status() string { db.t.Helper(); return db.line("graft_status", "Status:") }

// wantStatus checks the short form of the status.
func (db *database) wantStatus(want string) {
	db.t.Helper()
	if got := db.status(); got != want {
		db.t.Fatalf("status is %q, want %q", got, want)
	}
}

// fileBucket gives the URL and the folder of a new bucket.
func fileBucket(t *testing.T) (url, dir string) {
	dir = filepath.Join(t.TempDir(), "bucket")
	path := filepath.ToSlash(dir)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return "file://" + path, dir
}
