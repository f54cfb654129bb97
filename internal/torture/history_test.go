package torture

import (
	"errors"
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"graft"
)

// errContent is what pages get that no order of transactions makes.
var errContent = errors.New("content is wrong")

// visit is an operation on the remote Volume: a transaction, which saw the state
// before and made the state after, or a read, where both are equal.
type visit struct {
	before, after state
	id            opID // zero for a read
}

// volumeModel is the remote Volume as all machines should see it: one state
// after the other.
var volumeModel = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(now, in, _ any) (bool, any) {
		v := in.(visit)
		return v.before == now.(state), v.after
	},
	DescribeOperation: func(in, _ any) string {
		v := in.(visit)
		if v.id == 0 {
			return fmt.Sprintf("read %s", v.before)
		}
		return fmt.Sprintf("%x: %s to %s", uint64(v.id), v.before, v.after)
	},
}

// saw notes a visit.
func (w *world) saw(machine int, v visit, called int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.history = append(w.mu.history, porcupine.Operation{ClientId: machine, Input: v, Call: called, Return: w.clock.Add(1)})
	if v.id != 0 {
		w.mu.landed[v.id] = true
	}
}

// gaveUp notes that a transaction did not land and never will.
func (w *world) gaveUp(id opID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.failed[id] = true
}

// sawState wants everybody to see one state at an LSN of the remote Volume.
func (w *world) sawState(machine string, l graft.LSN, s state) {
	w.mu.Lock()
	known, ok := w.mu.states[l]
	w.mu.states[l] = s
	w.mu.Unlock()
	if ok && known != s {
		w.violation("%s has state %s at LSN %d, another has %s", machine, s, l, known)
	}
}

// checkHistory wants an order of all visits in which each sees what those before
// it made, and that keeps the order of those that did not overlap.
func checkHistory(history []porcupine.Operation) error {
	switch porcupine.CheckOperationsTimeout(volumeModel, history, 5*time.Minute) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return errors.New("the history took too long to check")
	}
	return errors.New("the history is not linearizable")
}

// checkStates wants the states to grow with the LSNs.
func checkStates(states map[graft.LSN]state) error {
	var last graft.LSN
	for l := range sortedKeys(states) {
		if last > 0 && states[l].n < states[last].n+uint64(l-last) {
			return fmt.Errorf("state %s of LSN %d does not come after %s of LSN %d", states[l], l, states[last], last)
		}
		last = l
	}
	return nil
}

// checkOutcomes wants the list to have each transaction that landed once, and
// none that was given up.
func checkOutcomes(list []opID, landed, failed map[opID]bool) error {
	if id := repeated(list); id != 0 {
		return fmt.Errorf("transaction %x is there twice", uint64(id))
	}
	there := make(map[opID]bool)
	for _, id := range list {
		there[id] = true
		if failed[id] {
			return fmt.Errorf("transaction %x is there, and was said to have failed", uint64(id))
		}
	}
	for id := range landed {
		if !there[id] {
			return fmt.Errorf("transaction %x is lost, and was said to have landed", uint64(id))
		}
	}
	return nil
}
