package graft

import (
	"context"
	"fmt"
	"sync"
)

// directories is the process-wide table of open data directories, the one
// mutable global of the package: two opens of one directory must share one
// store.
var directories = directoryTable{open: make(map[string]*tableEntry)}

// directoryTable counts the holds on each open directory. Its mutex guards the
// map and the counts; directories are opened and closed outside of it, and
// whoever comes meanwhile waits.
type directoryTable struct {
	mu   sync.Mutex
	open map[string]*tableEntry
}

type tableEntry struct {
	dir   *directory
	holds int
	busy  chan struct{} // closed when an open or close under way has ended; nil when none is
}

// acquire takes a hold on the directory at path, and opens it if nobody has.
func (t *directoryTable) acquire(ctx context.Context, path string, o Options) (*directory, error) {
	for {
		t.mu.Lock()
		e := t.open[path]
		if e == nil {
			e = &tableEntry{busy: make(chan struct{})}
			t.open[path] = e
			t.mu.Unlock()
			return t.fill(ctx, e, path, o)
		}
		if e.busy == nil {
			defer t.mu.Unlock()
			if err := e.dir.opts.accepts(o); err != nil {
				return nil, fmt.Errorf("open data directory %s: %w", path, err)
			}
			e.holds++
			return e.dir, nil
		}
		busy := e.busy
		t.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("open data directory %s: %w", path, context.Cause(ctx))
		}
	}
}

// fill opens the directory of a new entry.
func (t *directoryTable) fill(ctx context.Context, e *tableEntry, path string, o Options) (*directory, error) {
	dir, err := openDirectory(ctx, path, o)
	t.mu.Lock()
	defer t.mu.Unlock()
	close(e.busy)
	e.busy = nil
	if err != nil {
		delete(t.open, path)
		return nil, err
	}
	e.dir, e.holds = dir, 1
	return dir, nil
}

// release gives up one hold, and closes the directory with the last one.
func (t *directoryTable) release(dir *directory) error {
	t.mu.Lock()
	e := t.open[dir.path]
	if e.holds--; e.holds > 0 {
		t.mu.Unlock()
		return nil
	}
	e.busy = make(chan struct{})
	t.mu.Unlock()

	err := dir.close()

	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, dir.path)
	close(e.busy)
	return err
}
