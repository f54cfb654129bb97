package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// env is what the workloads of one run share: a temporary directory, the
// databases that are built once, and how much there is to do.
type env struct {
	size     size
	rounds   int
	dir      string
	progress io.Writer
	built    map[string]string // directories of databases, by name
	history  *history
	site     *site
	imported *imported
	networks map[string]*network

	peers        *regexp.Regexp      // names of those that are shown; nil: all
	peerless     bool                // measure no peer that takes a program of its own
	bandwidth    int64               // of buckets, bytes per second
	programs     map[string]*program // of peers, by name, that were built
	peerVersions []peerVersion       // of what they are built of, in the order of building
	trace        io.WriteCloser      // of the cold queries' requests; nil: none
}

// peerVersion is what a program is built of.
type peerVersion struct {
	program  string
	versions []string
}

// size is how much the workloads do.
type size struct {
	name string

	updateRows, updates int // one-row transactions: rows of the table, transactions of a phase
	rows, selects       int // reads: rows of the table, SELECTs of a phase
	scans               int
	bulkRows            int
	mixRows             int

	pages, commits, fewCommits int // history: pages of the first commit, commits of one page
	lookups                    int

	transactionPages int // 0: no large transactions

	overwritten, overwrites int           // space: pages, and how often all are written
	quiet                   time.Duration // a directory that did not change for so long has settled
	patience                time.Duration // how long to wait for that

	latency       time.Duration // of a bucket
	remoteCommits []int         // lengths of remote Volumes
	pulled        int           // commits of one pull
	pushes        int
	tick          time.Duration // interval of autosync
	ticks         int

	socialSmall int64   // of histories
	histories   []int   // in commits
	growth      []int64 // sizes in bytes

	tags int // small databases in one process

	social, socialLarge int64 // bytes of social networks; the large one may be 0: none
	smallPushes         int   // 0: none

	restless bool // do not wait for a quiet machine
}

// sizes are those that -size takes. small and full measure the same; the names
// of the workloads tell their sizes.
func sizes(name string) (size, error) {
	s := size{
		name:       name,
		updateRows: 10_000, updates: 4_000,
		rows: 750_000, selects: 100_000, scans: 2,
		bulkRows: 1_000_000, mixRows: 10_000,
		pages: 250_000, commits: 100_000, fewCommits: 10, lookups: 100_000,
		overwritten: 10_240, overwrites: 20, quiet: 2 * time.Second, patience: time.Minute,
		latency: 25 * time.Millisecond, remoteCommits: []int{1, 1_000, 10_000}, pulled: 1_000, pushes: 20, tick: 100 * time.Millisecond, ticks: 20,
		tags: 1000,

		socialSmall: 16e6, histories: []int{1, 100, 1_000, 10_000}, growth: []int64{16e6, 165e6},
		social: 165e6,
	}
	switch name {
	case "small":
	case "full":
		s.transactionPages = 524_288
		s.socialLarge, s.smallPushes = 1500e6, 10_000
		s.growth = append(s.growth, 500e6, 2000e6)
	case "tiny":
		s = size{
			name:       name,
			updateRows: 100, updates: 16,
			rows: 1000, selects: 100, scans: 2,
			bulkRows: 1000, mixRows: 40,
			pages: 300, commits: 50, fewCommits: 10, lookups: 100,
			transactionPages: 600,
			overwritten:      40, overwrites: 3, quiet: 50 * time.Millisecond, patience: 5 * time.Second,
			latency: time.Millisecond, remoteCommits: []int{1, 5, 20}, pulled: 10, pushes: 3, tick: 20 * time.Millisecond, ticks: 5,
			tags: 8,

			socialSmall: 1e6, histories: []int{1, 40}, growth: []int64{1e6, 2e6},
			social: 2e6, socialLarge: 4e6, smallPushes: 40,
			restless: true,
		}
	default:
		return s, fmt.Errorf("-size is %q, not small or full", name)
	}
	return s, nil
}

func newEnv(s settings, progress io.Writer) (*env, error) {
	sz, err := sizes(s.size)
	if err != nil {
		return nil, err
	}
	if s.latency != 0 {
		sz.latency = s.latency
	}
	peers, err := regexp.Compile(s.peers)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "graft-bench-")
	if err != nil {
		return nil, err
	}
	e := &env{size: sz, rounds: s.rounds, dir: dir, progress: progress, peers: peers, peerless: s.peerless, bandwidth: int64(cmp.Or(s.bandwidth, defaultBandwidth)) * megabit,
		built: make(map[string]string), networks: make(map[string]*network)}
	if s.trace != "" {
		if e.trace, err = os.Create(s.trace); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if inMemory(dir) {
		e.say("warning: %s is in memory: what is said about durable commits and space is worthless; see -dir", dir)
	}
	return e, nil
}

// close removes what the run left.
func (e *env) close() error {
	var err error
	if e.site != nil {
		err = e.site.bucket.Close()
	}
	if e.trace != nil {
		err = errors.Join(err, e.trace.Close())
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

func (e *env) say(format string, args ...any) { fmt.Fprintf(e.progress, format+"\n", args...) }

// unwanted is why a peer does not take part in this run, or "". graft always does.
func (e *env) unwanted(peer string) string {
	if peer == subjectName || e.peers == nil || e.peers.MatchString(peer) {
		return ""
	}
	return "-peers leaves it out"
}

// fresh makes an empty directory of that name, which must not be in use.
func (e *env) fresh(name string) (string, error) {
	dir := filepath.Join(e.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o777)
}

// build gives the directory called name, which build fills when it is first
// asked for.
func (e *env) build(name string, build func(dir string) error) (string, error) {
	if dir, ok := e.built[name]; ok {
		return dir, nil
	}
	dir, err := e.fresh(name)
	if err != nil {
		return "", err
	}
	start := time.Now()
	if err := build(dir); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	e.say("  built %s in %.1f s", name, time.Since(start).Seconds())
	e.built[name] = dir
	return dir, nil
}

// rest waits until nothing of what ran before is still going on: no garbage to
// collect, no dirty page of the file system, no goroutine at work.
func (e *env) rest(ctx context.Context) {
	if !e.size.restless {
		awaitIdle(ctx, 10*time.Second)
	}
}
