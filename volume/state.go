package volume

import (
	"fmt"

	"graft/internal/graftpb"
)

// SyncPoint says how far a Graft and its remote Volume agree. The zero value
// is that of a Graft that was never synced.
type SyncPoint struct {
	Remote LSN // of the remote Volume: the Graft is attached at it
	Local  LSN // watermark: local commits up to it are in the remote
}

// Pending is a push whose outcome is not known yet.
type Pending struct {
	Record Record // the remote commit, to the byte
	Local  LSN    // the local commits up to it are in this push
}

// GraftState is what is stored of one Graft. It never leaves the machine.
//
// Parent and ParentLSN are both set, in a fork, or both zero.
type GraftState struct {
	Local     VolumeID // also the key of the Graft
	Remote    VolumeID
	SyncPoint SyncPoint
	Pending   *Pending // nil when no push is in doubt
	Parent    VolumeID // of a fork: the remote Volume that its own continues
	ParentLSN LSN      // and the commit in it
	Base      Hash     // of the record of the commit that it stands on: at the SyncPoint, or the parent; zero: unknown
}

func (g *GraftState) validate() error {
	if g.Parent.IsZero() != g.ParentLSN.IsZero() {
		return fmt.Errorf("%w: graft forked from LSN %d of volume %q", ErrCorrupt, g.ParentLSN, g.Parent)
	}
	return nil
}

// SegmentState is what the local store knows of a remote Segment: where it
// comes from, and which of its pages are stored under local Segments.
type SegmentState struct {
	Volume  VolumeID // the remote Volume
	LSN     LSN      // and the commit in it that names the Segment
	Segment Segment
	Aliases []Alias
}

// Applied says how far the redo journal is in the store. It never leaves the
// machine.
type Applied struct {
	Sequence uint64 // of the newest journal record that is
	Clean    bool   // nothing is stored that nothing refers to, but for garbage
	Garbage  uint64 // pages that are stored and dead, about
}

// Alias says that pages of a remote Segment are stored under a local one.
type Alias struct {
	Segment SegmentID
	Pages   PageSet
}

// EncodeGraftState validates g and gives its record, without its key.
func EncodeGraftState(g GraftState) ([]byte, error) {
	if err := g.validate(); err != nil {
		return nil, err
	}
	m := &graftpb.Graft{
		Remote:     g.Remote[:],
		SyncRemote: uint64(g.SyncPoint.Remote),
		SyncLocal:  uint64(g.SyncPoint.Local),
		ParentLsn:  uint64(g.ParentLSN),
	}
	if !g.Parent.IsZero() {
		m.Parent = g.Parent[:]
	}
	if g.Base != (Hash{}) {
		m.Base = g.Base[:]
	}
	if p := g.Pending; p != nil {
		m.Pending = &graftpb.Pending{Record: p.Record.Bytes, Local: uint64(p.Local)}
	}
	return EncodeRecord(KindGraft, m)
}

// DecodeGraftState reads the record of the Graft local. It returns ErrCorrupt
// or ErrVersion.
func DecodeGraftState(local VolumeID, b []byte) (GraftState, error) {
	var m graftpb.Graft
	if err := DecodeRecord(KindGraft, b, &m); err != nil {
		return GraftState{}, err
	}
	remote, err := VolumeIDFromBytes(m.Remote)
	if err != nil {
		return GraftState{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	g := GraftState{
		Local:     local,
		Remote:    remote,
		SyncPoint: SyncPoint{Remote: LSN(m.SyncRemote), Local: LSN(m.SyncLocal)},
		ParentLSN: LSN(m.ParentLsn),
	}
	if len(m.Parent) != 0 {
		if g.Parent, err = VolumeIDFromBytes(m.Parent); err != nil {
			return GraftState{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	if g.Base, err = hashFromBytes(m.Base); err != nil {
		return GraftState{}, fmt.Errorf("commit that the graft stands on: %w", err)
	}
	if err := g.validate(); err != nil {
		return GraftState{}, err
	}
	if m.Pending != nil {
		rec, err := DecodeCommit(m.Pending.Record)
		if err != nil {
			return GraftState{}, fmt.Errorf("pending commit: %w", err)
		}
		if rec.Commit.Volume != remote {
			return GraftState{}, fmt.Errorf("%w: pending commit of volume %s, not %s", ErrCorrupt, rec.Commit.Volume, remote)
		}
		g.Pending = &Pending{Record: rec, Local: LSN(m.Pending.Local)}
	}
	return g, nil
}

// EncodeSegmentState gives the record of s.
func EncodeSegmentState(s SegmentState) ([]byte, error) {
	seg, err := segmentToProto(&s.Segment)
	if err != nil {
		return nil, err
	}
	m := &graftpb.SegmentState{Volume: s.Volume[:], Lsn: uint64(s.LSN), Segment: seg}
	for _, a := range s.Aliases {
		pages, err := a.Pages.AppendBinary(nil)
		if err != nil {
			return nil, err
		}
		m.Aliases = append(m.Aliases, &graftpb.Alias{Segment: a.Segment[:], Pages: pages})
	}
	return EncodeRecord(KindSegmentState, m)
}

// DecodeSegmentState reads what [EncodeSegmentState] gave. It returns
// ErrCorrupt or ErrVersion.
func DecodeSegmentState(b []byte) (s SegmentState, err error) {
	var m graftpb.SegmentState
	if err := DecodeRecord(KindSegmentState, b, &m); err != nil {
		return s, err
	}
	if s.Volume, err = VolumeIDFromBytes(m.Volume); err != nil {
		return s, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	s.LSN = LSN(m.Lsn)
	if s.Segment, err = segmentFromProto(m.Segment); err != nil {
		return s, err
	}
	for _, am := range m.Aliases {
		var a Alias
		if a.Segment, err = SegmentIDFromBytes(am.Segment); err != nil {
			return s, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if a.Pages, err = ParsePageSet(am.Pages); err != nil {
			return s, err
		}
		s.Aliases = append(s.Aliases, a)
	}
	return s, nil
}

// EncodeApplied gives the record of a.
func EncodeApplied(a Applied) ([]byte, error) {
	return EncodeRecord(KindApplied, &graftpb.Applied{Sequence: a.Sequence, Clean: a.Clean, Garbage: a.Garbage})
}

// DecodeApplied reads what [EncodeApplied] gave. It returns ErrCorrupt or
// ErrVersion.
func DecodeApplied(b []byte) (Applied, error) {
	var m graftpb.Applied
	if err := DecodeRecord(KindApplied, b, &m); err != nil {
		return Applied{}, err
	}
	return Applied{Sequence: m.Sequence, Clean: m.Clean, Garbage: m.Garbage}, nil
}
