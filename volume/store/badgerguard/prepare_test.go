package badgerguard

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"graft/internal/testdir"
	"graft/volume"
)

// TestPrepareCutsWhatNothingPointsTo has values in the newest value log that no request points
// to, whole and in pieces, and takes a power cut's holes for none when they are gone.
func TestPrepareCutsWhatNothingPointsTo(t *testing.T) {
	for name, lose := range map[string]func(tail []byte){
		"all there":     func([]byte) {},
		"not one":       func(tail []byte) { clear(tail) },
		"first sector":  func(tail []byte) { clear(tail[:512]) },
		"in the middle": func(tail []byte) { clear(tail[5000:5512]) },
		"last sector":   func(tail []byte) { clear(tail[len(tail)-512:]) },
	} {
		dir := filepath.Join(testdir.InMemory(t), "badger")
		must(t, testdir.Copy(dir, crashedDir))
		log := newest(t, dir, ".vlog")
		whole := read(t, dir, log)
		end := pointedTo(t, dir)
		tail := bytes.Repeat(whole[logHeaderSize:end], 2)[:3*4200]
		lose(tail)
		patch(t, dir, log, end, tail)
		must(t, Prepare(dir))
		if got := read(t, dir, log); !bytes.Equal(got, whole[:end]) {
			t.Errorf("%s: %d bytes are left, %d are pointed to", name, len(got), end)
		}
		if damaged := openAndRead(t, dir, name); damaged != 0 {
			t.Errorf("%s: %d keys give errors", name, damaged)
		}
		must(t, Prepare(dir))
		must(t, os.WriteFile(filepath.Join(dir, hintsName), make([]byte, 64), 0o666))
		must(t, CheckGC(dir, 0))
	}
}

// pointedTo gives the end of what is pointed to in the newest value log.
func pointedTo(t *testing.T, dir string) int64 {
	t.Helper()
	c := &checker{dir: dir}
	must(t, c.check())
	ids := sortedIDs(c.vlogs)
	return c.pointers[ids[len(ids)-1]].end()
}

// TestPrepareWritesWhatMayNotBeOnDisk: that is the newest log of each kind after a crash, also when
// Badger has begun another one for its memtable, and nothing once it was closed.
func TestPrepareWritesWhatMayNotBeOnDisk(t *testing.T) {
	log := newest(t, crashedDir, ".mem")
	for _, c := range []struct {
		dir   string
		begun bool
		want  []string
	}{
		{closedDir, false, nil},
		{crashedDir, false, []string{newest(t, crashedDir, ".vlog"), log}},
		{crashedDir, true, []string{newest(t, crashedDir, ".vlog"), log}},
	} {
		dir := copyOf(t, c.dir)
		if c.begun {
			header := make([]byte, preallocation)
			copy(header, read(t, dir, log)[:logHeaderSize])
			must(t, os.WriteFile(filepath.Join(dir, memName(99)), header, 0o666))
		}
		before := time.Unix(1e9, 0)
		for _, name := range names(t, dir) {
			must(t, os.Chtimes(filepath.Join(dir, name), before, before))
		}
		must(t, Prepare(dir))
		var wrote []string
		for _, name := range names(t, dir) {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			if !info.ModTime().Equal(before) {
				wrote = append(wrote, name)
			}
		}
		if !slices.Equal(wrote, c.want) {
			t.Errorf("wrote %v instead of %v", wrote, c.want)
		}
		if len(c.want) > 0 && !bytes.Equal(read(t, dir, log), read(t, crashedDir, log)) {
			t.Errorf("%s has changed", log)
		}
	}
}

// TestPrepareLeavesWhatIsDamaged changes nothing where Check finds something.
func TestPrepareLeavesWhatIsDamaged(t *testing.T) {
	dir := copyOf(t, crashedDir)
	patch(t, dir, newest(t, dir, ".vlog"), 100, []byte{1, 2, 3})
	before := listing(t, dir)
	if err := Prepare(dir); !errors.Is(err, volume.ErrCorrupt) || listing(t, dir) != before {
		t.Errorf("%v; before\n%s now\n%s", err, before, listing(t, dir))
	}
	must(t, Prepare(filepath.Join(dir, "absent")))
	must(t, Prepare(t.TempDir()))
}

// TestPrepareTakesNothingThatIsRead writes to a database at random, with everything that moves
// what points to values: tables of memtables, compactions, collections, opens. The process is killed
// after a request has written its values and before anything points to them: what
// Badger reads then of the directory, prepared, is what was there before.
func TestPrepareTakesNothingThatIsRead(t *testing.T) {
	dir := filepath.Join(testdir.InMemory(t), "badger")
	r := rand.New(rand.NewPCG(3, 1))
	o := badgerOptions(dir)
	o.NumCompactors = 0 // they would change files while these are copied
	db, err := badger.Open(o)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	for step := range 8 {
		want, crashed := contents(t, db), filepath.Join(testdir.InMemory(t), "badger")
		must(t, testdir.Copy(crashed, dir))
		must(t, db.Update(func(txn *badger.Txn) error { return randomWrites(txn, r, step) }))
		log := newest(t, dir, ".vlog")
		must(t, testdir.CopyFile(filepath.Join(crashed, log), filepath.Join(dir, log)))
		wantRead(t, crashed, fmt.Sprintf("step %d", step), want)
		switch r.IntN(3) {
		case 0:
			must(t, db.Close())
			must(t, Prepare(dir))
			db, err = badger.Open(o)
			must(t, err)
		case 1:
			must(t, db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("~"), nil) }))
			must(t, errors.Join(db.DropPrefix([]byte("~")), db.Flatten(1)))
			if err := db.RunValueLogGC(0.1); err != nil && !errors.Is(err, badger.ErrNoRewrite) {
				t.Error(err)
			}
		}
	}
}

// wantRead prepares and opens a database, which was cut in its newest value log.
func wantRead(t *testing.T, dir, what, want string) {
	t.Helper()
	log := newest(t, dir, ".vlog")
	before := bytes.TrimRight(read(t, dir, log), "\x00")
	must(t, Prepare(dir))
	if after := read(t, dir, log); len(after) >= len(before) {
		t.Errorf("%s: %d bytes of %d are left", what, len(after), len(before))
	}
	db, err := badger.Open(badgerOptions(dir))
	must(t, err)
	if got := contents(t, db); got != want {
		t.Errorf("%s: read\n%s instead of\n%s", what, got, want)
	}
	must(t, db.Close())
}

// randomWrites sets and deletes a few of a few keys.
func randomWrites(txn *badger.Txn, r *rand.Rand, step int) error {
	for i := range 1 + r.IntN(20) {
		key, err := pageKey(r.IntN(40)), error(nil)
		if i > 0 && r.IntN(3) == 0 {
			err = txn.Delete(key)
		} else {
			err = txn.Set(key, pageOf(step*100+r.IntN(100)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// contents says what all keys have.
func contents(t *testing.T, db *badger.DB) (text string) {
	t.Helper()
	must(t, db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			err := it.Item().Value(func(value []byte) error {
				text += fmt.Sprintf("%x %d: %d bytes, %x\n", it.Item().Key(), it.Item().Version(), len(value), value[:min(len(value), 16)])
				return nil
			})
			if err != nil {
				text += fmt.Sprintf("%x %d: %v\n", it.Item().Key(), it.Item().Version(), err)
			}
		}
		return nil
	}))
	return text
}
