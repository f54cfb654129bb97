package store

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"

	"graft/volume"
)

// holdEnv makes the test binary a process that holds the data directory that it
// names, until its standard input ends.
const holdEnv = "GRAFT_STORE_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		os.Exit(hold(dir))
	}
	goleak.VerifyTestMain(m)
}

// hold says one line, "held" or why not, and ends without closing the store.
func hold(dir string) int {
	if _, err := Open(dir, Options{}); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("held")
	_, err := io.Copy(io.Discard, bufio.NewReader(os.Stdin))
	if err != nil {
		return 2
	}
	return 0
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func openNew(t *testing.T) *Store {
	t.Helper()
	return open(t, t.TempDir())
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	closeStore(t, s)
	return open(t, s.Dir())
}

func apply(t *testing.T, s *Store, c Change) {
	t.Helper()
	if err := s.Apply(c); err != nil {
		t.Fatal(err)
	}
}

// putRaw stores bytes that no method would.
func putRaw(t *testing.T, s *Store, key, value []byte) {
	t.Helper()
	if err := s.update(func(txn *badger.Txn) error { return txn.Set(key, value) }); err != nil {
		t.Fatal(err)
	}
}

// commit gives a local commit that changes one page, as its LSN tells.
func commit(t *testing.T, v volume.VolumeID, l volume.LSN) volume.Record {
	t.Helper()
	rec, err := volume.EncodeCommit(volume.Commit{
		Volume: v, LSN: l, PageCount: 1, Time: time.UnixMilli(int64(l)),
		Segments: []volume.Segment{{ID: volume.NewSegmentID(), Pages: volume.PageSetOf(1)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func state(id volume.SegmentID, l volume.LSN, aliases ...volume.Alias) volume.SegmentState {
	return volume.SegmentState{
		Volume: someVolume, LSN: l, Aliases: aliases,
		Segment: volume.Segment{ID: id, Pages: volume.PageSetOf(1, 2, 3)},
	}
}

// page gives a page of random bytes; equal seeds give equal pages.
func page(seed uint64) *volume.Page {
	var p volume.Page
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], r.Uint64())
	}
	return &p
}

// pages gives entries first to last, each made from its index and salt.
func pages(first, last volume.PageIdx, salt uint64) []volume.PageEntry {
	var entries []volume.PageEntry
	for p := first; p <= last; p++ {
		entries = append(entries, volume.PageEntry{Idx: p, Page: page(salt<<32 | uint64(p))})
	}
	return entries
}

// editedPages gives entries 1 to last, of which most differ from those of the salt
// below in a few bytes.
func editedPages(last volume.PageIdx, salt uint64) []volume.PageEntry {
	entries := pages(1, last, salt/8)
	for i := range entries {
		for n := salt - salt%8; n < salt; n++ {
			entries[i].Page = edit(entries[i].Page, n)
		}
	}
	return entries
}

var (
	someVolume  = volume.NewVolumeID()
	otherVolume = volume.NewVolumeID()
)

// dbOf is the Badger of s, once it is open.
func dbOf(s *Store) *badger.DB {
	<-s.badger.made
	return s.badger.db
}
