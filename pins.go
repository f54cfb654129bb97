package graft

import "context"

// Pin keeps pages of the Graft in the data directory, and fetches those that are not
// here: all of the newest Snapshot, those of a table with its indexes, or those of
// one commit. They are not evicted by the quota, now and after a
// restart. After a pull the Pin is of the newest Snapshot, and what changed is fetched
// by the next tick of autosync, by Hydrate, or by another call of Pin. ErrQuota tells
// that the quota has no room for all Pins, ErrNoTable that there is no such table. It
// makes no difference to call it twice.
func (g *Graft) Pin(ctx context.Context, p Pin) (Pinned, error) {
	return g.dir.remote.Pin(ctx, g.head.Load(), p)
}

// Unpin gives a Pin up: its pages may be evicted. ErrNoPin tells that there is none.
func (g *Graft) Unpin(ctx context.Context, p Pin) error {
	return g.dir.remote.Unpin(ctx, g.head.Load(), p)
}

// Pins gives the Pins of the Graft, each with how much of it is here. It makes no
// request.
func (g *Graft) Pins(ctx context.Context) ([]PinInfo, error) {
	return g.dir.remote.Pins(ctx, g.head.Load())
}
