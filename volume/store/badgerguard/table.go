package badgerguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// checkTables checks every table that the MANIFEST names, and sets aside the
// entries of those that it never named.
func (c *checker) checkTables() error {
	for _, id := range sortedIDs(c.tables) {
		if c.manifest.tables[id] || c.manifest.named[id] || c.manifest.rewritten {
			continue
		}
		b, err := c.read(tableName(id))
		if err != nil {
			return err
		}
		var keys []uint64
		if err := readTable(tableName(id), b, func(e *entry) { keys = append(keys, e.key) }); err != nil {
			continue // not written to its end
		}
		for _, key := range keys {
			c.orphans[key] = id
		}
	}
	named := slices.DeleteFunc(sortedIDs(c.tables), func(id uint64) bool { return !c.manifest.tables[id] })
	if len(c.orphans) > 0 {
		return c.checkNamed(named)
	}
	return c.checkInParts(named)
}

// checkNamed checks tables one after the other.
func (c *checker) checkNamed(ids []uint64) error {
	for _, id := range ids {
		name := tableName(id)
		b, err := c.read(name)
		if err != nil {
			return err
		}
		err = readTable(name, b, func(e *entry) {
			delete(c.orphans, e.key)
			c.note(e, name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkInParts is checkNamed on several processors: most of the time of an open
// goes into it.
func (c *checker) checkInParts(ids []uint64) error {
	workers := min(runtime.GOMAXPROCS(0), 4, len(ids))
	if workers < 2 {
		return c.checkNamed(ids)
	}
	parts := make([]*checker, workers)
	errs := make([]error, workers)
	var running sync.WaitGroup
	for i := range parts {
		parts[i] = &checker{dir: c.dir, orphans: map[uint64]uint64{}, pointers: map[uint64]source{}}
		var part []uint64
		for j := i; j < len(ids); j += workers {
			part = append(part, ids[j])
		}
		running.Go(func() { errs[i] = parts[i].checkNamed(part) })
	}
	running.Wait()
	for _, part := range parts {
		for file, p := range part.pointers {
			if old, ok := c.pointers[file]; !ok || p.end() > old.end() {
				c.pointers[file] = p
			}
		}
	}
	return errors.Join(errs...)
}

// checkOrphans applies rule 5, after all that may hold a table's entries was
// read.
func (c *checker) checkOrphans() error {
	for _, id := range c.orphans {
		return damage(tableName(id), 0, "holds entries that are nowhere else, where the MANIFEST does not name it")
	}
	return nil
}

// readTable gives the entries of a table, every checksum of which it checks:
//
//	blocks; index (fb.TableIndex); its length (4); its pb.Checksum; the
//	length of that (4)
//
// Lengths are big endian. Badger's own table.OpenTable is of no use here: over
// lengths that cannot be it ends the process.
func readTable(name string, b []byte, visit func(*entry)) (err error) {
	defer func() {
		if r := recover(); r != nil { // flatbuffers checks no bounds
			err = damage(name, 0, "index: %v", r)
		}
	}()
	body, sum, err := cutChecksum(b)
	if err != nil {
		return damage(name, int64(len(b)), "end of the table: %v", err)
	}
	data, raw, err := cutSized(body)
	if err != nil {
		return damage(name, int64(len(body)), "length of the index: %v", err)
	}
	if err := verify(raw, sum); err != nil {
		return damage(name, int64(len(data)), "index: %v", err)
	}
	index := fb.GetRootAsTableIndex(raw, 0)
	var block fb.BlockOffset
	for i := range index.OffsetsLength() {
		if !index.Offsets(&block, i) {
			return damage(name, int64(len(data)), "index: block %d", i)
		}
		from, to := int64(block.Offset()), int64(block.Offset())+int64(block.Len())
		if to > int64(len(data)) {
			return damage(name, from, "block %d has %d bytes of %d", i, to-from, len(data))
		}
		if err := readBlock(data[from:to], visit); err != nil {
			return damage(name, from, "block %d: %v", i, err)
		}
	}
	if index.OffsetsLength() == 0 {
		return damage(name, 0, "no block")
	}
	return nil
}

// readBlock gives the entries of a block:
//
//	entries; offsets of the entries (4 each, machine's byte order); their
//	number (4); pb.Checksum of all before; its length (4)
//
// and an entry has the length of what its key shares with the block's first
// (2), that of the rest (2), both in the machine's byte order, that rest, and
// the value: meta (1), user meta (1), time of expiry (as of binary.PutUvarint),
// bytes.
func readBlock(b []byte, visit func(*entry)) error {
	body, sum, err := cutChecksum(b)
	if err != nil {
		return err
	}
	if err := verify(body, sum); err != nil {
		return err
	}
	if len(body) < 4 {
		return fmt.Errorf("%d bytes", len(body))
	}
	at := len(body) - 4
	n := int64(binary.BigEndian.Uint32(body[at:]))
	if n*4 > int64(at) {
		return fmt.Errorf("%d entries in %d bytes", n, at)
	}
	offsets := body[at-int(n)*4 : at]
	var first, key []byte
	for i := range int(n) {
		from, to := int64(binary.NativeEndian.Uint32(offsets[i*4:])), int64(len(body)-4-len(offsets))
		if i+1 < int(n) {
			to = int64(binary.NativeEndian.Uint32(offsets[i*4+4:]))
		}
		if from > to || to > int64(len(body)) || to-from < 4 {
			return fmt.Errorf("entry %d at %d to %d", i, from, to)
		}
		raw := body[from:to]
		shared, own := int(binary.NativeEndian.Uint16(raw)), int(binary.NativeEndian.Uint16(raw[2:]))
		if shared > len(first) || 4+own > len(raw) {
			return fmt.Errorf("key of entry %d", i)
		}
		key = append(append(key[:0], first[:shared]...), raw[4:4+own]...)
		if i == 0 {
			first = append(first, key...)
		}
		e, err := decodeValue(raw[4+own:])
		if err != nil {
			return fmt.Errorf("value of entry %d: %w", i, err)
		}
		e.setKey(key)
		visit(&e)
	}
	return nil
}

func decodeValue(b []byte) (e entry, err error) {
	if len(b) < 3 {
		return e, fmt.Errorf("%d bytes", len(b))
	}
	_, n := binary.Uvarint(b[2:])
	if n <= 0 {
		return e, fmt.Errorf("time of expiry %x", b[2:min(len(b), 12)])
	}
	value := b[2+n:]
	e = entry{meta: b[0], size: int64(len(value))}
	copy(e.value[:], value)
	return e, nil
}

// cutSized cuts from the end of b a part and the length that stands behind it.
func cutSized(b []byte) (before, part []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%d bytes", len(b))
	}
	at := len(b) - 4
	n := int64(binary.BigEndian.Uint32(b[at:]))
	if n > int64(at) {
		return nil, nil, fmt.Errorf("length %d in %d bytes", n, at)
	}
	return b[:at-int(n)], b[at-int(n) : at], nil
}

func cutChecksum(b []byte) (before []byte, sum *pb.Checksum, err error) {
	before, raw, err := cutSized(b)
	if err != nil {
		return nil, nil, err
	}
	sum = &pb.Checksum{}
	if err := proto.Unmarshal(raw, sum); err != nil {
		return nil, nil, fmt.Errorf("checksum: %w", err)
	}
	return before, sum, nil
}

func verify(b []byte, sum *pb.Checksum) error {
	if sum.Algo != pb.Checksum_CRC32C && sum.Algo != pb.Checksum_XXHash64 {
		return fmt.Errorf("checksum of kind %d", sum.Algo)
	}
	return y.VerifyChecksum(b, sum)
}
