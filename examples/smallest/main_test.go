package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"graft/internal/testbuild"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), &out, t.TempDir(), t.TempDir(), []string{
		"CREATE TABLE t(a, b)",
		"INSERT INTO t VALUES (1, 'one'), (2, NULL)",
		"PRAGMA graft_push",
		"SELECT * FROM t",
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "1\tone\n2\t\n"; !strings.HasSuffix(out.String(), want) || !strings.Contains(out.String(), "Pushed 2 commits") {
		t.Errorf("it says %q, want %q at its end", out.String(), want)
	}
}

// TestSize keeps the program from growing by an import that nobody looked at: most is what it may have on an engine, in MB of
// 1,000,000 bytes, stripped, for linux/amd64. Whoever adds to it on purpose raises that, and says in the commit what for.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("it links a program, the same one that it does without -short")
	}
	path := filepath.Join(t.TempDir(), "smallest")
	size, err := testbuild.Size(path, "", ".", []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}, engineFlags)
	if err != nil {
		t.Fatal(err)
	}
	if t.Logf("%s: %.1f MB", engine, size); size > most {
		t.Errorf("%.2f MB on %s, more than %v", size, engine, most)
	}
}
