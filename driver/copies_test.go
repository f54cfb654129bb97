package driver_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"

	"graft/internal/testdir"
)

// counted is what of counting is one Snapshot, and whole.
const counted = `SELECT count(*) || ' ' || count(DISTINCT b) || ' ' || (min(b) = (SELECT i FROM n)) || ' ' || (SELECT integrity_check FROM pragma_integrity_check) FROM t`

const wholeCount = "2000 1 1 ok"

// counting makes a database in which every row has the number of the last commit. A
// commit changes nothing in its header but what SQLite knows the content by.
func counting(db *database, start int) {
	db.t.Helper()
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b, c)", "CREATE INDEX i ON t(c)", "CREATE TABLE n(i)", fmt.Sprintf("INSERT INTO n VALUES (%d)", start),
		fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, %d, printf('%%.100c', 'x') FROM n", start))
}

func (db *database) count() {
	db.t.Helper()
	db.exec("BEGIN; UPDATE n SET i = i + 1; UPDATE t SET b = b + 1; COMMIT")
}

// hookedVFS is the VFS of plain files with a hook that runs before each write.
type hookedVFS struct {
	sqlite3vfs.VFSFilename
	hook func()
}

type hookedFile struct {
	sqlite3vfs.File
	vfs *hookedVFS
}

func (h *hookedVFS) OpenFilename(name *sqlite3vfs.Filename, flags sqlite3vfs.OpenFlag) (sqlite3vfs.File, sqlite3vfs.OpenFlag, error) {
	f, flags, err := h.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &hookedFile{f, h}, flags, nil
}

func (f *hookedFile) WriteAt(p []byte, off int64) (int, error) {
	f.vfs.hook()
	return f.File.WriteAt(p, off)
}

// TestVacuumIntoBesideAWriter has another connection commit each time that VACUUM INTO
// writes a page: the copy is one Snapshot.
func TestVacuumIntoBesideAWriter(t *testing.T) {
	db := open(t, "tag=main dir='%s' _pragma=synchronous(off) _pragma=cache_size(3)", testdir.InMemory(t))
	counting(db, 1000)
	commits := 0
	hooked := &hookedVFS{sqlite3vfs.Find("os").(sqlite3vfs.VFSFilename), func() {
		if commits++; commits <= 10 {
			db.count()
		}
	}}
	sqlite3vfs.Register("hooked", hooked)
	defer sqlite3vfs.Unregister("hooked")
	path := filepath.Join(testdir.InMemory(t), "copy")
	db.exec("VACUUM INTO " + quote(strings.Replace(plainURI(path), "vfs=os", "vfs=hooked", 1)))
	copied := openPlain(t, path)
	copied.want(counted, wholeCount)
	copied.want("SELECT i FROM n", "1000")
	db.want("SELECT i FROM n", "1010")
}

// TestABackupInSteps has another connection commit between the steps of a backup, which
// begins anew, and has readers and writers of the database that it goes to.
func TestABackupInSteps(t *testing.T) {
	dir := testdir.InMemory(t)
	plain := openPlain(t, filepath.Join(testdir.InMemory(t), "plain.db"))
	g := open(t, "tag=main dir='%s'", dir)
	for name, from := range map[string]*database{"tag": g, "file": plain} {
		t.Run(name, func(t *testing.T) {
			counting(from, 1000)
			to := open(t, "tag=to%s dir='%s' _pragma=busy_timeout(0)", name, dir)
			counting(to, 77)
			lsn := to.head()
			from.want(counted, wholeCount) // all of it is in the cache
			raw(t, from, func(c *sqlite3.Conn) error {
				b, err := c.BackupInit("main", uriOf(dir, "to"+name))
				if err != nil {
					return err
				}
				for i := range 3 {
					if _, err := b.Step(20); err != nil {
						return fmt.Errorf("step %d: %w", i, err)
					}
					from.count()
					to.want(counted, wholeCount)
					to.want("SELECT i FROM n", "77")
					to.fails("DELETE FROM n", "locked")
				}
				if done, err := b.Step(-1); err != nil || !done {
					return fmt.Errorf("last step: %v, %w", done, err)
				}
				return b.Close()
			})
			to.want(counted, wholeCount)
			to.want("SELECT i FROM n", "1003")
			if got := to.head(); got != lsn+1 {
				t.Errorf("the backup ends at LSN %d, after %d", got, lsn)
			}
			to.exec("DELETE FROM n")
		})
	}
}

// TestABackupOfAnOpenTransaction has another connection commit between the steps of a
// backup whose source is in a transaction: the copy is what that sees.
func TestABackupOfAnOpenTransaction(t *testing.T) {
	dir := testdir.InMemory(t)
	db := open(t, "tag=main dir='%s' _pragma=cache_size(3)", dir)
	counting(db, 1000)
	raw(t, db, func(c *sqlite3.Conn) error {
		if err := c.Exec("BEGIN; SELECT * FROM n"); err != nil {
			return err
		}
		b, err := c.BackupInit("main", uriOf(dir, "to"))
		for done := false; err == nil && !done; db.count() {
			done, err = b.Step(20)
		}
		return errors.Join(err, b.Close(), c.Exec("COMMIT"))
	})
	to := open(t, "tag=to dir='%s'", dir)
	to.want(counted, wholeCount)
	to.want("SELECT i FROM n", "1000")
}

// TestABackupInSmallStepsLikeAFile copies tags and files into each other, while the same
// connection and others commit: all take the same steps, begin anew when another one has
// committed, and end with one Snapshot. A push does not count: it changes no content.
func TestABackupInSmallStepsLikeAFile(t *testing.T) {
	dir, files := testdir.InMemory(t), testdir.InMemory(t)
	open(t, "tag=none dir='%s' remote='mem://%s'", dir, t.Name()).want("SELECT 1", "1") // the directory stays open
	uris := map[string]func(name string) string{
		"tag":  func(name string) string { return uriOf(dir, name) },
		"file": func(name string) string { return plainURI(filepath.Join(files, name)) },
	}
	took := make(map[string]string)
	for source, sourceURI := range uris {
		for target, targetURI := range uris {
			kind := source + " to " + target
			from, to := sourceURI(kind+" from"), targetURI(kind+" to")
			own, other := newPlayer(t, from, "OTHER"), newPlayer(t, from, "OTHER")
			own.sql("PRAGMA page_size = 4096; PRAGMA journal_mode = wal; PRAGMA cache_size = 3; PRAGMA synchronous = off;" +
				"CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); CREATE INDEX i ON t(c); CREATE TABLE n(i); INSERT INTO n VALUES (1000);" +
				"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, 1000, printf('%.100c', 'x') FROM n")
			const count = "BEGIN; UPDATE n SET i = i + 1; UPDATE t SET b = b + 1; COMMIT"
			b, err := own.conn.BackupInit("main", to)
			if err != nil {
				t.Fatal(err)
			}
			var steps []string
			for done, i := false, 0; !done; i++ {
				if done, err = b.Step(9); err != nil || i > 100 {
					t.Fatalf("%s: step %d: %v", kind, i, err)
				}
				steps = append(steps, fmt.Sprint(b.Remaining(), "/", b.PageCount()))
				switch i {
				case 2, 10:
					steps = append(steps, other.sql(count)...)
				case 5, 14:
					steps = append(steps, own.sql(count)...)
				case 7:
					if source == "tag" {
						wantError(t, errors.New(strings.Join(other.sql("PRAGMA graft_push"), " ")), "Pushed", "no error")
					}
				case 12:
					steps = append(steps, other.sql("BEGIN IMMEDIATE; UPDATE n SET i = 0; ROLLBACK")...)
				}
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(newPlayer(t, to, "OTHER").sql(counted+"; SELECT i FROM n"), " "), `"`+wholeCount+`" no error "1004" no error`; got != want {
				t.Errorf("%s: the copy has %s, want %s", kind, got, want)
			}
			took[kind] = strings.Join(steps, " ")
		}
	}
	t.Log(took["file to file"])
	for kind, steps := range took {
		if steps != took["file to file"] {
			t.Errorf("%s takes the steps %s,\nfile to file %s", kind, steps, took["file to file"])
		}
	}
}
