package syncmodel

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// explorer visits States breadth first, so that the first trace to a violation
// is a shortest one. Of visited States it keeps a 64-bit hash.
type explorer struct {
	m     *Model
	seed  maphash.Seed
	seen  map[uint64]int32 // State -> its node
	nodes []node
	depth int
	taken map[int]bool  // kinds of action that happened
	told  map[told]bool // and errors
}

// node says how a State was reached first.
type node struct {
	from           int32
	kind, who, arg uint8
}

// broken is a violation with the steps that lead to it.
type broken struct {
	violation *Violation
	steps     []Step
}

func (b *broken) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%v\n", b.violation)
	for i, s := range b.steps {
		fmt.Fprintf(&out, "%3d. %v\n", i+1, s)
	}
	return out.String()
}

// explore visits all States of a scope, or those up to a violation.
func explore(m *Model, s scope) (*explorer, *broken) {
	start := m.Start(s.grafts, s.left)
	e := &explorer{
		m: m, seed: maphash.MakeSeed(), seen: make(map[uint64]int32),
		taken: make(map[int]bool), told: make(map[told]bool),
	}
	e.visit(&start, node{from: -1})
	for level := []State{start}; len(level) > 0; e.depth++ {
		var next []State
		for i := range level {
			from := e.seen[e.key(&level[i])]
			for _, step := range m.Steps(&level[i]) {
				e.taken[step.kind], e.told[step.told] = true, true
				n := node{from, uint8(step.kind), uint8(step.who), uint8(step.arg)}
				if step.Broken != nil {
					return e, &broken{step.Broken, e.trace(start, n)}
				}
				if e.visit(&step.State, n) {
					next = append(next, step.State)
				}
			}
		}
		level = next
	}
	return e, nil
}

// key identifies a State. How often the counters moved decides nothing, nor what
// was verified when each push verifies.
func (e *explorer) key(s *State) uint64 {
	k := *s
	for i := range k.Grafts {
		k.Grafts[i].Counter = 0
		k.Grafts[i].Verified = k.Grafts[i].Verified && !e.m.rules.VerifyEachPush
	}
	return maphash.Comparable(e.seed, k)
}

func (e *explorer) visit(s *State, n node) bool {
	k := e.key(s)
	if _, ok := e.seen[k]; ok {
		return false
	}
	e.seen[k] = int32(len(e.nodes))
	e.nodes = append(e.nodes, n)
	return true
}

// trace takes the steps that lead to the last one again.
func (e *explorer) trace(start State, last node) []Step {
	path := []node{last}
	for n := last; e.nodes[n.from].from >= 0; {
		n = e.nodes[n.from]
		path = append(path, n)
	}
	slices.Reverse(path)
	var steps []Step
	for _, n := range path {
		for _, step := range e.m.Steps(&start) {
			if (node{n.from, uint8(step.kind), uint8(step.who), uint8(step.arg)}) == n {
				steps = append(steps, step)
			}
		}
		start = steps[len(steps)-1].State
	}
	return steps
}
