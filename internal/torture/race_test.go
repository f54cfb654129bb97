package torture

import (
	"fmt"
	"testing"

	"graft"
	"graft/volume"
)

// Machines that race on one remote Volume lose no push that was acknowledged,
// and all see one order.
func TestRace(t *testing.T) {
	for machines, short := range map[int]int{2: 150, 8: 60} {
		t.Run(fmt.Sprint(machines), func(t *testing.T) {
			w := newWorld(t)
			all := w.newReplicas(machines, func() workload { return pageWork{} })
			w.race(all, rounds(short))
			w.finish(all, pageWork{}, raceCounts(rounds(short))...)
		})
	}
}

// raceCounts are what happens in every race of so many rounds.
func raceCounts(rounds int) []string {
	counts := []string{"segment landed", "checkpoint landed", "late (put)", "answer lost (put)", "killed in a request", "late put delivered"}
	if rounds < 1000 {
		return counts
	}
	return append(counts, "power cut that loses", "power cut in a request (put)", "torn", "cancelled (put)", "sent twice (put)", "bucket away (put)")
}

// newReplicas gives machines that have cloned one remote Volume, which the first
// of them made.
func (w *world) newReplicas(n int, work func() workload) (all []*machine) {
	for i := range n {
		m := w.newMachine(i, work())
		all = append(all, m)
		if i > 0 {
			if err := m.startOver(); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		info, _ := m.info()
		w.remote = info.Remote
		if err := m.call(m.commit); err != nil {
			w.t.Fatal(err)
		}
		if err := m.push(); err != nil {
			w.t.Fatal(err)
		}
	}
	return all
}

// round is a few calls in an order that is drawn.
func (m *machine) round() {
	if m.lost {
		_ = m.startOver() // or in the next round
		return
	}
	switch n := m.r.IntN(12); {
	case n == 0:
		m.pullUnderWriter()
	case n < 8:
		_ = m.pull()
	}
	for range 1 + m.r.IntN(3) {
		if m.lost {
			return
		}
		_ = m.call(m.commit)
	}
	switch m.r.IntN(50) {
	case 0:
		m.restart()
	case 1, 2:
		m.crash(false)
	case 3, 4, 5:
		m.crash(true)
	}
	if m.r.IntN(3) > 0 {
		_ = m.push()
	}
	if m.r.IntN(20) == 0 {
		_, _ = m.verify()
	}
}

// finish ends all faults, lets every late put happen, checks everything, and wants
// each of counts to have happened.
func (w *world) finish(all []*machine, work workload, counts ...string) {
	w.t.Helper()
	for _, m := range all {
		m.setFaults(false)
	}
	for range 2 { // what one pushes the others pull
		for _, m := range all {
			w.deliver(0, first)
			m.settle()
		}
	}
	fresh := w.newMachine(len(all), work)
	if err := fresh.startOver(); err != nil {
		w.t.Fatal(err)
	}
	w.checkReplicas(append(all, fresh))
	w.checkWorld()
	w.wantCounts(append([]string{"push", "push diverged"}, counts...)...)
}

// checkReplicas wants all machines to have the same pages, which are what the
// transactions make that landed.
func (w *world) checkReplicas(all []*machine) {
	w.t.Helper()
	var ids []opID
	var pages []byte
	for i, m := range all {
		got, err := m.verify()
		if err != nil {
			w.t.Errorf("%s: %v", m.name, err)
			return
		}
		content, err := m.pages(background)
		if err != nil {
			w.t.Errorf("%s: %v", m.name, err)
			return
		}
		if i == 0 {
			ids, pages = got, content
		}
		if !sameTransactions(got, ids) || !samePages(content, pages) {
			w.t.Errorf("%s has %d transactions, %s has %d, or other pages", m.name, len(got), all[0].name, len(ids))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := checkOutcomes(ids, w.mu.landed, w.mu.failed); err != nil {
		w.t.Error(err)
	}
}

// checkWorld checks what all machines saw, and the bucket.
func (w *world) checkWorld() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := checkHistory(w.mu.history); err != nil {
		w.t.Error(err)
	}
	if err := checkStates(w.mu.states); err != nil {
		w.t.Error(err)
	}
	head, err := audit(w.bucket, w.net, w.remote, w.mu.acks)
	if err != nil {
		w.t.Error(err)
	}
	w.countObjects(head)
	w.t.Logf("%d commits in the remote volume, %d pushes acknowledged, %d operations in the history", head, len(w.mu.acks), len(w.mu.history))
}

// countObjects counts what the commits of the remote Volume name, up to one. The
// caller holds the lock.
func (w *world) countObjects(head graft.LSN) {
	w.t.Helper()
	for l := graft.LSN(1); l <= head; l++ {
		rec, err := volume.DecodeCommit(w.bucket.Object(volume.CommitKey(w.remote, l)))
		if err != nil {
			w.t.Error(err) // the audit passed it
			return
		}
		for _, seg := range rec.Commit.Segments {
			if !seg.Inline {
				w.mu.counts["segment landed"]++
			}
		}
		if rec.Commit.OwnCheckpoint() {
			w.mu.counts["checkpoint landed"]++
		}
		if !rec.Commit.Pack.IsZero() {
			w.mu.counts["pack landed"]++
		}
	}
}
