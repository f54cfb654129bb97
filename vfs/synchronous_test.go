package vfs

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"
)

// spyName is the VFS of graft, with what its files do.
const spyName = "graft-spy"

var (
	spies        spyVFS
	registerSpy  = sync.OnceFunc(func() { sqlite3vfs.Register(spyName, &spies) })
	graftOfTests graftVFS
)

type spyVFS struct {
	mu    sync.Mutex
	files []*spyFile // opened since the last call of take

	journal *journal // opened last
}

// spyFile is a file that notes which commits were relaxed.
type spyFile struct {
	*file
	commits []bool
}

func (v *spyVFS) Open(name string, flags sqlite3vfs.OpenFlag) (sqlite3vfs.File, sqlite3vfs.OpenFlag, error) {
	return graftOfTests.Open(name, flags)
}

func (v *spyVFS) OpenFilename(name *sqlite3vfs.Filename, flags sqlite3vfs.OpenFlag) (sqlite3vfs.File, sqlite3vfs.OpenFlag, error) {
	opened, flags, err := graftOfTests.OpenFilename(name, flags)
	if j, ok := opened.(*journal); ok {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.journal = j
	}
	f, ok := opened.(*file)
	if err != nil || !ok {
		return opened, flags, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	spy := &spyFile{file: f}
	v.files = append(v.files, spy)
	return spy, flags, nil
}

func (v *spyVFS) Delete(name string, sync bool) error      { return graftOfTests.Delete(name, sync) }
func (v *spyVFS) FullPathname(name string) (string, error) { return graftOfTests.FullPathname(name) }
func (v *spyVFS) Access(n string, f sqlite3vfs.AccessFlag) (bool, error) {
	return graftOfTests.Access(n, f)
}

// Unwrap lets the journal find its database.
func (f *spyFile) Unwrap() sqlite3vfs.File { return f.file }

// take gives the one file that was opened since the last call.
func (v *spyVFS) take(t *testing.T) *spyFile {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.files) != 1 {
		t.Fatalf("%d files were opened", len(v.files))
	}
	f := v.files[0]
	v.files = nil
	return f
}

// SyncSuper notes what the Writer was told.
func (f *spyFile) SyncSuper(super string) error {
	before := f.graft.Reader().Snapshot()
	err := f.file.SyncSuper(super)
	if err == nil && f.writer != nil && f.graft.Reader().Snapshot() != before {
		f.commits = append(f.commits, reflect.ValueOf(f.writer).Elem().FieldByName("relaxed").Bool())
	}
	return err
}

// spied is a connection with its file.
type spied struct {
	*sqlite3.Conn
	t *testing.T
	f *spyFile
}

func openSpied(t *testing.T, dir, tag, query string) *spied {
	t.Helper()
	ConfigureEngine()
	registerSpy()
	conn, err := sqlite3.Open(fmt.Sprintf("file:%s?vfs=%s&dir=%s%s", tag, spyName, url.QueryEscape(dir), query))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return &spied{conn, t, spies.take(t)}
}

func (c *spied) exec(sql string) {
	c.t.Helper()
	if err := c.Exec(sql); err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
}

// level is what SQLite takes synchronous for: 0 off, 1 normal, 2 full, 3 extra.
func (c *spied) level() int {
	c.t.Helper()
	return c.levelOf("main")
}

func (c *spied) levelOf(schema string) int {
	c.t.Helper()
	s, _, err := c.Prepare("PRAGMA " + schema + ".synchronous")
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.Close()
	if !s.Step() {
		c.t.Fatalf("no level: %v", s.Err())
	}
	return s.ColumnInt(0)
}

// commit commits, and tells whether that was relaxed.
func (c *spied) commit() bool {
	c.t.Helper()
	n := len(c.f.commits)
	c.exec("INSERT INTO t VALUES (random())")
	if len(c.f.commits) != n+1 {
		c.t.Fatalf("%d commits", len(c.f.commits)-n)
	}
	return c.f.commits[n]
}

// want checks that commits of the connection are relaxed, or not, and that this
// is what SQLite's own level asks for.
func (c *spied) want(relaxed bool) {
	c.t.Helper()
	level := c.level()
	if got := c.commit(); got != relaxed || c.f.relaxed != relaxed || relaxed != (level < 2) {
		c.t.Fatalf("commits are relaxed: %t at level %d; want %t", got, level, relaxed)
	}
}

func TestCommitsAreRelaxedAsSynchronousSays(t *testing.T) {
	c := openSpied(t, t.TempDir(), "main", "")
	c.exec("CREATE TABLE t(a)")
	if len(c.f.commits) != 1 || c.f.commits[0] {
		t.Errorf("the first commit of a connection is relaxed: %v", c.f.commits)
	}
	c.want(false)
	for _, tt := range []struct {
		pragma  string
		relaxed bool
	}{
		{"synchronous = off", true}, {"synchronous = full", false},
		{"synchronous = normal", true}, {"synchronous = extra", false},
		{"synchronous = 0", true}, {"synchronous = 2", false},
		{"synchronous = 1", true}, {"synchronous = 3", false},
		{"synchronous(off)", true}, {"synchronous(2)", false},
		{"SYNCHRONOUS = OFF", true}, {"Synchronous = Full", false},
		{"synchronous = 'normal'", true}, {`synchronous = "extra"`, false},
		{"synchronous = no", true}, {"synchronous = +2", false},
		{"synchronous = on", true}, {"synchronous = EXTRA", false},
		{"synchronous = true", true}, {"synchronous = full", false},
		{"synchronous = nonsense", true}, {"synchronous = full", false},
		{"synchronous = -1", true}, {"synchronous", true},
		{"main.synchronous = full", false}, {"main.synchronous = off", true}, {"main.synchronous(2)", false},
		{"temp.synchronous = off", false},
	} {
		c.exec("PRAGMA " + tt.pragma)
		if c.f.relaxed != tt.relaxed {
			t.Errorf("PRAGMA %s: relaxed is %t", tt.pragma, c.f.relaxed)
		}
		c.want(tt.relaxed)
	}
}

// SQLite reads numbers as C does, and masks them.
func TestSynchronousOfOddNumbers(t *testing.T) {
	c := openSpied(t, t.TempDir(), "main", "")
	c.exec("CREATE TABLE t(a)")
	for _, value := range []string{"02", "'2 '", "'2x'", "2.0", "2.9", "4", "5", "6", "7", "8", "9", "10", "11", "'0x2'", "00", "257", "258"} {
		for _, before := range []string{"off", "full"} {
			c.exec("PRAGMA synchronous = " + before)
			c.exec("PRAGMA synchronous = " + value)
			if level := c.level(); c.f.relaxed != (level < 2) {
				t.Errorf("PRAGMA synchronous = %s: relaxed is %t at level %d", value, c.f.relaxed, level)
			}
		}
	}
}

func TestSynchronousIsRefusedInATransaction(t *testing.T) {
	c := openSpied(t, t.TempDir(), "main", "")
	c.exec("CREATE TABLE t(a)")
	for _, begin := range []string{"BEGIN", "BEGIN; SELECT * FROM t", "BEGIN IMMEDIATE", "SAVEPOINT s"} {
		for before, other := range map[string]string{"full": "off", "off": "full"} {
			c.exec("PRAGMA synchronous = " + before)
			c.exec(begin)
			err := c.Exec("PRAGMA synchronous = " + other)
			if err == nil || !strings.Contains(err.Error(), "Safety level may not be changed inside a transaction") {
				t.Errorf("%s: %v", begin, err)
			}
			c.exec("PRAGMA synchronous") // asks, and changes nothing
			if strings.HasPrefix(begin, "SAVEPOINT") {
				c.exec("RELEASE s")
			} else {
				c.exec("ROLLBACK")
			}
			c.want(before == "off")
		}
	}
}

// The first thing that a connection does may be a transaction.
func TestSynchronousIsRefusedInAFirstTransaction(t *testing.T) {
	dir := t.TempDir()
	openSpied(t, dir, "main", "").exec("CREATE TABLE t(a)")
	c := openSpied(t, dir, "main", "")
	c.exec("BEGIN")
	if err := c.Exec("PRAGMA synchronous = off"); err == nil {
		t.Error("it is changed in a transaction")
	}
	c.exec("COMMIT")
	c.want(false)
}

// A query that runs keeps the lock, and SQLite takes the pragma all the same.
func TestSynchronousChangesBesideAQuery(t *testing.T) {
	c := openSpied(t, t.TempDir(), "main", "")
	c.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	for before, after := range map[string]string{"off": "full", "full": "off"} {
		c.exec("PRAGMA synchronous = " + before)
		query, _, err := c.Prepare("SELECT a FROM t")
		if err != nil {
			t.Fatal(err)
		}
		if !query.Step() {
			t.Fatal(query.Err())
		}
		c.exec("PRAGMA synchronous = " + after)
		if err := query.Close(); err != nil {
			t.Fatal(err)
		}
		c.want(after == "off")
	}
}

func TestSynchronousOfTheDataSourceName(t *testing.T) {
	dir := t.TempDir()
	openSpied(t, dir, "main", "").exec("CREATE TABLE t(a)")
	for query, relaxed := range map[string]bool{
		"":                               false,
		"&_pragma=synchronous(off)":      true,
		"&_pragma=synchronous(normal)":   true,
		"&_pragma=synchronous(1)":        true,
		"&_pragma=synchronous(full)":     false,
		"&_pragma=synchronous(extra)":    false,
		"&_pragma=synchronous%3Doff":     true,
		"&_pragma=main.synchronous(off)": true,
		"&_pragma=busy_timeout(1)&_pragma=synchronous(normal)": true,
		"&_pragma=synchronous(off)&_pragma=synchronous(full)":  false,
		"&_pragma=cache_size(10)&_pragma=journal_mode(wal)":    false,
	} {
		t.Run(query, func(t *testing.T) {
			c := openSpied(t, dir, "main", query)
			c.want(relaxed)
			c.want(relaxed)
		})
	}
}

func TestSynchronousIsOfOneConnection(t *testing.T) {
	dir := t.TempDir()
	a := openSpied(t, dir, "main", "")
	a.exec("CREATE TABLE t(a)")
	b := openSpied(t, dir, "main", "")
	a.exec("PRAGMA synchronous = off")
	for range 2 {
		b.want(false)
		a.want(true)
	}
	openSpied(t, dir, "main", "").want(false)
	a.exec("PRAGMA graft_switch = 'other'")
	a.exec("CREATE TABLE t(a)")
	a.want(true) // it is the connection's, not the Graft's
}

func TestSynchronousOfAttachedDatabases(t *testing.T) {
	dir := t.TempDir()
	c := openSpied(t, dir, "main", "")
	c.exec("CREATE TABLE t(a)")
	c.exec(fmt.Sprintf("ATTACH 'file:other?vfs=%s&dir=%s' AS aux", spyName, url.QueryEscape(dir)))
	other := spies.take(t)
	c.exec("CREATE TABLE aux.u(a)")
	check := func(wantMain, wantOther bool) {
		t.Helper()
		c.want(wantMain)
		n := len(other.commits)
		c.exec("INSERT INTO u VALUES (random())")
		if level := c.levelOf("aux"); len(other.commits) != n+1 || other.commits[n] != wantOther || wantOther != (level < 2) {
			t.Errorf("commits of the attached database are relaxed: %v at level %d; want %t", other.commits[n:], level, wantOther)
		}
	}
	check(false, false)
	c.exec("PRAGMA aux.synchronous = off")
	check(false, true)
	c.exec("PRAGMA synchronous = off")
	c.exec("PRAGMA aux.synchronous = full")
	check(true, false)
	c.exec("PRAGMA main.synchronous = full")
	check(false, false)
}
