package volume

import (
	"fmt"

	"graft/internal/graftpb"
)

// Index says of which Snapshot of a Graft the stored leaves of its page index
// are: the base, which is the remote Volume at SyncPoint.Remote, with the local
// commits above SyncPoint.Local up to Local. What is the base's is not stored. It
// never leaves the machine, and can be rebuilt from the commits.
//
// Local is not below SyncPoint.Local. The base at LSN zero is the parent of a
// fork, or empty.
type Index struct {
	SyncPoint   SyncPoint
	Local       LSN
	NewestPages PageCount

	// Saving says that leaves of later Snapshots are being written over these,
	// or were when that was cut short: some are newer, or too many.
	Saving bool
}

func (x Index) validate() error {
	switch {
	case x.Local < x.SyncPoint.Local:
		return fmt.Errorf("%w: index ends at local LSN %d, before %d", ErrCorrupt, x.Local, x.SyncPoint.Local)
	}
	return nil
}

// EncodeIndex validates x and gives its record.
func EncodeIndex(x Index) ([]byte, error) {
	if err := x.validate(); err != nil {
		return nil, err
	}
	return EncodeRecord(KindIndex, &graftpb.Index{
		SyncRemote:  uint64(x.SyncPoint.Remote),
		SyncLocal:   uint64(x.SyncPoint.Local),
		Local:       uint64(x.Local),
		NewestPages: uint32(x.NewestPages),
		Saving:      x.Saving,
	})
}

// DecodeIndex reads what [EncodeIndex] gave. It returns ErrCorrupt or
// ErrVersion.
func DecodeIndex(b []byte) (Index, error) {
	var m graftpb.Index
	if err := DecodeRecord(KindIndex, b, &m); err != nil {
		return Index{}, err
	}
	x := Index{
		SyncPoint:   SyncPoint{Remote: LSN(m.SyncRemote), Local: LSN(m.SyncLocal)},
		Local:       LSN(m.Local),
		NewestPages: PageCount(m.NewestPages),
		Saving:      m.Saving,
	}
	if err := x.validate(); err != nil {
		return Index{}, err
	}
	return x, nil
}
