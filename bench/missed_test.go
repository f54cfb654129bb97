package main

import (
	"slices"
	"strings"
	"testing"
)

// TestReasonsAreOfWorkloads finds reasons that no row can have.
func TestReasonsAreOfWorkloads(t *testing.T) {
	for name := range reasons {
		named := func(w workload) bool { return strings.HasPrefix(name, w.name) || strings.HasPrefix(w.name, name) }
		if !slices.ContainsFunc(workloads(), named) {
			t.Errorf("%s is of no workload", name)
		}
	}
	if reasonFor("one-row-durable-8") == reasonFor("one-row-durable") || reasonFor("cold-scan-time") == noReason || reasonFor("space") != noReason {
		t.Error("the longest beginning does not count")
	}
}
