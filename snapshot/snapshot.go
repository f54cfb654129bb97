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
	layers  []Layer
	root    *Root
	version uint64
}

// Layers are the commits that the Snapshot is the fold of, newest first. An
// empty Graft has none. The slice is the caller's.
func (s *Snapshot) Layers() []Layer { return append([]Layer(nil), s.layers...) }

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
	if len(s.layers) == 0 {
		return "empty"
	}
	texts := make([]string, len(s.layers))
	for i, l := range s.layers {
		texts[i] = l.String()
	}
	return strings.Join(texts, " ")
}

// layersOf gives the layers of a Graft in state g whose newest local commit is
// head.
func layersOf(g volume.GraftState, head volume.LSN) []Layer {
	var layers []Layer
	if local := (volume.LSNRange{First: g.SyncPoint.Local + 1, Last: head}); !local.IsZero() {
		layers = append(layers, Layer{g.Local, local})
	}
	if remote := (volume.LSNRange{First: 1, Last: g.SyncPoint.Remote}); !remote.IsZero() {
		layers = append(layers, Layer{g.Remote, remote})
	}
	return layers
}
