package syncmodel

import "fmt"

// Invariant is what must hold after every step.
type Invariant string

const (
	OneContent  Invariant = "one content for each LSN for ever"
	Acked       Invariant = "an acknowledged push stands in the order at its LSN"
	NoGap       Invariant = "no gap, each commit names the one before it"
	Fetchable   Invariant = "every page of a retained Root can be fetched"
	Fold        Invariant = "a replica's content at R is the fold of commits 1..R"
	Counter     Invariant = "no other content under an equal change counter"
	AdoptsQuiet Invariant = "adopting a push changes neither content nor counter"
	PowerCut    Invariant = "nothing leaves that a power cut could take back"
	ToldOrRight Invariant = "a Graft is told, or its SyncPoint stands in the order"
	NoAlarm     Invariant = "nobody is told what is not so"
	OnNewest    Invariant = "a write transaction commits on the newest Snapshot only"
	ResetHolds  Invariant = "what was reset never lands" // but what a backup does not know of
)

// Violation is an Invariant that does not hold.
type Violation struct {
	Invariant Invariant
	Detail    string
}

func (v *Violation) Error() string { return fmt.Sprintf("%s: %s", v.Invariant, v.Detail) }

// check checks every invariant after an action. The first that fails counts.
func (t *turn) check() {
	t.checkAlarm()
	t.checkOrder()
	t.checkGrafts()
	t.checkFetchable()
}

// checkOrder checks the log of each remote Volume.
func (t *turn) checkOrder() {
	for vol := range t.s.Bucket.Log {
		log := &t.s.Bucket.Log[vol]
		for l := 1; l <= maxLSN; l++ {
			was := t.before.Bucket.Log[vol][l]
			if was != log[l] && was != 0 && !t.outsider {
				t.fail(OneContent, "LSN %d was push %d and is push %d", l, t.rec(was).Push, t.rec(log[l]).Push)
			}
			if log[l] != 0 && (l > 1 || vol == 0) && t.rec(log[l]).Parent != log[l-1] {
				t.fail(NoGap, "LSN %d of push %d does not follow what stands at LSN %d", l, t.rec(log[l]).Push, l-1)
			}
		}
	}
	if r := t.rec(t.acked); t.acked != 0 && t.s.Bucket.Log[r.Volume][r.LSN] != t.acked {
		t.fail(Acked, "LSN %d is not push %d", r.LSN, r.Push)
	}
}

// checkGrafts checks what each Graft shows, and where it stands.
func (t *turn) checkGrafts() {
	for i := range t.s.Grafts {
		g := &t.s.Grafts[i]
		if !g.Used {
			continue
		}
		st := &g.Cur
		want := t.truth[st.parent()]
		if got := t.shown(st.Base); got != want {
			t.fail(Fold, "%c has %v at its SyncPoint, want %v", 'A'+i, got, want)
		}
		for _, ch := range st.unpushed() {
			want = want.with(ch)
		}
		if got := t.newest(st); got != want {
			t.fail(Fold, "%c shows %v, want %v", 'A'+i, got, want)
		}
		// Of a bucket that was tampered with a Graft learns when it moves.
		acts := i == t.who && (t.moved || t.acked != 0)
		if r := t.rec(st.Sync); st.Sync != 0 && t.s.Bucket.Log[r.Volume][r.LSN] != st.Sync && (acts || !t.s.Tampered) {
			t.fail(ToldOrRight, "%c is at LSN %d, where its commit does not stand", 'A'+i, r.LSN)
		}
		t.checkCounter(i)
	}
}

// checkCounter compares what an open file that reads after every step shows.
func (t *turn) checkCounter(i int) {
	was, is := &t.before.Grafts[i], &t.s.Grafts[i]
	if t.opened && i == t.who || !was.Used {
		return
	}
	before, after := t.newest(&was.Cur), t.newest(&is.Cur)
	if before != after && was.Counter == is.Counter {
		t.fail(Counter, "%c showed %v and shows %v", 'A'+i, before, after)
	}
	if t.acked != 0 && i == t.who && (before != after || was.Counter != is.Counter) {
		t.fail(AdoptsQuiet, "%c showed %v, counter %d, and shows %v, counter %d", 'A'+i, before, was.Counter, after, is.Counter)
	}
}

// checkAlarm checks that an error is true.
func (t *turn) checkAlarm() {
	st := &t.before.Grafts[t.who].Cur
	switch t.told {
	case mismatch:
		if !t.s.Tampered {
			t.fail(NoAlarm, "%c was told %v by the right bucket", 'A'+t.who, t.told)
		}
	case diverged:
		next := lsn(1)
		if st.Sync != 0 {
			next = t.rec(st.Sync).LSN + 1
		}
		if next > maxLSN {
			break
		}
		winner := t.s.Bucket.Log[st.Volume][next]
		r := t.rec(winner)
		if !t.s.Copied && !t.s.Tampered && (winner == 0 || t.drew(r) && !r.Filler) {
			t.fail(NoAlarm, "%c was told %v by its own push %d", 'A'+t.who, t.told, r.Push)
		}
	case expired:
		if t.s.Bucket.Floor <= t.rec(st.From).LSN {
			t.fail(NoAlarm, "%c was told %v below no floor", 'A'+t.who, t.told)
		}
	}
}

// checkFetchable checks every retained Root: a new replica that opens there by
// checkpoint and delta shows the right content, and the objects exist.
func (t *turn) checkFetchable() {
	b := &t.s.Bucket
	for vol := range b.Log {
		for l, id := range b.Log[vol] {
			if id == 0 || vol == 0 && lsn(l) < b.Floor {
				continue
			}
			if got := t.shown(t.rootAt(id)); got != t.truth[id] {
				t.fail(Fold, "a new replica at LSN %d of volume %d shows %v, want %v", l, vol, got, t.truth[id])
			}
			var need objects
			t.needs(id, &need)
			for push := 1; push < maxPush; push++ {
				if need.Segments[push] && b.Segments[push].LSN == 0 {
					t.fail(Fetchable, "LSN %d of volume %d needs the segment of push %d", l, vol, push)
				}
				if need.Checkpoints[push] && b.Checkpoints[push].LSN == 0 {
					t.fail(Fetchable, "LSN %d of volume %d names the checkpoint of push %d", l, vol, push)
				}
			}
		}
	}
}
