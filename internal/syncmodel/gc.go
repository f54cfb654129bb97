package syncmodel

// collector is the gc, of which one runs at a time. Between two of its steps
// any time may pass, so also a grace period.
type collector struct {
	At     uint8 // the step that comes next
	Floor  lsn
	Head   recID            // the commit at Floor
	Pinned [maxLSN + 1]bool // LSNs that it saw pinned
	Doomed objects          // what was unreferenced at the floor, then what is swept
}

// objects are Segments and checkpoints by the push that put them.
type objects struct {
	Segments, Checkpoints [maxPush]bool
}

// putFloor raises the floor of the first Volume to its head.
func putFloor(t *turn) bool {
	if t.s.GC.At != 0 || !spend(&t.s.Left.GCs) {
		return false
	}
	head := t.s.Bucket.head(0)
	if head == 0 {
		return false
	}
	t.s.GC = collector{At: 1, Floor: head, Head: t.s.Bucket.Log[0][head]}
	if !t.mut.NoFloor {
		t.s.Bucket.Floor = max(t.s.Bucket.Floor, head)
	}
	t.say("%d", head)
	return true
}

// listPins lists the pins and finds what nothing refers to. A pin whose commit
// is a stub pins nothing: what it needs cannot be known.
func listPins(t *turn) bool {
	gc := &t.s.GC
	if gc.At != 1 {
		return false
	}
	if !t.floorStands() {
		return true
	}
	for _, l := range t.s.Bucket.Pins {
		if l != 0 && !t.mut.NoPins && !t.s.Bucket.Stub[l] {
			gc.Pinned[l] = true
		}
	}
	used := t.referenced()
	for i := range gc.Doomed.Segments {
		gc.Doomed.Segments[i] = t.s.Bucket.Segments[i].LSN != 0 && !used.Segments[i]
		gc.Doomed.Checkpoints[i] = t.s.Bucket.Checkpoints[i].LSN != 0 && !used.Checkpoints[i]
	}
	gc.At = 2
	return true
}

// floorStands reads the floor and the commit at it again. False: the gc gave up.
func (t *turn) floorStands() bool {
	gone := t.s.Bucket.Floor < t.s.GC.Floor && !t.mut.NoFloor
	if t.rules.FloorStands && (gone || t.s.Bucket.Log[0][t.s.GC.Floor] != t.s.GC.Head) {
		t.s.GC = collector{}
		t.say("gives up")
		return false
	}
	return true
}

// mark is a later run: it looks again what is referred to by now.
func mark(t *turn) bool {
	gc := &t.s.GC
	if gc.At != 2 {
		return false
	}
	if !t.floorStands() {
		return true
	}
	used := t.referenced()
	for i := range gc.Doomed.Segments {
		if used.Segments[i] || !t.settled(t.s.Bucket.Segments[i]) {
			gc.Doomed.Segments[i] = false
		}
		if used.Checkpoints[i] || !t.settled(t.s.Bucket.Checkpoints[i]) {
			gc.Doomed.Checkpoints[i] = false
		}
	}
	gc.At = 3
	return true
}

// settled says whether the commit that an object was made for cannot land any
// more, or has.
func (t *turn) settled(p place) bool {
	return !t.rules.SweepTaken || t.s.Bucket.Log[p.Volume][p.LSN] != 0
}

// sweep deletes, and makes stubs of the commits below the floor.
func sweep(t *turn) bool {
	gc := &t.s.GC
	if gc.At != 3 {
		return false
	}
	for i := range gc.Doomed.Segments {
		if gc.Doomed.Segments[i] {
			t.s.Bucket.Segments[i] = place{}
			t.say("delete segment of push %d", i)
		}
		if gc.Doomed.Checkpoints[i] {
			t.s.Bucket.Checkpoints[i] = place{}
			t.say("delete checkpoint of push %d", i)
		}
	}
	for l := lsn(1); l < gc.Floor; l++ {
		if !t.s.Bucket.Stub[l] && (!gc.Pinned[l] || !t.rules.PinnedStay) {
			t.s.Bucket.Stub[l] = true
			t.say("stub %d", l)
		}
	}
	*gc = collector{}
	return true
}

// referenced are the objects that the Roots from the floor on, those that are
// pinned, and all of other Volumes need.
func (t *turn) referenced() objects {
	var out objects
	b := &t.s.Bucket
	for vol := range b.Log {
		for l, id := range b.Log[vol] {
			if id != 0 && (vol != 0 || lsn(l) >= t.s.GC.Floor || t.s.GC.Pinned[l]) {
				t.needs(id, &out)
			}
		}
	}
	return out
}

// needs adds the objects that the Root at a commit needs.
func (m *Model) needs(id recID, out *objects) {
	r := &m.recs[id]
	out.Checkpoints[r.Checkpoint] = true
	for _, at := range m.rootAt(id).At {
		out.Segments[m.recs[at].Push] = true
	}
}

// rootAt is the Root at a commit as its record gives it.
func (m *Model) rootAt(id recID) root {
	r := &m.recs[id]
	return r.CheckRoot.with(r.Delta, id)
}
