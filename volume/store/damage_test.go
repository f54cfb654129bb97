package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store/journal"
)

// damageSeed decides which bytes are damaged.
const damageSeed = 1

// sound is a data directory to be damaged.
type sound struct {
	dir     string
	states  []content // what it must hold: the last; the others are moments before, one for each record not applied
	records []place   // of the journal, that are not applied, oldest first
}

// place is where a record of the journal is: bytes from start to end.
type place struct {
	file       string
	start, end int64
}

// damage is one thing that befalls a file: bytes from start to end.
type damage struct {
	file       string
	start, end int64
	cut        bool // off, else changed
	bit        byte
}

func (d damage) String() string {
	if d.cut {
		return fmt.Sprintf("%s cut off at %d of %d", d.file, d.start, d.end)
	}
	return fmt.Sprintf("%s with bits %02x flipped from %d to %d", d.file, d.bit, d.start, d.end)
}

// soundDirs makes directories with tables and two value logs: one that was
// closed, one whose process was killed after a Flush, and one with some records
// in the journal since then.
func soundDirs(t *testing.T) (closed, flushed, killed sound) {
	t.Helper()
	base := testdir.InMemory(t)
	w := newWorld(t, base, small, 0)
	open := func() {
		s, err := Open(filepath.Join(base, "closed"), Options{journal: journal.Options{FileSize: 16 << 10, Files: 4}, ApplyAt: 1 << 20})
		must(t, err)
		w.s = s
	}
	open()
	for i := range 8 {
		must(t, w.apply(w.change(i%3, false)))
	}
	must(t, w.stage(20, false))
	maps.Copy(w.durable, w.staged)
	must(t, w.close())
	open()
	for i := range 4 {
		must(t, w.apply(w.change(1+i%2, false)))
	}
	must(t, w.s.Flush())
	flushed = sound{dir: filepath.Join(base, "flushed"), states: []content{w.now()}}
	copyOpen(t, flushed.dir, w.s)
	killed = sound{dir: filepath.Join(base, "killed"), states: []content{w.now()}}
	for i := range 6 {
		must(t, w.apply(w.change(i%3, false)))
		killed.states = append(killed.states, w.now())
	}
	copyOpen(t, killed.dir, w.s)
	killed.records = findRecords(t, killed.dir, w.s.applier.applied)
	if len(killed.records) != 6 || killed.records[0].file == killed.records[5].file {
		t.Fatalf("records of the journal: %v", killed.records)
	}
	closed.dir, closed.states = w.s.Dir(), []content{w.now()}
	must(t, w.close())
	return closed, flushed, killed
}

// copyOpen copies the directory of a store that is open.
func copyOpen(t *testing.T, to string, s *Store) {
	t.Helper()
	copyBadger(t, filepath.Join(to, "badger"), filepath.Join(s.Dir(), "badger"))
	must(t, testdir.Copy(filepath.Join(to, "journal"), filepath.Join(s.Dir(), "journal")))
	for _, name := range []string{formatFile, "LOCK", "LOCK.pid"} {
		must(t, testdir.CopyFile(filepath.Join(to, name), filepath.Join(s.Dir(), name)))
	}
}

// findRecords finds the records above applied in the journal.
func findRecords(t *testing.T, dir string, applied uint64) []place {
	t.Helper()
	found := make(map[uint64]place)
	paths, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	must(t, err)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		must(t, err)
		for off := 64; off < len(b); off += 64 {
			seq := binary.LittleEndian.Uint64(b[off+8:])
			if bytes.HasPrefix(b[off:], []byte("GREC")) && seq > applied {
				n := binary.LittleEndian.Uint32(b[off+4:])
				found[seq] = place{filepath.Join("journal", filepath.Base(path)), int64(off), int64(off) + 48 + int64(n)}
			}
		}
	}
	var places []place
	for _, seq := range slices.Sorted(maps.Keys(found)) {
		places = append(places, found[seq])
	}
	return places
}

// allowed gives the moments that the directory may be at after a damage. The
// newest records of the journal, if nothing that is left was written after
// them, are the one thing that may be missing.
func (d sound) allowed(what damage) []content {
	lost := 0
	for _, rec := range slices.Backward(d.records) {
		if rec.file != what.file || what.end <= rec.start || rec.end <= what.start {
			break
		}
		lost++
	}
	return d.states[len(d.states)-1-lost:]
}

// damages samples what may befall the files of dir.
func damages(t *testing.T, dir string, r *rand.Rand) (all []damage) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return err
		}
		file, err := filepath.Rel(dir, path)
		used := len(bytes.TrimRight(b, "\x00"))
		somewhere := func() int64 { return r.Int64N(int64(max(used, 1))) }
		for i := range int64(5) {
			off := somewhere()
			if i < 2 { // the newest that was written
				off = max(0, int64(used)-1-40*i)
			}
			all = append(all, damage{file: file, start: off, end: off + 1, bit: 1 << r.IntN(8)})
		}
		off := somewhere() / 512 * 512
		all = append(all,
			damage{file: file, start: off, end: min(off+512, int64(len(b))), bit: 0xa5},
			damage{file: file, start: int64(r.IntN(len(b))), end: int64(len(b)), bit: 0x5a}, // from somewhere to the end
		)
		for _, off := range []int64{0, somewhere()} {
			all = append(all, damage{file: file, start: off, end: int64(len(b)), cut: true})
		}
		return err
	}))
	return all
}

// do damages a copy.
func (d damage) do(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, d.file)
	if d.cut {
		must(t, os.Truncate(path, d.start))
		return
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, d.end-d.start)
	_, err = f.ReadAt(b, d.start)
	must(t, err)
	for i := range b {
		b[i] ^= d.bit
	}
	_, err = f.WriteAt(b, d.start)
	must(t, errors.Join(err, f.Close()))
}

// differs says how what is read differs from want, or nothing. What cannot be
// read does not differ.
func differs(s *Store, want content) string {
	var said []string
	check := func(what string, err error, same bool) {
		if err != nil && !errors.Is(err, volume.ErrCorrupt) || err == nil && !same {
			said = append(said, fmt.Sprintf("%s: same %t, %v", what, same, err))
		}
	}
	tags, heads := 0, make(map[volume.VolumeID]volume.LSN)
	for key, value := range want {
		if ref, ok := parseKeyPage([]byte(key)); ok {
			page, err := s.Page(ref.Segment, ref.Idx)
			check("page", err, err == nil && string(page[:]) == value)
			has, err := s.HasPage(ref.Segment, ref.Idx)
			check("has page", err, has)
		} else if v, l, ok := parseKeyLog([]byte(key)); ok {
			rec, err := s.Commit(v, l)
			check(fmt.Sprintf("commit %d", l), err, string(rec.Bytes) == value)
			heads[v] = max(heads[v], l)
		} else if key[0] == spaceTag {
			tags++
			v, err := s.Tag(key[1:])
			check("tag", err, string(v[:]) == value)
		}
	}
	for v, head := range heads {
		got, err := s.Head(v)
		check(fmt.Sprintf("head %d instead of %d", got, head), err, got == head)
		g, err := s.Graft(v)
		check("graft", err, g.SyncPoint.Local == head)
	}
	got, err := s.Tags()
	check("tags", err, len(got) == tags)
	grafts, err := s.Grafts()
	check("grafts", err, len(grafts) == len(heads))
	return strings.Join(said, "; ")
}

// TestDamageIsFound damages one file at a time. What was acknowledged is read
// as it was, or with ErrCorrupt.
func TestDamageIsFound(t *testing.T) {
	closed, flushed, killed := soundDirs(t)
	copies := testdir.InMemory(t)
	for name, d := range map[string]sound{"closed": closed, "flushed": flushed, "killed": killed} {
		t.Run(name, func(t *testing.T) {
			outcomes := make(map[string]int)
			for i, what := range damages(t, d.dir, rand.New(rand.NewPCG(damageSeed, uint64(len(name))))) {
				dir := filepath.Join(copies, fmt.Sprint(i))
				must(t, testdir.Copy(dir, d.dir))
				what.do(t, dir)
				outcomes[d.check(t, dir, what)]++
				must(t, os.RemoveAll(dir))
			}
			t.Log(outcomes)
			if outcomes["refused"] == 0 || outcomes["right"] == 0 {
				t.Error("the sample is no test")
			}
		})
	}
}

// check opens the damaged directory dir and reads everything.
func (d sound) check(t *testing.T, dir string, what damage) string {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		if !errors.Is(err, volume.ErrCorrupt) && !errors.Is(err, volume.ErrVersion) {
			t.Errorf("%s: open: %v", what, err)
		}
		return "refused"
	}
	defer func() { _ = s.Close() }() // what is damaged may keep it from writing
	var said []string
	for _, want := range d.allowed(what) {
		said = append(said, differs(s, want))
	}
	if !slices.Contains(said, "") {
		t.Errorf("%s: %q", what, said)
	}
	return "right"
}
