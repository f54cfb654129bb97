package graft

import "context"

// Offline tells how much of the newest Snapshot of the Graft can be read without the
// bucket: in all, and for each table with its indexes; or, with roots, of the tables
// and indexes alone that have these root pages. It makes no request.
func (g *Graft) Offline(ctx context.Context, roots ...PageIdx) (Offline, error) {
	return g.dir.remote.Offline(ctx, g.head.Load(), roots)
}
