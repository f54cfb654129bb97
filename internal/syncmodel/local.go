package syncmodel

// begin opens a write transaction that stays open.
func begin(t *turn) bool {
	if t.g.Writing || !spend(&t.s.Left.Begins) {
		return false
	}
	t.g.Writing, t.g.Base = true, t.newest(&t.g.Cur)
	return true
}

// commit ends the open write transaction, or is one.
func commit(t *turn) bool {
	st := &t.g.Cur
	if st.N == maxLog || t.g.Values == 1<<5-1 || !spend(&t.s.Left.Commits) {
		return false
	}
	now := t.newest(st)
	if t.g.Writing && t.g.Base != now {
		t.fail(OnNewest, "the transaction began on %v and commits on %v", t.g.Base, now)
	}
	t.g.Writing, t.g.Base = false, content{}
	t.g.Values++
	v := value(2 + t.who<<5 + int(t.g.Values))
	ch := change{Count: now.Count, Kept: now.Count}
	switch t.arg {
	case 0, 1:
		ch.Has[0], ch.Pages[0] = true, v
	case 2:
		ch.Count = pages
		ch.Has[pages-1], ch.Pages[pages-1] = true, v
	case 3: // two pages become one
		ch.Count, ch.Kept = pages-1, pages-1
	case 4: // and two again; the second is not written
		ch.Count = pages
	}
	relaxed, other := t.arg == 1, t.arg > 1
	if relaxed && !spend(&t.s.Left.Relaxed) || other && !spend(&t.s.Left.Others) || ch.Count == now.Count && t.arg > 2 {
		return false
	}
	st.Log[st.N] = ch
	st.N++
	t.g.Counter++
	if !relaxed {
		t.g.Dur = *st
	}
	t.say("%v", ch)
	return true
}

// writeBack makes what was done so far durable. As it can happen after each
// step, a power cut can drop any suffix.
func writeBack(t *turn) bool {
	if t.g.Dur == t.g.Cur {
		return false
	}
	t.g.Dur = t.g.Cur
	return true
}

func crash(t *turn) bool {
	if !spend(&t.s.Left.Crashes) {
		return false
	}
	t.open()
	return true
}

func powerCut(t *turn) bool {
	if !spend(&t.s.Left.Cuts) {
		return false
	}
	t.g.Cur = t.g.Dur
	t.open()
	return true
}

// open is a process that opens a data directory. It knows of no attempt that
// was made before, so it takes each for one that may land.
func (t *turn) open() {
	g := t.g
	*g = graft{
		Used: true, Cur: g.Cur, Dur: g.Dur, Counter: g.Counter,
		Values: g.Values, Pushes: g.Pushes,
		Unsure: g.Cur.Pending != 0 && !t.mut.TrustReopened,
	}
	t.opened = true
}

// free is the number of a Graft that is not used, or -1.
func (s *State) free() int {
	for i := range s.Grafts {
		if !s.Grafts[i].Used {
			return i
		}
	}
	return -1
}

// copyDirectory copies the data directory, of a process that was killed, to a
// second machine.
func copyDirectory(t *turn) bool {
	to := t.s.free()
	if to < 0 || !spend(&t.s.Left.Copies) {
		return false
	}
	t.s.Copied = true
	t.s.Grafts[to] = graft{Cur: t.g.Cur, Dur: t.g.Cur}
	t.g = &t.s.Grafts[to]
	t.open()
	t.opened = false // of the one that acts
	t.say("to %c", 'A'+to)
	return true
}

func backUp(t *turn) bool {
	if t.s.Saved || !spend(&t.s.Left.Backups) {
		return false
	}
	t.s.Backup, t.s.Saved = t.g.Cur, true
	return true
}

// restore puts the backup in the place of the first data directory.
func restore(t *turn) bool {
	if !t.s.Saved {
		return false
	}
	t.g.Cur, t.g.Dur = t.s.Backup, t.s.Backup
	t.s.Backup, t.s.Saved, t.s.Copied = store{}, false, true
	t.open()
	return true
}

// fork makes a Graft of this Graft's newest Snapshot. It copies the unpushed
// commits and shares everything else.
func fork(t *turn) bool {
	to, st := t.s.free(), &t.g.Cur
	if to < 0 || st.Volume != 0 || st.Sync == 0 || st.N == 0 || !spend(&t.s.Left.Forks) {
		return false
	}
	f := store{Volume: 1, From: st.Sync, Base: st.Base, N: st.N, Log: st.Log}
	t.s.Grafts[to] = graft{Used: true, Cur: f, Dur: f}
	t.say("to %c", 'A'+to)
	return true
}
