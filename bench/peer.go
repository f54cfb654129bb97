package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"time"
)

// call is what a child that serves is told, a line of JSON each.
type call struct {
	Op    string // prepare, run, rest or answer; "": whether it is there
	Round uint64
	Part  uint64
	N     int
	Rest  bool
}

// reply is what it says to each.
type reply struct {
	Seconds float64
	Answer  string
	Error   string
}

// peer is a contender in a process of another program.
type peer struct {
	*dialogue
	title    string
	restless bool
}

func (p *peer) name() string { return p.title }

// newPeer starts a child that plays system in a workload, with a database that
// is there.
func newPeer(ctx context.Context, e *env, prog *program, workload string, s system, dir string) (*peer, error) {
	text, err := json.Marshal(job{Kind: "serve", Workload: workload, System: s.name, Dir: dir, Size: e.size.name})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, prog.path)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	d, err := startDialogue(cmd)
	if err != nil {
		return nil, err
	}
	p := &peer{dialogue: d, title: s.name, restless: e.size.restless}
	if _, err := p.ask(call{}); err != nil { // it is open
		return nil, errors.Join(fmt.Errorf("open: %w", err), p.close())
	}
	return p, nil
}

func (p *peer) ask(c call) (r reply, err error) {
	if err := p.exchange(c, &r); err != nil {
		return r, fmt.Errorf("%s: %w", p.title, err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

func (p *peer) prepare(context.Context) error {
	_, err := p.ask(call{Op: "prepare"})
	return err
}

// rest waits until the child is idle.
func (p *peer) rest(context.Context) error {
	if p.restless {
		return nil
	}
	_, err := p.ask(call{Op: "rest"})
	return err
}

// run implements contender; a contest calls timed instead.
func (p *peer) run(context.Context, *rand.Rand, int) error { return errors.ErrUnsupported }

// timed lets the child measure itself, so that what the pipe takes is no part of it.
func (p *peer) timed(_ context.Context, round, part uint64, n int) (time.Duration, error) {
	r, err := p.ask(call{Op: "run", Round: round, Part: part, N: n, Rest: !p.restless})
	return time.Duration(r.Seconds * float64(time.Second)), err
}

func (p *peer) answer(context.Context) (string, error) {
	r, err := p.ask(call{Op: "answer"})
	return r.Answer, err
}

// serveJob plays a system in a workload until the input ends.
func serveJob(ctx context.Context, j job) (o outcome, err error) {
	who, err := servedContender(ctx, j)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, who.close()) }()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var c call
		if err := in.Decode(&c); err == io.EOF {
			return o, nil
		} else if err != nil {
			return o, err
		}
		r, err := serve(ctx, who, c)
		if err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			return o, err
		}
	}
}

// servedContender finds the system of a job, and opens its database.
func servedContender(ctx context.Context, j job) (sqlContender, error) {
	sz, err := sizes(j.Size)
	if err != nil {
		return nil, err
	}
	table := localTable()
	i := slices.IndexFunc(table, func(w localWorkload) bool { return w.name == j.Workload })
	if i < 0 {
		return nil, fmt.Errorf("no workload %q", j.Workload)
	}
	w := table[i]
	k := slices.IndexFunc(w.peers, func(s system) bool { return s.name == j.System })
	if k < 0 {
		return nil, fmt.Errorf("no system %q", j.System)
	}
	return w.contender(ctx, w.peers[k], j.Dir, w.rows(sz))
}

func serve(ctx context.Context, who contender, c call) (r reply, err error) {
	switch c.Op {
	case "":
	case "rest":
		awaitIdle(ctx, 10*time.Second)
	case "prepare":
		if p, ok := who.(preparer); ok {
			err = p.prepare(ctx)
		}
	case "run":
		if c.Rest {
			awaitIdle(ctx, 10*time.Second)
		}
		random := rand.New(rand.NewPCG(c.Round, c.Part))
		start := time.Now()
		err = who.run(ctx, random, c.N)
		r.Seconds = time.Since(start).Seconds()
	case "answer":
		r.Answer, err = who.answer(ctx)
	default:
		err = fmt.Errorf("no operation %q", c.Op)
	}
	return r, err
}
