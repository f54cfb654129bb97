package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
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
	Compared  *comparison // the same workload on more systems
}

// bare tells whether a row has nothing of its own but the comparison.
func (r row) bare() bool { return r.Compared != nil && len(r.Graft.Samples)+len(r.Figure.Samples) == 0 }

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
	switch {
	case r.Failed != "" || r.Skipped != "":
		return r.Name + ": " + r.verdict()
	case r.bare():
		return r.Compared.line(r.Name)
	}
	return fmt.Sprintf("%s: %v against %v, %v: %v", r.Name, r.Graft, r.Reference, r.Figure, r.verdict())
}

// report is the result of a run.
type report struct {
	Machine machine
	Rows    []row
}

// print writes the table of targets, and then what was compared.
func (r report) print(out io.Writer) error {
	m := r.Machine
	fmt.Fprintf(out, "%s\n%s\n\n", m, m.Command)
	if err := r.printTargets(out); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if row.Compared != nil {
			fmt.Fprintf(out, "\n%s: %s\n", row.Name, row.Compared.What)
			if err := row.Compared.print(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// printTargets writes the rows that are more than a comparison.
func (r report) printTargets(out io.Writer) error {
	if !slices.ContainsFunc(r.Rows, func(r row) bool { return !r.bare() }) {
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workload\tgraft\treference\t\tfigure\ttarget\t")
	for _, row := range r.Rows {
		if !row.bare() {
			fmt.Fprintf(t, "%s\t%v\t%v\t%s\t%v\t%v\t%s\n", row.Name, row.Graft, row.Reference, row.Against, row.Figure, row.Target, row.verdict())
		}
	}
	return t.Flush()
}

// print writes a line for each system.
func (c comparison) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, line := range c.table() {
		if i == 0 {
			line[0] = "system"
		}
		fmt.Fprintln(t, strings.Join(line, "\t"))
	}
	if c.Note != "" {
		fmt.Fprintln(t, c.Note)
	}
	return t.Flush()
}

// table is a head line, and one for each system, of the rounds in common.
func (c comparison) table() [][]string {
	c = c.common()
	head := []string{""}
	for _, f := range c.Standings[0].Figures {
		head = append(head, f.Metric, "")
	}
	lines := [][]string{append(head, "")}
	for i, s := range c.Standings {
		line := []string{s.System}
		for j := range c.Standings[0].Figures {
			if j < len(s.Figures) {
				line = append(line, s.Figures[j].String(), c.relative(i, j))
			} else {
				line = append(line, "-", "")
			}
		}
		note := s.Note
		if s.Missing != "" {
			note = "not measured: " + s.Missing
		}
		lines = append(lines, append(line, note))
	}
	return lines
}

// writeJSON writes all samples.
func (r report) writeJSON(path string) error {
	all := struct {
		Machine  machine                `json:"machine"`
		Rows     []savedRow             `json:"rows"`
		Compared map[string]*comparison `json:"compared"`
	}{Machine: r.Machine, Compared: make(map[string]*comparison)}
	for _, row := range r.Rows {
		if row.Compared != nil {
			all.Compared[row.Name] = row.Compared
		}
		if !row.bare() {
			all.Rows = append(all.Rows, row.saved())
		}
	}
	data, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o666)
}
