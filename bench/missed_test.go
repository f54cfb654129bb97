package main

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReasonsAreOfWorkloads finds reasons that no row with a target can have, and sources
// that are no command for a workload that there is.
func TestReasonsAreOfWorkloads(t *testing.T) {
	held := targets()
	command := regexp.MustCompile("^`go -C bench run (.+)`$")
	for name, r := range reasons {
		matches := 0
		for row, target := range held {
			if strings.HasPrefix(row, name) && target.relation != "" {
				matches++
			}
		}
		if matches == 0 {
			t.Errorf("%s is of no row with a target", name)
		}
		if found := command.FindStringSubmatch(r.source); found == nil {
			t.Errorf("%s: the source is %q", name, r.source)
		} else if s, err := parse(arguments(found[1])[1:], os.Stderr); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := choose(s.pattern); err != nil || cmp.Or(s.profile, s.trace) == "" {
			t.Errorf("%s: %s: %v", name, r.source, err)
		}
	}
	if reasonFor("one-row-durable-8") == reasonFor("one-row-durable") || reasonFor("cold-scan-time") == noReason || reasonFor("space") != noReason {
		t.Error("the longest beginning does not count")
	}
}

// arguments are those of a command, without its quotes.
func arguments(command string) []string {
	all := strings.Fields(command)
	for i := range all {
		all[i] = strings.Trim(all[i], "'")
	}
	return all
}

// TestReasonsOfMissedRows wants every row that the document says is missed to have a reason,
// or to say that there is none.
func TestReasonsOfMissedRows(t *testing.T) {
	all, err := loadResults(resultsOf(defaultDoc))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(mustRead(t, defaultDoc)), "\n")
	for _, s := range all {
		for _, saved := range s.Rows {
			r := saved.row(targets())
			if judge(r.Figure, r.Target) != missed {
				continue
			}
			said := func(line string) bool {
				return strings.HasPrefix(line, "- "+r.Name+": ") && strings.HasSuffix(line, reasonFor(r.Name))
			}
			if !slices.ContainsFunc(lines, said) {
				t.Errorf("%s is missed, and the document has no reason", r.Name)
			}
			if reasonFor(r.Name) == noReason {
				t.Logf("%s is missed, and no reason is known", r.Name)
			}
		}
	}
}
