package badgerguard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graft/volume"
)

func TestCheckPassesWhatIsWhole(t *testing.T) {
	wantWhole(t, filepath.Join(t.TempDir(), "absent"), "absent")
	wantWhole(t, t.TempDir(), "empty")
	for what, from := range map[string]string{"closed": closedDir, "crashed": crashedDir} {
		dir := copyOf(t, from)
		before := listing(t, dir)
		wantWhole(t, dir, what)
		if after := listing(t, dir); after != before {
			t.Errorf("%s: Check changed\n%s to\n%s", what, before, after)
		}
		if damaged := openAndRead(t, dir, what); damaged != 0 {
			t.Errorf("%s: %d keys give errors", what, damaged)
		}
		wantWhole(t, dir, what+", opened and closed")
	}
}

func listing(t *testing.T, dir string) (text string) {
	t.Helper()
	for _, name := range names(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		text += fmt.Sprintln(name, info.Size(), info.ModTime())
	}
	return text
}

func TestCheckNamesFileAndOffset(t *testing.T) {
	dir := copyOf(t, crashedDir)
	name := newest(t, dir, ".vlog")
	patch(t, dir, name, 100, []byte{1, 2, 3})
	err := Check(dir)
	want := fmt.Sprintf("%v: %s at offset 20: an entry, behind which %s points", volume.ErrCorrupt, name, newest(t, dir, ".mem"))
	if err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestOlderLogsAndLoneLogs(t *testing.T) {
	dir := copyOf(t, closedDir)
	must(t, os.Truncate(filepath.Join(dir, "000001.vlog"), 100_000))
	wantCorrupt(t, dir, "an older value log that was cut")

	dir = copyOf(t, crashedDir)
	patch(t, dir, "000001.vlog", 3, []byte{1})
	wantCorrupt(t, dir, "an older value log of an unknown key")

	dir = copyOf(t, crashedDir)
	for _, name := range []string{manifestName, newest(t, dir, ".sst")} {
		must(t, os.Remove(filepath.Join(dir, name)))
	}
	wantCorrupt(t, dir, "logs and no MANIFEST")
}

// opens bounds how often a test opens Badger over what Check let pass.
const opens = 25

// TestDamageIsNeverSilent changes one byte, or the length, of one file at a
// time.
func TestDamageIsNeverSilent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found, left := 0, opens
	for kind, from := range map[string]string{"closed": closedDir, "crashed": crashedDir} {
		for _, name := range names(t, from) {
			dir, whole := copyOf(t, from), read(t, from, name)
			used := len(whole)
			for used > 0 && whole[used-1] == 0 {
				used--
			}
			try := func(what string, undo func()) {
				if err := Check(dir); errors.Is(err, volume.ErrCorrupt) || errors.Is(err, volume.ErrVersion) {
					found++
				} else if err != nil {
					t.Errorf("%s: %v", what, err)
				} else if left > 0 && r.IntN(3) == 0 {
					left--
					openAndRead(t, copyOf(t, dir), what)
				}
				undo()
			}
			for range min(used, 20) {
				off := r.IntN(used)
				patch(t, dir, name, int64(off), []byte{whole[off] ^ byte(1+r.IntN(255))})
				try(fmt.Sprintf("%s: %s: byte %d", kind, name, off), func() { patch(t, dir, name, int64(off), whole[off:off+1]) })
			}
			for _, size := range []int{0, 1, 19, 20, 21, used / 3, used / 2, used - 1, used, used + 1} {
				if size < 0 || size >= len(whole) || size == 0 && filepath.Ext(name) == ".mem" {
					continue
				}
				must(t, os.Truncate(filepath.Join(dir, name), int64(size)))
				try(fmt.Sprintf("%s: %s: cut to %d", kind, name, size), func() {
					must(t, os.WriteFile(filepath.Join(dir, name), whole, 0o666))
				})
			}
		}
	}
	if found < 150 || left == opens {
		t.Errorf("found %d, opened %d", found, opens-left)
	}
}

func TestFoldersAndMissingFiles(t *testing.T) {
	for _, from := range []string{closedDir, crashedDir} {
		for _, name := range names(t, from) {
			dir := copyOf(t, from)
			must(t, os.Remove(filepath.Join(dir, name)))
			missing := Check(dir)
			must(t, os.Mkdir(filepath.Join(dir, name), 0o777))
			wantCorrupt(t, dir, "folder in place of "+name)
			// An older value log may be garbage that was collected, and Badger
			// makes the others anew.
			older := filepath.Ext(name) == ".vlog" && name != newest(t, from, ".vlog")
			anew := slices.Contains([]string{"LOCK", "DISCARD", "KEYREGISTRY"}, name)
			memtable := filepath.Ext(name) == ".mem" // see the package comment
			if errors.Is(missing, volume.ErrCorrupt) == (older || anew || memtable) {
				t.Errorf("without %s: %v", name, missing)
			}
		}
	}
}

func TestNamesThatAreNotBadgers(t *testing.T) {
	for _, name := range []string{"x.mem", "1.vlog", "-1.sst", "0000001.sst", "000001.mem"} {
		dir := copyOf(t, closedDir)
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
		wantCorrupt(t, dir, name)
	}
}

func TestTidyMendsHalfMadeFiles(t *testing.T) {
	dir := copyOf(t, crashedDir)
	for _, name := range []string{"00009.mem", "000099.vlog", "000098.vlog"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
	}
	must(t, os.WriteFile(filepath.Join(dir, hintsName), []byte("short"), 0o666))
	if err := Check(dir); !errors.Is(err, ErrHints) || !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("a short DISCARD: %v", err)
	}
	must(t, Tidy(dir))
	wantWhole(t, dir, "tidied")
	if damaged := openAndRead(t, dir, "tidied"); damaged != 0 {
		t.Errorf("%d keys give errors", damaged)
	}
}

// TestTidyKeepsTheNewestID: an id that is used twice would give other pages.
func TestTidyKeepsTheNewestID(t *testing.T) {
	dir := copyOf(t, crashedDir)
	must(t, os.Truncate(filepath.Join(dir, newest(t, dir, ".vlog")), 0))
	wantCorrupt(t, dir, "empty newest value log")
	must(t, Tidy(dir))
	wantCorrupt(t, dir, "empty newest value log, tidied")
	if got, want := newest(t, dir, ".vlog"), newest(t, crashedDir, ".vlog"); got != want {
		t.Errorf("the newest value log is %s, was %s", got, want)
	}
}

func TestHints(t *testing.T) {
	slot := func(id, size byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, id, 0, 0, 0, 0, 0, 0, 0, size} }
	large := slot(1, 1)
	large[0] = 1
	negative := slot(1, 1)
	negative[8] = 0x80
	for _, test := range []struct {
		name  string
		slots [][]byte
		ok    bool
	}{
		{"none", [][]byte{slot(0, 0)}, true},
		{"last is free", [][]byte{slot(1, 9), slot(2, 9), slot(0, 0)}, true},
		{"full", [][]byte{slot(1, 9)}, false},
		{"twice", [][]byte{slot(1, 9), slot(1, 8), slot(0, 0)}, false},
		{"large id", [][]byte{large, slot(0, 0)}, false},
		{"negative size", [][]byte{negative, slot(0, 0)}, false},
		{"no slot", nil, false},
	} {
		if _, err := parseHints(slices.Concat(test.slots...)); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrHints) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestCheckGCFindsWhatItWouldDestroy(t *testing.T) {
	dir := copyOf(t, closedDir)
	names := names(t, dir)
	older := names[slices.Index(names, "000001.vlog")]
	must(t, os.WriteFile(filepath.Join(dir, hintsName), append([]byte{7: 1, 8: 0, 13: 8, 15: 0}, make([]byte, 64)...), 0o666))
	must(t, CheckGC(dir, 0.5))
	patch(t, dir, older, 5000, []byte{1, 2, 3})
	wantWhole(t, dir, "an older value log is not read")
	if err := CheckGC(dir, 0.5); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("damage in a log that may be collected: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, hintsName), make([]byte, 64), 0o666))
	must(t, CheckGC(dir, 0.5))
}
