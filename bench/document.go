package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// part is a section of the document.
type part string

const (
	localPart   part = "local"
	processPart part = "process"
	remotePart  part = "remote"
	growthPart  part = "growth"
	targetPart  part = "" // no peer does the same; what graft is held to
)

// partTitles are the sections with comparisons, in their order.
var partTitles = []struct {
	part  part
	title string
	text  string
}{
	{localPart, "SQL on a local database", "The time of one operation. All systems do the same statements on equal databases by `database/sql`, with SQLite's page cache at its default of 2 MB, " +
		"in rounds of alternating order, and must give the same answers. `wazero` is go-sqlite3 v0.32.0's own file VFS on the engine that graft takes by default; `wasm2go` is that of v0.36.0, where SQLite is " +
		"Go code; `graft, wasm2go` is graft built with its tag `graft_wasm2go` on the latter. `modernc` is SQLite in Go, too; `mattn` is SQLite in C."},
	{processPart, "Processes", "Each sample is a process of its own. Memory is anonymous resident memory."},
	{remotePart, "A bucket", "All systems read and write the same kind of bucket, which counts requests, adds latency to each and has a bandwidth that all share. `in a row` is sequential round trips: the length of the longest " +
		"chain of requests each of which began when the one before had ended. Dollars are S3's list prices for requests (Standard, us-east-1: $0.005 for 1,000 PUT or LIST, $0.0004 for 1,000 GET or HEAD) and for bytes read over the Internet " +
		"($0.09 for a GB); inside the region bytes are free. Times marked *computed* are those without latency plus the latency of the round trips: they would take minutes."},
	{growthPart, "Growth", "The same cold point query, by commits in the history and by size of the database."},
}

// resultsOf is the folder of a document's results and plots.
func resultsOf(doc string) string { return strings.TrimSuffix(doc, filepath.Ext(doc)) }

// writeDocument writes the document and its plots from all results there are.
func writeDocument(doc string) error {
	if doc == "" {
		return errors.New("-render needs a -doc")
	}
	all, err := loadResults(resultsOf(doc))
	if err != nil {
		return err
	}
	d := &document{folder: filepath.Base(resultsOf(doc)), dir: resultsOf(doc), held: targets()}
	d.head()
	d.losses(all)
	d.missedTargets(all)
	d.unmeasured(all)
	for _, p := range partTitles {
		if err := d.section(p.part, p.title, p.text, all); err != nil {
			return err
		}
	}
	d.targets(all)
	if err := os.MkdirAll(filepath.Dir(doc), 0o777); err != nil {
		return err
	}
	return os.WriteFile(doc, []byte(d.String()), 0o666)
}

// document is the text so far.
type document struct {
	strings.Builder
	folder string // of the plots, as links have it
	dir    string // the same, on disk
	held   map[string]target
}

func (d *document) say(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *document) head() {
	d.say("# Benchmarks")
	d.say("")
	d.say("This file is generated. One command measures everything in it, and writes it:")
	d.say("")
	d.say("```sh\n%s\n```", settings{rounds: defaultRounds, size: defaultSize, bandwidth: defaultBandwidth}.command())
	d.say("")
	d.say("With `-run` it measures a part and leaves the rest of this file as it was, so each table says when, where and of which commit it is. `-size full` adds what takes long. "+
		"The results with all samples are in the folder [%[1]s](%[1]s), a JSON file for each workload; `-render` writes this file from them.", d.folder)
	d.say("")
	d.say("A cell is the median of the rounds and, in brackets, the least and the largest; after it, how many times graft's it is: below 1 × the system does better than graft. "+
		"It is *%s* when the middle half of the ratios, round by round, lies on both sides of 1 by more than %.0f %%. All cells of a column, their ratios and the marks of a plot are of the rounds that "+
		"all systems took part in; what has fewer than %d is neither ranked nor judged: *%s*.", unranked, 100*(slack-1), minRounds, unknown)
	d.say("")
}

// of gives the results with a comparison in a part.
func of(p part, all []saved) []saved {
	parts := make(map[string]part)
	for _, w := range workloads() {
		parts[w.name] = w.part
	}
	return slices.DeleteFunc(slices.Clone(all), func(s saved) bool { return len(s.Compared) == 0 || parts[s.Workload] != p })
}

// losses says where graft does worse than a peer, worst first.
func (d *document) losses(all []saved) {
	var lost, unclear []loss
	for _, s := range all {
		for _, c := range s.Compared {
			l, u := c.losses()
			lost, unclear = append(lost, l...), append(unclear, u...)
		}
	}
	d.say("## Where graft loses")
	d.say("")
	if len(lost) == 0 {
		d.say("Nowhere, in what is measured here.")
	} else {
		d.say("Every figure below in which a peer does better than graft by more than %.0f %%, from the tables of this file; in brackets, how many times the peer's graft's is. "+
			"Graft on wasm2go is held to that engine alone. Most peers do less than graft: a file has no history, and a download is no partial replica.", 100*(slack-1))
		d.say("")
		d.say("| workload | figure | graft | better are |\n|---|---|---|---|")
		slices.SortStableFunc(lost, func(a, b loss) int { return cmp.Compare(b.most(), a.most()) })
		for _, l := range lost {
			var peers []string
			for _, w := range l.peers {
				peers = append(peers, fmt.Sprintf("%s %s (%s ×)", w.system, w.figure.middle(), times(w.ratio)))
			}
			graft := l.graft.middle()
			if l.system != subjectName {
				graft = strings.TrimPrefix(l.system, subjectName+", ") + " " + graft
			}
			d.say("| [%s](#%s) | %s | %s | %s |", l.workload, strings.ToLower(l.workload), l.metric, graft, strings.Join(peers, ", "))
		}
	}
	d.say("")
	if len(unclear) > 0 {
		var names []string
		for _, l := range unclear {
			var peers []string
			for _, w := range l.peers {
				peers = append(peers, fmt.Sprintf("%s (%s)", w.system, w.why))
			}
			names = append(names, fmt.Sprintf("- %s, %s of %s against %s", l.workload, l.metric, l.system, strings.Join(peers, ", ")))
		}
		d.say("Not ranked:\n\n%s", strings.Join(names, "\n"))
		d.say("")
	}
}

// missedTargets names the rows of the table of targets that miss theirs, and says why;
// then those of which that cannot be said.
func (d *document) missedTargets(all []saved) {
	var misses, unclear []string
	for _, s := range all {
		for _, saved := range s.Rows {
			r := saved.row(d.held)
			switch v := judge(r.Figure, r.Target); v {
			case missed:
				misses = append(misses, fmt.Sprintf("- %s: %v, target %s. %s", r.Name, r.Figure.middle(), r.Target, reasonFor(r.Name)))
			case noisy, few:
				unclear = append(unclear, fmt.Sprintf("- %s: %v, target %s: %s", r.Name, r.Figure, r.Target, v))
			}
		}
	}
	if len(misses) > 0 {
		d.say("Targets of [its own](#targets) that graft misses, and the reason:\n\n%s\n", strings.Join(misses, "\n"))
	}
	if len(unclear) > 0 {
		d.say("Targets of which these figures do not say whether they are met:\n\n%s\n", strings.Join(unclear, "\n"))
	}
}

// unmeasured names what has no figures here.
func (d *document) unmeasured(all []saved) {
	var names []string
	for _, w := range workloads() {
		i := slices.IndexFunc(all, func(s saved) bool { return s.Workload == w.name })
		switch {
		case i < 0:
			names = append(names, w.name)
		case all[i].empty():
			names = append(names, fmt.Sprintf("%s (%v)", w.name, all[i].Failed))
		}
	}
	if len(names) > 0 {
		d.say("Not measured: %s.\n", strings.Join(names, ", "))
	}
}

// section writes the comparisons of a part, with a plot.
func (d *document) section(p part, title, text string, all []saved) error {
	mine := of(p, all)
	if len(mine) == 0 {
		return nil
	}
	d.say("## %s\n\n%s\n", title, text)
	plots, err := plotPart(p, mine, d.dir)
	if err != nil {
		return err
	}
	for _, name := range plots {
		d.say("![%s: %s](%s/%s)\n", title, strings.TrimSuffix(name, ".svg"), d.folder, name)
	}
	caption := ""
	for _, s := range mine {
		for _, c := range s.Compared {
			d.say("### %s\n\n%s\n", c.Name, sentence(c.What))
			if s.Failed != nil {
				d.say("**The newest run %v**; the figures are of an earlier one.\n", s.Failed)
			}
			d.table(c)
			if c.Note != "" {
				d.say("%s\n", sentence(c.Note))
			}
			if now := captionOf(s.Machine); now != caption {
				caption = now
				d.say("%s\n", caption)
			} else {
				d.say("<sub>In the same run as the table above.</sub>\n")
			}
		}
	}
	return nil
}

func (d *document) table(c comparison) {
	for i, line := range c.table() {
		cells := []string{line[0]}
		for j := 1; j+1 < len(line); j += 2 {
			cell := line[j]
			if line[j+1] != "" {
				cell += "; " + line[j+1]
			}
			cells = append(cells, cell)
		}
		last := line[len(line)-1]
		if i == 0 {
			last = " "
		}
		d.say("| %s |", strings.Join(append(cells, last), " | "))
		if i == 0 {
			d.say("|%s", strings.Repeat("---|", len(cells)+1))
		}
	}
	d.say("")
}

// captionOf says where a table comes from.
func captionOf(m machine) string {
	return fmt.Sprintf("<sub>%s; `%s`; %s</sub>", m, m.Command, strings.Join(m.Versions, ", "))
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// target writes a row of the table of targets. failed is the run after it, or nil.
func (d *document) target(r row, failed *failure) {
	reference, verdict := r.Reference.String(), r.verdict()
	if r.Against != "" && len(r.Reference.Samples) > 0 {
		reference += ", " + r.Against
	}
	if failed != nil {
		verdict += fmt.Sprintf("; the newest run %v", failed)
	}
	d.say("| %s | %v | %s | %v | %s | %s |", r.Name, r.Graft, reference, r.Figure, r.Target, strings.ReplaceAll(verdict, "|", "/"))
}

// targets writes what graft is held to, a table for each run.
func (d *document) targets(all []saved) {
	d.say("## Targets\n\nWhat graft is held to. The figure is judged: mostly the reference's time over graft's, or a count.\n")
	whats := make(map[string]string)
	for _, w := range workloads() {
		whats[w.name] = w.what
	}
	caption := ""
	for _, s := range all {
		if len(s.Rows) == 0 {
			continue
		}
		if c := captionOf(s.Machine); c != caption {
			if caption != "" {
				d.say("\n%s\n", caption)
			}
			caption = c
			d.say("| row | graft | reference | figure | target | |\n|---|---|---|---|---|---|")
		}
		for _, r := range s.Rows {
			d.target(r.row(d.held), s.Failed)
		}
	}
	if caption != "" {
		d.say("\n%s\n", caption)
	}
	d.say("What they do:\n")
	for _, s := range all {
		if len(s.Rows) > 0 {
			d.say("- **%s**: %s.", s.Workload, whats[s.Workload])
		}
	}
}
