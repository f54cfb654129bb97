package store

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBadgerStillSaysWhatIsHeard looks for what the logger knows Badger by in the source
// of the Badger that is linked: after an upgrade that words its failures in another way
// the store would be deaf to them.
func TestBadgerStillSaysWhatIsHeard(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dgraph-io/badger/v4").Output()
	if err != nil {
		t.Skipf("no source of Badger to look at: go list: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go"))
	must(t, err)
	var source strings.Builder
	var said []string // lines that log
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		must(t, err)
		source.Write(b)
		for _, call := range []string{".Errorf(", ".Warningf("} {
			for _, after := range strings.Split(string(b), call)[1:] {
				said = append(said, after[:min(len(after), 200)])
			}
		}
	}
	if len(said) < 20 {
		t.Fatalf("%d messages in %d files", len(said), len(files))
	}
	for _, heard := range slices.Concat(fatal, stuck) {
		if !slices.ContainsFunc(said, func(call string) bool { return strings.Contains(call, heard) }) {
			t.Errorf("Badger never says %q", heard)
		}
	}
	for _, part := range []string{failedLastSync, `y.Wrap(err, "writeRequests")`} { // in an error that it logs
		if !strings.Contains(source.String(), part) {
			t.Errorf("Badger has no %s", part)
		}
	}
}
