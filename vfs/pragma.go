package vfs

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"

	"graft"
)

// pragma is one of graft's own pragmas. Its error becomes the SQL error's text,
// its text the one row of its result.
type pragma struct {
	argument string // what it takes, or "" for nothing
	moves    bool   // what the connection shows may change: not inside a transaction
	run      func(f *file, ctx context.Context, arg string) (string, error)
}

var pragmas = map[string]pragma{
	"graft_tags":     {run: (*file).pragmaTags},
	"graft_switch":   {argument: "TAG", moves: true, run: (*file).pragmaSwitch},
	"graft_status":   {run: (*file).pragmaStatus},
	"graft_info":     {run: (*file).pragmaInfo},
	"graft_snapshot": {run: (*file).pragmaSnapshot},
	"graft_fetch":    {run: (*file).pragmaFetch},
	"graft_pull":     {moves: true, run: (*file).pragmaPull},
	"graft_push":     {moves: true, run: (*file).pragmaPush},
	"graft_clone":    {argument: "VOLUMEID", moves: true, run: (*file).pragmaClone},
	"graft_audit":    {run: (*file).pragmaAudit},
	"graft_version":  {run: (*file).pragmaVersion},
	"graft_export":   {argument: "PATH", run: (*file).pragmaExport},
	"graft_import":   {argument: "PATH", moves: true, run: (*file).pragmaImport},
}

// Pragma answers graft's pragmas, and pins what a file of graft cannot change.
// It is called when a statement is prepared, and not again when it runs.
func (f *file) Pragma(name, value string) (string, error) {
	switch name {
	case "journal_mode":
		return "delete", nil
	case "locking_mode":
		return "normal", nil // a lock that is never released would show one Snapshot for ever
	case "page_size":
		if value != "" {
			return "", nil // taken and ignored, as other VFSs of one page size do
		}
	case "synchronous":
		f.setSynchronous(value)
		return "", sqlite3.NOTFOUND // SQLite keeps it as well
	}
	if !strings.HasPrefix(name, "graft_") {
		return "", sqlite3.NOTFOUND
	}
	p, ok := pragmas[name]
	switch {
	case !ok:
		return "", fmt.Errorf("graft: there is no pragma %s", name)
	case p.argument != "" && value == "":
		return "", fmt.Errorf("graft: pragma %s needs a value: PRAGMA %s = '%s'", name, name, p.argument)
	case p.argument == "" && value != "":
		return "", fmt.Errorf("graft: pragma %s takes no value", name)
	case p.moves && f.inTransaction():
		return "", fmt.Errorf("graft: pragma %s cannot run inside a transaction", name)
	}
	text, err := p.run(f, f.context(), value)
	if err != nil {
		// go-sqlite3 takes the text of errors that are no codes of SQLite.
		return "", errors.New(err.Error())
	}
	return text, nil
}

// setSynchronous follows what SQLite does with the value: it refuses the pragma
// inside a transaction, and takes what it does not know for NORMAL.
func (f *file) setSynchronous(value string) {
	if value == "" || !f.autocommits() && f.opened {
		return
	}
	if value[0] >= '0' && value[0] <= '9' {
		level := (uint8(leadingNumber(value)) + 1) & 7 // as SQLite counts: 3 is FULL, 0 and 1 are OFF
		f.relaxed = level < 3
		return
	}
	switch strings.ToLower(value) {
	case "full", "extra":
		f.relaxed = false
	default:
		f.relaxed = true
	}
}

// leadingNumber reads the number that a text begins with, as SQLite does: zero
// when it has more than 32 bits.
func leadingNumber(text string) int64 {
	base, digits := 10, "0123456789"
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		base, digits, text = 16, "0123456789abcdef", strings.ToLower(hex)
	}
	end := len(text) - len(strings.TrimLeft(text, digits))
	n, err := strconv.ParseInt(text[:end], base, 64)
	if err != nil || n != int64(int32(n)) {
		return 0
	}
	return n
}

// autocommits tells whether the connection has no transaction open. It cannot
// tell, and says no, while the connection is being opened.
func (f *file) autocommits() bool {
	ok := f.conn == nil || f.conn.GetAutocommit()
	f.opened = f.opened || ok
	return ok
}

// inTransaction tells whether the connection has a transaction open, on this
// database or another one.
func (f *file) inTransaction() bool {
	return f.lock != sqlite3vfs.LOCK_NONE || !f.autocommits()
}

func (f *file) pragmaTags(ctx context.Context, _ string) (string, error) {
	tags, err := f.db.Tags(ctx)
	if err != nil {
		return "", err
	}
	return tagsText(tags, f.graft.Tag()), nil
}

func (f *file) pragmaSwitch(ctx context.Context, tag string) (string, error) {
	g, err := f.db.Graft(ctx, tag)
	if err != nil {
		return "", err
	}
	if f.readOnly && !g.Exists() {
		return "", noTagError(tag, f.db)
	}
	f.graft = g
	if !g.Exists() {
		return fmt.Sprintf("Switched to tag %s, which its first write will make.", tag), nil
	}
	return fmt.Sprintf("Switched to tag %s.", tag), nil
}

func (f *file) pragmaStatus(context.Context, string) (string, error) {
	info, err := f.graft.Info()
	return statusText(info), err
}

func (f *file) pragmaInfo(context.Context, string) (string, error) {
	info, err := f.graft.Info()
	return infoText(info), err
}

// snapshot reads what SQLite sees without the open transaction. The caller
// closes it.
func (f *file) snapshot() *graft.Reader {
	if f.reader != nil {
		return f.reader.Clone()
	}
	return f.graft.Reader()
}

func (f *file) pragmaSnapshot(context.Context, string) (string, error) {
	r := f.snapshot()
	defer r.Close()
	return r.Snapshot().String(), nil
}

func (f *file) pragmaFetch(ctx context.Context, _ string) (string, error) {
	got, err := f.graft.Fetch(ctx)
	return fetchedText(got), err
}

func (f *file) pragmaPull(ctx context.Context, _ string) (string, error) {
	moved, err := f.graft.Pull(ctx)
	return pulledText(moved), err
}

func (f *file) pragmaPush(ctx context.Context, _ string) (string, error) {
	done, err := f.graft.Push(ctx)
	return pushedText(done), err
}

func (f *file) pragmaClone(ctx context.Context, id string) (string, error) {
	v, err := graft.ParseVolumeID(id)
	if err != nil {
		return "", err
	}
	if f.readOnly {
		return "", errors.New("graft: the connection is read-only")
	}
	if err := f.graft.Clone(ctx, v); err != nil {
		return "", err
	}
	info, err := f.graft.Info()
	return clonedText(info), err
}

func (f *file) pragmaAudit(ctx context.Context, _ string) (string, error) {
	p, err := f.graft.Audit(ctx)
	return auditText(p), err
}

func (f *file) pragmaVersion(context.Context, string) (string, error) {
	return "graft " + version(), nil
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

func (f *file) pragmaExport(ctx context.Context, path string) (string, error) {
	r := f.snapshot()
	defer r.Close()
	if err := exportFile(ctx, r, path); err != nil {
		return "", err
	}
	return fmt.Sprintf("Exported %d pages to %s.", r.PageCount(), path), nil
}

func (f *file) pragmaImport(ctx context.Context, path string) (string, error) {
	if f.readOnly {
		return "", errors.New("graft: the connection is read-only")
	}
	n, err := importFile(ctx, f.graft, f.db.TempDir(), path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Imported %d pages from %s.", n, path), nil
}
