package platform

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the folder of the module.
const root = "../.."

// target is an operating system and a processor, by Go's names.
type target struct{ system, arch string }

func (t target) String() string { return t.system + "/" + t.arch }

// env sets what the go command builds for.
func (t target) env() []string {
	return []string{"GOOS=" + t.system, "GOARCH=" + t.arch, "CGO_ENABLED=0"}
}

// engine is a way to run SQLite (docs/adr/0014).
type engine struct {
	name  string
	flags []string // of the go command
}

var (
	wazero  = engine{name: "wazero"}
	wasm2go = engine{name: "wasm2go", flags: []string{"-modfile=go.wasm2go.mod", "-tags=graft_wasm2go"}}

	engines = []engine{wazero, wasm2go}
)

// crossTargets gives the targets of the Makefile.
func crossTargets(t *testing.T) []target { return targetsOf(t, "CROSS") }

// targetsOf reads a variable of the Makefile.
func targetsOf(t *testing.T, name string) (targets []target) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^` + name + `\s*=((?:.*\\\n)*.*)$`).FindSubmatch(b)
	if line == nil {
		t.Fatalf("the Makefile has no %s", name)
	}
	return parseTargets(strings.ReplaceAll(string(line[1]), "\\\n", " "))
}

// parseTargets reads names with spaces between.
func parseTargets(words string) (targets []target) {
	for word := range strings.FieldsSeq(words) {
		system, arch, _ := strings.Cut(word, "/")
		targets = append(targets, target{system, arch})
	}
	return targets
}
