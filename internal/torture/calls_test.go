package torture

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"

	"graft"
	"graft/volume"
)

// The calls of a machine.

// newID draws no number twice.
func (m *machine) newID() opID {
	m.seq++
	return opID(m.id+1)<<48 | opID(m.seq)
}

// commit commits a transaction.
func (m *machine) commit(ctx context.Context) error { return m.commitBeside(ctx, func() {}) }

// commitBeside commits a transaction, and calls mid while it is open.
func (m *machine) commitBeside(ctx context.Context, mid func()) (err error) {
	l := local{visit: visit{id: m.newID()}, called: m.w.clock.Add(1)}
	relaxed := m.r.IntN(2) == 0
	var lsn graft.LSN
	l.before, l.after, lsn, err = m.work.run(ctx, m, l.id, relaxed, mid)
	m.committed(l, lsn, relaxed, err)
	return err
}

// committed notes what became of a commit. If the machine died meanwhile, the
// image of its disk has it or not.
func (m *machine) committed(l local, lsn graft.LSN, relaxed bool, err error) {
	if err != nil {
		m.w.gaveUp(l.id)
		return
	}
	l.lsn, l.maybe = lsn, m.died()
	if m.local = append(m.local, l); !relaxed && !l.maybe {
		m.safe = len(m.local)
	}
	m.w.count("commit")
	m.note("commit %d: %x, relaxed %v", lsn, uint64(l.id), relaxed)
}

// push pushes, and may commit while that is under way.
func (m *machine) push() error {
	covered := len(m.local)
	if m.r.IntN(4) == 0 {
		m.mu.Lock()
		m.mu.during = func() {
			m.w.count("commit during a push")
			_ = m.commit(background) // is noted
		}
		m.mu.Unlock()
	}
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.during = nil
	}()
	var pushed graft.Pushed
	err := m.call(func(ctx context.Context) (err error) {
		pushed, err = m.g.Push(ctx)
		return err
	})
	if errors.Is(err, errDied) {
		return err
	}
	m.learn()
	m.note("push %v, %v", pushed, err)
	switch {
	case errors.Is(err, graft.ErrDiverged):
		m.diverged("push")
	case err == nil && m.acked < covered:
		m.w.violation("%s: push said that all has landed, but only %d of %d commits have", m.name, m.acked, covered)
	case err == nil && pushed.Commits > 0:
		m.pushed(pushed.LSN)
	}
	return err
}

// pushed notes that the machine was told of a push that landed.
func (m *machine) pushed(l graft.LSN) {
	m.w.count("push")
	m.w.sawState(m.name, l, m.local[m.acked-1].after)
	object := m.w.bucket.Object(volume.CommitKey(m.w.remote, l))
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.mu.acks = append(m.w.mu.acks, ack{m.name, l, object})
}

// diverged gives up the commits that are not in the remote Volume.
func (m *machine) diverged(what string) {
	m.w.count(what + " diverged")
	if m.acked == len(m.local) {
		m.w.violation("%s: %s says diverged, but nothing is unpushed", m.name, what)
	}
	for _, l := range m.local[m.acked:] {
		m.w.gaveUp(l.id)
	}
	m.lost = true
}

// pull pulls, and reads the state if that is the remote Volume's.
func (m *machine) pull() error {
	called := m.w.clock.Add(1)
	before := m.synced
	var pulled graft.Pulled
	err := m.call(func(ctx context.Context) (err error) {
		pulled, err = m.g.Pull(ctx)
		return err
	})
	if errors.Is(err, errDied) {
		return err
	}
	m.learn()
	m.note("pull %v, %v", pulled, err)
	switch {
	case errors.Is(err, graft.ErrDiverged):
		m.diverged("pull")
	case err == nil && (pulled.To != m.synced.Remote || pulled.To < before.Remote):
		m.w.violation("%s: pulled %v, SyncPoint %v after %v", m.name, pulled, m.synced, before)
	case err == nil:
		m.w.count("pull")
		if m.acked == len(m.local) {
			m.look(called)
		}
	}
	return err
}

// pullUnderWriter pulls while a transaction is open, which then commits: the
// pull may not move what it stands on.
func (m *machine) pullUnderWriter() {
	var pulled graft.Pulled
	var pullErr error
	err := m.call(func(ctx context.Context) error {
		done := make(chan struct{})
		err := m.commitBeside(ctx, func() {
			go func() {
				defer close(done)
				pulled, pullErr = m.g.Pull(ctx)
			}()
			for range m.r.IntN(200) {
				runtime.Gosched() // lets the pull go on, if it does not wait
			}
		})
		if err == nil {
			<-done
		}
		return err
	})
	if err != nil {
		m.learn()
		return
	}
	m.w.count("pull under a writer")
	m.note("pull under a writer %v, %v", pulled, pullErr)
	m.learn()
	switch {
	case errors.Is(pullErr, graft.ErrDiverged):
		m.diverged("pull under a writer")
	case pullErr != nil && !m.expected(pullErr):
		m.w.violation("%s: pull under a writer: %v", m.name, pullErr)
	case pullErr == nil && pulled.To > pulled.From:
		m.w.violation("%s: a pull moved the graft from %d to %d under a writer", m.name, pulled.From, pulled.To)
	}
	m.look(0)
}

// startOver gives up a Graft that has diverged for a new clone of the remote
// Volume.
func (m *machine) startOver() error {
	called := m.w.clock.Add(1)
	var g *graft.Graft
	err := m.call(func(ctx context.Context) (err error) {
		if g, err = m.db.Graft(ctx, tag(m.tags+1)); err != nil {
			return err
		}
		return g.Clone(ctx, m.w.remote)
	})
	if err != nil {
		return err
	}
	m.tags++
	m.work.close(m)
	m.forget(m.g)
	m.g = g
	m.work.open(m)
	m.local, m.acked, m.safe, m.lost, m.synced = nil, 0, 0, false, graft.SyncPoint{}
	m.w.count("start over")
	m.note("start over")
	m.learn()
	m.look(called)
	return nil
}

// forget deletes a Graft with what it has not pushed.
func (m *machine) forget(g *graft.Graft) {
	info, err := g.Info()
	if err == nil && info.Exists {
		err = m.db.DeleteGraft(background, info.Graft, &graft.DeleteOptions{Unpushed: true})
	}
	if err != nil {
		m.w.violation("%s: delete graft: %v", m.name, err)
	}
}

// verify compares all pages with what the transactions make, and gives those.
func (m *machine) verify() (ids []opID, err error) {
	err = m.call(func(ctx context.Context) error {
		ids, err = m.work.verify(ctx, m)
		return err
	})
	if err == nil {
		m.w.count("verified")
	}
	return ids, err
}

// pages gives all pages.
func (m *machine) pages(ctx context.Context) (all []byte, err error) {
	err = m.g.View(func(r *graft.Reader) error {
		for p := graft.PageIdx(1); r.PageCount().Has(p); p++ {
			page, err := r.Page(ctx, p)
			if err != nil {
				return err
			}
			all = append(all, page[:]...)
		}
		return nil
	})
	return all, err
}

// settle brings a machine to the newest commit of the remote Volume, with what
// it can push pushed. There are no faults any more.
func (m *machine) settle() {
	for range 10 {
		var err error
		if m.lost {
			err = m.startOver()
		} else if err = m.push(); err == nil {
			err = m.pull()
		}
		if err == nil && !m.lost && m.acked == len(m.local) {
			return
		}
	}
	m.w.violation("%s does not settle", m.name)
}

// sameTransactions and samePages compare replicas.
func sameTransactions(a, b []opID) bool { return slices.Equal(a, b) }
func samePages(a, b []byte) bool        { return len(a) > 0 && bytes.Equal(a, b) }
