package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	return row{Name: name, Compared: &comparison{What: "planted", Standings: []standing{of(subjectName, 1), of(subjectName+onWasm2go, 0.1), of("fast", 0.25), of("slow", 3), absent}}}
}

// TestDocument writes results of two runs, and looks at what is made of them.
func TestDocument(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "benchmarks.md")
	dir := resultsOf(doc)
	first, second := machine{Commit: "aaa", Command: "first"}, machine{Commit: "bbb", Command: "second"}
	missing := row{Name: "open", Graft: one(seconds, 2), Figure: one(ratio, 2), Target: target{relation: atMost, bound: 1, unit: ratio}}
	for _, test := range []struct {
		workload string
		machine  machine
		row      row
	}{
		{"mixed-1", first, planted("mixed-1")},
		{"mixed-4", second, planted("mixed-4")},
		{"open", first, missing},
		{"mixed-4", first, row{Name: "mixed-4", Failed: "no luck"}}, // which leaves what was there
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
		"| [mixed-1](#mixed-1) | time | 1.00 s | fast 250 ms (4.00 ×) |",
		"### mixed-4", "| slow | 3.00 s (3.00 s..3.00 s); 3.00 × |", "not measured: no compiler",
		"commit aaa", "commit bbb", "- open: 2.00, target ≤ 1\n", "![SQL on a local database: local](benchmarks/local.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document has no %q", want)
		}
	}
	for _, not := range []string{"slow 3.00 s (", "no luck", "gone", "graft, wasm2go 100 ms ("} {
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
