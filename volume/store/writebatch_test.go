package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"graft/volume"
)

// TestNoTransactionOutgrowsItsFile writes more pages together than a file of the value
// log has room for: no file may be longer than Badger maps it at first.
func TestNoTransactionOutgrowsItsFile(t *testing.T) {
	s := openNew(t)
	defer closeStore(t, s)
	most := 2 * dbOf(s).Opts().ValueLogFileSize
	for _, n := range []volume.PageIdx{1400, 3200, 1400, 3200} {
		must(t, s.Stage(volume.NewSegmentID(), pages(1, n, 0)))
		files, err := filepath.Glob(filepath.Join(s.badgerDir(), "*.vlog"))
		must(t, err)
		if len(files) == 0 {
			t.Fatal("there is no value log")
		}
		for _, f := range files {
			info, err := os.Stat(f)
			must(t, err)
			if info.Size() > most {
				t.Errorf("%s has %d bytes, mapped were %d", filepath.Base(f), info.Size(), most)
			}
		}
	}
}

// TestManyKeysTakeSeveralTransactions writes more keys together than Badger takes in one transaction.
func TestManyKeysTakeSeveralTransactions(t *testing.T) {
	const keys = 7_000
	s := openNew(t)
	before := dbOf(s).MaxVersion()
	key := func(i int) []byte { return fmt.Appendf(nil, "k%d", i) }
	must(t, s.batch("fill", func(wb *writeBatch) error {
		for i := range keys {
			if err := wb.Set(key(i), key(i)); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, s.batch("clear", func(wb *writeBatch) error {
		for i := range keys / 2 {
			if err := wb.Delete(key(2 * i)); err != nil {
				return err
			}
		}
		return nil
	}))
	if n := dbOf(s).MaxVersion() - before; n < 4 {
		t.Errorf("%d transactions", n)
	}
	for i := range keys {
		if b, err := s.get(key(i)); i%2 == 1 && string(b) != string(key(i)) || i%2 == 0 && !errors.Is(err, ErrNotFound) {
			t.Fatalf("key %d: %q, %v", i, b, err)
		}
	}
}
