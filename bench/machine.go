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
	Versions []string  `json:"versions"`       // of what is measured; those of another program say of which
	Disk     string    `json:"disk,omitempty"` // file system of -dir
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
		Disk:    fileSystemOf(s.dir),
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

// addVersions adds those of another program that are not there. Each is of the first
// program that has it.
func (m *machine) addVersions(program string, more []string) {
	for _, v := range more {
		there := func(have string) bool { return have == v || strings.HasPrefix(have, v+" in ") }
		if !slices.ContainsFunc(m.Versions, there) {
			m.Versions = append(m.Versions, v+" in "+program)
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
	status, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=all", "--", ":/", ":(exclude,top)docs").Output()
	if err != nil || changed(string(status)) {
		return strings.TrimSpace(string(head)) + " and changes"
	}
	return strings.TrimSpace(string(head))
}

// changed tells by what git status says whether the source is another than that of the
// commit. Files that git does not know are if they are compiled.
func changed(status string) bool {
	for line := range strings.Lines(status) {
		name, unknown := strings.CutPrefix(strings.TrimSpace(line), "?? ")
		if !unknown || strings.HasSuffix(strings.Trim(name, `"`), ".go") {
			return true
		}
	}
	return false
}

// String is the machine, without the command.
func (m machine) String() string {
	disk := ""
	if m.Disk != "" {
		disk = ", on " + m.Disk
	}
	return fmt.Sprintf("%s, %s, %d × %s%s, %s, commit %s", m.System, m.Go, m.CPUs, m.CPU, disk, m.Time.Format(time.RFC3339), m.Commit)
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
