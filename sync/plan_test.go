package sync

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"graft/volume"
)

// runPlans runs the commands of a data file. With -rewrite their results are
// written anew.
func runPlans(t *testing.T, path string, commands map[string]func(*testing.T, *datadriven.TestData) string) {
	t.Helper()
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		run := commands[d.Cmd]
		if run == nil {
			d.Fatalf(t, "no such command")
		}
		return run(t, d)
	})
}

func TestHeadSearch(t *testing.T) {
	runPlans(t, "testdata/headsearch.txt", map[string]func(*testing.T, *datadriven.TestData) string{
		"search": func(t *testing.T, d *datadriven.TestData) string {
			var head, from, expected uint64
			d.ScanArgs(t, "head", &head)
			d.ScanArgs(t, "from", &from)
			d.MaybeScanArgs(t, "expected", &expected)
			list := byChance(rand.New(rand.NewPCG(1, head)))
			if d.HasArg("oldest") {
				list = oldest
			}
			if d.HasArg("refused") {
				list = nil
			}
			return strings.Join(searchSteps(t, list, volume.LSN(head), startSearch(volume.LSN(from), volume.LSN(expected))), "\n")
		},
		"sample": searchSample,
	})
}

func TestStanding(t *testing.T) {
	runPlans(t, "testdata/standing.txt", map[string]func(*testing.T, *datadriven.TestData) string{
		"standing": func(t *testing.T, d *datadriven.TestData) string {
			var synced, head uint64
			var s standing
			d.MaybeScanArgs(t, "synced", &synced)
			d.MaybeScanArgs(t, "head", &head)
			d.MaybeScanArgs(t, "unpushed", &s.unpushed)
			s.synced, s.head = volume.LSN(synced), volume.LSN(head)
			s.seen, s.fork = d.HasArg("seen"), d.HasArg("fork")
			return fmt.Sprintf("pull: %s; push: %s", s.pull(), s.push())
		},
	})
}

// listing gives the newest of so many LSNs from first to last.
type listing func(first, last volume.LSN, keys int) (newest volume.LSN)

// byChance lists in an order of chance.
func byChance(random *rand.Rand) listing {
	return func(first, last volume.LSN, keys int) (newest volume.LSN) {
		if last-first < volume.LSN(keys) {
			return last
		}
		for range keys {
			newest = max(newest, first+volume.LSN(random.Uint64N(uint64(last-first)+1)))
		}
		return newest
	}
}

// oldest lists the oldest first.
func oldest(first, last volume.LSN, keys int) volume.LSN {
	return first + min(last-first, volume.LSN(keys)-1)
}

// searchSteps gives what a search asks when the newest commit is head.
func searchSteps(t *testing.T, list listing, head volume.LSN, s headSearch) (steps []string) {
	for q, ok := s.next(); ok; q, ok = s.next() {
		last := lastOf(q.block, q.bits)
		first := max(1, last-(1<<q.bits-1))
		switch {
		case q.list && list == nil:
			s.refused()
			steps = append(steps, fmt.Sprintf("list %d to %d: refused", first, last))
		case !q.list:
			s.probed(q, last <= head)
			steps = append(steps, fmt.Sprintf("look for %d: %v", last, last <= head))
		case first > head:
			s.listed(q, 0, true)
			steps = append(steps, fmt.Sprintf("list %d to %d: none", first, last))
		default:
			newest, whole := list(first, min(head, last), searchKeys), min(head, last)-first < searchKeys
			s.listed(q, newest, whole)
			steps = append(steps, fmt.Sprintf("list %d to %d: %d, all: %v", first, last, newest, whole))
		}
	}
	if s.newest != head {
		t.Errorf("head is %d, and %d was found: %q", head, s.newest, steps)
	}
	return append(steps, fmt.Sprintf("head %d", s.newest))
}

// searchSample counts how many requests 1000 replicas took up to the first page,
// each with a head of about commits, from a store that lists in an order of chance:
// so many keys at first, and of a block as many as it can, or none with refused.
func searchSample(t *testing.T, d *datadriven.TestData) string {
	var commits uint64
	d.ScanArgs(t, "commits", &commits)
	keys := hintKeys
	d.MaybeScanArgs(t, "keys", &keys)
	random := rand.New(rand.NewPCG(1, commits))
	list := byChance(random)
	counts := make(map[int]int)
	for range 1000 {
		head := volume.LSN(commits - random.Uint64N(commits/10))
		hint := list(1, head, keys)
		s := startSearch(hint, expectedHead(hint, keys))
		s.done = head <= volume.LSN(keys)
		const others = 3 // the first listing, the commit, the checkpoint
		blocks := list
		if d.HasArg("refused") {
			blocks = nil
		}
		counts[others+len(searchSteps(t, blocks, head, s))-1]++
	}
	var out strings.Builder
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&out, "%d requests: %.1f %%\n", n, float64(counts[n])/10)
	}
	return out.String()
}
