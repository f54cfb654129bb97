package badgerguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"graft/volume"
)

// writeEnv makes the test binary a process that writes to the directory that it
// names until it is killed.
const writeEnv = "GRAFT_BADGERGUARD_TEST_WRITE"

var (
	closedDir  string // a database that was closed
	crashedDir string // a copy of one that was open
	wrote      = map[string][]byte{}
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writeEnv); dir != "" {
		writeUntilKilled(dir)
	}
	dir, err := os.MkdirTemp("", "badgerguard")
	if err != nil {
		panic(err)
	}
	closedDir, crashedDir = filepath.Join(dir, "closed"), filepath.Join(dir, "crashed")
	if err := makeDirs(closedDir, crashedDir); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// badgerOptions are those of package store, with smaller value logs.
func badgerOptions(dir string) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = nil
	o.SyncWrites = true
	o.VerifyValueChecksum = true
	o.ChecksumVerificationMode = options.OnTableAndBlockRead
	o.ValueThreshold = 1024
	o.ValueLogFileSize = 1 << 20
	o.MemTableSize = 2 << 20
	o.NumMemtables = 2
	o.BaseTableSize = 4 << 20
	o.BaseLevelSize = 4 << 20
	o.TableSizeMultiplier = 1
	o.NumLevelZeroTables = 2
	o.NumLevelZeroTablesStall = 6
	o.NumCompactors = 2
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.DetectConflicts = false
	o.MetricsEnabled = false
	return o
}

// makeDirs makes a database with two tables, two older value logs, and in the
// copy that is taken while it is open a memtable's log and a newest value log
// with entries. The last transactions are not among wrote: see the package
// comment.
func makeDirs(closed, crashed string) error {
	db, err := badger.Open(badgerOptions(closed))
	if err != nil {
		return err
	}
	for from := 0; from < 200; from += 100 {
		for i := from; i < from+100; i += 10 {
			if err := writeSome(db, i, 10); err != nil {
				return err
			}
		}
		if from == 100 {
			break
		}
		if err := db.Close(); err != nil {
			return err
		}
		if db, err = badger.Open(badgerOptions(closed)); err != nil {
			return err
		}
	}
	for range 2 {
		err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("mark"), []byte("x")) })
		if err != nil {
			return err
		}
	}
	if err := os.CopyFS(crashed, os.DirFS(closed)); err != nil {
		return err
	}
	return db.Close()
}

func pageKey(i int) []byte {
	return binary.BigEndian.AppendUint32([]byte("p0123456789abcdef"), uint32(i))
}

func pageOf(i int) []byte {
	b := make([]byte, 4096)
	r := rand.New(rand.NewPCG(uint64(i), 7))
	for j := 0; j < len(b); j += 8 {
		binary.LittleEndian.PutUint64(b[j:], r.Uint64())
	}
	return b
}

// writeSome writes n pages and a record in one transaction.
func writeSome(db *badger.DB, from, n int) error {
	return db.Update(func(txn *badger.Txn) error {
		set := func(key, value []byte) error {
			wrote[string(key)] = value
			return txn.Set(key, value)
		}
		for i := from; i < from+n; i++ {
			if err := set(pageKey(i), pageOf(i)); err != nil {
				return err
			}
		}
		return set(fmt.Appendf(nil, "r%d", from), bytes.Repeat([]byte{byte(from)}, 100))
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// copyOf gives a copy of dir, whose files are sparse as Badger's are.
func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "badger")
	must(t, os.Mkdir(to, 0o777))
	for _, name := range names(t, dir) {
		b := read(t, dir, name)
		must(t, os.WriteFile(filepath.Join(to, name), bytes.TrimRight(b, "\x00"), 0o666))
		must(t, os.Truncate(filepath.Join(to, name), int64(len(b))))
	}
	return to
}

func names(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return b
}

// newest gives the last file with the extension.
func newest(t testing.TB, dir, ext string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+ext))
	must(t, err)
	if len(paths) == 0 {
		t.Fatalf("no %s in %s", ext, dir)
	}
	return filepath.Base(paths[len(paths)-1])
}

func patch(t testing.TB, dir, name string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(b, off)
	must(t, errors.Join(err, f.Close()))
}

func wantCorrupt(t *testing.T, dir, what string) {
	t.Helper()
	if err := Check(dir); !errors.Is(err, volume.ErrCorrupt) {
		t.Errorf("%s: %v", what, err)
	}
}

func wantWhole(t *testing.T, dir, what string) {
	t.Helper()
	if err := Check(dir); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// openAndRead opens the database, and says what it lost without an error. It
// counts keys that give one.
func openAndRead(t *testing.T, dir, what string) (damaged int) {
	t.Helper()
	db, err := badger.Open(badgerOptions(dir))
	if err != nil {
		return len(wrote)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Logf("%s: close: %v", what, err)
		}
	}()
	err = db.View(func(txn *badger.Txn) error {
		for key, want := range wrote {
			item, err := txn.Get([]byte(key))
			if errors.Is(err, badger.ErrKeyNotFound) {
				t.Errorf("%s: %q is lost in silence", what, key)
				return nil
			}
			var got []byte
			if err == nil {
				got, err = item.ValueCopy(nil)
			}
			if err != nil || len(got) == 0 { // Badger gives no error for a value that it cannot read
				damaged++
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s: %q has another value", what, key)
			}
		}
		return nil
	})
	must(t, err)
	return damaged
}
