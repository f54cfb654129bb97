package snapshot

import (
	"strings"

	"graft/volume"
)

// Layer is a range of commits of one Volume.
type Layer struct {
	Volume volume.VolumeID
	LSNs   volume.LSNRange
}

// String gives "volume[first..last]".
func (l Layer) String() string { return l.Volume.String() + "[" + l.LSNs.String() + "]" }

// Snapshot is an immutable view of a Graft.
type Snapshot struct {
	local, remote Layer // either may be empty
	base          Point // that it is the local commits over
	opened        Point // of the page index that what is not loaded of root comes from
	root          *Root
	version       uint64
	readers       int // that are open; guarded by the Head's mu
}

// Layers are the commits that the Snapshot is the fold of, newest first. An
// empty Graft has none. The slice is the caller's.
func (s *Snapshot) Layers() []Layer {
	var layers []Layer
	for _, l := range []Layer{s.local, s.remote} {
		if !l.LSNs.IsZero() {
			layers = append(layers, l)
		}
	}
	return layers
}

// Point is the commit of a remote Volume that the Snapshot stands on: of its own,
// or, in a fork that was not pushed, of its parent's. It is zero when there is
// none.
func (s *Snapshot) Point() Point { return s.base }

// PageCount is the number of pages.
func (s *Snapshot) PageCount() volume.PageCount { return s.root.count }

// Root is the page index.
func (s *Snapshot) Root() *Root { return s.root }

// Version is the content version of the Graft that the Snapshot shows: within
// one Head two Snapshots of equal version have the same content. It means
// nothing after the Head is closed.
func (s *Snapshot) Version() uint64 { return s.version }

// String gives the layers, newest first.
func (s *Snapshot) String() string {
	layers := s.Layers()
	if len(layers) == 0 {
		return "empty"
	}
	texts := make([]string, len(layers))
	for i, l := range layers {
		texts[i] = l.String()
	}
	return strings.Join(texts, " ")
}

// newSnapshot gives the Snapshot of a Graft in state g whose newest local commit
// is head.
func newSnapshot(g *volume.GraftState, opened Point, head volume.LSN, root *Root, version uint64) *Snapshot {
	return &Snapshot{
		base:    PointOf(g),
		opened:  opened,
		local:   Layer{g.Local, volume.LSNRange{First: g.SyncPoint.Local + 1, Last: head}},
		remote:  Layer{g.Remote, volume.LSNRange{First: 1, Last: g.SyncPoint.Remote}},
		root:    root,
		version: version,
	}
}
