package badgerguard

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"graft/volume"
)

// maxFile bounds the files that are read whole: tables, memtables' logs and the
// MANIFEST. With our options they have a few MiB.
const maxFile = 64 << 20

// preallocated logs have a size that is a multiple of this.
const preallocation = 1 << 20

// Check returns volume.ErrCorrupt, with file and offset, if opening the Badger
// database in dir would lose data or end the process, volume.ErrVersion for one
// of an unknown version, and nil for one that can be opened, that a crash left
// however it was, or that is not there yet. A wrapped ErrHints says that a file
// is damaged that can be done without. Check changes nothing. Nothing else may
// have the directory open. It reads every table, every memtable's log and the
// newest value log, as Badger will.
func Check(dir string) error {
	return (&checker{dir: dir}).check()
}

// Prepare is Check that then sees to it that what Badger will read is on disk, which
// need not be so because it can be read: Linux shows it even after an msync that has failed.
// Badger would take it in and go on in other logs, and a later power cut leave holes in it.
//
// It cuts the newest value log, for good, behind the last byte that anything points to.
// What lies there is of requests that did not come to their end, or dead; [CheckGC]
// could not tell a hole in it from damage. And it writes the newest memtable's log again, as it
// is: its last request would be cut, with others behind it (rule 3).
func Prepare(dir string) error {
	c := &checker{dir: dir}
	if err := c.check(); err != nil {
		return err
	}
	if err := c.cutNewest(); err != nil {
		return err
	}
	return c.writeMemtable()
}

// check is Check.
func (c *checker) check() error {
	if err := c.list(); err != nil || c.empty() {
		return err
	}
	for _, step := range []func() error{
		c.checkRegistry, c.checkManifest, c.checkTables, c.checkMemtables, c.checkOrphans, c.checkValueLogs, c.checkHints,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checker is what is known of one directory.
type checker struct {
	dir    string
	tables map[uint64]int64 // sizes by file id
	mems   map[uint64]int64
	vlogs  map[uint64]int64
	others map[string]int64

	manifest manifest
	newest   memtable          // of those with entries
	orphans  map[uint64]uint64 // hash of an entry's key -> table, of entries that no other file is known to hold
	pointers map[uint64]source // value log -> what points farthest into it
}

// source is a pointer and where it was found.
type source struct {
	pointer
	in string
}

func damage(file string, off int64, format string, args ...any) error {
	return fmt.Errorf("%w: %s at offset %d: %s", volume.ErrCorrupt, file, off, fmt.Sprintf(format, args...))
}

// list finds the files. Names that are not Badger's are let be.
func (c *checker) list() error {
	c.tables, c.mems, c.vlogs = map[uint64]int64{}, map[uint64]int64{}, map[uint64]int64{}
	c.others = map[string]int64{}
	c.orphans, c.pointers = map[uint64]uint64{}, map[uint64]source{}
	entries, err := os.ReadDir(c.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("list %s: %w", c.dir, err)
	}
	for _, e := range entries {
		if err := c.add(e); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) add(e fs.DirEntry) error {
	name := e.Name()
	info, err := e.Info()
	if err != nil {
		return fmt.Errorf("inspect %s of %s: %w", name, c.dir, err)
	}
	if !info.Mode().IsRegular() {
		return damage(name, 0, "not a regular file but %s", info.Mode().Type())
	}
	ids, digits := c.space(filepath.Ext(name))
	if ids == nil {
		c.others[name] = info.Size()
		return nil
	}
	id, err := strconv.ParseUint(strings.TrimSuffix(name, filepath.Ext(name)), 10, 32)
	if err != nil || fmt.Sprintf("%0*d%s", digits, id, filepath.Ext(name)) != name {
		return damage(name, 0, "not a name that Badger gives")
	}
	ids[id] = info.Size()
	return nil
}

// space gives the files of one kind and how many digits their names have.
func (c *checker) space(ext string) (ids map[uint64]int64, digits int) {
	switch ext {
	case ".sst":
		return c.tables, 6
	case ".vlog":
		return c.vlogs, 6
	case ".mem":
		return c.mems, 5
	}
	return nil, 0
}

func tableName(id uint64) string { return fmt.Sprintf("%06d.sst", id) }
func vlogName(id uint64) string  { return fmt.Sprintf("%06d.vlog", id) }
func memName(id uint64) string   { return fmt.Sprintf("%05d.mem", id) }

// empty tells whether Badger has not been here.
func (c *checker) empty() bool {
	_, hasManifest := c.others[manifestName]
	return !hasManifest && len(c.tables)+len(c.mems)+len(c.vlogs) == 0
}

// change changes a file, and syncs it.
func (c *checker) change(name string, fn func(*os.File) error) error {
	f, err := os.OpenFile(filepath.Join(c.dir, name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(fn(f), f.Sync(), f.Close())
}

// read gives a whole file.
func (c *checker) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		return nil, fmt.Errorf("inspect the local store: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("inspect the local store: %w", err)
	}
	if info.Size() > maxFile {
		return nil, damage(name, maxFile, "larger than any that Badger makes")
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("inspect the local store: read %s: %w", name, err)
	}
	return b, nil
}

// note remembers how far e points into a value log.
func (c *checker) note(e *entry, in string) {
	p, ok := e.pointer()
	if !ok {
		return
	}
	file := uint64(p.file)
	if old, ok := c.pointers[file]; !ok || p.end() > old.end() {
		c.pointers[file] = source{p, in}
	}
}

func sortedIDs(m map[uint64]int64) []uint64 {
	ids := make([]uint64, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
