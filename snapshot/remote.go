package snapshot

import (
	"context"
	"errors"

	"graft/volume"
)

// ErrAbsent is returned instead of a request that was not to be made.
var ErrAbsent = errors.New("graft: not stored here")

// Point is a commit of a remote Volume. The zero Point is before any.
type Point struct {
	Volume volume.VolumeID
	LSN    volume.LSN
}

// IsZero tells whether p is before any commit.
func (p Point) IsZero() bool { return p == Point{} }

// String gives "volume@LSN".
func (p Point) String() string { return p.Volume.String() + "@" + p.LSN.String() }

// PointOf gives the commit that the base of a Graft is: of its remote Volume, or
// of the one that it was forked from.
func PointOf(g *volume.GraftState) Point {
	if !g.SyncPoint.Remote.IsZero() {
		return Point{g.Remote, g.SyncPoint.Remote}
	}
	if !g.Parent.IsZero() {
		return Point{g.Parent, g.ParentLSN}
	}
	return Point{}
}

// RemoteLeaves is the page index of a remote Volume at one LSN. It never
// changes, so what is loaded from it may be forgotten. It is safe for concurrent
// use.
type RemoteLeaves interface {
	// Segment gives the Segment of page p if that is known without the leaf of
	// p; known is false otherwise. With fetch it may make a request for what all
	// leaves share; without, ErrAbsent tells that it would take one.
	Segment(ctx context.Context, p volume.PageIdx, fetch bool) (id volume.SegmentID, known bool, err error)
	// Leaf gives leaf n, which nobody changes afterwards, or nil when none of
	// its pages was written. Without fetch it makes no request: ErrAbsent tells
	// that it would take one.
	Leaf(ctx context.Context, n volume.LeafIdx, fetch bool) (*volume.Leaf, error)
	// NextLeaf gives the lowest leaf from n on that may have a written page, and
	// whether there is one. It makes no request: ErrAbsent tells that nobody knows
	// here.
	NextLeaf(ctx context.Context, n volume.LeafIdx) (next volume.LeafIdx, ok bool, err error)
}

// Remote is what Snapshots need of remote Volumes.
type Remote interface {
	// Page gives page p, which the Snapshot at a Point says lies in the remote
	// Segment id, and stores it. It fails with an error that says why there is
	// none.
	Page(ctx context.Context, at Point, id volume.SegmentID, p volume.PageIdx) (*volume.Page, error)
	// Prefetch stores those of the given pages here that are not. What a Page
	// wants meanwhile it waits for.
	Prefetch(ctx context.Context, at Point, root *Root, pages []volume.PageIdx) error
	// Root gives the Root at a commit that is in the local log: OpenRoot of its
	// RemoteLeaves. It loads nothing, and makes no request unless the record of the
	// commit is damaged here: that it gets again.
	Root(ctx context.Context, at Point) (*Root, error)
	// Objects calls fn with the SHA-256 of every cached object that Root(at)
	// may be loaded from, as far as that is known without a request.
	Objects(at Point, fn func(volume.Hash)) error
	// ObjectsOf is Objects for a commit that is pending.
	ObjectsOf(rec volume.Record, fn func(volume.Hash)) error
}

// baseRoot gives the Root of a remote Volume at a Point.
func (hs *Heads) baseRoot(ctx context.Context, at Point) (*Root, error) {
	if at.IsZero() {
		return &Root{}, nil
	}
	return hs.remote.Root(ctx, at)
}
