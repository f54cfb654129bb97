package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// manyJob opens many databases at once, each with a connection that has read a
// row, and then does nothing for a while.
func manyJob(ctx context.Context, j job) (o outcome, err error) {
	all := manySystems()
	s, ok := all[j.System]
	if !ok {
		return o, fmt.Errorf("no system %q", j.System)
	}
	s = s.severally(j.Count)
	memory := watchMemory()
	start := time.Now()
	dbs, err := s.open(ctx, j.Dir)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, closeAll(dbs)) }()
	for i, db := range dbs {
		var a int
		if err := db.QueryRowContext(ctx, "SELECT a FROM t WHERE a = 1").Scan(&a); err != nil {
			return o, fmt.Errorf("database %d: %w", i, err)
		}
	}
	if o, err = memory.end(time.Since(start)); err != nil {
		return o, err
	}
	awaitIdle(ctx, 5*time.Second)
	before, idle := cpuTime(), 2*time.Second
	if j.Size == "tiny" {
		idle = 50 * time.Millisecond
	}
	if err := sleep(ctx, idle); err != nil {
		return o, err
	}
	o.CPU = (cpuTime() - before).Seconds() / idle.Seconds()
	return o, nil
}

// manySystems are those that hold many databases, by name.
func manySystems() map[string]system {
	graft, file := graftSystem(""), fileSystem("wal", "full")
	all := map[string]system{subjectName: graft, "wazero " + file.name: file}
	for _, s := range peersOf(graft, file) {
		all[s.name] = s
	}
	return all
}

// manyOrder is that of the table.
func manyOrder() []string {
	wal := fileSystem("wal", "full")
	names := []string{subjectName, "wazero " + wal.name}
	for _, s := range peersOf(graftSystem(""), wal) {
		names = append(names, s.name)
	}
	return names
}

// manyDatabases builds the databases, in graft and as files, of a few rows each.
func manyDatabases(ctx context.Context, e *env, s system) (string, error) {
	if s.driver != "graft" {
		s = fileSystem("wal", "off") // a thousand files need not outlive a power cut
	}
	return e.build("many-"+s.kept, func(dir string) (err error) {
		held, err := s.open(ctx, dir) // the first one keeps the data directory open
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeAll(held)) }()
		for i := range e.size.tags {
			db, err := sql.Open(s.driver, s.source(dir, fmt.Sprintf("t%d", i)))
			if err != nil {
				return err
			}
			if err := errors.Join(fill(ctx, db, 10), db.Close()); err != nil {
				return err
			}
		}
		return nil
	})
}

// manyTags opens many small databases in a process, on each system.
func manyTags(ctx context.Context, e *env) ([]row, error) {
	c := &comparison{What: fmt.Sprintf("a process opens %d databases, each of its own, of ten rows, with a connection to each, and reads a row of each; then it does nothing", e.size.tags)}
	systems, order := manySystems(), manyOrder()
	for _, name := range order {
		c.Standings = append(c.Standings, standing{System: name, Figures: []figure{
			{"time", series{Unit: seconds}}, {"memory", series{Unit: octets}}, {"idle processor", series{Unit: cores}}}})
	}
	for round := range min(e.rounds, peerRounds) {
		for i := range order {
			if round%2 == 1 {
				i = len(order) - 1 - i
			}
			if err := manyRound(ctx, e, systems[order[i]], order[i], &c.Standings[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", order[i], err)
			}
		}
	}
	return []row{{Name: "many", Compared: c}}, nil
}

// manyRound measures one system once, on a copy of the databases.
func manyRound(ctx context.Context, e *env, s system, name string, into *standing) (err error) {
	if why := e.unwanted(name); why != "" {
		into.Figures, into.Missing = nil, why
		return nil
	}
	prog, err := e.program(ctx, s.program)
	if err != nil {
		return err
	}
	if prog.path == "" {
		into.Figures, into.Missing = nil, prog.why
		return nil
	}
	builder := s
	if s.builder != nil {
		builder = *s.builder
	}
	from, err := manyDatabases(ctx, e, builder)
	if err != nil {
		return err
	}
	dir, err := e.fresh("many")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := copyDir(dir, from); err != nil {
		return err
	}
	e.rest(ctx)
	o, err := childOf(ctx, prog.path, job{Kind: "many", Dir: dir, System: name, Count: e.size.tags, Size: e.size.name})
	if err != nil {
		return err
	}
	for i, v := range []float64{o.Seconds, float64(o.Memory), o.CPU} {
		into.Figures[i].Samples = append(into.Figures[i].Samples, v)
	}
	return nil
}
