package vfs

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"

	"graft"
	"graft/internal/sqlitefile"
)

func (f *file) pragmaTags(ctx context.Context, _ string) (string, any, error) {
	tags, err := f.db.Tags(ctx)
	if err != nil {
		return "", nil, err
	}
	return tagsText(tags, f.graft.Tag()), newTagsDoc(tags, f.graft.Tag()), nil
}

func (f *file) pragmaList(ctx context.Context, _ string) (string, any, error) {
	grafts, err := f.db.Grafts(ctx)
	if err != nil {
		return "", nil, err
	}
	info, err := f.graft.Info()
	if err != nil {
		return "", nil, err
	}
	return listText(grafts, info.Graft), newListDoc(grafts, info.Graft), nil
}

// move runs what may let the connection's Tag name another Graft, and tells how
// it stands then.
func (f *file) move(how string, run func() error) (string, any, error) {
	left, err := f.graft.Info()
	if err != nil {
		return "", nil, err
	}
	if err := run(); err != nil {
		return "", nil, err
	}
	return moved(f.graft, &left, how)
}

// moved tells how the Graft of a Tag stands, which named left before.
func moved(g *graft.Graft, left *graft.Info, how string) (string, any, error) {
	info, err := g.Info()
	if err != nil {
		return "", nil, err
	}
	if left != nil && (!left.Exists || left.Graft == info.Graft) {
		left = nil
	}
	return movedText(info, left, how), newMovedDoc(info, left), nil
}

func (f *file) pragmaNew(ctx context.Context, tag string) (string, any, error) {
	const how = "new and empty"
	if tag == "" {
		return f.move(how, func() error { return f.graft.Renew(ctx) })
	}
	g, err := f.db.CreateTag(ctx, tag)
	if err != nil {
		return "", nil, err
	}
	return moved(g, nil, how)
}

func (f *file) pragmaFork(ctx context.Context, tag string) (string, any, error) {
	if tag == "" {
		return f.move("a fork", func() error { return f.graft.ForkHere(ctx) })
	}
	g, err := f.graft.Fork(ctx, tag)
	if err != nil {
		return "", nil, err
	}
	return moved(g, nil, "a fork of tag "+nameText(f.graft.Tag()))
}

// pragmaSwitch takes a Tag, before anything else that its value may be.
func (f *file) pragmaSwitch(ctx context.Context, value string) (string, any, error) {
	g, err := f.db.Graft(ctx, value)
	if err != nil {
		return "", nil, err
	}
	if id, remote, ok := parseGraft(value); ok && !g.Exists() {
		return f.switchGraft(ctx, id, remote)
	}
	if f.readOnly && !g.Exists() {
		return "", nil, noTagError(value, f.db)
	}
	f.graft = g
	info, err := g.Info()
	if err != nil {
		return "", nil, err
	}
	return switchedText(info), newMovedDoc(info, nil), nil
}

// parseGraft reads VOLUMEID[:REMOTE].
func parseGraft(value string) (id, remote graft.VolumeID, ok bool) {
	first, second, both := strings.Cut(value, ":")
	id, err := graft.ParseVolumeID(first)
	if err == nil && both {
		remote, err = graft.ParseVolumeID(second)
	}
	return id, remote, err == nil
}

// switchGraft lets the Tag name another Graft.
func (f *file) switchGraft(ctx context.Context, id, remote graft.VolumeID) (string, any, error) {
	if f.readOnly {
		return "", nil, errors.New("graft: a tag cannot be moved on a read-only connection")
	}
	return f.move("", func() error {
		if remote.IsZero() {
			return f.db.SetTag(ctx, f.graft.Tag(), id)
		}
		return f.graft.CloneAs(ctx, id, remote)
	})
}

func (f *file) pragmaClone(ctx context.Context, id string) (string, any, error) {
	v, err := graft.ParseVolumeID(id)
	if err != nil {
		return "", nil, err
	}
	_, doc, err := f.move("", func() error { return f.graft.Clone(ctx, v) })
	if err != nil {
		return "", nil, err
	}
	info, err := f.graft.Info()
	return clonedText(info), doc, err
}

func (f *file) pragmaCheckout(ctx context.Context, value string) (string, any, error) {
	v, lsn, err := parseCommit(value)
	if err != nil {
		return "", nil, err
	}
	how := fmt.Sprintf("a fork of LSN %d of volume %s", lsn, v)
	return f.move(how, func() error { return f.graft.Checkout(ctx, v, lsn) })
}

// parseCommit reads VOLUMEID:LSN.
func parseCommit(value string) (v graft.VolumeID, lsn graft.LSN, err error) {
	id, number, ok := strings.Cut(value, ":")
	if !ok {
		return v, 0, fmt.Errorf("graft: %q is not of the form VOLUMEID:LSN", value)
	}
	if v, err = graft.ParseVolumeID(id); err != nil {
		return v, 0, err
	}
	lsn, err = graft.ParseLSN(number)
	return v, lsn, err
}

func (f *file) pragmaReset(ctx context.Context, _ string) (string, any, error) {
	moved, backup, err := f.graft.Reset(ctx)
	doc := resetDoc{From: moved.From, To: moved.To}
	if backup != "" {
		doc.Backup = &backup
	}
	return resetText(moved, backup), doc, err
}

func (f *file) pragmaStatus(context.Context, string) (string, any, error) {
	info, err := f.graft.Info()
	if err != nil {
		return "", nil, err
	}
	return statusText(info), newStatusDoc(info), nil
}

func (f *file) pragmaInfo(context.Context, string) (string, any, error) {
	info, err := f.graft.Info()
	if err != nil {
		return "", nil, err
	}
	return infoText(info), newInfoDoc(info), nil
}

// snapshot reads what SQLite sees without the open transaction. The caller
// closes it.
func (f *file) snapshot() *graft.Reader {
	if f.reader != nil {
		return f.reader.Clone()
	}
	return f.graft.Reader()
}

func (f *file) pragmaSnapshot(context.Context, string) (string, any, error) {
	r := f.snapshot()
	defer r.Close()
	return r.Snapshot().String(), newSnapshotDoc(r.Snapshot()), nil
}

func (f *file) pragmaFetch(ctx context.Context, _ string) (string, any, error) {
	got, err := f.graft.Fetch(ctx)
	return fetchedText(got), fetchDoc{got.Head, got.New}, err
}

func (f *file) pragmaPull(ctx context.Context, _ string) (string, any, error) {
	moved, err := f.graft.Pull(ctx)
	return pulledText(moved), pullDoc{moved.From, moved.To}, err
}

func (f *file) pragmaPush(ctx context.Context, _ string) (string, any, error) {
	done, err := f.graft.Push(ctx)
	return pushedText(done), pushDoc{done.LSN, done.Commits, done.Pages}, err
}

func (f *file) pragmaHydrate(ctx context.Context, _ string) (string, any, error) {
	got, err := f.graft.Hydrate(ctx)
	return hydratedText(got), hydrateDoc{got.Done}, err
}

func (f *file) pragmaAudit(ctx context.Context, _ string) (string, any, error) {
	p, err := f.graft.Audit(ctx)
	return auditText(p), auditDoc{p.Present, p.Written, p.Unknown}, err
}

func (f *file) pragmaVersion(context.Context, string) (string, any, error) {
	return "graft " + version(), versionDoc{version()}, nil
}

// version is that of the graft module in this program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	path := reflect.TypeFor[graft.DB]().PkgPath()
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path && m.Version != "" {
			return m.Version
		}
	}
	return "(devel)"
}

func (f *file) pragmaExport(ctx context.Context, path string) (string, any, error) {
	r := f.snapshot()
	defer r.Close()
	if err := exportFile(ctx, r, path); err != nil {
		return "", nil, err
	}
	n := r.PageCount()
	return fmt.Sprintf("Exported %d pages to %s.", n, nameText(path)), fileDoc{path, n}, nil
}

func (f *file) pragmaImport(ctx context.Context, path string) (string, any, error) {
	n, err := importFile(ctx, f.graft, f.db.TempDir(), path)
	return fmt.Sprintf("Imported %d pages from %s.", n, nameText(path)), fileDoc{path, n}, err
}

// pragmaDumpHeader shows the header as it is stored, or as the open transaction
// has it.
func (f *file) pragmaDumpHeader(ctx context.Context, _ string) (string, any, error) {
	src, done := f.pages()
	defer done()
	if src.PageCount() == 0 {
		return "", nil, errors.New("graft: the database has no pages yet")
	}
	page, err := src.Page(ctx, 1)
	if err != nil {
		return "", nil, err
	}
	h := sqlitefile.Header(page[:])
	if !h.IsDatabase() {
		return "", nil, errors.New("graft: page 1 is not that of a SQLite database")
	}
	return headerText(h), newHeaderDoc(h), nil
}

func (f *file) pragmaDumpCommit(ctx context.Context, value string) (string, any, error) {
	v, lsn, err := parseCommit(value)
	if err != nil {
		return "", nil, err
	}
	c, err := f.db.Commit(ctx, v, lsn)
	if err != nil {
		return "", nil, err
	}
	return commitText(c), newCommitDoc(c), nil
}

// logCount is how many commits graft_log shows if it is not told.
const logCount = 20

func (f *file) pragmaLog(ctx context.Context, count string) (string, any, error) {
	n := logCount
	if count != "" {
		var err error
		if n, err = strconv.Atoi(count); err != nil || n < 1 {
			return "", nil, fmt.Errorf("graft: %q is not a number of commits", count)
		}
	}
	commits, err := f.graft.Log(ctx, n)
	return logText(commits), newLogDoc(commits), err
}
