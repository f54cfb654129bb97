package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"graft/internal/testdir"
	"graft/volume"
)

// msyncEnv makes TestWriteUntilMsyncFails a process that writes to the data directory in the folder that it
// names until the kernel fails to sync the logs of the kind that msyncLogsEnv names.
const (
	msyncEnv     = "GRAFT_STORE_TEST_MSYNC"
	msyncLogsEnv = "GRAFT_STORE_TEST_MSYNC_LOGS"
)

// failedMsyncs is what Badger says when the kernel fails to sync the logs of a kind.
var failedMsyncs = map[string]string{".vlog": failedSync, ".mem": failedMemtable}

// noFilter is how that process ends where system calls cannot be made to fail.
const noFilter = 3

// failMsync has the kernel fail every msync of so many bytes, in the whole process and for good.
func failMsync(size uint32) error {
	low := uint32(24) // where the low half of the second argument is in seccomp_data
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		low += 4
	}
	const load, equal, give = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	code := []unix.SockFilter{
		{Code: load, K: 0}, // the number of the call
		{Code: equal, K: unix.SYS_MSYNC, Jf: 3},
		{Code: load, K: low},
		{Code: equal, K: size, Jf: 1},
		{Code: give, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)},
		{Code: give, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return errno
	}
	return nil
}

// TestWriteUntilMsyncFails is the process. It says what Apply has acknowledged, and ends as it
// is.
func TestWriteUntilMsyncFails(t *testing.T) {
	dir := os.Getenv(msyncEnv)
	if dir == "" {
		return
	}
	f := newSyncFailure(filepath.Join(dir, "before"))
	f.logs = os.Getenv(msyncLogsEnv)
	o := killOptions
	o.Logger = slog.New(f)
	s, err := Open(filepath.Join(dir, "data"), o)
	must(t, err)
	size := dbOf(s).Opts().ValueLogFileSize
	if f.logs == ".mem" {
		size = dbOf(s).Opts().MemTableSize
	}
	f.fail = func() error { return failMsync(uint32(2 * size)) } // as Badger maps a new file
	f.arm(s, "", 20)
	said := failedMsyncs[f.logs]
	var others sync.WaitGroup
	for range 6 {
		others.Go(func() { stageUntilPoisoned(t, s) })
	}
	err = writeCommits(s, 0)
	others.Wait()
	switch {
	case errors.Is(f.mu.err, unix.ENOSYS), errors.Is(f.mu.err, unix.EINVAL), errors.Is(f.mu.err, unix.EPERM):
		os.Exit(noFilter)
	case f.mu.err != nil:
		t.Fatal(f.mu.err)
	}
	if errors.Is(err, unix.EIO) { // it was the one that failed
		err = s.Stage(volume.NewSegmentID(), pages(1, 1, 1))
	}
	wantPoisoned(t, "write", err, said)
	v, err := s.Tag(killTags[0])
	must(t, err)
	head, err := s.Head(v)
	must(t, err)
	s.cache.pages.InvalidateAll()
	checkKilled(t, s, 0, 0, head)
	wantPoisoned(t, "close", s.Close(), said)
	wantKept(t, s, said)
	if !t.Failed() {
		os.Exit(0)
	}
}

// stageUntilPoisoned stages pages of no use. The write that fails says why itself, before anybody else
// knows.
func stageUntilPoisoned(t *testing.T, s *Store) {
	entries := pages(1, 30, 1)
	for {
		switch err := s.Stage(volume.NewSegmentID(), entries); {
		case errors.Is(err, ErrPoisoned), errors.Is(err, unix.EIO):
			return
		case err != nil:
			t.Errorf("stage: %v", err)
			return
		}
	}
}

// TestPowerCutsAfterAFailedMsync has the kernel fail a sync of the value log, or of a memtable's, while
// several write, and then cuts the power.
func TestPowerCutsAfterAFailedMsync(t *testing.T) {
	for logs := range failedMsyncs {
		t.Run(logs, func(t *testing.T) {
			dir := testdir.InMemory(t)
			must(t, os.Mkdir(filepath.Join(dir, "before"), 0o777))
			data := filepath.Join(dir, "data")
			s, err := Open(data, killOptions)
			must(t, err)
			apply(t, s, Change{Tags: []Tag{{killTags[0], volume.NewVolumeID()}}})
			closeStore(t, s)

			acknowledged := writeUntilMsyncFails(t, dir, logs)
			u := newUnsynced(t, filepath.Join(data, "badger"), filepath.Join(dir, "before"), logs)
			if len(u.sectors) == 0 {
				t.Error("everything was synced")
			}
			for seed := range 5 {
				cut := testdir.InMemory(t)
				must(t, testdir.Copy(cut, data))
				must(t, os.RemoveAll(filepath.Join(cut, "badger")))
				u.cut(t, filepath.Join(cut, "badger"), rand.New(rand.NewPCG(uint64(seed), 1)), 1+seed%3)
				checkKilled(t, open(t, cut), 0, 0, acknowledged)
			}
			checkKilled(t, open(t, data), 0, 0, acknowledged) // without a power cut
		})
	}
}

// writeUntilMsyncFails runs the process, and gives the newest commit that was acknowledged.
func writeUntilMsyncFails(t *testing.T, dir, logs string) (newest volume.LSN) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, "-test.run=^TestWriteUntilMsyncFails$")
	cmd.Env = append(os.Environ(), msyncEnv+"="+dir, msyncLogsEnv+"="+logs)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var writer int
		if _, err := fmt.Sscan(lines.Text(), &writer, &newest); err != nil {
			t.Errorf("the process says %q", lines.Text())
		}
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() == noFilter {
		t.Skip("system calls cannot be made to fail here")
	}
	if err != nil {
		t.Errorf("the process: %v", err)
	}
	return newest
}
