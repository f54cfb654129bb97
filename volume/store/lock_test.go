package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// holder is another process that holds a data directory.
type holder struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  string // its first line
}

// startHolder returns when the process holds dir, or said why it does not.
func startHolder(t *testing.T, dir string) *holder {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	h := &holder{cmd: exec.Command(exe, "-test.run=^$")}
	h.cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	h.cmd.Stderr = os.Stderr
	h.stdin, err = h.cmd.StdinPipe()
	must(t, err)
	stdout, err := h.cmd.StdoutPipe()
	must(t, err)
	must(t, h.cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Errorf("the other process says %q, %v", line, err)
	}
	h.said = strings.TrimSpace(line)
	return h
}

func checkInUse(t *testing.T, err error, dir string, pid int) {
	t.Helper()
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("open: %v", err)
	}
	for _, word := range []string{dir, fmt.Sprintf("process %d;", pid), "GRAFT_DIR", "dir="} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func TestOpenNamesTheProcessThatHoldsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	apply(t, s, Change{Tags: []Tag{{"main", someVolume}}})
	closeStore(t, s)

	h := startHolder(t, dir)
	if h.said != "held" {
		t.Fatalf("the other process says %q", h.said)
	}
	for range 2 { // the first failure changes nothing
		_, err := Open(dir, Options{})
		checkInUse(t, err, dir, h.cmd.Process.Pid)
	}
	must(t, h.stdin.Close())
	must(t, h.cmd.Wait())

	// It ended without closing the store.
	s = open(t, dir)
	if got, err := s.Tag("main"); got != someVolume || err != nil {
		t.Errorf("tag: %s, %v", got, err)
	}
	second := startHolder(t, dir)
	if !strings.Contains(second.said, fmt.Sprintf("process %d;", os.Getpid())) {
		t.Errorf("the other process says %q", second.said)
	}
	must(t, second.stdin.Close())
	if err := second.cmd.Wait(); err == nil {
		t.Error("the other process opened the directory too")
	}
}

func TestKilledProcessGivesTheDirectoryFree(t *testing.T) {
	dir := t.TempDir()
	h := startHolder(t, dir)
	must(t, h.cmd.Process.Kill())
	if err := h.cmd.Wait(); err == nil {
		t.Error("the process was not killed")
	}
	closeStore(t, open(t, dir))
}

func TestOpenTwiceInOneProcessIsErrInUse(t *testing.T) {
	s := openNew(t)
	_, err := Open(s.Dir(), Options{})
	checkInUse(t, err, s.Dir(), os.Getpid())
	apply(t, s, Change{Tags: []Tag{{"main", someVolume}}}) // the first one is not hurt
	s = reopen(t, s)
	if got, err := s.Tag("main"); got != someVolume || err != nil {
		t.Errorf("tag: %s, %v", got, err)
	}
}

// TestOpenLeavesAlonePlainBadger has another program's Badger write to the folder, which only Badger's own
// lock knows of.
func TestOpenLeavesAlonePlainBadger(t *testing.T) {
	if !slices.Contains(flocks, runtime.GOOS) {
		t.Skip("Badger locks another thing here")
	}
	s := openNew(t)
	closeStore(t, s)
	db, err := badger.Open(badgerOptions(s.badgerDir(), 0))
	must(t, err)
	defer func() { must(t, db.Close()) }()
	paths, err := filepath.Glob(filepath.Join(s.badgerDir(), "*.vlog"))
	must(t, err)
	before, err := os.Stat(slices.Max(paths))
	must(t, err)
	_, err = Open(s.Dir(), Options{})
	checkInUse(t, err, s.Dir(), os.Getpid())
	if after, err := os.Stat(slices.Max(paths)); err != nil || after.Size() != before.Size() {
		t.Fatalf("the value log it writes to has %d bytes instead of %d, %v", after.Size(), before.Size(), err)
	}
	must(t, db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("k"), make([]byte, 4096)) }))
}

func TestInUseErrorWithoutAProcessID(t *testing.T) {
	dir := t.TempDir()
	pidPath := filepath.Join(dir, "LOCK.pid")
	for _, text := range []string{"", "none", "12 13"} {
		must(t, os.WriteFile(pidPath, []byte(text), 0o666))
		if err := inUseError(dir, pidPath); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("%q: %v", text, err)
		}
	}
	must(t, os.Remove(pidPath))
	if err := inUseError(dir, pidPath); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("no file: %v", err)
	}
}
