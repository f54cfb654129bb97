package syncmodel

// plan is step 1 of a push: it rolls the unpushed commits up into one record.
func plan(t *turn) bool {
	st := &t.g.Cur
	if st.Pending != 0 || st.N == 0 || t.g.Pushes == pushes {
		return false
	}
	if st.Sync != 0 && t.rec(st.Sync).LSN == t.limit {
		return false
	}
	if (t.rules.VerifyEachPush || !t.g.Verified) && !t.reread(st.parent()) {
		return true
	}
	if st.Known != st.Sync {
		t.end(diverged)
		return true
	}
	truth := t.truth[st.parent()]
	for _, ch := range st.unpushed() {
		truth = truth.with(ch)
	}
	t.g.Pushes++
	t.g.Plan = t.compose(st, t.draw(), t.rollup(st.unpushed()), false, truth)
	t.g.PlanUpto = st.N
	t.g.At = upload
	if st.Volume != 0 && st.Sync == 0 {
		t.g.At = pin
	}
	t.say("LSN %d with push id %d", t.rec(t.g.Plan).LSN, t.draw())
	return true
}

// uploads is step 2.
func uploads(t *turn) bool {
	t.objects(t.rec(t.g.Plan), true)
	t.g.At = keep
	return true
}

// objects puts the objects that a record's push makes, or deletes its Segment.
func (t *turn) objects(r *record, there bool) {
	object(&t.s.Bucket.Segments, r, there)
	if there && r.Checkpoint == r.Push && !t.mut.CheckpointLate {
		object(&t.s.Bucket.Checkpoints, r, true)
	}
}

// keeps is step 3.
func keeps(t *turn) bool {
	t.g.Cur.Pending, t.g.Cur.Upto = t.g.Plan, t.g.PlanUpto
	t.g.Plan, t.g.PlanUpto = 0, 0
	if !t.mut.PushVolatile {
		t.g.Dur = t.g.Cur
	}
	t.g.Unsure, t.g.At = false, put
	return true
}

// puts is step 4, or 7 when the outcome is unknown.
func puts(t *turn) bool {
	st := &t.g.Cur
	id := st.Pending
	if t.arg != refused && !t.g.durable() {
		t.fail(PowerCut, "LSN %d leaves, and a power cut would take its commits or the pending commit back", t.rec(id).LSN)
	}
	switch t.arg {
	case refused:
		if !spend(&t.s.Left.Refused) {
			return false
		}
		t.g.At = idle
		if !t.g.Unsure || t.mut.ForgetRefused {
			st.Pending, st.Upto = 0, 0
		}
	case answered:
		if t.land(&t.s.Bucket, id) {
			t.g.At = adopt
			break
		}
		t.g.At = read
		if t.mut.AdoptUnread {
			t.g.At = adopt
		}
	case unknown:
		if !spend(&t.s.Left.Unknown) || !t.s.Bucket.fly(id) {
			return false
		}
		t.g.At, t.g.Unsure = idle, true
		if t.mut.BlindRetry {
			st.Pending, st.Upto = 0, 0
		}
	}
	if t.arg != answered && t.mut.DeleteEarly {
		t.objects(t.rec(id), false)
	}
	return true
}

// durable says whether a power cut would leave the pending commit and all local
// commits in it.
func (g *graft) durable() bool {
	kept := g.Dur.Pending == g.Cur.Pending && g.Dur.Upto == g.Cur.Upto && g.Dur.Sync == g.Cur.Sync && g.Dur.N >= g.Cur.Upto
	for i := range g.Cur.Upto {
		kept = kept && g.Dur.Log[i] == g.Cur.Log[i]
	}
	return kept
}

// adopts is step 5. It need not be durable: a power cut brings the pending
// commit back, which is found in the bucket.
func adopts(t *turn) bool {
	st := &t.g.Cur
	id := st.Pending
	r := t.rec(id)
	st.Sync, st.Base = id, st.Base.with(r.indexDelta(), id)
	st.Known, st.Jumped = id, false
	st.drop(st.Upto)
	st.Pending, st.Upto = 0, 0
	if t.mut.CheckpointLate && r.Checkpoint == r.Push {
		object(&t.s.Bucket.Checkpoints, r, true)
	}
	if t.mut.AdoptMoves {
		t.g.Counter++
	}
	t.g.At, t.g.Unsure, t.g.Verified = idle, false, true
	t.acked = id
	t.say("LSN %d", r.LSN)
	return true
}

// reads is step 6: the LSN is taken.
func reads(t *turn) bool {
	if !t.conclude() {
		t.g.At = idle // the LSN is not taken any more
	}
	return true
}

// resolve finds out what became of a pending commit.
func resolve(t *turn) bool {
	if t.g.Cur.Pending == 0 {
		return false
	}
	if !t.conclude() && t.reread(t.g.Cur.parent()) {
		t.g.At = check
	}
	return true
}

// conclude reads the LSN of the pending commit. Absent, it decides nothing.
func (t *turn) conclude() bool {
	st := &t.g.Cur
	r := t.rec(st.Pending)
	found := t.s.Bucket.Log[r.Volume][r.LSN]
	if found == 0 {
		return false
	}
	ours := found == st.Pending
	if r.Volume == 0 && t.s.Bucket.Stub[r.LSN] {
		ours = ours && t.rules.StubOurs
	}
	if ours {
		t.g.At = adopt
		return true
	}
	lost := st.Pending
	if !t.reread(st.parent()) {
		return true
	}
	st.Pending, st.Upto = 0, 0
	if t.rec(found).Parent == st.Known && !(r.Volume == 0 && t.s.Bucket.Stub[r.LSN]) {
		st.Known = found // it was read
	}
	t.end(diverged)
	t.g.Plan, t.g.At = lost, clean
	return true
}

// cleans deletes the Segment of a lost push.
func cleans(t *turn) bool {
	t.objects(t.rec(t.g.Plan), false)
	t.g.Plan, t.g.At = 0, idle
	return true
}

// checks looks for the objects of a pending commit before it is put again.
func checks(t *turn) bool {
	t.objects(t.rec(t.g.Cur.Pending), true) // the same bytes, where they are gone
	t.g.At = put
	return true
}

// putPins is the first request of a fork's first push.
func putPins(t *turn) bool {
	t.s.Bucket.Pins[t.who] = t.rec(t.g.Cur.From).LSN
	t.g.At = floors
	return true
}

// listFloors is the second: a floor above the fork's parent came first.
func listFloors(t *turn) bool {
	if t.s.Bucket.Floor > t.rec(t.g.Cur.From).LSN {
		t.end(expired)
		return true
	}
	t.g.At = upload
	return true
}
