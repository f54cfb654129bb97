package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// program is one that is built to measure what this one cannot hold: another
// go-sqlite3, SQLite in C, or no more than what opens one database.
type program struct {
	name string
	path string // ""; it could not be built
	why  string // it could not
}

// recipe is how a program is built, in the folder of this one's source.
type recipe struct {
	flags []string
	env   []string
}

const (
	thisProgram       = ""
	wasm2goProgram    = "wasm2go"
	mattnProgram      = "mattn"
	litestreamProgram = "litestream"
	startProgram      = "start-" // and the name of a folder of start
)

// recipes are those of the programs that peers need.
var recipes = map[string]recipe{
	wasm2goProgram:              {flags: []string{"-modfile=go.wasm2go.mod", "-tags=graft_wasm2go", "."}},
	mattnProgram:                {flags: []string{"-tags=bench_mattn", "-ldflags=-X github.com/mattn/go-sqlite3.driverName=mattn", "."}, env: cgo},
	litestreamProgram:           {flags: []string{"-C=litestream", "-tags=vfs", "."}, env: cgo},
	startProgram + "graft":      {flags: []string{"./start/graft"}},
	startProgram + "wazero":     {flags: []string{"./start/file"}},
	startProgram + "graft-w2g":  {flags: []string{"-modfile=go.wasm2go.mod", "-tags=graft_wasm2go", "./start/graft"}},
	startProgram + "wasm2go":    {flags: []string{"-modfile=go.wasm2go.mod", "-tags=graft_wasm2go", "./start/file"}},
	startProgram + "modernc":    {flags: []string{"./start/modernc"}},
	startProgram + mattnProgram: {flags: []string{"-tags=bench_mattn", "./start/mattn"}, env: cgo},
}

var cgo = []string{"CGO_ENABLED=1"}

// program gives the program of a name, built when it is first asked for. It may
// say why it could not.
func (e *env) program(ctx context.Context, name string) (*program, error) {
	if p, ok := e.programs[name]; ok {
		return p, nil
	}
	p := &program{name: name}
	if name == thisProgram {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p.path = self
		return p, nil
	}
	if e.programs == nil {
		e.programs = make(map[string]*program)
	}
	e.programs[name] = p
	if name == litestreamProgram && e.unwanted(litestreamName) != "" {
		p.why = e.unwanted(litestreamName)
		return p, nil
	}
	if e.peerless {
		p.why = "peers were left out"
		return p, nil
	}
	path := filepath.Join(e.dir, "program-"+name)
	start := time.Now()
	if p.why = recipes[name].build(ctx, path); p.why != "" {
		e.say("  %s cannot be built here: %s", name, p.why)
		return p, context.Cause(ctx)
	}
	e.say("  built %s in %.1f s", name, time.Since(start).Seconds())
	p.path = path
	info, err := buildinfo.ReadFile(path)
	if err == nil {
		e.peerVersions = append(e.peerVersions, peerVersion{name, versionsOf(info)})
	}
	return p, err
}

// build says why it failed.
func (r recipe) build(ctx context.Context, path string) (why string) {
	if _, err := os.Stat("go.wasm2go.mod"); err != nil {
		return "the working directory is not the folder bench of the source"
	}
	args := append([]string{"build"}, r.flags[:len(r.flags)-1]...)
	if dir, ok := strings.CutPrefix(r.flags[0], "-C="); ok { // -C comes first
		args = append([]string{"build", "-C", dir}, r.flags[1:len(r.flags)-1]...)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", path, r.flags[len(r.flags)-1])...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), r.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Sprintf("%v: %.200s", err, lines[len(lines)-1])
	}
	return ""
}
