package badgerguard

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Newest gives the id of the newest value log in dir, which garbage collection
// leaves alone, and how many bytes of it are known to be garbage: none when that
// cannot be read, as while Badger sorts it. The database may be open.
func Newest(dir string) (id uint64, garbage int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ".vlog")
		if n, err := strconv.ParseUint(digits, 10, 32); ok && err == nil {
			id = max(id, n)
		}
	}
	b, err := (&checker{dir: dir}).read(hintsName)
	if err != nil {
		return 0, 0, err
	}
	if hints, err := parseHints(b); err == nil {
		garbage = int64(hints[id])
	}
	return id, garbage, nil
}
