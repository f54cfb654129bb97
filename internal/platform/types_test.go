package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// listed is what go list says of a package that is linked.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Standard   bool
	ImportMap  map[string]string
	Module     *struct{ GoVersion string }
	Error      *struct{ Err string }
}

// TestTypes checks the types of everything that a program with the driver links, for each target and engine, as a
// compiler does before it makes code; for one system that is not like Unix, of all packages, the clouds' too. It takes
// seconds where a cold build takes most of a minute.
func TestTypes(t *testing.T) {
	if os.Getenv("GRAFT_CROSS") == "" {
		t.Skip("make cross runs it")
	}
	for _, target := range crossTargets(t) {
		for _, engine := range engines {
			t.Run(target.String()+"/"+engine.name, func(t *testing.T) {
				t.Parallel()
				names := []string{"./driver", "./objstore"}
				if engine.name == wazero.name && target.String() == "windows/amd64" {
					names = []string{"./..."}
				}
				pkgs, err := listPackages(target, engine, names...)
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range checkTypes(pkgs, target.arch) {
					t.Error(err)
				}
			})
		}
	}
}

// listPackages gives the packages that the named ones link, each after those that it imports.
func listPackages(target target, engine engine, names ...string) (pkgs []listed, err error) {
	args := append([]string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,Standard,ImportMap,Module,Error"}, engine.flags...)
	cmd := exec.Command("go", append(args, names...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), target.env()...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, complaint.String())
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		if p.Error != nil {
			return nil, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		pkgs = append(pkgs, p)
	}
}

// checkTypes gives what a compiler for the processor would say of packages that are in the order of listPackages. Of
// the standard library it believes what is inside of functions.
func checkTypes(pkgs []listed, arch string) (found []error) {
	done := map[string]*types.Package{"unsafe": types.Unsafe}
	for _, p := range pkgs {
		if p.ImportPath == "unsafe" {
			continue
		}
		files, err := parsed.files(p)
		if err != nil {
			return append(found, err)
		}
		config := types.Config{
			Importer:         importer{done, p.ImportMap},
			Sizes:            types.SizesFor("gc", arch),
			IgnoreFuncBodies: p.Standard,
			Error:            func(err error) { found = append(found, fmt.Errorf("%s: %w", p.ImportPath, err)) },
		}
		if p.Module != nil && p.Module.GoVersion != "" {
			config.GoVersion = "go" + p.Module.GoVersion
		}
		done[p.ImportPath], _ = config.Check(p.ImportPath, parsed.set, files, nil)
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// importer finds packages that were checked before.
type importer struct {
	done   map[string]*types.Package
	mapped map[string]string // of a package: paths in its source to real ones
}

func (i importer) Import(path string) (*types.Package, error) {
	if real, ok := i.mapped[path]; ok {
		path = real
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s was not checked before", path)
}

// parsed has the files of all targets, which share most of them.
var parsed = sources{set: token.NewFileSet()}

type sources struct {
	set *token.FileSet
	all sync.Map // path → func() (*ast.File, error)
}

func (s *sources) files(p listed) (files []*ast.File, err error) {
	for _, name := range p.GoFiles {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.Dir, name)
		}
		parse, _ := s.all.LoadOrStore(path, sync.OnceValues(func() (*ast.File, error) {
			return parser.ParseFile(s.set, path, nil, parser.SkipObjectResolution)
		}))
		f, err := parse.(func() (*ast.File, error))()
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
