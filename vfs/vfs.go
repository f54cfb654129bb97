// Package vfs lets SQLite keep databases in graft: it registers a VFS of the
// name "graft" with github.com/ncruces/go-sqlite3. Any file name that is a Tag
// opens that Tag's Graft:
//
//	sqlite3.Open("file:main?vfs=graft&dir=/var/lib/app")
//
// The URI parameters are those of the data source names of graft/driver, which
// most programs use instead. The package speaks SQL's side of graft too: the
// pragmas graft_push, graft_pull and their like work on connections of the VFS.
//
// A transaction sees one Snapshot throughout. It is published when SQLite syncs
// the file in COMMIT, so that an error there rolls it back. The file change
// counter that SQLite sees belongs to the open file: it goes up by one for the
// file's own commits, and jumps when the content changed for another reason.
//
// Pragmas of graft run when they are prepared, once. A COMMIT of several
// attached databases is atomic in each of them, and not across them: when a
// later one fails, the first was published for a moment. Where the main database
// is a tag, a COMMIT cannot write a plain file with others; where it is a plain
// file it can, and attached tags keep locking_mode NORMAL and a rollback journal.
//
// A COMMIT waits for the disk with PRAGMA synchronous = FULL, the default, and
// EXTRA. With NORMAL and OFF it does not: a killed process loses nothing then, a
// power cut the newest commits, up to a moment before which it loses none.
//
// Built with the tag graft_wasm2go the package runs on go-sqlite3 from v0.33 on,
// where SQLite is Go code; without it on v0.32, where wazero runs it. With the tag
// FTS5 and RTREE are packages that a program registers. Mobile builds want the tag:
// wazero has no compiler there.
//
// Temporary files are held in memory up to 4 MiB, then in the data directory.
// Rollback journals refer to the Snapshot that a transaction stands on, and so
// take little. Neither is ever synced.
package vfs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"

	"graft"
	"graft/internal/dsn"
)

// Name is the name that the VFS is registered under.
const Name = "graft"

func init() { sqlite3vfs.Register(Name, &graftVFS{}) }

// graftVFS implements [sqlite3vfs.VFSFilename]. Data directories are shared by
// the table of package graft.
type graftVFS struct {
	// tempDir is the folder for temporary files of the data directory that was
	// opened last: SQLite does not say which database one is for.
	tempDir atomic.Pointer[string]

	names   openNames               // of the open databases
	refused atomic.Pointer[refusal] // the COMMIT that was refused last, until a file of it asks
	closed  lastClosed
}

var _ sqlite3vfs.VFSFilename = (*graftVFS)(nil)

// Open opens files without a name, which are temporary.
func (v *graftVFS) Open(name string, flags sqlite3vfs.OpenFlag) (sqlite3vfs.File, sqlite3vfs.OpenFlag, error) {
	if flags&(sqlite3vfs.OPEN_MAIN_DB|sqlite3vfs.OPEN_MAIN_JOURNAL) != 0 {
		return nil, flags, sqlite3vfs.SystemError(fmt.Errorf("graft: database %q has no URI parameters", name), sqlite3.CANTOPEN)
	}
	t := &tempFile{}
	if dir := v.tempDir.Load(); dir != nil {
		t.dir = *dir
	}
	return t, flags | sqlite3vfs.OPEN_MEMORY, nil
}

// OpenFilename opens the Graft that a file name stands for, or a file that goes
// with the connection. SQLite asks for journals and temporary files too.
func (v *graftVFS) OpenFilename(name *sqlite3vfs.Filename, flags sqlite3vfs.OpenFlag) (sqlite3vfs.File, sqlite3vfs.OpenFlag, error) {
	switch {
	case flags&sqlite3vfs.OPEN_MAIN_DB != 0:
		f, err := v.openFile(name, flags&sqlite3vfs.OPEN_READONLY != 0)
		if err != nil {
			return nil, flags, sqlite3vfs.SystemError(err, sqlite3.CANTOPEN)
		}
		dir := f.db.TempDir()
		v.tempDir.Store(&dir)
		return f, flags, nil
	case flags&sqlite3vfs.OPEN_MAIN_JOURNAL != 0:
		f, ok := vfsutil.UnwrapFile[*file](name.DatabaseFile())
		if !ok {
			return nil, flags, sqlite3vfs.SystemError(errors.New("graft: journal of no database"), sqlite3.CANTOPEN)
		}
		return &journal{file: f, tempFile: tempFile{dir: f.db.TempDir()}}, flags, nil
	case flags&sqlite3vfs.OPEN_SUPER_JOURNAL != 0:
		main := name.String()
		return &superJournal{vfs: v, names: []string{main[:max(strings.LastIndex(main, "-mj"), 0)]}}, flags, nil
	case flags&sqlite3vfs.OPEN_WAL != 0:
		return nil, flags, sqlite3vfs.SystemError(errors.New("graft: a database of graft has no WAL"), sqlite3.CANTOPEN)
	}
	return v.Open("", flags)
}

// Delete is asked for journals, which go when they are closed.
func (*graftVFS) Delete(string, bool) error { return nil }

// Access is asked for journals and WALs, of which nobody knows but the
// transaction that made them.
func (*graftVFS) Access(string, sqlite3vfs.AccessFlag) (bool, error) { return false, nil }

// FullPathname takes names as they are: a Tag is no path.
func (*graftVFS) FullPathname(name string) (string, error) { return name, nil }

func (v *graftVFS) openFile(name *sqlite3vfs.Filename, readOnly bool) (_ *file, err error) {
	values := name.URIParameters()
	if !values.Has("vfs") {
		// ATTACH and VACUUM INTO without a URI come here from connections of
		// the VFS: a path would become a tag, of the default directory.
		return nil, fmt.Errorf("graft: %q is no URI: use 'file:TAG?vfs=graft&dir=…' for a tag, 'file:PATH?vfs=os' for a file, or PRAGMA graft_export", name)
	}
	values.Del("vfs")
	values.Set("tag", dsn.TagOfPath(name.String()))
	config, err := dsn.FromValues(values)
	if err != nil {
		return nil, err
	}
	if config, err = config.WithDefaults(); err != nil {
		return nil, err
	}
	ctx := context.Background()
	db, err := OpenConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	g, err := db.Graft(ctx, config.Tag)
	if err != nil {
		return nil, err
	}
	if mustExist := readOnly || config.Mode == "rw"; mustExist && !g.Exists() {
		return nil, noTagError(config.Tag, db)
	}
	start := rand.Uint32()
	v.names.add(name.String(), 1)
	return &file{vfs: v, name: name.String(), db: db, graft: g, readOnly: readOnly, counter: start, highest: start, foresees: db.HasRemote(), stats: fileStats{budget: config.Budget}}, nil
}

// Config is what a data source name says. Its URI method gives the name under
// which go-sqlite3 opens the same database.
type Config = dsn.Config

// ParseConfig reads a data source name, in either of the forms that package
// driver documents, and fills in the defaults of the environment.
func ParseConfig(name string) (Config, error) {
	c, err := dsn.Parse(name)
	if err != nil {
		return Config{}, err
	}
	if err := graft.ValidateTag(c.Tag); err != nil {
		return Config{}, err
	}
	return c.WithDefaults()
}

// OpenConfig opens the data directory of c, which must name one.
func OpenConfig(ctx context.Context, c Config) (*graft.DB, error) {
	return graft.Open(ctx, c.Dir, &graft.Options{
		Remote:        c.Remote,
		DefaultRemote: c.DefaultRemote,
		AutoSync:      c.AutoSync,
		PageCache:     c.PageCache,
		Cache:         c.Cache,
		Warm:          c.Warm,
		Hedge:         c.Hedge,
	})
}

func noTagError(tag string, db *graft.DB) error {
	return fmt.Errorf("graft: tag %q does not exist in %s", tag, db.Path())
}
