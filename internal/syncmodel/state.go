package syncmodel

// record is a commit of a remote Volume as it lies in the bucket.
type record struct {
	change
	Volume     uint8
	LSN        lsn
	Parent     recID // the record whose hash it holds
	Push       pushID
	Filler     bool   // an empty commit that takes an LSN
	Checkpoint pushID // the checkpoint that it names; 0 is the empty one
	CheckRoot  root   // what that holds
	Delta      delta
}

// State is all that the model knows at one moment. It is comparable.
type State struct {
	Bucket   bucket
	Grafts   [grafts]graft
	GC       collector
	Backup   store // of the first Graft
	Saved    bool  // there is a Backup
	Tampered bool  // an outsider changed the bucket
	Copied   bool  // a data directory was copied or restored
	Left     Budget
}

// store is what the data directory holds for one Graft.
type store struct {
	Volume  uint8
	Sync    recID // the commit at the SyncPoint
	From    recID // a fork that is not pushed: the commit that it was forked from
	Base    root  // Root at the SyncPoint
	Known   recID // newest commit of the remote Volume that was fetched
	Jumped  bool  // the way from Sync to Known was not read
	N       uint8
	Log     [maxLog]change // local commits above the watermark, the first N
	Pending recID
	Upto    uint8 // how many local commits are in Pending
}

func (st *store) unpushed() []change { return st.Log[:st.N] }

// parent is the commit that the next push builds on.
func (st *store) parent() recID {
	if st.Sync == 0 {
		return st.From
	}
	return st.Sync
}

func (st *store) drop(n uint8) {
	var log [maxLog]change
	copy(log[:], st.Log[n:st.N])
	st.Log, st.N = log, st.N-n
}

// graft is one Graft in a data directory of its own, with the process that
// holds it.
type graft struct {
	Used     bool
	Cur, Dur store // as it is, and as a power cut leaves it

	// What the process knows; an open starts anew.
	At       step
	Plan     recID // record of the push under way that is not pending yet
	PlanUpto uint8
	Verified bool // the commit at the SyncPoint was seen since the open
	Unsure   bool // of an attempt to put Pending it is not known whether it landed
	Writing  bool // a write transaction is open
	Base     content
	Counter  uint8 // change counter that an open file shows
	Stuck    bool  // was told ErrRemoteMismatch; syncs no more

	Values, Pushes uint8 // how many values and push ids it drew; never taken back
}

// step is where a push is. Crash points carry these names.
type step uint8

const (
	idle   step = iota
	pin         // a fork: put the pins
	floors      // a fork: list the floors
	upload      // 2: put Segment and checkpoint
	keep        // 3: make local log and pending commit durable
	check       // 7: see whether Segment and checkpoint are still there
	put         // 4: put the commit if absent
	adopt       // 5: it landed
	read        // 6: the LSN is taken
	clean       // 6: delete the Segment of a lost push
)

// place says which commit an object was made for; LSN 0 means no object.
type place struct {
	Volume uint8
	LSN    lsn
}

type bucket struct {
	Log         [volumes][maxLSN + 1]recID
	Stub        [maxLSN + 1]bool // of the first Volume
	Segments    [maxPush]place
	Checkpoints [maxPush]place
	Floor       lsn         // the highest floor of the first Volume
	Pins        [grafts]lsn // LSN of the first Volume that each fork pins
	Flying      [inFlight]recID
}

func (b *bucket) head(vol uint8) lsn {
	var l lsn
	for l < maxLSN && b.Log[vol][l+1] != 0 {
		l++
	}
	return l
}

// land is a conditional put that reaches the bucket.
func (m *Model) land(b *bucket, id recID) bool {
	at := &b.Log[m.recs[id].Volume][m.recs[id].LSN]
	if *at != 0 && !m.mut.UnconditionalPut {
		return false
	}
	*at = id
	return true
}

// fly keeps a record that may land later; it says whether there was room.
func (b *bucket) fly(id recID) bool {
	for i, f := range b.Flying {
		if f == id {
			return true
		}
		if f == 0 {
			b.Flying[i] = id
			for ; i > 0 && b.Flying[i-1] > b.Flying[i]; i-- {
				b.Flying[i-1], b.Flying[i] = b.Flying[i], b.Flying[i-1]
			}
			return true
		}
	}
	return false
}

func (b *bucket) unfly(i int) {
	copy(b.Flying[i:], b.Flying[i+1:])
	b.Flying[inFlight-1] = 0
}

// object puts or deletes the object of a push among objs.
func object(objs *[maxPush]place, r *record, there bool) {
	objs[r.Push] = place{}
	if there {
		objs[r.Push] = place{r.Volume, r.LSN}
	}
}
