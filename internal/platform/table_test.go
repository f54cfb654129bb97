package platform

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notRun is in the table where nothing was.
const notRun = "not run"

// TestTable holds the table of docs/platforms.md and the lists of the Makefile together.
func TestTable(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "platforms.md"))
	if err != nil {
		t.Fatal(err)
	}
	run := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+/\w+) \|.*$`).FindAllString(string(b), -1) {
		cells := strings.Split(row, "|")
		run[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[4])
	}
	cross := crossTargets(t)
	for _, target := range cross {
		if _, ok := run[target.String()]; !ok {
			t.Errorf("%s is in the Makefile, not in the table", target)
		}
	}
	if len(run) != len(cross) {
		t.Errorf("the table has %d platforms, the Makefile %d", len(run), len(cross))
	}
	for name, cell := range run {
		if cell == "" {
			t.Errorf("the table does not say whether anything was run on %s", name)
		}
	}
	for _, target := range targetsOf(t, "EMULATED") {
		if !slices.Contains(cross, target) || run[target.String()] == notRun {
			t.Errorf("tests run on %s, and the table does not say so", target)
		}
	}
}
