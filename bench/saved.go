package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// saved is what is kept of the newest run of a workload: see [saveResult].
type saved struct {
	Workload string       `json:"workload"`
	Machine  machine      `json:"machine"`
	Failed   *failure     `json:"failed,omitempty"` // the newest run, after that of the figures
	Rows     []savedRow   `json:"rows,omitempty"`
	Compared []comparison `json:"compared,omitempty"`
}

// failure is a run that gave no figures.
type failure struct {
	Commit string    `json:"commit"`
	Time   time.Time `json:"time"`
}

func (f *failure) String() string {
	return fmt.Sprintf("failed at commit %s, %s", f.Commit, f.Time.Format(time.DateOnly))
}

// empty tells whether the workload never gave figures.
func (s saved) empty() bool { return len(s.Rows)+len(s.Compared) == 0 }

// savedRow is a row of the table of targets. Target and Verdict are those of its time:
// the document is judged by the code's, see [savedRow.row].
type savedRow struct {
	Name      string `json:"name"`
	Graft     series `json:"graft,omitzero"`
	Reference series `json:"reference,omitzero"`
	Against   string `json:"against,omitempty"`
	Figure    series `json:"figure,omitzero"`
	Target    string `json:"target"`
	Verdict   string `json:"verdict"`
	Note      string `json:"note,omitempty"`
}

func (r row) saved() savedRow {
	return savedRow{Name: r.Name, Graft: r.Graft, Reference: r.Reference, Against: r.Against, Figure: r.Figure, Target: r.Target.String(), Verdict: r.verdict(), Note: r.Note}
}

// row is r, held to what holds now.
func (r savedRow) row(held map[string]target) row {
	if r.Note == "" { // of a file from before there were notes
		_, r.Note, _ = strings.Cut(r.Verdict, "; ")
	}
	return row{Name: r.Name, Graft: r.Graft, Reference: r.Reference, Against: r.Against, Figure: r.Figure, Target: held[r.Name], Note: r.Note}
}

// saveResult replaces the file of a workload. One that could not run leaves what was
// there, and one that failed as well, with a mark.
func saveResult(dir, workload string, m machine, rows []row) error {
	s := saved{Workload: workload, Machine: m}
	for _, r := range rows {
		if r.Failed != "" {
			return saveFailure(dir, workload, m)
		}
		if r.Skipped != "" {
			return nil
		}
		if r.Compared != nil {
			r.Compared.Name = r.Name
			s.Compared = append(s.Compared, *r.Compared)
		}
		if !r.bare() {
			s.Rows = append(s.Rows, r.saved())
		}
	}
	return s.write(dir)
}

// saveFailure marks what there is of a workload.
func saveFailure(dir, workload string, m machine) error {
	s, err := loadResult(filepath.Join(dir, workload+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		s, err = saved{Workload: workload, Machine: m}, nil
	}
	if err != nil {
		return err
	}
	s.Failed = &failure{Commit: m.Commit, Time: m.Time}
	return s.write(dir)
}

func (s saved) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, s.Workload+".json"), append(data, '\n'), 0o666)
}

func loadResult(path string) (s saved, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// loadResults reads all files of a directory, in the order of the workloads. Those
// of workloads that are no more are left out.
func loadResults(dir string) ([]saved, error) {
	order := make(map[string]int)
	for i, w := range workloads() {
		order[w.name] = i
	}
	paths, err := fs.Glob(os.DirFS(dir), "*.json")
	if err != nil {
		return nil, err
	}
	var all []saved
	for _, path := range paths {
		if _, ok := order[strings.TrimSuffix(path, ".json")]; !ok {
			continue
		}
		s, err := loadResult(filepath.Join(dir, path))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b saved) int { return cmp.Compare(order[a.Workload], order[b.Workload]) })
	return all, nil
}
