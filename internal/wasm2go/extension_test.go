//go:build graft_wasm2go

// Package wasm2go tests programs that are built with the tag graft_wasm2go.
package wasm2go

import (
	"database/sql"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	"github.com/ncruces/go-sqlite3/ext/rtree"

	_ "graft/driver"
)

func init() {
	// They are no part of this SQLite, as they are of that which wazero runs.
	sqlite3.AutoExtension(fts5.Register)
	sqlite3.AutoExtension(rtree.Register)
}

// TestExtensions keeps tables of FTS5 and RTREE in graft, and JSON.
func TestExtensions(t *testing.T) {
	dir := t.TempDir()
	for _, again := range []bool{false, true} {
		db, err := sql.Open("graft", "tag=main dir='"+dir+"'")
		if err != nil {
			t.Fatal(err)
		}
		if !again {
			for _, s := range []string{
				"CREATE VIRTUAL TABLE f USING fts5(body)",
				"INSERT INTO f VALUES ('a volume is sparse'), ('a graft has a tag')",
				"CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)",
				"INSERT INTO r VALUES (1, 0, 10), (2, 20, 30)",
			} {
				if _, err := db.Exec(s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
		}
		for query, want := range map[string]string{
			"SELECT rowid FROM f WHERE f MATCH 'sparse'":   "1",
			"SELECT id FROM r WHERE x0 > 15":               "2",
			`SELECT json_extract('{"a":[7,8]}', '$.a[1]')`: "8",
			"PRAGMA integrity_check":                       "ok",
		} {
			var got string
			if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %q, %v; want %q", query, got, err, want)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
