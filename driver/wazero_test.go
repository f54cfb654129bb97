//go:build !graft_wasm2go

package driver_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"graft/vfs"
)

// TestTheCompiledSQLiteIsKept runs another process that opens a database, with a
// cache folder of its own and with the cache off.
func TestTheCompiledSQLiteIsKept(t *testing.T) {
	for setting, kept := range map[string]bool{"": true, "off": false} {
		home := t.TempDir()
		if kept {
			setting = home
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), holderEnv+"="+t.TempDir(), vfs.CacheEnv+"="+setting, "XDG_CACHE_HOME="+home)
		out, err := child.Output()
		if err != nil || string(out) != "ready <nil>\n" {
			t.Fatalf("the other process says %q, %v", out, err)
		}
		entries, err := os.ReadDir(home)
		if err != nil || (len(entries) > 0) != kept {
			t.Errorf("%s=%s: the cache folder has %v, %v", vfs.CacheEnv, setting, entries, err)
		}
	}
}

// TestExtensionsOfSQLite keeps what is built into the SQLite that wazero runs.
// internal/wasm2go has that of the other engine.
func TestExtensionsOfSQLite(t *testing.T) {
	remote := "mem://" + t.Name()
	db := open(t, "tag=main dir=%s remote=%s", quote(t.TempDir()), remote)
	db.exec("CREATE VIRTUAL TABLE notes USING fts5(body)",
		"CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1)",
		"CREATE TABLE docs(doc, kind GENERATED ALWAYS AS (doc ->> '$.kind') VIRTUAL)",
		"CREATE INDEX kinds ON docs(kind)")
	for i := range 300 {
		db.exec(fmt.Sprintf("INSERT INTO notes VALUES ('word%d in note %d')", i%10, i),
			fmt.Sprintf("INSERT INTO boxes VALUES (%d, %d, %d, 0, 1)", i, i, i+1),
			fmt.Sprintf(`INSERT INTO docs VALUES ('{"kind": "k%d", "n": [%d]}')`, i%3, i))
	}
	db.exec("DELETE FROM notes WHERE rowid % 7 = 0", "INSERT INTO notes(notes) VALUES ('optimize')", "DELETE FROM boxes WHERE id % 2 = 0", "PRAGMA graft_push")
	clone := open(t, "tag=main dir=%s remote=%s", quote(t.TempDir()), remote)
	clone.exec("PRAGMA graft_clone = " + quote(db.line("graft_info", "Remote:")))
	for _, db := range []*database{db, clone} {
		db.want("SELECT count(*) FROM notes WHERE notes MATCH 'word3'", "25")
		db.want("SELECT count(*) FROM boxes WHERE x0 >= 10 AND x1 <= 20", "5")
		db.want("SELECT sum(doc ->> '$.n[0]') FROM docs INDEXED BY kinds WHERE kind = 'k1'", "14950")
		db.want("SELECT rtreecheck('boxes')", "ok")
		db.exec("INSERT INTO notes(notes) VALUES ('integrity-check')")
		db.want("PRAGMA integrity_check", "ok")
	}
}
