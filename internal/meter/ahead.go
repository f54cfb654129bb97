package meter

import (
	"context"
	"sync"
)

// Ahead is what is fetched ahead for a statement, and ends with it. The zero value is
// that of one that runs. It is safe for concurrent use.
type Ahead struct {
	mu struct {
		sync.Mutex
		ended   bool
		cancels []context.CancelFunc
	}
}

// Add has cancel called when the statement ends.
func (a *Ahead) Add(cancel context.CancelFunc) {
	if a == nil {
		return
	}
	a.mu.Lock()
	ended := a.mu.ended
	if !ended {
		a.mu.cancels = append(a.mu.cancels, cancel)
	}
	a.mu.Unlock()
	if ended {
		cancel()
	}
}

// End ends what is fetched ahead, and waits for none of it.
func (a *Ahead) End() {
	a.mu.Lock()
	cancels := a.mu.cancels
	a.mu.ended, a.mu.cancels = true, nil
	a.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
}
