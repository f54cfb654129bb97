package badgerguard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// finKey begins the key of the entry that ends a transaction.
const finKey = "!badger!txn"

// memtable is what a memtable's log says.
type memtable struct {
	name  string
	end   int64  // where Badger truncates it
	first uint64 // version of its first transaction, 0 if it has none
	cut   uint64 // version of the transaction that is cut at end, 0 if none is known
	bad   string // not empty: damage, and what proves it
}

// checkMemtables applies rules 2 to 4 to the memtables' logs, and notes where
// their entries point.
func (c *checker) checkMemtables() error {
	var last memtable
	for _, id := range sortedIDs(c.mems) {
		if c.mems[id] == 0 {
			continue // made or removed when the process died; see Tidy
		}
		name := memName(id)
		b, err := c.read(name)
		if err != nil {
			return err
		}
		m, err := readMemtable(name, b, func(e *entry) {
			delete(c.orphans, e.key)
			c.note(e, name)
		})
		switch {
		case err != nil:
			return err
		case m.bad != "":
			return damage(name, m.end, "%s", m.bad)
		case last.cut != 0 && m.first > last.cut:
			return damage(last.name, last.end, "%s goes on with transaction %d after %d", name, m.first, last.cut)
		}
		last = m
		if m.end > logHeaderSize {
			c.newest = m
		}
	}
	return nil
}

// writeMemtable writes the newest memtable's log that has entries again, as far as Badger keeps
// it. The last request in it may be one that could not be synced; those before it are on disk.
func (c *checker) writeMemtable() error {
	if c.newest.name == "" {
		return nil
	}
	b, err := c.read(c.newest.name)
	if err != nil {
		return err
	}
	err = c.change(c.newest.name, func(f *os.File) error {
		_, err := f.WriteAt(b[:c.newest.end], 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("write a memtable's log again: %w", err)
	}
	return nil
}

// readMemtable gives the entries that Badger keeps of a memtable's log.
func readMemtable(name string, b []byte, keep func(*entry)) (memtable, error) {
	m := memtable{name: name}
	if err := checkLogHeader(name, b); err != nil {
		return m, err
	}
	l := newLogReader(bytes.NewReader(b[logHeaderSize:]), logHeaderSize, int64(len(b)))
	end, open, err := l.replay(func(e *entry) {
		if m.first == 0 && e.meta&bitTxn != 0 {
			m.first = e.version
		}
		keep(e)
	})
	if err != nil {
		return m, err
	}
	m.end = end
	switch {
	case l.absurd:
		m.bad = "an entry of an absurd length"
	case end != int64(len(b)) && len(b)%preallocation != 0:
		m.bad = "an entry in a log that was trimmed"
	default:
		m.searchTail(b, open)
	}
	return m, nil
}

// searchTail looks behind the end for an entry of a later request than the one
// that is cut there, which is part of transaction open if that is not 0.
func (m *memtable) searchTail(b []byte, open uint64) {
	m.cut = open
	for at := int(m.end); ; {
		i := bytes.Index(b[at:], []byte(finKey))
		if i < 0 {
			return
		}
		at += i
		fin, ok := finAt(b, at)
		at++
		if !ok {
			continue
		}
		version, _ := fin.finished()
		next, ok, err := newLogReader(bytes.NewReader(b[fin.end:]), fin.end, int64(len(b))).next()
		switch {
		case m.cut != 0 && version != m.cut:
			m.bad = "an entry, and transaction " + itoa(version) + " behind it is whole"
			return
		case ok && err == nil:
			m.bad = "an entry, and one at offset " + itoa(uint64(next.off)) + " behind it is of a later request"
			return
		}
		m.cut = version
	}
}

// finAt gives the entry that ends a transaction, and has its key at offset at.
func finAt(b []byte, at int) (entry, bool) {
	const header = 5 // as long as the value is shorter than 128 bytes
	off := at - header
	if off < logHeaderSize || b[off]&bitFin == 0 {
		return entry{}, false
	}
	e, ok, err := newLogReader(bytes.NewReader(b[off:]), int64(off), int64(len(b))).next()
	if !ok || err != nil || e.keySize != len(finKey)+versionSize {
		return entry{}, false
	}
	if v, ok := e.finished(); !ok || v != e.version {
		return entry{}, false
	}
	return e, true
}

// checkLogHeader checks the start of a log that is not empty.
func checkLogHeader(name string, b []byte) error {
	if len(b) < logHeaderSize {
		return damage(name, int64(len(b)), "shorter than its header")
	}
	if id := binary.BigEndian.Uint64(b); id != 0 {
		return damage(name, 0, "encrypted with key %d", id)
	}
	return nil
}
