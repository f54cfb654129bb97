package graft

import "context"

// Offline tells how much of the newest Snapshot of the Graft can be read without the
// bucket: in all, and for each table with its indexes; or, with roots, of the tables
// and indexes alone that have these root pages. It makes no request.
func (g *Graft) Offline(ctx context.Context, roots ...PageIdx) (Offline, error) {
	return g.dir.remote.Offline(ctx, g.head.Load(), roots)
}

// PagesOffline tells how many of some pages of the newest Snapshot are missing here, and
// how many bytes it takes to fetch these. It makes no request.
func (g *Graft) PagesOffline(ctx context.Context, pages []PageIdx) (Coverage, error) {
	return g.dir.remote.PagesOffline(ctx, g.head.Load(), pages)
}
