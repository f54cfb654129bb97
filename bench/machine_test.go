package main

import (
	"slices"
	"strings"
	"testing"
)

func TestChanged(t *testing.T) {
	for status, want := range map[string]bool{
		"":                                   false,
		"?? bench/cpu.pprof\n?? notes.txt\n": false,
		" M bench/main.go\n":                 true,
		"?? notes.txt\n M go.mod\n":          true,
		"?? snapshot/planted.go\n":           true,
		"?? \"a b.go\"\n":                    true,
	} {
		if got := changed(status); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}

func TestVersionsSayWhose(t *testing.T) {
	m := machine{Versions: []string{"a v1", "b v1"}, Disk: "ext4"}
	m.addVersions("litestream", []string{"a v1", "a v2"})
	m.addVersions("mattn", []string{"a v2", "c v1"})
	m.addVersions("mattn", []string{"c v1"})
	if want := []string{"a v1", "b v1", "a v2 in litestream", "c v1 in mattn"}; !slices.Equal(m.Versions, want) {
		t.Errorf("versions %q", m.Versions)
	}
	if s := m.String(); !strings.Contains(s, ", on ext4, ") {
		t.Errorf("the machine is %s", s)
	}
}
