package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// machine is where, when and how the numbers came to be.
type machine struct {
	System   string    `json:"system"`
	CPU      string    `json:"cpu"`
	CPUs     int       `json:"cpus"`
	Go       string    `json:"go"`
	Time     time.Time `json:"time"` // when the run began
	Commit   string    `json:"commit"`
	Command  string    `json:"command"`
	Versions []string  `json:"versions"` // of what is measured
}

// measuredModules are those whose versions matter.
var measuredModules = []string{
	"github.com/ncruces/go-sqlite3", "github.com/tetratelabs/wazero", "github.com/dgraph-io/badger/v4", "gocloud.dev",
	"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/benbjohnson/litestream",
}

func thisMachine(ctx context.Context, s settings) machine {
	m := machine{
		System:  runtime.GOOS + "/" + runtime.GOARCH,
		CPU:     cpuModel(),
		CPUs:    runtime.NumCPU(),
		Go:      runtime.Version(),
		Time:    time.Now().UTC().Truncate(time.Second),
		Commit:  commit(ctx),
		Command: s.command(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Versions = versionsOf(info)
	}
	return m
}

// versionsOf names the measured modules that a program is built of.
func versionsOf(info *debug.BuildInfo) (all []string) {
	for _, dep := range info.Deps {
		if slices.Contains(measuredModules, dep.Path) {
			all = append(all, dep.Path+" "+dep.Version)
		}
	}
	return all
}

// addVersions adds those that are not there.
func (m *machine) addVersions(more []string) {
	for _, v := range more {
		if !slices.Contains(m.Versions, v) {
			m.Versions = append(m.Versions, v)
		}
	}
}

// commit is what the tree is at.
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	// The results that a run writes are no change of what is measured.
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)docs").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(head)) + " and changes"
	}
	return strings.TrimSpace(string(head))
}

// String is the machine, without the command.
func (m machine) String() string {
	return fmt.Sprintf("%s, %s, %d × %s, %s, commit %s", m.System, m.Go, m.CPUs, m.CPU, m.Time.Format(time.RFC3339), m.Commit)
}

// cpuModel is the name of the processor where Linux tells it.
func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
