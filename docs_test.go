package graft_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageDocs reports packages whose documentation godoc cannot see: no
// package comment at all, or one detached by a blank line above "package".
func TestPackageDocs(t *testing.T) {
	seen := map[string]bool{} // directory -> has an attached package comment
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		seen[dir] = seen[dir] || f.Doc != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 10 {
		t.Fatalf("found %d packages", len(seen))
	}
	for dir, ok := range seen {
		if !ok {
			t.Errorf("%s: no attached package comment", dir)
		}
	}
}
