package badgerguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"graft/volume"
)

// keysOf gives the entries of a table.
func keysOf(b []byte) (keys []entry, err error) {
	err = readTable("t", b, func(e *entry) { keys = append(keys, *e) })
	return keys, err
}

func TestEveryByteOfATable(t *testing.T) {
	whole := read(t, closedDir, newest(t, closedDir, ".sst"))
	want, err := keysOf(whole)
	must(t, err)
	if len(want) < 100 {
		t.Fatalf("%d entries", len(want))
	}
	b := bytes.Clone(whole)
	for i := range b {
		b[i] ^= 1 << (i % 8)
		if _, err := keysOf(b); !errors.Is(err, volume.ErrCorrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
		b[i] ^= 1 << (i % 8)
	}
	for n := range len(whole) {
		if _, err := keysOf(whole[:n]); !errors.Is(err, volume.ErrCorrupt) {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
}

// TestTableWithAFalseIndex: checksums are right, the index is none.
func TestTableWithAFalseIndex(t *testing.T) {
	index := bytes.Repeat([]byte{0x7f}, 40)
	sum, err := proto.Marshal(&pb.Checksum{Algo: pb.Checksum_CRC32C, Sum: uint64(crc32.Checksum(index, castagnoli))})
	must(t, err)
	b := binary.BigEndian.AppendUint32(bytes.Clone(index), uint32(len(index)))
	b = binary.BigEndian.AppendUint32(append(b, sum...), uint32(len(sum)))
	if _, err := keysOf(b); !errors.Is(err, volume.ErrCorrupt) {
		t.Error(err)
	}
}

func equal(a, b []entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// memtableLog gives the memtable's log of the crashed database, cut to a whole
// MiB, and where each request in it ends.
func memtableLog(t testing.TB) (b []byte, ends []int64) {
	t.Helper()
	b = read(t, crashedDir, newest(t, crashedDir, ".mem"))[:preallocation]
	l := newLogReader(bytes.NewReader(b[logHeaderSize:]), logHeaderSize, int64(len(b)))
	for {
		e, ok, err := l.next()
		must(t, err)
		if !ok {
			return b, ends
		}
		if e.meta&bitFin != 0 {
			ends = append(ends, e.end)
		}
	}
}

func memtableOf(t *testing.T, b []byte) (memtable, []entry) {
	t.Helper()
	var kept []entry
	m, err := readMemtable("m", b, func(e *entry) { kept = append(kept, *e) })
	if err != nil && !errors.Is(err, volume.ErrCorrupt) {
		t.Fatal(err)
	}
	if err != nil {
		m.bad = err.Error()
	}
	return m, kept
}

// TestEveryByteOfAMemtablesLog: only damage to the last request may go unseen.
func TestEveryByteOfAMemtablesLog(t *testing.T) {
	b, ends := memtableLog(t)
	if len(ends) != 12 {
		t.Fatalf("%d requests", len(ends))
	}
	_, want := memtableOf(t, b)
	last := ends[len(ends)-2]
	unseen := 0
	for i := range int(ends[len(ends)-1]) {
		b[i] ^= 0x5a
		m, kept := memtableOf(t, b)
		switch {
		case m.bad != "":
		case i >= int(last):
			unseen++
		case !equal(kept, want):
			t.Fatalf("byte %d: ends at %d, %d entries instead of %d, and no error", i, m.end, len(kept), len(want))
		}
		b[i] ^= 0x5a
	}
	if unseen == 0 {
		t.Error("a crash's tail is taken for damage")
	}
	for n := 1; n < int(last); n++ {
		if m, kept := memtableOf(t, b[:n]); m.bad == "" && !equal(kept, want[:len(kept)]) || m.bad == "" && m.end != int64(n) {
			t.Fatalf("cut to %d: ends at %d, and no error", n, m.end)
		}
	}
}

// TestTornRequestProves: of the request behind the damage only the first entry
// is there, with or without a transaction.
func TestTornRequestProves(t *testing.T) {
	b, ends := memtableLog(t)
	clear(b[ends[3]:])
	entry := testEntry(0, "k\xff\xff\xff\xff\xff\xff\xff\xfe", "v")
	copy(b[ends[3]:], entry)
	b[ends[2]+10] ^= 1
	if m, _ := memtableOf(t, b); m.bad == "" || m.end != ends[2] {
		t.Errorf("ends at %d instead of %d: %q", m.end, ends[2], m.bad)
	}
	clear(b[ends[3]:])
	if m, _ := memtableOf(t, b); m.bad != "" {
		t.Errorf("without the entry: %s", m.bad)
	}
}

// TestPowerCutsLeaveNoDamage: requests up to one are synced, of the next any
// sectors are there.
func TestPowerCutsLeaveNoDamage(t *testing.T) {
	whole, ends := memtableLog(t)
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		n := r.IntN(len(ends) - 1)
		sector := []int{64, 512, 4096}[r.IntN(3)]
		b := make([]byte, len(whole))
		copy(b, whole[:ends[n+1]])
		for at := int(ends[n]); at < int(ends[n+1]); at = (at/sector + 1) * sector {
			if r.IntN(2) == 0 {
				clear(b[at:min((at/sector+1)*sector, len(b))])
			}
		}
		if m, _ := memtableOf(t, b); m.bad != "" || m.end < ends[n] {
			t.Fatalf("request %d: ends at %d instead of %d: %s", n+1, m.end, ends[n], m.bad)
		}
	}
}

// TestPowerCutsOfTheValueLog: what the memtable's log points to is synced, of
// the rest any sectors are there.
func TestPowerCutsOfTheValueLog(t *testing.T) {
	mem, vlog := newest(t, crashedDir, ".mem"), newest(t, crashedDir, ".vlog")
	b, ends := memtableLog(t)
	whole := read(t, crashedDir, vlog)
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		n := r.IntN(8)
		c := &checker{dir: crashedDir, pointers: map[uint64]source{}}
		_, err := readMemtable(mem, append(bytes.Clone(b[:ends[n]]), make([]byte, len(b)-int(ends[n]))...), func(e *entry) { c.note(e, "") })
		must(t, err)
		var synced int64
		for _, p := range c.pointers {
			synced = p.end()
		}
		dir := copyOf(t, crashedDir)
		must(t, os.Truncate(filepath.Join(dir, mem), ends[n]))
		must(t, os.Truncate(filepath.Join(dir, mem), int64(len(b))))
		end := synced + int64(r.IntN(100_000))
		v := bytes.Clone(whole)
		clear(v[end:])
		for at := synced; at < end; at = (at/512 + 1) * 512 {
			if r.IntN(3) == 0 {
				clear(v[at:min((at/512+1)*512, end)])
			}
		}
		must(t, os.WriteFile(filepath.Join(dir, vlog), v, 0o666))
		wantWhole(t, dir, "power cut")
		patch(t, dir, vlog, int64(logHeaderSize+r.IntN(int(synced)-logHeaderSize)), make([]byte, 64))
		wantCorrupt(t, dir, "synced bytes are lost")
	}
}

// TestLaterLog: damage to the last request of a memtable's log is seen by the
// one that follows, unless a restart lies between.
func TestLaterLog(t *testing.T) {
	whole, ends := memtableLog(t)
	first, second := bytes.Clone(whole), bytes.Clone(whole)
	cut := ends[4]
	clear(first[cut:])
	first[ends[3]+40] ^= 1 // in the last of five requests
	clear(second[logHeaderSize:])
	copy(second[logHeaderSize:], whole[cut:ends[8]])
	for what, later := range map[string][]byte{"rotated": second, "restarted": whole} {
		dir := copyOf(t, crashedDir)
		name := newest(t, dir, ".mem")
		must(t, os.WriteFile(filepath.Join(dir, name), first, 0o666))
		must(t, os.WriteFile(filepath.Join(dir, "00009.mem"), later, 0o666))
		if err := Check(dir); errors.Is(err, volume.ErrCorrupt) != (what == "rotated") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestManifest: every byte and every length. What passes names the same
// tables, or Check misses the entries of those that it does not.
func TestManifest(t *testing.T) {
	whole := read(t, crashedDir, manifestName)
	want, err := parseManifest(whole)
	must(t, err)
	if len(want.tables) != 1 {
		t.Fatalf("%d tables", len(want.tables))
	}
	b := bytes.Clone(whole)
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			m, err := parseManifest(b)
			if err == nil && len(m.tables) != len(want.tables) {
				t.Errorf("byte %d bit %d: %d tables and no error", i, bit, len(m.tables))
			}
			b[i] ^= 1 << bit
		}
	}
	dir := copyOf(t, crashedDir)
	for n := range len(whole) {
		must(t, os.WriteFile(filepath.Join(dir, manifestName), whole[:n], 0o666))
		wantCorrupt(t, dir, "MANIFEST cut")
	}
	binary.BigEndian.PutUint16(b[6:], 9)
	must(t, os.WriteFile(filepath.Join(dir, manifestName), b, 0o666))
	if err := Check(dir); !errors.Is(err, volume.ErrVersion) {
		t.Errorf("version 9: %v", err)
	}
}

// TestTornManifest: the process died after it made a table and before the
// MANIFEST named it, so that its memtable's log is still there.
func TestTornManifest(t *testing.T) {
	dir := copyOf(t, crashedDir)
	closed := read(t, closedDir, newest(t, closedDir, ".sst"))
	orphan := tableName(7)
	must(t, os.WriteFile(filepath.Join(dir, orphan), closed, 0o666))
	wantWhole(t, dir, "table of the memtable")
	must(t, os.Remove(filepath.Join(dir, newest(t, dir, ".mem"))))
	wantCorrupt(t, dir, "table whose memtable is gone")
	must(t, os.WriteFile(filepath.Join(dir, orphan), closed[:len(closed)-5], 0o666))
	wantWhole(t, dir, "table that was not written to its end")
}

// testEntry gives the bytes of an entry.
func testEntry(meta byte, key, value string) []byte {
	b := []byte{meta, 0}
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = binary.AppendUvarint(b, uint64(len(value)))
	b = append(append(append(b, 0), key...), value...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func TestAbsurdLengths(t *testing.T) {
	for name, test := range map[string]struct {
		header []byte
		absurd bool
	}{
		"long value":            {[]byte{0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}, true},
		"long number":           {[]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, true},
		"value beyond the log":  {[]byte{0, 0, 9, 0xff, 0xff, 0x7f, 0}, false},
		"key that is too long":  {[]byte{0, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}, false},
		"zeros":                 {make([]byte, 20), false},
		"more than 32 bits, ok": {[]byte{0, 0, 9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0}, false},
	} {
		b := make([]byte, preallocation)
		copy(b[logHeaderSize:], test.header)
		if m, _ := memtableOf(t, b); (m.bad != "") != test.absurd {
			t.Errorf("%s: %q", name, m.bad)
		}
	}
}

func FuzzCheck(f *testing.F) {
	b, ends := memtableLog(f)
	f.Add(b[:ends[1]])
	f.Add(append(make([]byte, logHeaderSize), testEntry(0, "k01234567", "v")...))
	f.Add(append(make([]byte, logHeaderSize), 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0x0f))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMemtable("m", b, func(e *entry) {
			if e.off < logHeaderSize || e.end > int64(len(b)) || e.off >= e.end {
				t.Errorf("entry at %d to %d of %d bytes", e.off, e.end, len(b))
			}
			e.pointer()
		})
		if err == nil && (m.end < logHeaderSize || m.end > int64(len(b))) {
			t.Errorf("ends at %d of %d bytes", m.end, len(b))
		}
		if err != nil && !errors.Is(err, volume.ErrCorrupt) {
			t.Error(err)
		}
		for _, parse := range []func() error{
			func() error { _, err := parseManifest(b); return err },
			func() error { _, err := parseHints(b); return err },
			func() error { return readTable("t", b, func(*entry) {}) },
		} {
			if err := parse(); err != nil && !errors.Is(err, volume.ErrCorrupt) && !errors.Is(err, volume.ErrVersion) {
				t.Error(err)
			}
		}
	})
}
