package orm

import (
	"database/sql"
	"embed"
	"io/fs"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:embed migrations
var migrations embed.FS

// folder gives the migrations of a tool.
func folder(t *testing.T, name string) fs.FS {
	t.Helper()
	f, err := fs.Sub(migrations, "migrations/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// want checks the one value of a query.
func want[T comparable](t *testing.T, db *sql.DB, query string, want T) {
	t.Helper()
	var got T
	if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
		t.Errorf("%s gives %v, %v, want %v", query, got, err, want)
	}
}

// columns is what a migration changes.
const columns = "SELECT coalesce(group_concat(name), '') FROM pragma_table_info('orders')"
