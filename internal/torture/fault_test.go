package torture

import (
	"graft/internal/faultbucket"
)

// A fault strikes so many of a hundred requests.
const faultPercent = 7

// faultWeights say how often each fault is the one.
var faultWeights = []struct {
	name   string
	weight int
	strike func(m *machine) faultbucket.Fate
}{
	{"request lost", 4, fated(faultbucket.Lost)},
	{"answer lost", 5, fated(faultbucket.Unanswered)},
	{"late", 5, fated(faultbucket.Late)},
	{"sent twice", 3, fated(faultbucket.Twice)},
	{"torn", 2, fated(faultbucket.Torn)},
	{"bucket away", 1, func(m *machine) faultbucket.Fate {
		m.mu.away = 1 + m.mu.dice.IntN(20)
		return faultbucket.Lost
	}},
	{"cancelled", 2, func(m *machine) faultbucket.Fate {
		m.mu.cancel()
		return m.anyFate()
	}},
	{"killed in a request", 2, func(m *machine) faultbucket.Fate {
		m.dieLocked(false)
		return m.anyFate()
	}},
	{"power cut in a request", 2, func(m *machine) faultbucket.Fate {
		m.dieLocked(true)
		return m.anyFate()
	}},
}

// sureFaults strike the puts of those numbers in the life of each machine, so that the
// shortest run has them.
var sureFaults = map[int]string{3: "late", 5: "answer lost", 7: "killed in a request"}

func fated(f faultbucket.Fate) func(*machine) faultbucket.Fate {
	return func(*machine) faultbucket.Fate { return f }
}

// anyFate is that of a request whose answer nobody waits for any more.
func (m *machine) anyFate() faultbucket.Fate {
	return []faultbucket.Fate{faultbucket.Lost, faultbucket.Unanswered, faultbucket.Late}[m.mu.dice.IntN(3)]
}

// fate says what becomes of a request of the machine.
func (m *machine) fate(r faultbucket.Request) faultbucket.Fate {
	fate, deliver, during := m.draw(r)
	if deliver != nil {
		m.w.net.Deliver(deliver)
	}
	if during != nil {
		during()
	}
	return fate
}

// draw draws the fate of a request. Before it has it, a put of before may be
// delivered, and what is to be done during a push is done.
func (m *machine) draw(r faultbucket.Request) (fate faultbucket.Fate, deliver func(int) int, during func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.dead {
		m.mu.struck = true
		return faultbucket.Lost, nil, nil
	}
	if r.Op == "put" {
		during, m.mu.during = m.mu.during, nil
	}
	if !m.mu.faults {
		return faultbucket.Answered, nil, during
	}
	if m.mu.dice.IntN(10) == 0 {
		i := m.mu.dice.Int()
		deliver = func(held int) int { m.w.count("late put delivered"); return i % held }
	}
	if m.mu.away > 0 {
		m.mu.away--
		m.mu.struck = true
		return faultbucket.Lost, deliver, during
	}
	sure := ""
	if r.Op == "put" {
		m.mu.puts++
		sure = sureFaults[m.mu.puts]
	}
	if sure != "" || m.mu.dice.IntN(100) < faultPercent {
		fate = m.strikeLocked(r, sure)
	}
	return fate, deliver, during
}

// strikeLocked lets a fault strike: the one that is sure, or one that is drawn.
func (m *machine) strikeLocked(r faultbucket.Request, sure string) faultbucket.Fate {
	sum := 0
	for _, f := range faultWeights {
		sum += f.weight
	}
	n := m.mu.dice.IntN(sum)
	for _, f := range faultWeights {
		if n -= f.weight; f.name == sure || sure == "" && n < 0 {
			m.w.count(f.name)
			if r.Op == "put" {
				m.w.count(f.name + " (put)")
			}
			m.mu.struck = true
			return f.strike(m)
		}
	}
	return faultbucket.Answered
}

// setFaults lets faults strike, or ends them all.
func (m *machine) setFaults(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.faults, m.mu.away = on, 0
}
