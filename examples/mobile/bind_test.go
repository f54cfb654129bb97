package mobile

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// TestEverythingBinds wants gobind to leave nothing out: it skips without an error what it has no counterpart for.
func TestEverythingBinds(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	exported, found := unbound(set, files)
	for _, f := range found {
		t.Error(f)
	}
	if exported < 30 {
		t.Errorf("%d exported functions, methods and fields", exported)
	}
}

func TestUnboundSeesViolations(t *testing.T) {
	for _, planted := range []string{
		`func F(n uint32) {}`,
		`func F(names []string) {}`,
		`func F() map[string]int { return nil }`,
		`func F(f func()) {}`,
		`func F() (int, int) { return 0, 0 }`,
		`func F() (int, int, error) { return 0, 0, nil }`,
		`func F(t time.Time) {}`,
		`func F(v any) {}`,
		`func F(names ...string) {}`,
		`func F(t T) {}; type T struct{}`,
		`func F[V any]() {}`,
		`type T struct{ A []int64 }`,
		`type T struct{ *sql.DB }`,
		`type T struct{ t }; type t struct{}; func (t) M() {}`,
		`type T struct{}; func (*T) M(ctx context.Context) {}`,
		`type T interface { M(n uint) }`,
		`type T int`,
		`type T = time.Time`,
		`var V = map[string]int{}`,
		`var V chan int`,
		`const C uint = 1`,
	} {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, "planted.go", "package mobile\n"+planted, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, found := unbound(set, []*ast.File{f}); len(found) == 0 {
			t.Errorf("%s: nothing found", planted)
		}
	}
}

// unbound gives what of the exported names of the package gobind skips or refuses, by the rules of its documentation
// (https://pkg.go.dev/golang.org/x/mobile/cmd/gobind) and narrower ones where those are vague. It counts what it saw.
func unbound(set *token.FileSet, files []*ast.File) (exported int, found []error) {
	config := types.Config{
		Importer:         nothing{}, // types of other packages cannot be bound: they need not be known
		Error:            func(error) {},
		IgnoreFuncBodies: true,
	}
	pkg, _ := config.Check("mobile", set, files, nil)
	b := binding{pkg: pkg}
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Exported() {
			b.object(obj)
		}
	}
	return b.exported, b.found
}

type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) { return nil, errors.New("not looked at") }

// binding is the check of one package.
type binding struct {
	pkg      *types.Package
	exported int
	found    []error
}

func (b *binding) fail(name string, t types.Type) {
	b.found = append(b.found, fmt.Errorf("%s: gobind has nothing for %s", name, t))
}

func (b *binding) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Func:
		b.function(obj.Name(), obj)
	case *types.Const, *types.Var:
		b.member(obj.Name(), obj.Type())
	case *types.TypeName:
		named, ok := obj.Type().(*types.Named)
		if !ok || obj.IsAlias() || named.TypeParams().Len() > 0 {
			b.fail(obj.Name(), obj.Type())
			return
		}
		b.named(named)
	}
}

// named checks a struct with its fields and methods, or an interface.
func (b *binding) named(t *types.Named) {
	name := t.Obj().Name()
	switch under := t.Underlying().(type) {
	case *types.Struct:
		for f := range under.Fields() {
			if f.Embedded() {
				b.fail(name+"."+f.Name(), f.Type())
			} else if f.Exported() {
				b.member(name+"."+f.Name(), f.Type())
			}
		}
		for m := range t.Methods() {
			if m.Exported() {
				b.function(name+"."+m.Name(), m)
			}
		}
	case *types.Interface:
		for m := range under.Methods() {
			b.function(name+"."+m.Name(), m)
		}
	default:
		b.fail(name, t)
	}
}

// function checks that all parameters have counterparts, and that there is at most one result before an error.
func (b *binding) function(name string, f *types.Func) {
	sig := f.Signature()
	b.exported++
	if sig.Variadic() || sig.TypeParams().Len() > 0 {
		b.fail(name, sig)
		return
	}
	for p := range sig.Params().Variables() {
		if !b.bound(p.Type()) {
			b.fail(name, p.Type())
		}
	}
	results := sig.Results()
	for r := range results.Variables() {
		if !b.bound(r.Type()) {
			b.fail(name, r.Type())
		}
	}
	if n := results.Len(); n > 2 || n == 2 && !isError(results.At(1).Type()) {
		b.fail(name, results)
	}
}

func (b *binding) member(name string, t types.Type) {
	b.exported++
	if !b.bound(t) {
		b.fail(name, t)
	}
}

// bound tells whether a value of the type can be passed.
func (b *binding) bound(t types.Type) bool {
	switch t := t.(type) {
	case *types.Basic:
		switch t.Kind() {
		case types.Bool, types.Int, types.Int8, types.Int16, types.Int32, types.Int64, types.Uint8, types.Float32, types.Float64, types.String,
			types.UntypedBool, types.UntypedInt, types.UntypedRune, types.UntypedFloat, types.UntypedString:
			return true
		}
	case *types.Slice:
		elem, ok := t.Elem().(*types.Basic)
		return ok && elem.Kind() == types.Uint8
	case *types.Pointer:
		named, ok := t.Elem().(*types.Named)
		return ok && named.Obj().Pkg() == b.pkg
	case *types.Named:
		_, ok := t.Underlying().(*types.Interface)
		return isError(t) || ok && t.Obj().Pkg() == b.pkg
	}
	return false
}

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }
