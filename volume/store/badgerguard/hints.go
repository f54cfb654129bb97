package badgerguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"graft/volume"
)

// ErrHints is wrapped, besides volume.ErrCorrupt, by the error for a damaged
// DISCARD file, which holds no data but how much of each value log is garbage.
// Badger would not write it again but crash, or run its garbage collection for
// ever.
var ErrHints = errors.New("DISCARD can be removed")

const hintsName = "DISCARD"

func (c *checker) checkHints() error {
	if c.others[hintsName] == 0 {
		return nil // missing, or made when the process died
	}
	b, err := c.read(hintsName)
	if err != nil {
		return err
	}
	_, err = parseHints(b)
	return err
}

// parseHints reads DISCARD: slots of a value log's id and how many bytes of it
// are garbage, 8 bytes each, big endian, up to a slot with id 0.
func parseHints(b []byte) (map[uint64]uint64, error) {
	hints := make(map[uint64]uint64)
	for at := 0; at+16 <= len(b); at += 16 {
		id, size := binary.BigEndian.Uint64(b[at:]), binary.BigEndian.Uint64(b[at+8:])
		if id == 0 {
			return hints, nil
		}
		if _, ok := hints[id]; ok || id > math.MaxUint32 || size > math.MaxInt64 {
			return nil, hintsDamage(at, "value log %d with %d bytes of garbage", id, size)
		}
		hints[id] = size
	}
	return nil, hintsDamage(len(b), "no free slot")
}

func hintsDamage(at int, format string, args ...any) error {
	return fmt.Errorf("%w: %w: %s at offset %d: %s", volume.ErrCorrupt, ErrHints, hintsName, at, fmt.Sprintf(format, args...))
}

// Tidy puts right what a process may leave that dies while it makes or removes
// a file, and over which Badger's first open afterwards fails: logs of no
// bytes; and removes a DISCARD that Check would complain of. Nothing is in any
// of them. Call it before Check, with the directory locked.
func Tidy(dir string) error {
	c := &checker{dir: dir}
	if err := c.list(); err != nil {
		if errors.Is(err, volume.ErrCorrupt) {
			return nil // Check will say so
		}
		return err
	}
	for _, id := range sortedIDs(c.mems) {
		if c.mems[id] == 0 {
			if err := c.remove(memName(id)); err != nil {
				return err
			}
		}
	}
	if err := c.tidyValueLogs(); err != nil {
		return err
	}
	if err := c.checkHints(); errors.Is(err, ErrHints) {
		return c.remove(hintsName)
	}
	return nil
}

// tidyValueLogs removes empty value logs but the newest. That one gets its
// header, so that its id is not used again: values of another file of that id
// would pass for those that were in it.
func (c *checker) tidyValueLogs() error {
	ids := sortedIDs(c.vlogs)
	for i, id := range ids {
		if c.vlogs[id] != 0 {
			continue
		}
		if i < len(ids)-1 {
			if err := c.remove(vlogName(id)); err != nil {
				return err
			}
			continue
		}
		if err := os.Truncate(filepath.Join(c.dir, vlogName(id)), logHeaderSize); err != nil {
			return fmt.Errorf("tidy the local store: %w", err)
		}
	}
	return nil
}

func (c *checker) remove(name string) error {
	if err := os.Remove(filepath.Join(c.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tidy the local store: %w", err)
	}
	return nil
}
