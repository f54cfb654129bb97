package badgerguard

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestNewest(t *testing.T) {
	dir := copyOf(t, closedDir)
	const want = 1_000_000 // sorts before 999999
	for _, name := range []string{"999999.vlog", "1000000.vlog", "x.vlog"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
	}
	for _, c := range []struct {
		hints   []uint64
		garbage int64
	}{
		{[]uint64{0, 0}, 0},
		{[]uint64{1, 7, want, 4711, 0, 0}, 4711},
		{[]uint64{1, 7, 0, 0, want, 4711}, 0},          // behind the end
		{[]uint64{want, 4711, want, 4712, 0, 0}, 0},    // while it is sorted
		{[]uint64{want, ^uint64(0), 1, 4712, 0, 0}, 0}, // damaged
	} {
		var b []byte
		for _, n := range c.hints {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		must(t, os.WriteFile(filepath.Join(dir, hintsName), b, 0o666))
		if id, garbage, err := Newest(dir); id != want || garbage != c.garbage || err != nil {
			t.Errorf("%v: log %d with %d, %v; want %d with %d", c.hints, id, garbage, err, want, c.garbage)
		}
	}
	must(t, os.Remove(filepath.Join(dir, hintsName)))
	for _, dir := range []string{dir, filepath.Join(dir, "missing")} {
		if _, _, err := Newest(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
