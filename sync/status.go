package sync

import (
	"fmt"

	"graft/snapshot"
	"graft/volume"
)

// Status says how a Graft and its remote Volume stand to each other, as far as
// is known here: what others pushed shows after the next fetch.
type Status struct {
	Pushed   volume.LSN // newest local commit that is in the remote, or zero
	Unpushed uint64     // local commits that are not
	Synced   volume.LSN // LSN of the remote Volume that the Graft is at, or zero
	Behind   uint64     // known commits of the remote Volume after it
}

// Diverged tells whether both sides moved.
func (s Status) Diverged() bool { return s.Unpushed > 0 && s.Behind > 0 }

// String gives the short form: the local side, then the remote side after "r",
// each as the LSN up to which they agree ("_" for none) and, after "+", the
// commits beyond it. "+123 r_" was never pushed, "123 r130" is in sync,
// "123+2 r130+3" diverged.
func (s Status) String() string {
	local := side(s.Pushed, s.Unpushed)
	if s.Pushed == 0 && s.Unpushed > 0 {
		local = local[1:]
	}
	return local + " r" + side(s.Synced, s.Behind)
}

func side(agreed volume.LSN, beyond uint64) string {
	text := "_"
	if agreed > 0 {
		text = agreed.String()
	}
	if beyond > 0 {
		text += fmt.Sprintf("+%d", beyond)
	}
	return text
}

// Status reads the local store alone.
func (r *Remote) Status(h *snapshot.Head) (Status, error) {
	st := h.State()
	head, err := r.store.Head(st.Remote)
	if err != nil {
		return Status{}, err
	}
	s := Status{Pushed: st.SyncPoint.Local, Unpushed: st.Unpushed().Len(), Synced: st.SyncPoint.Remote}
	if head > st.SyncPoint.Remote {
		s.Behind = uint64(head - st.SyncPoint.Remote)
	}
	return s, nil
}
