package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func of3(u unit, a, b, c float64) series { return series{Unit: u, Samples: []float64{a, b, c}} }

// TestRanked plants figures that differ, that hardly differ and that are noise.
func TestRanked(t *testing.T) {
	for _, test := range []struct {
		graft, peer series
		want        rank
	}{
		{of3(seconds, 1, 1, 1), of3(seconds, 2, 2, 2), better},
		{of3(seconds, 2, 2, 2), of3(seconds, 1, 1, 1), worse},
		{of3(seconds, 1.03, 1.03, 1.03), of3(seconds, 1, 1, 1), even},
		{of3(seconds, 0.5, 1, 2), of3(seconds, 1, 1, 1), unranked},
		{of3(seconds, 1, 1, 1), one(seconds, 2), unknown},
		{series{Unit: seconds, Samples: []float64{1, 1}}, of3(seconds, 2, 2, 2), unknown},
		{of3(seconds, 2, 2, 0.1), of3(seconds, 1, 1, 1), worse},
		{of3(seconds, 1.1, 4.9, 5.61), of3(seconds, 1, 5, 5.1), unranked}, // the ratio of the medians is below 1, the median of the ratios above
		{of3(requests, 0, 0, 0), of3(requests, 0, 0, 0), even},
		{of3(requests, 1, 1, 1), of3(requests, 0, 0, 0), worse},
		{of3(requests, 0, 0, 0), of3(requests, 1, 1, 1), better},
		{of3(cores, 0.006, 0.006, 0.006), of3(cores, 0.001, 0.001, 0.001), even},
		{of3(cores, 0.06, 0.06, 0.06), of3(cores, 0.001, 0.001, 0.001), worse},
	} {
		if got, ratio := ranked(test.graft, test.peer); got != test.want {
			t.Errorf("%v against %v: %s (%v), not %s", test.graft, test.peer, got, ratio, test.want)
		}
	}
}

// planted is a comparison that graft wins against a slow peer, and loses by a
// factor of 4 against a fast one.
func planted(name string) row {
	of := func(name string, v float64) standing {
		return standing{System: name, Figures: []figure{{"time", of3(seconds, v, v, v)}}}
	}
	absent := standing{System: "absent", Missing: "no compiler"}
	return row{Name: name, Compared: &comparison{What: "planted", Standings: []standing{of(subjectName, 1), of(subjectName+onWasm2go, 0.1), of("wasm2go WAL", 0.05), of("fast", 0.25), of("slow", 3), absent}}}
}

// TestDocumentIsRendered writes the committed document again, from the committed results.
func TestDocumentIsRendered(t *testing.T) {
	from, doc := resultsOf(defaultDoc), filepath.Join(t.TempDir(), filepath.Base(defaultDoc))
	if err := os.CopyFS(resultsOf(doc), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	plots, err := filepath.Glob(filepath.Join(resultsOf(doc), "*.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range plots {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeDocument(doc); err != nil {
		t.Fatal(err)
	}
	const cure = "go -C bench run . -render"
	if !bytes.Equal(mustRead(t, doc), mustRead(t, defaultDoc)) {
		t.Errorf("%s is not what its results give: %s", defaultDoc, cure)
	}
	names := func(dir string) []string {
		all, err := fs.Glob(os.DirFS(dir), "*.svg")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got, want := names(resultsOf(doc)), names(from); !slices.Equal(got, want) {
		t.Fatalf("the plots are %q, not %q: %s", want, got, cure)
	}
	for _, name := range names(from) {
		if !bytes.Equal(mustRead(t, filepath.Join(resultsOf(doc), name)), mustRead(t, filepath.Join(from, name))) {
			t.Errorf("%s is not what the results give: %s", name, cure)
		}
	}
}

// TestCurve draws two systems over what grows.
func TestCurve(t *testing.T) {
	s := saved{Workload: "growth-history"}
	for _, at := range []float64{1, 100} {
		of := func(name string, v float64) standing {
			return standing{System: name, Figures: []figure{{"time", of3(seconds, v, v, v)}, {"requests", of3(requests, 7*at, 7*at, 7*at)}}}
		}
		s.Compared = append(s.Compared, comparison{At: at, Standings: []standing{of(subjectName, 0.2), of("download", at)}})
	}
	dir := t.TempDir()
	names, err := plotPart(growthPart, []saved{s}, dir)
	if err != nil || !slices.Equal(names, []string{"growth-history-time.svg", "growth-history-requests.svg"}) {
		t.Fatal(names, err)
	}
	for i, axis := range []string{"time in seconds", "requests"} {
		svg := string(mustRead(t, filepath.Join(dir, names[i])))
		for _, want := range []string{">" + axis + "<", ">commits<", ">graft<", ">download<", ">100<"} {
			if !strings.Contains(svg, want) {
				t.Errorf("%s has no %q", names[i], want)
			}
		}
	}
}

// TestCommonRounds plants a peer that took part in the first rounds, in which graft was
// slow, and one in too few: cell, ratio, loss and mark are of the first rounds.
func TestCommonRounds(t *testing.T) {
	of := func(name string, samples ...float64) standing {
		return standing{System: name, Figures: []figure{{"time", series{Unit: seconds, Samples: samples}}}}
	}
	c := comparison{Standings: []standing{of(subjectName, 2, 2, 2, 1, 1, 1, 1), of("a", 4, 4, 4, 4, 4, 4, 4), of("b", 1, 1, 1), of("c", 0.1, 0.1)}}
	var cells []string
	for _, line := range c.table()[1:] {
		cells = append(cells, strings.Join(line[:3], " "))
	}
	want := []string{"graft 2.00 s (2.00 s..2.00 s) ", "a 4.00 s (4.00 s..4.00 s) 2.00 ×", "b 1.00 s (1.00 s..1.00 s) 0.50 ×", "c 100 ms (100 ms..100 ms) too few rounds"}
	if !slices.Equal(cells, want) {
		t.Errorf("cells %q, not %q", cells, want)
	}
	lost, unclear := c.losses()
	if len(lost) != 1 || lost[0].most() != 2 || lost[0].graft.median() != 2 || len(unclear) != 1 || unclear[0].peers[0].why != unknown {
		t.Errorf("lost %+v, unclear %+v", lost, unclear)
	}
	if marks := ratioDots([]comparison{c}); len(marks) != 2 || marks[0].at[0].X != 2 || marks[1].at[0].X != 0.5 {
		t.Errorf("marks %+v", marks)
	}
	if n := c.Standings[0].rounds(0); n != 7 {
		t.Errorf("%d rounds are left", n)
	}
}

// TestDocument writes results of two runs, and looks at what is made of them.
func TestDocument(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "benchmarks.md")
	dir := resultsOf(doc)
	first, second := machine{Commit: "aaa", Command: "first"}, machine{Commit: "bbb", Command: "second"}
	third := machine{Commit: "ccc", Time: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}
	lax := target{relation: atMost, bound: 1e12, unit: ratio} // the code's is another
	missing := row{Name: "open", Graft: one(seconds, 2), Figure: of3(share, 2, 2, 2), Target: lax, Note: "a note"}
	unclear := row{Name: "space", Figure: of3(ratio, 1, 4, 9), Target: lax}
	short := row{Name: "lookup-history", Figure: one(ratio, 1), Target: lax}
	for _, test := range []struct {
		workload string
		machine  machine
		row      row
	}{
		{"mixed-1", first, planted("mixed-1")},
		{"mixed-4", second, planted("mixed-4")},
		{"open", first, missing},
		{"space", first, unclear},
		{"lookup-history", first, short},
		{"mixed-4", third, row{Name: "mixed-4", Failed: "no luck"}}, // which leaves what was there
		{"space", third, row{Name: "space", Failed: "no luck"}},
		{"index-build", third, row{Name: "index-build", Failed: "no luck"}},
		{"mixed-1", third, row{Name: "mixed-1", Skipped: "not today"}},
	} {
		if err := saveResult(dir, test.workload, test.machine, []row{test.row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "gone.json"), []byte(`{"workload":"gone"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := writeDocument(doc); err != nil {
		t.Fatal(err)
	}
	text := string(mustRead(t, doc))
	for _, want := range []string{
		"| [mixed-1](#mixed-1) | time | 1.00 s | wasm2go WAL 50.0 ms (20.0 ×), fast 250 ms (4.00 ×) |",
		"| [mixed-1](#mixed-1) | time | wasm2go 100 ms | wasm2go WAL 50.0 ms (2.00 ×) |",
		"### mixed-4", "| slow | 3.00 s (3.00 s..3.00 s); 3.00 × |", "not measured: no compiler",
		"commit aaa", "commit bbb", "- open: 200 %, target " + openTarget.String() + ". No reason is known yet\n", "missed; a note |", "| missed; a note |",
		"- space: 4.00 (1.00..9.00), target < 3: too noisy to say\n", "too noisy to say; the newest run failed at commit ccc, 2026-11-30 |",
		"- lookup-history: 1.00, target ≤ 1.2: too few rounds\n",
		"### mixed-4\n\nPlanted.\n\n**The newest run failed at commit ccc, 2026-11-30**; the figures are of an earlier one.\n",
		"Not measured: one-row-durable, one-row-durable-8, ", " index-build (failed at commit ccc, 2026-11-30), mixed-16, ",
		"![SQL on a local database: local](benchmarks/local.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document has no %q", want)
		}
	}
	for _, not := range []string{"slow 3.00 s (", "no luck", "not today", "gone", "graft, wasm2go 100 ms ("} {
		if strings.Contains(text, not) {
			t.Errorf("the document has %q", not)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if svg := string(mustRead(t, filepath.Join(dir, "local.svg"))); !strings.Contains(svg, "mixed-4") || !strings.Contains(svg, "fast") {
		t.Errorf("the plot is %.500s", svg)
	}
}
