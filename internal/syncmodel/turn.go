package syncmodel

import "fmt"

// told is the error that an action ends with.
type told uint8

const (
	fine told = iota
	diverged
	mismatch
	expired
)

func (t told) String() string {
	return [...]string{"", "ErrDiverged", "ErrRemoteMismatch", "ErrExpired"}[t]
}

// turn is one action under way on a copy of the State.
type turn struct {
	*Model
	before *State
	s      State
	who    int    // the Graft that acts
	g      *graft // in s
	arg    int

	note     string // for the trace
	told     told
	acked    recID // a push was acknowledged
	moved    bool  // a pull moved the SyncPoint
	opened   bool  // the process was started anew
	outsider bool
	broken   *Violation
}

func (t *turn) rec(id recID) *record { return &t.recs[id] }

// say adds to the note of the trace.
func (t *turn) say(format string, args ...any) {
	if t.note != "" {
		t.note += ", "
	}
	t.note += fmt.Sprintf(format, args...)
}

// fail says that an invariant does not hold, if it is the first.
func (t *turn) fail(inv Invariant, format string, args ...any) {
	if t.broken == nil {
		t.broken = &Violation{inv, fmt.Sprintf(format, args...)}
	}
}

// end gives an error to the caller of graft.
func (t *turn) end(err told) {
	t.told = err
	t.say("%v", err)
	if err == mismatch {
		t.g.Stuck = true
	}
	t.g.At, t.g.Plan, t.g.PlanUpto = idle, 0, 0
}

// spend takes one from a budget.
func spend(left *uint8) bool {
	if *left == 0 {
		return false
	}
	*left--
	return true
}

// reread reads a commit that this Graft saw in the bucket. False: the Graft was
// told ErrRemoteMismatch.
func (t *turn) reread(id recID) bool {
	if id == 0 || t.mut.NoReread {
		return true
	}
	r := t.rec(id)
	same := t.s.Bucket.Log[r.Volume][r.LSN] == id
	if same && r.Volume == 0 && t.s.Bucket.Stub[r.LSN] {
		same = t.rules.StubVerifies // the bytes are others, the hash in them is the same
	}
	if !same {
		t.end(mismatch)
		return false
	}
	t.g.Verified = true
	return true
}

// action is one kind of step that somebody can take.
type action struct {
	name string
	who  actor
	at   step // where a Graft's push must be
	args []string
	do   func(*turn) bool // false: it cannot happen now
}

// actor is who takes an action.
type actor uint8

const (
	world  actor = iota
	user         // of a Graft, at any step of its push
	pusher       // a Graft whose push is at a step
	syncer       // a Graft that may begin to sync
)

// actions are all that can happen.
var actions = []action{
	{"begin", user, 0, nil, begin},
	{"commit", user, 0, []string{"page 1", "page 1, not durable", "page 2", "cut", "grow"}, commit},
	{"write back", user, 0, nil, writeBack},
	{"fetch", syncer, idle, nil, fetch},
	{"jump", syncer, idle, nil, jump},
	{"move the SyncPoint", syncer, idle, nil, move},
	{"push: plan", syncer, idle, nil, plan},
	{"push: put pins", pusher, pin, nil, putPins},
	{"push: list floors", pusher, floors, nil, listFloors},
	{"push: upload", pusher, upload, nil, uploads},
	{"push: make durable", pusher, keep, nil, keeps},
	{"push: put", pusher, put, outcomes, puts},
	{"push: adopt", pusher, adopt, nil, adopts},
	{"push: read", pusher, read, nil, reads},
	{"push: clean up", pusher, clean, nil, cleans},
	{"resolve: get", syncer, idle, nil, resolve},
	{"resolve: check objects", pusher, check, nil, checks},
	{"crash", user, 0, nil, crash},
	{"power cut", user, 0, nil, powerCut},
	{"reset", syncer, idle, nil, reset},
	{"reset: put filler", syncer, idle, outcomes[answered:], fill},
	{"fork", user, 0, nil, fork},
	{"copy directory", user, 0, nil, copyDirectory},
	{"back up", world, 0, nil, backUp},
	{"restore", world, 0, nil, restore},
	{"land", world, 0, []string{"first", "second", "third"}, lands},
	{"sink", world, 0, []string{"first", "second", "third"}, sinks},
	{"outsider empties the bucket", world, 0, nil, empties},
	{"outsider rolls back one commit", world, 0, nil, rollsBack},
	{"gc: put floor", world, 0, nil, putFloor},
	{"gc: list pins", world, 0, nil, listPins},
	{"gc: mark", world, 0, nil, mark},
	{"gc: sweep", world, 0, nil, sweep},
}

// can says whether a Graft is where an action takes it from.
func (a *action) can(g *graft) bool {
	switch a.who {
	case user:
		return g.Used && !g.Stuck
	case pusher:
		return g.Used && g.At == a.at
	case syncer:
		return g.Used && g.At == idle && !g.Stuck
	}
	return true
}

// outcomes of an attempt to put.
var outcomes = []string{"refused", "answered", "unknown"}

const (
	refused = iota
	answered
	unknown
)

// Step is an action that was taken, and what came of it.
type Step struct {
	kind, who, arg int
	note           string
	told           told
	State          State
	Broken         *Violation
}

// String is a line of a trace.
func (s Step) String() string {
	a := &actions[s.kind]
	out := a.name
	if a.who != world {
		out = string(rune('A'+s.who)) + " " + out
	}
	if a.args != nil {
		out += " (" + a.args[s.arg] + ")"
	}
	if s.note != "" {
		out += ": " + s.note
	}
	return out
}

// Steps gives every step that can follow s, but those that change nothing.
func (m *Model) Steps(s *State) []Step {
	var out []Step
	t := &turn{Model: m, before: s}
	for kind := range actions {
		a := &actions[kind]
		for w := range grafts {
			if a.who == world && w > 0 || !a.can(&s.Grafts[w]) {
				continue
			}
			for arg := range max(1, len(a.args)) {
				if t.take(a, w, arg) {
					out = append(out, Step{kind, w, arg, t.note, t.told, t.s, t.broken})
				}
			}
		}
	}
	return out
}

// take lets an action happen. False: it cannot, or changes nothing.
func (t *turn) take(a *action, who, arg int) bool {
	t.s, t.who, t.g, t.arg = *t.before, who, &t.s.Grafts[who], arg
	t.note, t.told, t.broken = "", fine, nil
	t.acked, t.moved, t.opened, t.outsider = 0, false, false, false
	if !a.do(t) {
		return false
	}
	if t.s.Left.Cuts == 0 { // nobody will see what is durable
		for i := range t.s.Grafts {
			t.s.Grafts[i].Dur = t.s.Grafts[i].Cur
		}
	}
	t.check()
	return t.broken != nil || t.s != *t.before
}
