package syncmodel

// lands lets a record in flight reach the bucket.
func lands(t *turn) bool {
	id := t.s.Bucket.Flying[t.arg]
	if id == 0 {
		return false
	}
	t.s.Bucket.unfly(t.arg)
	t.say("LSN %d of push %d", t.rec(id).LSN, t.rec(id).Push)
	if !t.land(&t.s.Bucket, id) {
		t.say("which is taken")
	}
	return true
}

// sinks takes a record in flight for one that never lands. Without an outsider
// one that stays in flight says the same.
func sinks(t *turn) bool {
	if t.s.Bucket.Flying[t.arg] == 0 || t.s.Left.Tampers == 0 {
		return false
	}
	t.s.Bucket.unfly(t.arg)
	return true
}

// mayTamper says whether the outsider may act: not while a push or a sweep is
// under way or a record is in flight, as no reading can guard what is changed
// then.
func mayTamper(t *turn) bool {
	for i := range t.s.Grafts {
		if t.s.Grafts[i].At != idle {
			return false
		}
	}
	return t.s.Bucket.Flying[0] == 0 && t.s.GC.At != 3 && t.s.Bucket.head(0) > 0 && spend(&t.s.Left.Tampers)
}

func empties(t *turn) bool {
	if !mayTamper(t) {
		return false
	}
	t.tamper(0)
	return true
}

func rollsBack(t *turn) bool {
	if t.s.Bucket.Log[1][1] != 0 || !mayTamper(t) {
		return false
	}
	t.tamper(t.s.Bucket.head(0) - 1)
	return true
}

// tamper leaves the bucket as it was when the first Volume had LSN l, no stub
// was made and no fork was pushed.
func (t *turn) tamper(l lsn) {
	b := &t.s.Bucket
	t.s.Tampered, t.outsider = true, true
	b.Log[1], b.Floor, b.Stub = [maxLSN + 1]recID{}, min(b.Floor, l), [maxLSN + 1]bool{}
	var need objects
	for i := range b.Log[0] {
		if lsn(i) > l {
			b.Log[0][i] = 0
		} else if id := b.Log[0][i]; id != 0 {
			t.needs(id, &need)
		}
	}
	for i := 1; i < maxPush; i++ { // 0 is none
		restoreObject(&b.Segments[i], need.Segments[i], l)
		restoreObject(&b.Checkpoints[i], need.Checkpoints[i], l)
	}
	for i := range b.Pins {
		if b.Pins[i] > l {
			b.Pins[i] = 0
		}
	}
	t.say("to LSN %d", l)
}

// restoreObject brings back an object that was needed up to LSN l, and takes
// one that came later.
func restoreObject(at *place, needed bool, l lsn) {
	switch {
	case at.Volume != 0 || at.LSN > l:
		*at = place{}
	case needed && at.LSN == 0:
		*at = place{LSN: l}
	}
}
