package torture

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"

	"graft"
	"graft/internal/faultbucket"
	"graft/internal/testdir"
)

var (
	roundsFlag = flag.Int("torture.rounds", 0, "rounds of each machine; 0: a short run")
	seedFlag   = flag.Uint64("torture.seed", 0, "seed of the faults; 0: draw one")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rounds gives the rounds of each machine.
func rounds(short int) int {
	if *roundsFlag > 0 {
		return *roundsFlag
	}
	return short
}

// newSeed gives the seed of a test and prints it.
func newSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return seed
}

// world is a bucket, the network before it, and what all machines saw of the
// remote Volume that they race on.
type world struct {
	t      *testing.T
	seed   uint64
	bucket *faultbucket.Bucket
	net    *faultbucket.Network
	base   string // of the data directories
	remote graft.VolumeID
	clock  atomic.Int64 // orders what machines do
	pulse  pulse

	mu struct {
		sync.Mutex
		failures int
		counts   map[string]int
		history  []porcupine.Operation
		states   map[graft.LSN]state
		acks     []ack
		landed   map[opID]bool
		failed   map[opID]bool // they did not land and never will
	}
}

// trace is what a machine did of late, with what it logged.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (t *trace) add(line string) {
	const keep = 40
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, strings.TrimSpace(line))
	t.lines = t.lines[max(0, len(t.lines)-keep):]
}

// Write takes a line of the log.
func (t *trace) Write(line []byte) (int, error) {
	t.add(string(line))
	return len(line), nil
}

func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n\t")
}

// ack is a push that a machine was told has landed.
type ack struct {
	machine string
	lsn     graft.LSN
	object  []byte // at that LSN, when the push returned
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, seed: newSeed(t), bucket: faultbucket.New(), base: testdir.InMemory(t)}
	w.net = faultbucket.NewNetwork(w.bucket)
	w.pulse.start(t)
	w.mu.counts = make(map[string]int)
	w.mu.states = make(map[graft.LSN]state)
	w.mu.landed, w.mu.failed = make(map[opID]bool), make(map[opID]bool)
	return w
}

// pulse notices when the whole process stood still: whoever stops it has deadlines pass that are no fault of graft's.
type pulse struct {
	mu     sync.Mutex
	last   time.Time
	pauses int
}

// longPause is well below the deadlines of requests, and well above the waits of a busy machine.
const longPause = 20 * time.Second

func (p *pulse) start(t *testing.T) {
	p.last = time.Now()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				p.beat(time.Now())
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// beat gives how many long pauses there were so far.
func (p *pulse) beat(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) > longPause {
		p.pauses++
	}
	p.last = now
	return p.pauses
}

// violation reports that something is not as graft promises. It may be called
// by any goroutine.
func (w *world) violation(format string, args ...any) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.failures++; w.mu.failures <= 10 {
		w.t.Errorf("at %d: %s", w.clock.Load(), fmt.Sprintf(format, args...))
	}
}

// broken tells whether there was a violation: the rest would only repeat it.
func (w *world) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.failures > 0
}

// count counts what happened, so that a run can tell whether it was a test.
func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.counts[what]++
}

// wantCounts logs what happened, and wants each of what to have.
func (w *world) wantCounts(what ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(w.mu.counts)) {
		all = append(all, fmt.Sprintf("%s %d", name, w.mu.counts[name]))
	}
	w.t.Logf("at %d: %s", w.clock.Load(), strings.Join(all, ", "))
	for _, name := range what {
		if w.mu.counts[name] == 0 {
			w.t.Errorf("%s never happened", name)
		}
	}
}

// deliver lets puts that are held back happen until at most left are held.
func (w *world) deliver(left int, pick func(int) int) {
	for w.net.Held() > left {
		w.net.Deliver(pick)
	}
}

func first(int) int { return 0 }

// race runs each machine in a goroutine of its own, among faults, for n rounds
// or until something is broken.
func (w *world) race(machines []*machine, n int) {
	var wg sync.WaitGroup
	for _, m := range machines {
		m.setFaults(true)
		wg.Go(func() {
			for i := 0; i < n && !w.broken(); i++ {
				m.round()
				w.bucket.Requests() // forgets them
			}
		})
	}
	wg.Wait()
}

var background = context.Background()
