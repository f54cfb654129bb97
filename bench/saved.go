package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// saved is what is kept of the newest run of a workload: see [saveResult].
type saved struct {
	Workload string       `json:"workload"`
	Machine  machine      `json:"machine"`
	Rows     []savedRow   `json:"rows,omitempty"`
	Compared []comparison `json:"compared,omitempty"`
}

// savedRow is a row of the table of targets.
type savedRow struct {
	Name      string `json:"name"`
	Graft     series `json:"graft,omitzero"`
	Reference series `json:"reference,omitzero"`
	Against   string `json:"against,omitempty"`
	Figure    series `json:"figure,omitzero"`
	Target    string `json:"target"`
	Verdict   string `json:"verdict"`
}

func (r row) saved() savedRow {
	return savedRow{Name: r.Name, Graft: r.Graft, Reference: r.Reference, Against: r.Against, Figure: r.Figure, Target: r.Target.String(), Verdict: r.verdict()}
}

// saveResult replaces the file of a workload. One that failed or that could not
// run leaves what was there.
func saveResult(dir, workload string, m machine, rows []row) error {
	s := saved{Workload: workload, Machine: m}
	for _, r := range rows {
		if r.Failed != "" || r.Skipped != "" {
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
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, workload+".json"), append(data, '\n'), 0o666)
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
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return nil, err
		}
		var s saved
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b saved) int { return cmp.Compare(order[a.Workload], order[b.Workload]) })
	return all, nil
}
