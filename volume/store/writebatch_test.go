package store

import (
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
