package graft_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"graft"
)

// module is the path of this module, which a fork may change.
var module = reflect.TypeFor[graft.DB]().PkgPath()

// allowed is the whole import policy: package -> packages of the module that it
// may import. "x/..." matches every package below x, "." is the root. It is a
// statement of policy: change it in a commit of its own that says why.
var allowed = map[string][]string{
	".":                        {"volume", "volume/store", "snapshot", "sync", "objstore", "internal/..."},
	"volume":                   {"internal/..."},
	"volume/store":             {"volume", "volume/store/journal", "volume/store/badgerguard", "internal/..."},
	"volume/store/journal":     {"volume", "internal/..."},
	"volume/store/badgerguard": {"volume"},
	"snapshot":                 {"volume", "volume/store", "internal/..."},
	"sync":                     {"volume", "volume/store", "snapshot", "objstore", "internal/..."},
	"objstore":                 {"internal/..."},
	"objstore/...":             {"objstore", "internal/..."},
	"vfs":                      {".", "volume", "snapshot", "internal/..."},
	"driver":                   {"vfs", "."},
	"grafttest":                {"driver", "."},
	"examples/...":             {".", "driver", "vfs", "objstore/...", "volume", "snapshot", "sync"},
	"examples/mobile/demo":     {"examples/mobile"},
	"internal/...":             {"internal/..."},
}

// linked packages must not be reachable from the root package at all.
var linked = map[string]string{
	"testing":                                      "test helpers belong in *test packages",
	"github.com/aws/aws-sdk-go-v2":                 "programs opt in to a cloud by a blank import",
	"gocloud.dev/blob/s3blob":                      "programs opt in to a cloud by a blank import",
	"cloud.google.com/go/storage":                  "programs opt in to a cloud by a blank import",
	"gocloud.dev/blob/gcsblob":                     "programs opt in to a cloud by a blank import",
	"gocloud.dev/blob/azureblob":                   "programs opt in to a cloud by a blank import",
	"github.com/Azure/azure-sdk-for-go/sdk/azcore": "programs opt in to a cloud by a blank import",
	"github.com/ncruces/go-sqlite3":                "only vfs and driver know SQLite",
	"github.com/tetratelabs/wazero":                "only vfs and driver know SQLite",
	"github.com/johannesboyne/gofakes3":            "a server for tests",
}

// peers are what bench compares graft with: they stay out of the requirements of the module, on either engine.
var peers = []string{"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/benbjohnson/litestream", "gonum.org/v1/plot"}

func TestPeersAreNotRequired(t *testing.T) {
	for _, name := range []string{"go.mod", "go.wasm2go.mod"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, peer := range required(string(text), peers) {
			t.Errorf("%s requires %s: it belongs in bench/go.mod", name, peer)
		}
	}
	if got := required("require (\n\tmodernc.org/sqlite v1.62.0 // indirect\n\tmodernc.org/sqlite2 v1\n)\n", peers); len(got) != 1 {
		t.Errorf("of a planted requirement it sees %q", got)
	}
}

// required gives those of the modules that a go.mod names.
func required(text string, modules []string) (found []string) {
	for line := range strings.Lines(text) {
		for _, field := range strings.Fields(line) {
			if slices.Contains(modules, field) {
				found = append(found, field)
			}
		}
	}
	return found
}

// direct packages must not be imported by library code.
var direct = map[string]string{
	"C":      "graft is cgo-free",
	"log":    "a library does not own the process log; take a *slog.Logger",
	"unsafe": "nothing here needs it",
}

// testPackages may import testing although they are no tests.
var testPackages = map[string]bool{"objstore/objstoretest": true, "grafttest": true}

// generated packages import what their generator likes.
var generated = map[string]bool{"internal/graftpb": true}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImportDirections(t *testing.T) {
	pkgs := listPackages(t)
	if len(pkgs) < 10 {
		t.Fatalf("go list gave %d packages", len(pkgs))
	}
	for _, v := range violations(pkgs) {
		t.Error(v)
	}
}

func TestImportDirectionsSeesViolations(t *testing.T) {
	for _, planted := range []pkg{
		{ImportPath: module + "/volume", Imports: []string{module + "/sync"}},
		{ImportPath: module + "/snapshot", Imports: []string{module + "/objstore"}},
		{ImportPath: module + "/driver", Imports: []string{module + "/internal/dsn"}},
		{ImportPath: module + "/sync", Imports: []string{module}},
		{ImportPath: module + "/vfs", Imports: []string{"log"}},
		{ImportPath: module + "/vfs", Imports: []string{"testing"}},
		{ImportPath: module + "/unheard", Imports: nil},
		{ImportPath: module, Deps: []string{"gocloud.dev/blob/s3blob"}},
		{ImportPath: module, Deps: []string{"gocloud.dev/blob/gcsblob"}},
		{ImportPath: module, Deps: []string{"gocloud.dev/blob/azureblob"}},
		{ImportPath: module + "/objstore", Imports: []string{module + "/objstore/gcs"}},
		{ImportPath: module + "/objstore/azure", Imports: []string{module + "/sync"}},
	} {
		if found := violations([]pkg{planted}); len(found) != 1 {
			t.Errorf("%+v: found %q, want one violation", planted, found)
		}
	}
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// violations says what in pkgs the policy forbids.
func violations(pkgs []pkg) (found []string) {
	fail := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, p := range pkgs {
		from := rel(p.ImportPath)
		rule, ok := lookup(from)
		if !ok {
			fail("%s: no import rule; add one to deps_test.go", from)
			continue
		}
		for _, imp := range p.Imports {
			if why, bad := direct[imp]; bad && !isProgram(from) && !generated[from] {
				fail("%s imports %q: %s", from, imp, why)
			}
			if imp == "testing" && !testPackages[from] {
				fail("%s imports testing", from)
			}
			if (imp == module || strings.HasPrefix(imp, module+"/")) && !matchAny(rule, rel(imp)) {
				fail("%s must not import %s", from, rel(imp))
			}
		}
		if from != "." {
			continue
		}
		for _, d := range p.Deps {
			if why, bad := linked[d]; bad {
				fail("the root package reaches %q: %s", d, why)
			}
		}
	}
	return found
}

func isProgram(p string) bool { return strings.HasPrefix(p, "examples/") }

func rel(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func lookup(p string) ([]string, bool) {
	if r, ok := allowed[p]; ok {
		return r, true
	}
	for k, r := range allowed {
		if pre, ok := strings.CutSuffix(k, "..."); ok && strings.HasPrefix(p, pre) {
			return r, true
		}
	}
	return nil, false
}

func matchAny(rules []string, p string) bool {
	for _, r := range rules {
		if pre, ok := strings.CutSuffix(r, "..."); ok && strings.HasPrefix(p, pre) || r == p {
			return true
		}
	}
	return false
}
