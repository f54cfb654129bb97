package sync

import (
	"context"
	"slices"

	"graft/internal/sqlitefile"
	"graft/snapshot"
	"graft/volume"
)

// Offline tells how much of a database can be read without the bucket.
type Offline struct {
	Coverage // of all of it, or of what was asked for, without the schema
	Trees    []TreeCoverage
}

// TreeCoverage is how much of a table or an index is here.
type TreeCoverage struct {
	Name string
	Root volume.PageIdx
	Coverage
}

// Offline tells how much of the newest Snapshot of h's Graft is here, in all and for
// each table with its indexes. With roots, it is of the tables and indexes alone that
// have these root pages, each for itself. It makes no request: the tables are those
// of the schema as far as that is here.
func (r *Remote) Offline(ctx context.Context, h *snapshot.Head, roots []volume.PageIdx) (Offline, error) {
	_, pinned := h.Pin()
	defer pinned.Close()
	schema, err := r.newWalker(pinned, nil, false)
	if err != nil {
		return Offline{}, err
	}
	entries, err := schema.schema(ctx)
	if err != nil {
		return Offline{}, err
	}
	var got Offline
	if roots == nil {
		if got.Coverage, err = r.rootCoverage(ctx, pinned.Snapshot().Point(), pinned.Snapshot().Root()); err != nil {
			return Offline{}, err
		}
		got.Whole = got.Whole && schema.got.Whole
		for _, e := range entries {
			if e.IsTable() {
				got.Trees = append(got.Trees, TreeCoverage{Name: e.Name, Root: volume.PageIdx(e.Root)})
			}
		}
	} else {
		got.Whole = true
		for _, root := range roots {
			got.Trees = append(got.Trees, TreeCoverage{Name: nameOfRoot(entries, root), Root: root})
		}
	}
	for i := range got.Trees {
		t := &got.Trees[i]
		trees := []volume.PageIdx{t.Root}
		if roots == nil {
			trees = rootsOf(entries, t.Name)
		}
		if t.Coverage, err = r.treeCoverage(ctx, pinned, schema.reserved, trees); err != nil {
			return Offline{}, err
		}
		if roots != nil {
			got.add(t.Coverage)
		}
	}
	return got, nil
}

// PagesOffline tells how many of some pages of the newest Snapshot of h's Graft are
// missing here, and how many bytes it takes to fetch these. It makes no request.
func (r *Remote) PagesOffline(ctx context.Context, h *snapshot.Head, pages []volume.PageIdx) (Coverage, error) {
	_, pinned := h.Pin()
	defer pinned.Close()
	w, err := r.newWalker(pinned, nil, false)
	if err != nil {
		return Coverage{}, err
	}
	for part := range slices.Chunk(pages, walkPages) {
		if _, err := w.take(ctx, part, nil); err != nil {
			return Coverage{}, err
		}
	}
	return w.coverage(), nil
}

// treeCoverage tells how much of some B-trees is here.
func (r *Remote) treeCoverage(ctx context.Context, from *snapshot.Reader, reserved int, roots []volume.PageIdx) (Coverage, error) {
	w, err := r.newWalker(from, nil, false)
	if err != nil {
		return Coverage{}, err
	}
	w.reserved = reserved
	err = w.trees(ctx, roots, nil)
	return w.coverage(), err
}

// add adds what is of other pages.
func (c *Coverage) add(o Coverage) {
	c.Pages, c.Missing, c.Bytes, c.Whole = c.Pages+o.Pages, c.Missing+o.Missing, c.Bytes+o.Bytes, c.Whole && o.Whole
}

// nameOfRoot gives the name of the table or index with that root page.
func nameOfRoot(entries []sqlitefile.SchemaEntry, root volume.PageIdx) string {
	if root == 1 {
		return "sqlite_schema"
	}
	i := slices.IndexFunc(entries, func(e sqlitefile.SchemaEntry) bool { return volume.PageIdx(e.Root) == root })
	if i < 0 {
		return ""
	}
	return entries[i].Name
}
