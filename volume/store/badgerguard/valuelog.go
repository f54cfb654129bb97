package badgerguard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// checkValueLogs applies rule 1, after all that points was read.
func (c *checker) checkValueLogs() error {
	var newest uint64
	for _, id := range sortedIDs(c.vlogs) {
		newest = id
		if c.vlogs[id] > math.MaxUint32 {
			return damage(vlogName(id), math.MaxUint32, "larger than any that Badger makes")
		}
		if c.vlogs[id] == 0 {
			continue // made or removed when the process died; see Tidy
		}
		if err := c.checkValueLogHeader(vlogName(id)); err != nil {
			return err
		}
		if p := c.pointers[id]; p.end() > c.vlogs[id] {
			return damage(vlogName(id), c.vlogs[id], "ends before offset %d, where %s points", p.end(), p.in)
		}
	}
	for id, p := range c.pointers {
		if id > newest {
			return damage(vlogName(id), 0, "missing, where %s points", p.in)
		}
	}
	if c.vlogs[newest] == 0 {
		if p := c.pointers[newest]; p.end() > 0 {
			return damage(vlogName(newest), 0, "empty, where %s points", p.in)
		}
		return nil
	}
	return c.checkNewest(newest)
}

func (c *checker) checkValueLogHeader(name string) error {
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		return fmt.Errorf("inspect the local store: %w", err)
	}
	defer f.Close()
	var header [logHeaderSize]byte
	n, err := io.ReadFull(f, header[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("inspect the local store: read %s: %w", name, err)
	}
	return checkLogHeader(name, header[:n])
}

func (c *checker) checkNewest(id uint64) error {
	name := vlogName(id)
	end, absurd, err := valueLogEnd(filepath.Join(c.dir, name))
	switch p := c.pointers[id]; {
	case err != nil:
		return err
	case p.end() > end:
		return damage(name, end, "an entry, behind which %s points, to offset %d", p.in, p.off)
	case absurd:
		return damage(name, end, "an entry of an absurd length")
	}
	return nil
}

// cutNewest cuts the newest value log behind all that is pointed to, of which check
// has found every byte there.
func (c *checker) cutNewest() error {
	ids := sortedIDs(c.vlogs)
	if len(ids) == 0 {
		return nil
	}
	id := ids[len(ids)-1]
	end := max(c.pointers[id].end(), logHeaderSize)
	if c.vlogs[id] <= end {
		return nil
	}
	if err := c.change(vlogName(id), func(f *os.File) error { return f.Truncate(end) }); err != nil {
		return fmt.Errorf("cut the value log: %w", err)
	}
	return nil
}

// valueLogEnd gives the offset behind the last entry that can be reached from
// the start of a value log.
func valueLogEnd(path string) (end int64, absurd bool, err error) {
	f, l, err := openValueLog(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	end, _, err = l.replay(nil)
	if err != nil {
		return 0, false, fmt.Errorf("inspect the local store: read %s: %w", filepath.Base(path), err)
	}
	return end, l.absurd, nil
}

func openValueLog(path string) (*os.File, *logReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("inspect the local store: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Seek(logHeaderSize, io.SeekStart)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("inspect the local store: %w", err), f.Close())
	}
	return f, newLogReader(f, logHeaderSize, info.Size()), nil
}

// CheckGC returns volume.ErrCorrupt if garbage collection with the given ratio
// would lose values: Badger's moves what it can reach from the start of a value
// log, up to an entry that does not check out, and then removes the file. It
// reads the logs of which at least half of the ratio is garbage, any of which
// Badger may come to choose. The database may be open.
func CheckGC(dir string, ratio float64) error {
	c := &checker{dir: dir}
	if err := c.list(); err != nil {
		return err
	}
	b, err := c.read(hintsName)
	if err != nil {
		return err
	}
	hints, hintsErr := parseHints(b) // an error may mean that it is just being sorted
	ids := sortedIDs(c.vlogs)
	for _, id := range ids[:max(len(ids)-1, 0)] {
		if hintsErr == nil && float64(hints[id]) < ratio/2*float64(c.vlogs[id]) {
			continue
		}
		if err := checkWhole(filepath.Join(dir, vlogName(id))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// checkWhole checks a value log that is not written to any more: behind its
// last entry are at most zeros.
func checkWhole(path string) error {
	end, _, err := valueLogEnd(path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("inspect the local store: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("inspect the local store: %w", err)
	}
	for r := bufio.NewReaderSize(f, 1<<16); ; {
		b, err := r.ReadByte()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("inspect the local store: read %s: %w", filepath.Base(path), err)
		case b != 0:
			return damage(filepath.Base(path), end, "an entry, behind which are others")
		}
	}
}
