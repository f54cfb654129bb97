package graft

import "context"

// PublishWarm puts the pages that SQL statements have read of the Graft since it was
// opened in the bucket, so that a new replica gets them all at once: see
// [Options.Warm] and [Graft.Warm]. They take about size bytes there, compressed, or
// 1 MiB when that is zero; 8 MiB at most. Interior pages of B-trees come first, then
// those that were read first. Only what is pushed is in it. It takes the place of
// what was published before, by whatever replica. ErrNoVolume tells that nothing is
// pushed yet.
func (g *Graft) PublishWarm(ctx context.Context, size int64) (WarmPublished, error) {
	return g.dir.remote.PublishWarm(ctx, g.head.Load(), size)
}

// Warm gets the pages that another replica has published by [Graft.PublishWarm], as
// a clone does with [Options.Warm]. It takes two requests.
func (g *Graft) Warm(ctx context.Context) (Warmed, error) {
	return g.dir.remote.Warm(ctx, g.head.Load())
}
