package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// childEnv holds the job of a process that is a child of the program. Memory is
// measured in children, and children can be killed.
const childEnv = "GRAFT_BENCH_JOB"

// job is what a child does.
type job struct {
	Kind    string
	Dir     string // data directory
	Pages   int
	Commits int    // of one page, after the one with all pages
	Version int    // of the pages of a transaction
	Bucket  string // its folder
	Object  string // folder of the bucket with the object that peers move
	Speed   speed  // of buckets

	Workload, System, Size string // by name
	Count                  int    // of databases

	Hold bool // stay there, with everything open, to be killed
}

// outcome is what a child found.
type outcome struct {
	Seconds float64
	Memory  int64   // anonymous memory at the end of what was measured, bytes
	Peak    int64   // highest anonymous memory while it was measured, bytes
	CPU     float64 // of what was measured, seconds
}

// jobs are the kinds of jobs.
func jobs() map[string]func(context.Context, job) (outcome, error) {
	all := map[string]func(context.Context, job) (outcome, error){
		"idle":        idleJob,
		"build":       buildJob,
		"open":        openJob,
		"transaction": transactionJob,
		"push":        pushJob,
		"upload":      uploadJob,
		"hydrate":     hydrateJob,
		"download":    downloadJob,
		"serve":       serveJob,
		"many":        manyJob,
	}
	for _, step := range rewriteSteps {
		all["sql-"+step] = sqlJob(step)
	}
	return all
}

func isChild() bool { return os.Getenv(childEnv) != "" }

// childMain is the program of a child: it prints its outcome as JSON. One that
// holds waits for the end of its input then.
func childMain() int {
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &j); err != nil {
		fmt.Fprintln(os.Stderr, "read job:", err)
		return 1
	}
	do := jobs()[j.Kind]
	if do == nil {
		fmt.Fprintf(os.Stderr, "no job of kind %q\n", j.Kind)
		return 1
	}
	stop, err := profileChild(j)
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		return 1
	}
	o, err := do(context.Background(), j)
	err = errors.Join(err, stop())
	if err == nil && j.Kind != "serve" {
		err = json.NewEncoder(os.Stdout).Encode(o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "job %s: %v\n", j.Kind, err)
		return 1
	}
	if j.Hold {
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	return 0
}

// child runs a job in a process of its own. One that holds is killed when it has
// told its outcome.
func child(ctx context.Context, j job) (outcome, error) {
	self, err := os.Executable()
	if err != nil {
		return outcome{}, err
	}
	return childOf(ctx, self, j)
}

// childOf is child of another program, which is built of this source.
func childOf(ctx context.Context, path string, j job) (o outcome, err error) {
	text, err := json.Marshal(j)
	if err != nil {
		return outcome{}, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return outcome{}, err
	}
	defer stdin.Close() // the second close of a child that ended: its error says nothing
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return outcome{}, err
	}
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	if err := json.NewDecoder(stdout).Decode(&o); err != nil {
		return outcome{}, errors.Join(fmt.Errorf("job %s: read outcome: %w", j.Kind, err), cmd.Process.Kill(), cmd.Wait())
	}
	if j.Hold {
		if err := cmd.Process.Kill(); err != nil {
			return outcome{}, errors.Join(err, cmd.Wait())
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) {
			return outcome{}, errors.Join(fmt.Errorf("job %s ended before it was killed", j.Kind), err)
		}
		return o, nil
	}
	if err := cmd.Wait(); err != nil {
		return outcome{}, fmt.Errorf("job %s: %w", j.Kind, err)
	}
	return o, nil
}

// memoryIsLinux is why workloads that measure memory skip elsewhere.
const memoryIsLinux = "anonymous memory is read on Linux alone"

// memoryWatch samples the anonymous memory of this process.
type memoryWatch struct {
	stop    chan struct{}
	stopped sync.WaitGroup
	peak    int64
	err     error
}

// samplePeriod is how often. What is there for less is missed.
const samplePeriod = 2 * time.Millisecond

func watchMemory() *memoryWatch {
	w := &memoryWatch{stop: make(chan struct{})}
	w.stopped.Go(func() {
		tick := time.NewTicker(samplePeriod)
		defer tick.Stop()
		for w.err == nil {
			w.sample()
			select {
			case <-tick.C:
			case <-w.stop:
				return
			}
		}
	})
	return w
}

func (w *memoryWatch) sample() (now int64) {
	now, w.err = anonymousMemory()
	w.peak = max(w.peak, now)
	return now
}

// end gives what was found, with the memory of now.
func (w *memoryWatch) end(elapsed time.Duration) (outcome, error) {
	close(w.stop)
	w.stopped.Wait()
	if w.err != nil {
		return outcome{}, w.err
	}
	now := w.sample()
	return outcome{Seconds: elapsed.Seconds(), Memory: now, Peak: w.peak}, w.err
}

// idleJob is the memory of a process that does nothing.
func idleJob(context.Context, job) (outcome, error) {
	w := watchMemory()
	time.Sleep(20 * samplePeriod)
	return w.end(0)
}
