package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"graft"
)

func openWorkloads() []workload {
	return []workload{{
		name: "open",
		what: "graft.Open and DB.Graft, in a new process, with 250,000 pages and 100,000 commits; then its memory; then after a kill",
		want: openTarget.String() + "; " + openMemoryTarget.String(),
		run:  openHistory,
	}}
}

const (
	openFactor = 4
	openFree   = 50 * time.Millisecond
)

var (
	// openTarget holds the time as a part of what is allowed.
	openTarget       = target{relation: atMost, bound: 1, unit: share, text: fmt.Sprintf("≤ %d × empty + %v", openFactor, openFree)}
	openMemoryTarget = target{relation: atMost, bound: 64 << 20, unit: octets}
)

// openHistory opens a history and an empty store, each time in a process of its
// own, and looks at a process that opens nothing for the memory.
func openHistory(ctx context.Context, e *env) ([]row, error) {
	h, err := e.killedHistory(ctx)
	if err != nil {
		return nil, err
	}
	empty, err := e.build("empty", func(dir string) error {
		_, err := child(ctx, job{Kind: "open", Dir: dir})
		return err
	})
	if err != nil {
		return nil, err
	}
	table := []job{
		{Kind: "open", Dir: h.dir, Pages: e.size.pages, Commits: e.size.commits},
		{Kind: "open", Dir: empty},
		{Kind: "idle"},
	}
	times := make([]series, len(table))
	peaks := make([]series, len(table))
	for round := range e.rounds {
		for i := range table {
			if round%2 == 1 {
				i = len(table) - 1 - i
			}
			e.rest(ctx)
			o, err := child(ctx, table[i])
			if err != nil {
				return nil, err
			}
			times[i] = series{Unit: seconds, Samples: append(times[i].Samples, o.Seconds)}
			peaks[i] = series{Unit: octets, Samples: append(peaks[i].Samples, float64(o.Peak))}
		}
	}
	allowed := func(t, empty float64) float64 { return t / (openFactor*empty + openFree.Seconds()) }
	more := func(memory, idle float64) float64 { return memory - idle }
	killed := h.afterKill
	return []row{
		{Name: "open", Graft: times[0], Reference: times[1], Against: "empty", Figure: combine(share, times[0], times[1], allowed), Target: openTarget},
		{Name: "open-memory", Graft: peaks[0], Reference: peaks[2], Against: "idle", Figure: combine(octets, peaks[0], peaks[2], more), Target: openMemoryTarget},
		{Name: "open-after-kill", Graft: one(seconds, killed.Seconds), Reference: times[1], Against: "empty"},
		{Name: "open-after-kill-memory", Graft: one(octets, float64(killed.Peak)), Reference: peaks[2], Against: "idle"},
	}, nil
}

// one is a series of one sample.
func one(u unit, v float64) series { return series{Unit: u, Samples: []float64{v}} }

// openJob measures how a data directory is opened, and checks that what was
// committed to it is there. Without pages it is to be empty.
func openJob(ctx context.Context, j job) (outcome, error) {
	memory := watchMemory()
	start := time.Now()
	db, g, err := openGraft(ctx, j.Dir)
	elapsed := time.Since(start)
	if err != nil {
		return outcome{}, err
	}
	o, err := memory.end(elapsed)
	return o, errors.Join(err, checkHistory(ctx, g, j.Pages, j.Commits), db.Close())
}

// checkHistory looks at the end of the log, and at pages here and there.
func checkHistory(ctx context.Context, g *graft.Graft, pages, commits int) (err error) {
	reader := g.Reader()
	defer func() { err = errors.Join(err, closeReader(reader)) }()
	if n := int(reader.PageCount()); n != pages {
		return fmt.Errorf("there are %d pages, not %d", n, pages)
	}
	if pages == 0 {
		return nil
	}
	info, err := g.Info()
	if err != nil {
		return err
	}
	if want := graft.LSN(1 + commits); info.LocalHead != want {
		return fmt.Errorf("the newest commit is %v, not %v", info.LocalHead, want)
	}
	return checkPages(ctx, reader, versions(pages, commits))
}

// checkPages looks at about a hundred pages; versions are by index.
func checkPages(ctx context.Context, reader *graft.Reader, versions []int) error {
	for i := 1; i < len(versions); i += max(1, len(versions)/100) {
		p := graft.PageIdx(i)
		page, err := reader.Page(ctx, p)
		if err != nil {
			return err
		}
		if err := checkPage(page, p, versions[i]); err != nil {
			return err
		}
	}
	return nil
}
