package sync

import (
	"graft/snapshot"
	"graft/volume"
)

// standing is how a Graft and its remote Volume stand to each other, as a pull or a
// push finds it. What is to be done about that follows from it alone.
type standing struct {
	synced   volume.LSN // of the remote Volume, that the Graft is at; zero: none
	head     volume.LSN // newest commit of the remote Volume that is known
	seen     bool       // the bucket had that since the caller asked
	unpushed uint64     // local commits
	fork     bool       // of a commit of another remote Volume
}

// standingOf gives the standing of a Graft to a remote Volume whose newest commit is
// head.
func standingOf(st *snapshot.State, head volume.LSN) standing {
	return standing{synced: st.SyncPoint.Remote, head: head, unpushed: st.Unpushed().Len(), fork: !st.Parent.IsZero()}
}

// action is what a pull or a push does next.
type action string

const (
	nothing   action = "nothing"
	diverged  action = "diverged"  // refuse: both sides moved
	advance   action = "advance"   // move the SyncPoint to the head
	proveHead action = "prove"     // make sure that the bucket has the head still, then advance
	putNext   action = "put next"  // put a commit after the SyncPoint
	putFirst  action = "put first" // make the remote Volume: of a fork after its parent is verified
)

// pull decides what a pull does after its fetch.
func (s standing) pull() action {
	switch {
	case s.head <= s.synced:
		return nothing
	case s.unpushed > 0:
		return diverged
	case !s.seen: // an earlier fetch found it, and the bucket may have lost it since
		return proveHead
	}
	return advance
}

// push decides what a push does when no commit is pending. The first push of a fork
// makes its remote Volume, even without a commit. What others may have pushed and is
// not known here the put finds out.
func (s standing) push() action {
	isFirst := s.synced.IsZero()
	switch {
	case s.unpushed == 0 && !(s.fork && isFirst):
		return nothing
	case s.head > s.synced:
		return diverged
	case isFirst:
		return putFirst
	}
	return putNext
}
