package driver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sys/unix"

	"graft"
	"graft/internal/testdir"
)

// replaceJournal lets the open files of the redo journal in dir be a device, until
// restore is called: /dev/full takes no write, /dev/null cannot be synced.
func replaceJournal(t *testing.T, dir, device string) (restore func()) {
	t.Helper()
	with, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(with)
	was := make(map[int]int)
	for _, fd := range journalFiles(t, dir) {
		if was[fd], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(with, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for fd, file := range was {
			if err := errors.Join(unix.Dup3(file, fd, unix.O_CLOEXEC), unix.Close(file)); err != nil {
				t.Error(err)
			}
		}
	}
}

// journalFiles gives the descriptors of the open files of the redo journal in dir.
func journalFiles(t *testing.T, dir string) (files []int) {
	t.Helper()
	const open = "/proc/self/fd"
	entries, err := os.ReadDir(open)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path, err := os.Readlink(filepath.Join(open, e.Name()))
		fd, notNumber := strconv.Atoi(e.Name())
		if err == nil && notNumber == nil && filepath.Dir(path) == filepath.Join(dir, "journal") {
			files = append(files, fd)
		}
	}
	if len(files) == 0 {
		t.Fatalf("no file of the redo journal in %s is open", dir)
	}
	return files
}

// storeFault is why a COMMIT fails in the local store.
type storeFault struct {
	device string // that the redo journal becomes
	change string // what is to be committed, besides an UPDATE
	forms  []string
	is     []error
	says   string
	stays  bool // after the reason is gone, until the directory is opened again
	maybe  bool // nobody knows whether what failed is there then
}

var storeFaults = map[string]storeFault{
	"write": {
		"/dev/full", "SELECT 1", []string{"one statement", "spilled", "without waiting"},
		[]error{sqlite3.IOERR, graft.ErrPoisoned, syscall.ENOSPC}, "no space left", true, false,
	},
	"sync": {
		"/dev/null", "SELECT 1", []string{"one statement", "spilled"},
		[]error{sqlite3.IOERR, graft.ErrPoisoned, syscall.EINVAL}, "outcome unknown", true, true,
	},
	"full": { // the journal has to grow, which changes nothing that is there
		"/dev/full", "CREATE TABLE z AS SELECT randomblob(800000) AS y", []string{"spilled"},
		[]error{sqlite3.FULL, graft.ErrFull, syscall.ENOSPC}, "no space left", false, false,
	},
}

// TestACommitThatTheStoreRefuses fails COMMIT by a write, a sync and a full disk. It
// is rolled back and says why, others are not kept waiting, and what was there stays,
// here and when the directory is opened again.
func TestACommitThatTheStoreRefuses(t *testing.T) {
	const update = "UPDATE t SET b = 'new' || b"
	forms := map[string]func(change string) []string{
		"one statement": func(string) []string { return []string{update} },
		"spilled": func(change string) []string {
			return []string{"PRAGMA cache_size = 1", "BEGIN", change, update, "COMMIT"}
		},
		"without waiting": func(change string) []string {
			return []string{"PRAGMA synchronous = normal", "BEGIN", change, update, "COMMIT"}
		},
	}
	for name, fault := range storeFaults {
		for _, form := range fault.forms {
			t.Run(name+" "+form, func(t *testing.T) { fault.refuses(t, forms[form](fault.change)) })
		}
	}
}

func (fault storeFault) refuses(t *testing.T, statements []string) {
	ctx := context.Background()
	dir := testdir.InMemory(t)
	db := open(t, "tag=main dir='%s' _pragma=busy_timeout(0)", dir)
	db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", numbers+"INSERT INTO t SELECT i, printf('%.100c', 'x') FROM n")
	const (
		content  = "SELECT count(*) || ' ' || sum(length(b)) || (SELECT '' || group_concat(name) FROM sqlite_schema) FROM t"
		old, new = "400 40000t", "400 41200t"
	)
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, statements[:len(statements)-1]...)
	repair := replaceJournal(t, dir, fault.device)
	_, err = conn.ExecContext(ctx, statements[len(statements)-1])
	wantIs(t, err, fault.is...)
	wantError(t, err, fault.says)
	t.Log(err)
	if got := ask(t, conn, content); got != old {
		t.Errorf("the connection sees %q", got)
	}
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err == nil {
		t.Error("the transaction was still open")
	}
	// Nobody has the lock, and the others see what they saw.
	db.want(content, old)
	db.want("PRAGMA integrity_check", "ok")
	db.exec("BEGIN IMMEDIATE", "ROLLBACK")
	repair()
	if fault.stays {
		wantIs(t, db.fails("INSERT INTO t VALUES (1000, '')", fault.says), fault.is...)
	} else {
		db.exec("INSERT INTO t VALUES (1000, '')", "DELETE FROM t WHERE a = 1000")
		run(t, conn, "INSERT INTO t VALUES (1000, '')", "DELETE FROM t WHERE a = 1000")
	}
	_, _ = conn.Close(), db.Close() // which may say that the store is poisoned
	db = open(t, "tag=main dir='%s'", dir)
	if got := db.ask(content); got != old && !(fault.maybe && strings.HasPrefix(got, new)) {
		t.Errorf("opened again it is %q", got)
	}
	db.want("PRAGMA integrity_check", "ok")
	db.exec("INSERT INTO t VALUES (1000, '')")
	db.want("PRAGMA integrity_check", "ok")
}
