package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// row is a line of the table.
type row struct {
	Name      string
	Graft     series // time of an operation, or bytes
	Reference series
	Against   string // what the reference is
	Figure    series // what is judged
	Target    target
	Note      string
	Skipped   string // why there are no figures
	Failed    string
}

func (r row) verdict() string {
	switch {
	case r.Failed != "":
		return "failed: " + strings.ReplaceAll(r.Failed, "\n", "; ")
	case r.Skipped != "":
		return "skipped: " + r.Skipped
	case r.Note != "":
		return string(judge(r.Figure, r.Target)) + "; " + r.Note
	}
	return string(judge(r.Figure, r.Target))
}

// line is the row for people who wait for the table.
func (r row) line() string {
	if r.Failed != "" || r.Skipped != "" {
		return r.Name + ": " + r.verdict()
	}
	return fmt.Sprintf("%s: %v against %v, %v: %v", r.Name, r.Graft, r.Reference, r.Figure, r.verdict())
}

// MarshalJSON writes the samples of the row and what was concluded.
func (r row) MarshalJSON() ([]byte, error) {
	type samples struct {
		Unit    unit      `json:"unit,omitempty"`
		Samples []float64 `json:"samples,omitempty"`
	}
	return json.Marshal(struct {
		Name      string  `json:"name"`
		Graft     samples `json:"graft,omitzero"`
		Reference samples `json:"reference,omitzero"`
		Against   string  `json:"against,omitempty"`
		Figure    samples `json:"figure,omitzero"`
		Target    string  `json:"target"`
		Verdict   string  `json:"verdict"`
	}{r.Name, samples(r.Graft), samples(r.Reference), r.Against, samples(r.Figure), r.Target.String(), r.verdict()})
}

// machine is where, when and how the numbers came to be.
type machine struct {
	System  string    `json:"system"`
	CPU     string    `json:"cpu"`
	CPUs    int       `json:"cpus"`
	Go      string    `json:"go"`
	Time    time.Time `json:"time"`
	Command string    `json:"command"`
}

func thisMachine(args []string) machine {
	return machine{
		System:  runtime.GOOS + "/" + runtime.GOARCH,
		CPU:     cpuModel(),
		CPUs:    runtime.NumCPU(),
		Go:      runtime.Version(),
		Time:    time.Now().Truncate(time.Second),
		Command: strings.Join(append([]string{"go -C bench run ."}, args...), " "),
	}
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

// report is the result of a run.
type report struct {
	Machine machine `json:"machine"`
	Rows    []row   `json:"rows"`
}

// print writes the table.
func (r report) print(out io.Writer) error {
	m := r.Machine
	fmt.Fprintf(out, "%s, %s, %d × %s, %s\n%s\n\n", m.System, m.Go, m.CPUs, m.CPU, m.Time.Format(time.RFC3339), m.Command)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workload\tgraft\treference\t\tfigure\ttarget\t")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%v\t%v\t%s\t%v\t%v\t%s\n", row.Name, row.Graft, row.Reference, row.Against, row.Figure, row.Target, row.verdict())
	}
	return t.Flush()
}

func (r report) writeJSON(path string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o666)
}
