package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if isChild() {
		os.Exit(childMain())
	}
	os.Exit(m.Run())
}

// unjudged are rows that only tell something.
var unjudged = []string{"open-after-kill", "open-after-kill-memory", "transaction-2GB", "transaction-2GB-overwrite",
	"rewrite-2GB-fill", "rewrite-2GB-rollback", "rewrite-2GB", "rewrite-2GB-vacuum"}

// mayBeZero are rows whose figure is best at zero.
var mayBeZero = []string{"idle-list", "cold-point-join-1.5GB", "cold-point-join-1.5GB-trips", "cold-profile-1.5GB", "cold-profile-1.5GB-trips"}

// TestWorkloads runs every workload once, tiny.
func TestWorkloads(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "result.json")
	var out, progress strings.Builder
	doc := filepath.Join(t.TempDir(), "benchmarks.md")
	profile := filepath.Join(t.TempDir(), "cpu.pprof")
	args := []string{"-size", "tiny", "-rounds", "2", "-dir", dir, "-json", file, "-cpuprofile", profile, "-doc", doc}
	if testing.Short() {
		args = append(args, "-peerless")
	}
	if err := run(t.Context(), args, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var result struct {
		Rows []struct {
			Name    string
			Target  string
			Verdict string
			Graft   series
			Figure  series
		}
		Compared map[string]comparison
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatal(err)
	}
	names := slices.Collect(maps.Keys(result.Compared))
	for name, c := range result.Compared {
		checkCompared(t, name, c)
	}
	for _, r := range result.Rows {
		names = append(names, r.Name)
		if !strings.Contains(out.String(), "\n"+r.Name+" ") {
			t.Errorf("the table has no row %s:\n%s", r.Name, &out)
		}
		if strings.HasPrefix(r.Verdict, "skipped") && strings.Contains(r.Verdict, memoryIsLinux) && runtime.GOOS != "linux" {
			continue
		}
		if strings.HasPrefix(r.Verdict, "skipped") {
			t.Errorf("%s: %s", r.Name, r.Verdict)
			continue
		}
		if held := targets()[r.Name]; held.String() != r.Target {
			t.Errorf("%s was held to %s, a document holds it to %v", r.Name, r.Target, held)
		}
		judged := r.Figure
		if slices.Contains(unjudged, r.Name) {
			judged = r.Graft
		}
		if v := judged.median(); len(judged.Samples) == 0 || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || v == 0 && !slices.Contains(mayBeZero, r.Name) {
			t.Errorf("%s has figures %v", r.Name, judged.Samples)
		}
	}
	for _, w := range workloads() {
		points := func(name string) bool { return w.part == growthPart && strings.HasPrefix(name, w.name+"-") }
		if !slices.Contains(names, w.name) && !slices.ContainsFunc(names, points) {
			t.Errorf("workload %s has no row of its name", w.name)
		}
	}
	ofChildren, err := filepath.Glob(profile + ".push-*")
	if err != nil || len(ofChildren) == 0 {
		t.Errorf("profiles of children that push: %v, %v", ofChildren, err)
	}
	for _, path := range append(ofChildren, profile) {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("the profile %s: %v, %v", path, info, err)
		}
	}
	if text := string(mustRead(t, doc)); !strings.Contains(text, "### mixed-16") || !strings.Contains(text, "| open |") {
		t.Errorf("the document is %s", text)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 {
		t.Errorf("the run left %v", left)
	}
}

// checkCompared fails unless every system has figures, or a reason.
func checkCompared(t *testing.T, name string, c comparison) {
	_, noCompiler := exec.LookPath("cc")
	for _, s := range c.Standings {
		cgo := strings.HasPrefix(s.System, mattnProgram) || strings.HasPrefix(s.System, litestreamProgram)
		if s.Missing != "" && !testing.Short() && (!cgo || noCompiler == nil) {
			t.Errorf("%s: %s is missing: %s", name, s.System, s.Missing)
		}
		if s.Missing == "" && len(s.Figures) == 0 || len(s.Figures) > 0 && len(s.Figures) != len(c.Standings[0].Figures) {
			t.Errorf("%s: %s has figures %v", name, s.System, s.Figures)
		}
		for _, f := range s.Figures {
			if v := f.median(); math.IsNaN(v) || v < 0 || f.Unit == seconds && v == 0 {
				t.Errorf("%s: %s: %s is %v", name, s.System, f.Metric, f.Samples)
			}
		}
	}
	if len(c.Standings) < 2 || c.Standings[0].System != subjectName {
		t.Errorf("%s: the standings are %v", name, c.Standings)
	}
}

func TestFailureIsTold(t *testing.T) {
	var progress strings.Builder
	e := &env{progress: &progress}
	cause := errors.New("no such luck")
	var kept []string
	rows, err := measure(t.Context(), e, []workload{
		{name: "bad", what: "fails", run: func(context.Context, *env) ([]row, error) { return nil, cause }},
		{name: "absent", run: func(context.Context, *env) ([]row, error) { return nil, skipped("not today") }},
		{name: "good", run: func(context.Context, *env) ([]row, error) { return []row{{Name: "good"}}, nil }},
	}, func(w workload, _ []row) error {
		kept = append(kept, w.name)
		return nil
	})
	if !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, r.Name+" "+r.verdict())
	}
	if !slices.Equal(kept, []string{"bad", "absent", "good"}) {
		t.Errorf("kept are the rows of %q", kept)
	}
	for _, want := range []string{"1 of 3, 0s: bad: fails\n  bad: failed: no such luck\n", "2 of 3, 0s: absent: \n  absent: skipped: not today\n", "3 of 3, 0s: good: \n"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("who waits sees %q, without %q", &progress, want)
		}
	}
	want := []string{"bad failed: no such luck", "absent skipped: not today", "good -"}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q, not %q", got, want)
	}
}

func TestArguments(t *testing.T) {
	for _, test := range []struct {
		args string
		want string // part of the error; "": none
	}{
		{"-list", ""},
		{"-list -run ^open$", ""},
		{"-run nosuch", "no workload matches"},
		{"-run (", "missing closing"},
		{"-rounds 0", "-rounds is 0"},
		{"-size huge", `-size is "huge"`},
		{"-latency 5ms -bandwidth 100 -peers mattn -list", ""},
		{"-latency -5ms", "-latency is -5ms"},
		{"-bandwidth 0", "-bandwidth 0"},
		{"-peers (", "missing closing"},
		{"open", `unexpected argument "open"`},
	} {
		var out, progress strings.Builder
		err := run(t.Context(), strings.Fields(test.args), &out, &progress)
		switch {
		case test.want == "" && (err != nil || !strings.Contains(out.String(), "open ")):
			t.Errorf("%s: %v, %s", test.args, err, &out)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v has no %q", test.args, err, test.want)
		}
	}
}

// TestCommandRepeats has a run say every argument that changes what it measures.
func TestCommandRepeats(t *testing.T) {
	for args, want := range map[string]string{
		"": "",
		"-rounds 5 -size small -bandwidth 1000 -dir /x -json y -list": "",
		"-latency 5ms -bandwidth 100 -peers ^mattn":                   " -peers '^mattn' -latency 5ms -bandwidth 100",
		"-run ^open$ -rounds 3 -peerless -size full":                  " -run '^open$' -rounds 3 -peerless -size full",
	} {
		s, err := parse(strings.Fields(args), io.Discard)
		if got := s.command(); err != nil || got != "go -C bench run ."+want {
			t.Errorf("%s: %s, %v", args, got, err)
		}
	}
}

// TestChosenPeers leaves peers out, and gives buckets another line.
func TestChosenPeers(t *testing.T) {
	e, err := newEnv(settings{size: "tiny", rounds: 1, dir: t.TempDir(), peers: "^modernc", latency: 3 * time.Millisecond, bandwidth: 100}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	if line := e.line(); line.Latency != 3*time.Millisecond || line.Bandwidth != 100_000_000/8 {
		t.Errorf("the line is %+v", line)
	}
	i := slices.IndexFunc(localTable(), func(w localWorkload) bool { return w.name == "one-row-normal" })
	rows, err := localTable()[i].run(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, s := range rows[0].Compared.Standings {
		if s.Missing == "" {
			there = append(there, s.System)
		}
	}
	if want := []string{subjectName, "wazero WAL+NORMAL", "modernc WAL+NORMAL"}; !slices.Equal(there, want) {
		t.Errorf("there are %q", there)
	}
	if len(rows[0].Compared.Standings) != 6 {
		t.Errorf("the table does not name who is left out: %+v", rows[0].Compared.Standings)
	}
	for _, p := range remotePeers {
		if left := p.missing(e, &published{network: &network{bucket: "x"}}); (left == "-peers leaves it out") == (p.name == subjectName) {
			t.Errorf("%s: %q", p.name, left)
		}
	}
}
