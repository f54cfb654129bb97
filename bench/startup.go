package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func processWorkloads() []workload {
	return []workload{{
		name: "start", part: processPart, run: startUp,
		what: "from the start of a process to the answer of its first query; its memory then",
	}, {
		name: "many", part: processPart, run: manyTags,
		what: "1,000 small databases in one process: open them all, memory, and what the processor does when nothing happens",
	}}
}

// starter is a program that opens one database and asks it once: see package start.
type starter struct {
	name, program string
	cached        bool // with compiled code kept on disk, if it compiles any
	graft         bool
	note          string
}

var starters = []starter{
	{name: subjectName, program: startProgram + "graft", cached: true, graft: true, note: "compiled SQLite is on disk, as graft keeps it"},
	{name: subjectName + " the first time", program: startProgram + "graft", graft: true, note: "SQLite is compiled"},
	{name: subjectName + onWasm2go, program: startProgram + "graft-w2g", graft: true},
	{name: "wazero", program: startProgram + "wazero", note: "as go-sqlite3 does it alone: SQLite is compiled"},
	{name: "wazero with a cache", program: startProgram + "wazero", cached: true, note: "with the cache that graft sets"},
	{name: wasm2goProgram, program: startProgram + "wasm2go"},
	{name: "modernc", program: startProgram + "modernc"},
	{name: mattnProgram, program: startProgram + mattnProgram},
}

// startUp runs each starter in turn.
func startUp(ctx context.Context, e *env) (_ []row, err error) {
	c := &comparison{What: "a program that holds no more than it must starts, opens a database of 10,000 rows and asks for 99 of them"}
	file, err := e.build("start-file", func(dir string) error { return fileSystem("wal", "full").setUp(ctx, dir, e.size.updateRows) })
	if err != nil {
		return nil, err
	}
	graft, err := e.build("start-graft", func(dir string) error { return graftSystem("").setUp(ctx, dir, e.size.updateRows) })
	if err != nil {
		return nil, err
	}
	cache, err := e.fresh("start-cache")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cache)) }()
	for _, s := range starters {
		c.Standings = append(c.Standings, standing{System: s.name, Note: s.note, Figures: []figure{{"time", series{Unit: seconds}}, {"memory", series{Unit: octets}}}})
	}
	const times = 2 // each round: a process is over soon
	for round := range 1 + times*e.rounds {
		for i, s := range starters {
			if round%2 == 1 {
				i = len(starters) - 1 - i
				s = starters[i]
			}
			path := filepath.Join(file, "t0.db")
			if s.graft {
				path = graft
			}
			if why := e.unwanted(s.name); why != "" {
				c.Standings[i].Figures, c.Standings[i].Missing = nil, why
				continue
			}
			prog, err := e.program(ctx, s.program)
			if err != nil {
				return nil, err
			}
			if prog.path == "" {
				c.Standings[i].Figures, c.Standings[i].Missing = nil, prog.why
				continue
			}
			took, memory, err := s.start(ctx, prog.path, path, cache)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if round == 0 { // it fills caches
				continue
			}
			for k, v := range []float64{took.Seconds(), memory} {
				c.Standings[i].Figures[k].Samples = append(c.Standings[i].Figures[k].Samples, v)
			}
		}
	}
	return []row{{Name: "start", Compared: c}}, nil
}

// start runs the program once.
func (s starter) start(ctx context.Context, program, path, cache string) (took time.Duration, memory float64, err error) {
	cmd := exec.CommandContext(ctx, program, path)
	cmd.Env = append(os.Environ(), "GRAFT_WASM_CACHE=off")
	if s.cached {
		cmd.Env = append(os.Environ(), "GRAFT_WASM_CACHE="+cache, "START_CACHE="+cache)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	line := make([]byte, 128)
	n, err := out.Read(line)
	took = time.Since(begun)
	var rows, length int
	if err == nil {
		_, err = fmt.Fscan(bytes.NewReader(line[:n]), &rows, &length, &memory)
	}
	if err == nil && (rows != 99 || length != textSize) {
		err = fmt.Errorf("it answers %s", line[:n])
	}
	return took, memory, errors.Join(err, cmd.Wait())
}
