package syncmodel

// Model is the protocol with its switches, and the records that were made.
type Model struct {
	mut    Mutations
	rules  Rules
	limit  lsn // no push goes above it
	recs   []record
	truth  []content // what the Volume must show at each record
	number map[record]recID
}

// Budget bounds what may happen.
type Budget struct {
	Commits uint8 // local commits, of all Grafts
	Relaxed uint8 // of them, commits that are not durable when they return
	Others  uint8 // of them, commits of page 2 or of the page count
	Begins  uint8 // write transactions that stay open; without them commits are atomic
	Unknown uint8 // attempts with an unknown outcome
	Refused uint8 // attempts that are refused
	Crashes uint8
	Cuts    uint8 // power cuts
	Copies  uint8 // copies of a data directory
	Backups uint8 // a backup of the first Graft, to be restored once
	Tampers uint8 // changes of the bucket by an outsider
	Jumps   uint8
	Resets  uint8
	Forks   uint8
	GCs     uint8
}

// Mutations are mistakes that an implementation could make. Tests plant them.
type Mutations struct {
	BlindRetry        bool // an unknown outcome is answered by a fresh record
	AdoptUnread       bool // "already exists" is adopted without reading
	PushVolatile      bool // local log and pending commit are not durable when the commit is put
	ForgetRefused     bool // one refused attempt drops a pending commit that an earlier one may have landed
	TrustReopened     bool // an open takes a pending commit for one that was never sent
	PullOutsideMutex  bool // a pull lands while a write transaction is open
	LayerWalk         bool // a page is read from the newest layer, whatever kept says
	RollupIgnoresKept bool
	DeltaIgnoresKept  bool // the index delta of a commit is not cut by kept
	DeleteEarly       bool // a Segment goes although its commit may still land
	FetchOwn          bool // a fetch takes the pending commit for another's
	NoReread          bool // the commit at the SyncPoint is never read again
	CheckpointLate    bool // the checkpoint follows the commit that names it
	NoFloor           bool // a gc puts no floor
	NoPins            bool // a gc lists no pins
	EqualCounter      bool // a pull leaves the change counter as it is
	AdoptMoves        bool // adopting a push moves the change counter
	UnconditionalPut  bool // a put replaces what is there
	ResetForgets      bool // a reset drops a pending commit without taking its LSN
}

// Rules close holes that this model found in the design. All are meant to be on.
type Rules struct {
	// SweepTaken: a gc deletes an unreferenced Segment or checkpoint only when
	// the LSN of the commit that it was made for is taken, so that this commit
	// cannot land any more. Age alone is no proof.
	SweepTaken bool

	// StubVerifies: a stub with the right hash is no ErrRemoteMismatch where
	// the commit at the SyncPoint is read again.
	StubVerifies bool

	// StubOurs: a stub with the hash of the pending commit is ours, no
	// divergence.
	StubOurs bool

	// PinnedStay: a gc makes no stub of a commit that a pin names. A pin whose
	// commit is a stub came after the floor and pins nothing.
	PinnedStay bool

	// VerifyEachPush: the commit at the SyncPoint is read again before each
	// push, not before the first one after an open only.
	VerifyEachPush bool

	// VerifyMove: before a pull moves the SyncPoint to a commit that was
	// fetched earlier, that commit is read again.
	VerifyMove bool

	// FloorStands: a gc reads its floor and the commit at it again before it
	// looks for what is unreferenced, and gives up when they are not the same.
	FloorStands bool
}

// AllRules is every rule on.
func AllRules() Rules { return Rules{true, true, true, true, true, true, true} }

// New gives a Model that pushes no LSN above limit.
func New(limit int, mut Mutations, rules Rules) *Model {
	return &Model{
		mut: mut, rules: rules, limit: lsn(min(limit, maxLSN)),
		recs: make([]record, 1), truth: make([]content, 1), number: make(map[record]recID),
	}
}

// Start gives a State with n Grafts of one remote Volume that has one commit,
// which all have pulled.
func (m *Model) Start(n int, left Budget) State {
	s := State{Left: left}
	first := record{LSN: 1, Push: maxPush - 1}
	first.change = change{Count: pages}
	for p := range first.Pages {
		first.Has[p], first.Pages[p] = true, 1
	}
	first.Delta = first.indexDelta()
	id := m.intern(first, content{}.with(first.change))
	s.Bucket.Log[0][1] = id
	object(&s.Bucket.Segments, &first, true)
	st := store{Sync: id, Known: id, Base: root{}.with(first.Delta, id)}
	for i := range n {
		s.Grafts[i] = graft{Used: true, Cur: st, Dur: st, Verified: true}
	}
	return s
}

// intern numbers a record. truth is what its Volume must show there.
func (m *Model) intern(r record, truth content) recID {
	if id, ok := m.number[r]; ok {
		return id
	}
	id := recID(len(m.recs))
	m.recs, m.truth = append(m.recs, r), append(m.truth, truth)
	m.number[r] = id
	return id
}

// compose makes the record of a push of ch on st's SyncPoint. Each record of an
// even LSN names a new checkpoint, of its parent; others name their parent's.
func (m *Model) compose(st *store, id pushID, ch change, filler bool, truth content) recID {
	r := record{change: ch, Volume: st.Volume, LSN: 1, Parent: st.parent(), Push: id, Filler: filler}
	if st.Sync != 0 {
		r.LSN = m.recs[st.Sync].LSN + 1
	}
	own := ch.indexDelta()
	if m.mut.DeltaIgnoresKept {
		own.Kept = own.Count
	}
	if r.LSN%2 == 0 {
		r.Checkpoint, r.CheckRoot, r.Delta = id, st.Base, own
		return m.intern(r, truth)
	}
	r.Delta = own
	if p := &m.recs[r.Parent]; r.Parent != 0 {
		r.Checkpoint, r.CheckRoot = p.Checkpoint, p.CheckRoot
		r.Delta = p.Delta.then(r.Parent, own)
	}
	return m.intern(r, truth)
}
