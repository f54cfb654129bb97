// Program bench measures graft beside what a user would pick instead, on the
// same work in one run:
//
//	go -C bench run . [-run REGEXP] [-rounds N] [-size small|full] [-doc FILE] [-render] [-dir DIR] [-json FILE] [-cpuprofile FILE] [-trace FILE] [-peers REGEXP] [-peerless] [-latency DURATION] [-bandwidth MBIT] [-list]
//
// It prints tables, and writes docs/benchmarks.md with plots from the results of
// this run and of earlier ones: see [document].
//
// It is a module of its own, so that peers never enter the requirements of
// graft. What local work is judged against is go-sqlite3's own file VFS: the same
// SQLite on the same engine. It is shown beside other engines and drivers, some of
// them in programs that are built first: see [program]. Remote work runs on a
// bucket that counts requests and adds latency to each: see [slowBucket].
//
// A workload runs the same operations on graft and on its references in
// alternating order, and gives rows of a table. A row has a figure for each
// round, mostly the reference's time over graft's; the median of the figures is
// judged against the target. See [judge] for what is called too noisy.
//
// It exits with status 1 when a workload fails, or when the systems answer
// differently, and with 0 when a target is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// workload gives one or more rows of the table.
type workload struct {
	name string
	part part
	what string // is done
	want string // targets, for -list
	run  func(context.Context, *env) ([]row, error)
}

// workloads are all of them, in the order in which they run.
func workloads() []workload {
	return slices.Concat(localWorkloads(), processWorkloads(), sharingWorkloads(), historyWorkloads(), openWorkloads(), transactionWorkloads(), rewriteWorkloads(), spaceWorkloads(), reclaimWorkloads(),
		remoteWorkloads(), coldWorkloads(), warmWorkloads(), remoteComparisons(), growthWorkloads())
}

// settings are what the command line says.
type settings struct {
	pattern string
	rounds  int
	size    string
	dir     string
	json    string
	doc     string // "": none
	render  bool

	peers     string
	peerless  bool
	latency   time.Duration // of buckets; 0: the size's
	bandwidth int           // of buckets, in Mbit/s
	profile   string
	trace     string
	list      bool
}

func main() {
	if isChild() {
		os.Exit(childMain())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	chosen, err := choose(s.pattern)
	if err != nil {
		return err
	}
	if s.list {
		return list(stdout, chosen)
	}
	if s.render {
		return writeDocument(s.doc)
	}
	e, err := newEnv(s, stderr)
	if err != nil {
		return err
	}
	stop, err := startProfiles(s.profile)
	if err != nil {
		return errors.Join(err, e.close())
	}
	r := report{Machine: thisMachine(ctx, s)}
	r.Rows, err = measure(ctx, e, chosen, func(w workload, rows []row) error {
		if s.doc == "" {
			return nil
		}
		for _, p := range e.peerVersions {
			r.Machine.addVersions(p.program, p.versions)
		}
		return saveResult(resultsOf(s.doc), w.name, r.Machine, rows)
	})
	if s.doc != "" {
		err = errors.Join(err, writeDocument(s.doc))
	}
	err = errors.Join(err, stop(), e.close())
	if s.json != "" {
		err = errors.Join(err, r.writeJSON(s.json))
	}
	return errors.Join(err, r.print(stdout))
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.pattern, "run", "", "run the workloads whose names match this `regexp`")
	flags.IntVar(&s.rounds, "rounds", defaultRounds, "how often each workload runs on each system")
	flags.StringVar(&s.size, "size", defaultSize, "small; full adds transactions of 2 GB, a database of 1.5 GB and 10,000 pushes; tiny shows that it works and measures nothing")
	flags.StringVar(&s.dir, "dir", os.TempDir(), "where temporary directories are made; it should be on a disk")
	flags.StringVar(&s.json, "json", "", "write the results, with all samples, to this `file` too")
	flags.StringVar(&s.doc, "doc", defaultDoc, "write the document to this `file`, its plots and the results of each workload to the folder of that name beside it; \"\": do not. Without a -doc, tiny writes none")
	flags.BoolVar(&s.render, "render", false, "measure nothing; write the document from the results that are there")
	flags.StringVar(&s.peers, "peers", "", "show the peers whose names match this `regexp`; what graft is judged against is always there")
	flags.DurationVar(&s.latency, "latency", 0, "what each request to a bucket takes before its first byte; 0: 25ms, or 1ms of -size tiny")
	flags.IntVar(&s.bandwidth, "bandwidth", defaultBandwidth, "of buckets, in Mbit/s, where a workload limits it")
	flags.BoolVar(&s.peerless, "peerless", false, "leave out the peers that take programs of their own, which are built first")
	flags.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile of the workloads to this `file`, and one of each child process to a file of that name with its kind behind")
	flags.StringVar(&s.trace, "trace", "", "write each request of the cold queries, with the pages that it got, to this `file`")
	flags.BoolVar(&s.list, "list", false, "list the workloads")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == "doc" })
	if s.size == "tiny" && !given && !s.render {
		s.doc = ""
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.rounds < 1 {
		return s, fmt.Errorf("-rounds is %d, below 1", s.rounds)
	}
	if _, err := regexp.Compile(s.peers); err != nil {
		return s, fmt.Errorf("-peers: %w", err)
	}
	if s.latency < 0 || s.bandwidth < 1 {
		return s, fmt.Errorf("-latency is %v and -bandwidth %d: below 0 and 1", s.latency, s.bandwidth)
	}
	return s, nil
}

const (
	defaultDoc    = "../docs/benchmarks.md"
	defaultRounds = 5
	defaultSize   = "small"

	defaultBandwidth = 1000
)

// command is what a run is repeated by, without where things are put.
func (s settings) command() string {
	c := "go -C bench run ."
	if s.pattern != "" {
		c += " -run '" + s.pattern + "'"
	}
	if s.rounds != defaultRounds {
		c += fmt.Sprint(" -rounds ", s.rounds)
	}
	if s.peers != "" {
		c += " -peers '" + s.peers + "'"
	}
	if s.peerless {
		c += " -peerless"
	}
	if s.latency != 0 {
		c += fmt.Sprint(" -latency ", s.latency)
	}
	if s.bandwidth != defaultBandwidth {
		c += fmt.Sprint(" -bandwidth ", s.bandwidth)
	}
	if s.size != defaultSize {
		c += " -size " + s.size
	}
	return c
}

func choose(pattern string) ([]workload, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(workloads(), func(w workload) bool { return !re.MatchString(w.name) })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no workload matches %q; see -list", pattern)
	}
	return chosen, nil
}

func list(out io.Writer, all []workload) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, w := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\n", w.name, w.want, w.what)
	}
	return t.Flush()
}

// measure runs the workloads. One that fails does not keep the others from
// running; it has a row that says so. keep is called with the rows of each.
func measure(ctx context.Context, e *env, chosen []workload, keep func(workload, []row) error) ([]row, error) {
	var rows []row
	var failures []error
	start := time.Now()
	for i, w := range chosen {
		e.say("%d of %d, %v: %s: %s", i+1, len(chosen), time.Since(start).Round(time.Second), w.name, w.what)
		got, err := w.run(ctx, e)
		var skip skipped
		if errors.As(err, &skip) {
			got, err = append(got, row{Name: w.name, Skipped: string(skip)}), nil
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", w.name, err))
			got = append(got, row{Name: w.name, Failed: err.Error()})
		}
		for _, r := range got {
			e.say("  %s", r.line())
		}
		rows = append(rows, got...)
		if err := keep(w, got); err != nil {
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return rows, errors.Join(failures...)
}

// skipped is the reason why a workload cannot run here.
type skipped string

func (s skipped) Error() string { return "skipped: " + string(s) }
