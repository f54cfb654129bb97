package syncmodel

// fetch reads the links after the newest known commit. A stub is jumped over.
func fetch(t *turn) bool {
	st := &t.g.Cur
	if st.Pending != 0 && !t.mut.FetchOwn {
		return false
	}
	known := st.Known
	for {
		next := lsn(1)
		if st.Known != 0 {
			next = t.rec(st.Known).LSN + 1
		}
		if next > maxLSN || t.s.Bucket.Log[st.Volume][next] == 0 {
			break
		}
		if st.Volume == 0 && t.s.Bucket.Stub[next] {
			return t.jumpToHead()
		}
		id := t.s.Bucket.Log[st.Volume][next]
		if parent := t.rec(id).Parent; parent != st.Known && parent != st.From {
			t.end(mismatch)
			return true
		}
		st.Known = id
	}
	if st.Known == known {
		return false
	}
	t.g.Verified = true
	t.say("up to %d", t.rec(st.Known).LSN)
	return true
}

// jump goes to the head by the checkpoint that the head commit names.
func jump(t *turn) bool {
	st := &t.g.Cur
	if st.Pending != 0 || st.Known == 0 ||
		t.s.Bucket.head(st.Volume) <= t.rec(st.Known).LSN || !spend(&t.s.Left.Jumps) {
		return false
	}
	return t.jumpToHead()
}

func (t *turn) jumpToHead() bool {
	st := &t.g.Cur
	if !t.reread(st.Known) {
		return true
	}
	head := t.s.Bucket.head(st.Volume)
	if head <= t.rec(st.Known).LSN {
		return false // the log has a hole, which the listing would not show
	}
	st.Known, st.Jumped = t.s.Bucket.Log[st.Volume][head], true
	t.say("to %d", head)
	return true
}

// move is the second half of a pull. It waits for the open write transaction
// and looks again.
func move(t *turn) bool {
	st := &t.g.Cur
	if st.Pending != 0 && !t.mut.FetchOwn || st.Known == st.Sync ||
		t.g.Writing && !t.mut.PullOutsideMutex {
		return false
	}
	if st.N > 0 {
		t.end(diverged)
		return true
	}
	if t.rules.VerifyMove && !t.reread(st.Known) {
		return true
	}
	t.moveTo(st.Known)
	t.moved = true
	return true
}

// moveTo makes a known commit the SyncPoint.
func (t *turn) moveTo(id recID) {
	st := &t.g.Cur
	was := t.newest(st)
	if st.Jumped {
		r := t.rec(id)
		st.Base = r.CheckRoot.with(r.Delta, id)
	} else {
		st.Base = t.replay(st.Base, st.Sync, id)
	}
	st.Sync, st.Jumped = id, false
	st.drop(st.N)
	if t.newest(st) != was && !t.mut.EqualCounter {
		t.g.Counter++
	}
	t.say("to %d", t.rec(id).LSN)
}

// replay applies the commits after from, up to one, to a Root.
func (m *Model) replay(r root, from, to recID) root {
	if to == from {
		return r
	}
	rec := &m.recs[to]
	if rec.LSN > 1 {
		r = m.replay(r, from, rec.Parent)
	}
	return r.with(rec.indexDelta(), to)
}

// reset drops the local commits and goes to the newest known commit.
func reset(t *turn) bool {
	st := &t.g.Cur
	if t.g.Writing || st.Sync == 0 || st.N == 0 || !spend(&t.s.Left.Resets) {
		return false
	}
	if st.Pending != 0 {
		if !t.mut.ResetForgets {
			return false
		}
		st.Pending, st.Upto = 0, 0
	}
	for _, id := range t.s.Bucket.Flying {
		if r := t.rec(id); id != 0 && !t.s.Copied && t.drew(r) && !r.Filler && t.s.Bucket.Log[r.Volume][r.LSN] == 0 {
			t.fail(ResetHolds, "a commit of LSN %d that was reset may still land", r.LSN)
		}
	}
	if t.rules.VerifyMove && st.Known != st.Sync && !t.reread(st.Known) {
		return true
	}
	was := t.newest(st)
	st.drop(st.N)
	if st.Known != st.Sync {
		t.moveTo(st.Known)
	}
	if t.newest(st) != was && t.g.Counter == t.before.Grafts[t.who].Counter {
		t.g.Counter++
	}
	return true
}

// fill takes the LSN of the pending commit with an empty commit, so that a
// reset can follow.
func fill(t *turn) bool {
	st := &t.g.Cur
	if st.Pending == 0 || t.s.Left.Resets == 0 || t.g.Pushes == pushes {
		return false
	}
	lost := t.arg+answered == unknown
	if lost && !spend(&t.s.Left.Unknown) || !t.reread(st.parent()) {
		return t.told != fine
	}
	base := t.shown(st.Base)
	t.g.Pushes++
	id := t.compose(st, t.draw(), change{Count: base.Count, Kept: base.Count}, true, t.truth[st.parent()])
	r := t.rec(id)
	if r.Checkpoint == r.Push {
		object(&t.s.Bucket.Checkpoints, r, true)
	}
	switch {
	case lost:
		return t.s.Bucket.fly(id)
	case t.land(&t.s.Bucket, id):
		st.Pending, st.Upto = 0, 0
	default:
		t.g.At = read
	}
	return true
}

// draw is the push id that the Graft drew last.
func (t *turn) draw() pushID { return pushID(t.who*pushes) + pushID(t.g.Pushes) }

// drew says whether the Graft that acts made a record.
func (t *turn) drew(r *record) bool {
	n := int(r.Push) - 1 - t.who*pushes
	return n >= 0 && n < pushes
}
