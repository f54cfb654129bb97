package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"graft/snapshot"
	"graft/volume"
	"graft/volume/store"
)

// PinKind is what a Pin keeps.
type PinKind string

// The kinds of Pins.
const (
	PinAll      PinKind = "all"      // every page of the newest Snapshot
	PinTable    PinKind = "table"    // a table with its indexes, or an index, of the newest Snapshot
	PinSnapshot PinKind = "snapshot" // every page of one commit of a remote Volume
)

// Pin says which pages of a Graft stay in the data directory, whatever the quota. It
// is kept across restarts.
type Pin struct {
	Kind   PinKind
	Table  string          // of PinTable
	Volume volume.VolumeID // of PinSnapshot; zero: the commit at the SyncPoint
	LSN    volume.LSN
}

// String gives the form that ParsePin reads.
func (p Pin) String() string {
	switch {
	case p.Kind == PinTable:
		return "table " + p.Table
	case p.Kind == PinSnapshot && !p.Volume.IsZero():
		return "snapshot " + p.Volume.String() + ":" + p.LSN.String()
	}
	return string(p.Kind)
}

// ParsePin reads all, table NAME, snapshot or snapshot VOLUMEID:LSN.
func ParsePin(text string) (Pin, error) {
	kind, rest, _ := strings.Cut(text, " ")
	switch p := (Pin{Kind: PinKind(kind)}); {
	case p.Kind == PinAll && rest == "" || p.Kind == PinSnapshot && rest == "":
		return p, nil
	case p.Kind == PinTable && rest != "":
		p.Table = rest
		return p, nil
	case p.Kind == PinSnapshot:
		id, number, _ := strings.Cut(rest, ":")
		var err error
		if p.Volume, err = volume.ParseVolumeID(id); err == nil {
			p.LSN, err = volume.ParseLSN(number)
		}
		if err == nil {
			return p, nil
		}
	}
	return Pin{}, fmt.Errorf("graft: %q is not a pin: all, table NAME, snapshot, or snapshot VOLUMEID:LSN", text)
}

// ErrNoPin is returned by Unpin when there is no such Pin.
var ErrNoPin = errors.New("graft: no such pin")

// Pinned is what a Pin keeps now.
type Pinned struct {
	Pages   int // that belong to it
	Fetched int // of these, by this call
}

// pins keeps the pages of all Pins of a store from being evicted.
type pins struct {
	turn chan struct{} // full while a Pin is made or removed, which may take requests
	open func(context.Context, volume.VolumeID) (*snapshot.Head, error)

	// finding is held while the pages are found that are held, which takes no
	// request. turn is taken before it.
	finding sync.Mutex
	holds   map[store.Pin]pinHold              // nil before they were looked at
	at      map[volume.VolumeID]snapshot.Point // what each Graft with Pins stood on then
	fetched map[volume.VolumeID]snapshot.Point // and when autosync had all of them here
}

// pinHold is what is held for a Pin.
type pinHold struct {
	now *store.FetchedHold // what was found last

	// before is what was found before that, while now lacks pages that only pages
	// lead to which are not here.
	before *store.FetchedHold
}

// reach is how far a Pin could be followed.
type reach int

const (
	reachNone reach = iota // it cannot be followed
	reachPart              // as far as is here, or as the quota has room for
	reachAll
)

// release gives up what is held, but for keep.
func (h pinHold) release(keep *store.FetchedHold) {
	for _, hold := range []*store.FetchedHold{h.now, h.before} {
		if hold != nil && hold != keep {
			hold.Release()
		}
	}
}

// UseHeads gives the Remote the way to open the Grafts that have Pins. It is called
// before the Remote is used.
func (r *Remote) UseHeads(open func(context.Context, volume.VolumeID) (*snapshot.Head, error)) {
	r.pins.open = open
}

func (r *Remote) lockPins(ctx context.Context) (unlock func(), err error) {
	select {
	case r.pins.turn <- struct{}{}:
		return func() { <-r.pins.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another pin: %w", context.Cause(ctx))
	}
}

// Pin keeps pages of h's Graft, and fetches those of them that are not here. From
// then on they are not evicted, now and after a restart. After a pull the Pin is of
// the newest Snapshot: what changed is fetched by the next tick of autosync, by
// Hydrate, and by another Pin. store.ErrQuota tells that the quota has no room for
// all Pins, ErrNoTable that there is no such table. After an error a Pin that is new
// is not kept.
func (r *Remote) Pin(ctx context.Context, h *snapshot.Head, p Pin) (got Pinned, err error) {
	ctx, end := begin(ctx, "pin", h.State().Local)
	defer end(&err)
	unlock, err := r.lockPins(ctx)
	if err != nil {
		return Pinned{}, err
	}
	defer unlock()
	p, key, err := pinOf(h, p)
	if err != nil {
		return Pinned{}, err
	}
	defer r.store.HoldVolume(p.Volume)()
	stored, err := r.store.Pins()
	if err != nil {
		return Pinned{}, err
	}
	hold := r.store.HoldFetched(ctx)
	defer hold.Release()
	if err := r.holdAll(ctx, hold); err != nil {
		return Pinned{}, err
	}
	if err := r.store.SetPin(key); err != nil { // first, so that nothing of it is swept
		return Pinned{}, err
	}
	if got, _, err = r.cover(ctx, h, p, hold, true); err == nil {
		err = r.HoldPins(ctx, true)
	}
	if err != nil && !slices.Contains(stored, key) {
		err = errors.Join(err, r.store.DeletePin(key))
	}
	if err != nil {
		return Pinned{}, fmt.Errorf("pin %s: %w", p, err)
	}
	return got, nil
}

// pinOf spells a Pin of h's Graft out.
func pinOf(h *snapshot.Head, p Pin) (Pin, store.Pin, error) {
	st := h.State()
	if p.Kind == PinSnapshot && p.Volume.IsZero() {
		at := snapshot.PointOf(&st.GraftState)
		p.Volume, p.LSN = at.Volume, at.LSN
	}
	if back, err := ParsePin(p.String()); err != nil || back != p {
		return p, store.Pin{}, fmt.Errorf("graft: %+v is not a pin", p)
	}
	if st.Unborn || p.Kind == PinSnapshot && p.Volume.IsZero() {
		return p, store.Pin{}, fmt.Errorf("pin %s: %w", p, ErrNoVolume)
	}
	return p, store.Pin{Graft: st.Local, What: p.String()}, nil
}

// Unpin gives a Pin of h's Graft up. ErrNoPin tells that there is none.
func (r *Remote) Unpin(ctx context.Context, h *snapshot.Head, p Pin) error {
	unlock, err := r.lockPins(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	p, key, err := pinOf(h, p)
	if err != nil {
		return err
	}
	err = r.store.DeletePin(key)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %s", ErrNoPin, p)
	}
	if err != nil {
		return err
	}
	return r.HoldPins(ctx, true)
}

// PinInfo is a Pin with how much of it is here.
type PinInfo struct {
	Pin
	Coverage
}

// Pins gives the Pins of h's Graft. It makes no request.
func (r *Remote) Pins(ctx context.Context, h *snapshot.Head) ([]PinInfo, error) {
	stored, err := r.store.Pins()
	if err != nil {
		return nil, err
	}
	var infos []PinInfo
	for _, sp := range stored {
		if sp.Graft != h.State().Local {
			continue
		}
		p, err := ParsePin(sp.What)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", volume.ErrCorrupt, err)
		}
		c, err := r.pinCoverage(ctx, h, p)
		if err != nil && !errors.Is(err, ErrNoTable) { // it was dropped
			return nil, err
		}
		infos = append(infos, PinInfo{p, c})
	}
	return infos, nil
}

// HoldPins keeps the pages of all Pins from being evicted, as far as they are known
// here: those of the newest Snapshots, and those that were kept before where not all of
// these are known, or, the first time after a restart, whatever was here then. It does nothing
// when all were known the last time and no Graft stands on another commit since, unless
// again is set. It makes no request.
func (r *Remote) HoldPins(ctx context.Context, again bool) error {
	ps := &r.pins
	ps.finding.Lock()
	defer ps.finding.Unlock()
	if ps.holds != nil && !again && !r.pinsMoved(ctx) {
		return nil
	}
	stored, err := r.store.Pins()
	if err != nil {
		return fmt.Errorf("hold pinned pages: %w", err)
	}
	holds, at := make(map[store.Pin]pinHold), make(map[volume.VolumeID]snapshot.Point)
	for _, sp := range stored {
		found := pinHold{now: r.store.HoldFetched(ctx)}
		holds[sp] = found
		far, err := r.holdPin(ctx, sp, found.now, at)
		last := ps.holds[sp]
		switch {
		case err != nil || far == reachAll:
		case ps.holds == nil && far == reachPart: // who was here before knew what is lacking now
			found.before = r.store.HoldOld(ctx)
		default:
			found.before = cmp.Or(last.before, last.now)
		}
		holds[sp] = found
		if err != nil {
			for _, h := range holds {
				h.now.Release()
				if h.before != nil && ps.holds == nil {
					h.before.Release()
				}
			}
			return fmt.Errorf("hold pinned pages: %w", err)
		}
	}
	for sp, last := range ps.holds {
		last.release(holds[sp].before)
	}
	ps.holds, ps.at = holds, at
	return nil
}

// pinsMoved tells whether a Graft may stand on another commit than when its Pins
// were looked at, or not all of their pages were known then. The caller holds
// pins.finding.
func (r *Remote) pinsMoved(ctx context.Context) bool {
	for _, h := range r.pins.holds {
		if h.before != nil {
			return true
		}
	}
	for local, at := range r.pins.at {
		h, err := r.pins.open(ctx, local)
		if err != nil {
			return true
		}
		if st := h.State(); snapshot.PointOf(&st.GraftState) != at {
			return true
		}
	}
	return false
}

// holdAll holds the pages of all Pins as far as they are known here.
func (r *Remote) holdAll(ctx context.Context, hold *store.FetchedHold) error {
	stored, err := r.store.Pins()
	if err != nil {
		return err
	}
	for _, sp := range stored {
		if _, err := r.holdPin(ctx, sp, hold, make(map[volume.VolumeID]snapshot.Point)); err != nil {
			return err
		}
	}
	return nil
}

// holdPin holds the pages of a Pin as far as they are known here, tells how far that
// is, and enters in at what its Graft stands on. A Pin of a Graft that is gone
// goes, too. That one cannot be followed is logged, and no error.
func (r *Remote) holdPin(ctx context.Context, sp store.Pin, hold *store.FetchedHold, at map[volume.VolumeID]snapshot.Point) (reach, error) {
	whole, err := r.followPin(ctx, sp, hold, at)
	switch {
	case ctx.Err() != nil:
		return reachNone, context.Cause(ctx)
	case errors.Is(err, ErrNoTable), err == nil && whole:
		return reachAll, nil // or it was dropped
	case err == nil, errors.Is(err, store.ErrQuota):
		return reachPart, nil
	}
	r.log.Error("hold pinned pages", "volume", sp.Graft, "pin", sp.What, "error", err)
	return reachNone, nil
}

func (r *Remote) followPin(ctx context.Context, sp store.Pin, hold *store.FetchedHold, at map[volume.VolumeID]snapshot.Point) (whole bool, err error) {
	h, err := r.pins.open(ctx, sp.Graft)
	if errors.Is(err, store.ErrNotFound) {
		return true, r.store.DeletePin(sp)
	}
	if err != nil {
		return false, err
	}
	p, err := ParsePin(sp.What)
	if err != nil {
		return false, fmt.Errorf("%w: %w", volume.ErrCorrupt, err)
	}
	st := h.State()
	at[sp.Graft] = snapshot.PointOf(&st.GraftState)
	_, whole, err = r.cover(ctx, h, p, hold, false)
	return whole, err
}

// PinnedPoints gives the commits of remote Volumes that Pins keep.
func (r *Remote) PinnedPoints() ([]snapshot.Point, error) {
	stored, err := r.store.Pins()
	if err != nil {
		return nil, err
	}
	var points []snapshot.Point
	for _, sp := range stored {
		if p, err := ParsePin(sp.What); err == nil && p.Kind == PinSnapshot {
			points = append(points, snapshot.Point{Volume: p.Volume, LSN: p.LSN})
		}
	}
	return points, nil
}

// refreshPins has the pages of the Pins of h's Graft here, unless they were since
// it moved.
func (r *Remote) refreshPins(ctx context.Context, h *snapshot.Head) error {
	st := h.State()
	at := snapshot.PointOf(&st.GraftState)
	ps := &r.pins
	ps.finding.Lock()
	last, done := ps.fetched[st.Local]
	ps.finding.Unlock()
	if done && last == at {
		return nil
	}
	stored, err := r.store.Pins()
	if err != nil {
		return err
	}
	for _, sp := range stored {
		if sp.Graft != st.Local {
			continue
		}
		p, err := ParsePin(sp.What)
		if err == nil {
			_, err = r.Pin(ctx, h, p)
		}
		if err != nil && !errors.Is(err, ErrNoTable) { // it was dropped
			return err
		}
	}
	ps.finding.Lock()
	defer ps.finding.Unlock()
	ps.fetched[st.Local] = at
	return nil
}

// cover holds what a Pin is of, and with fetch has it here. It tells whether it knows
// all pages of it.
func (r *Remote) cover(ctx context.Context, h *snapshot.Head, p Pin, hold *store.FetchedHold, fetch bool) (got Pinned, whole bool, err error) {
	_, pinned := h.Pin()
	defer pinned.Close()
	if p.Kind == PinTable {
		w, err := r.newWalker(pinned, hold, fetch)
		if err == nil {
			err = w.table(ctx, p.Table)
		}
		if err != nil {
			return Pinned{}, false, err
		}
		return Pinned{w.got.Pages, w.fetched}, w.got.Whole, nil
	}
	at, root := pinned.Snapshot().Point(), pinned.Snapshot().Root()
	if p.Kind == PinSnapshot {
		at = snapshot.Point{Volume: p.Volume, LSN: p.LSN}
		if root, err = r.pinnedRoot(ctx, at, fetch); err != nil {
			return Pinned{}, false, err
		}
	}
	if at.IsZero() {
		return Pinned{}, true, nil
	}
	x, err := r.index(ctx, at)
	if err != nil {
		return Pinned{}, false, err
	}
	leaves, whole, err := x.leavesHere(ctx, fetch)
	if err != nil {
		return Pinned{}, false, err
	}
	all, missing, frames, err := r.missing(ctx, x, leaves, root, hold)
	if err != nil || !fetch {
		return Pinned{Pages: all}, whole && err == nil, err
	}
	if err := hold.Fits(); err != nil {
		return Pinned{}, false, err
	}
	done, err := r.getFrames(ctx, at, frames, missing)
	return Pinned{all, done}, whole, err
}

// pinnedRoot gives the Root at a commit, whose record it has here then.
func (r *Remote) pinnedRoot(ctx context.Context, at snapshot.Point, fetch bool) (*snapshot.Root, error) {
	if fetch {
		rec, err := r.Commit(ctx, at)
		if err != nil {
			return nil, err
		}
		if err := r.store.Apply(store.Change{Commits: []volume.Record{rec}}); err != nil {
			return nil, err
		}
	}
	return r.Root(ctx, at)
}

// leavesHere gives the leaves with a written page whose chunks are here, and
// whether these are all; with fetch they are.
func (x *index) leavesHere(ctx context.Context, fetch bool) (here []volume.LeafIdx, all bool, err error) {
	if _, err := x.checkpoint(ctx, fetch); errors.Is(err, snapshot.ErrAbsent) {
		return nil, false, nil
	}
	leaves, err := x.leaves(ctx)
	if err != nil {
		return nil, false, err
	}
	if fetch {
		return leaves, true, x.loadChunks(ctx, leaves)
	}
	for _, n := range leaves {
		_, err := x.chunk(ctx, n, false)
		if err != nil && !errors.Is(err, snapshot.ErrAbsent) {
			return nil, false, err
		}
		if err == nil {
			here = append(here, n)
		}
	}
	return here, len(here) == len(leaves), nil
}

// pinCoverage tells how much of what a Pin is of is here.
func (r *Remote) pinCoverage(ctx context.Context, h *snapshot.Head, p Pin) (Coverage, error) {
	_, pinned := h.Pin()
	defer pinned.Close()
	switch at := (snapshot.Point{Volume: p.Volume, LSN: p.LSN}); p.Kind {
	case PinTable:
		w, err := r.newWalker(pinned, nil, false)
		if err == nil {
			err = w.table(ctx, p.Table)
		}
		if err != nil {
			return Coverage{}, err
		}
		return w.coverage(), nil
	case PinSnapshot:
		root, err := r.Root(ctx, at)
		if err != nil {
			return Coverage{}, err
		}
		return r.rootCoverage(ctx, at, root)
	}
	return r.rootCoverage(ctx, pinned.Snapshot().Point(), pinned.Snapshot().Root())
}

// rootCoverage tells how much of what a Root has of the commit at is here. It makes
// no request.
func (r *Remote) rootCoverage(ctx context.Context, at snapshot.Point, root *snapshot.Root) (Coverage, error) {
	if at.IsZero() {
		return Coverage{Whole: true}, nil
	}
	x, err := r.indexOf(at, r.store.Commit)
	if err != nil {
		return Coverage{}, err
	}
	leaves, known, err := x.leavesHere(ctx, false)
	if err != nil {
		return Coverage{}, err
	}
	hold := r.store.HoldFetched(ctx) // what is counted is not to go meanwhile
	defer hold.Release()
	c := Coverage{Whole: known}
	var frames []frameWant
	if c.Pages, c.Missing, frames, err = r.missing(ctx, x, leaves, root, hold); err != nil {
		return Coverage{}, err
	}
	for _, f := range frames {
		c.Bytes += f.frame.Length
	}
	return c, nil
}
