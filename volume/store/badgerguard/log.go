package badgerguard

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"hash/maphash"
	"io"
	"math"
	"strconv"
)

// A log is a value log (.vlog) or a memtable's log (.mem):
//
//	offset  size  field
//	     0     8  id of the key that it is encrypted with, 0
//	     8    12  initialization vector, random
//	    20     *  entries
//
// and an entry, where numbers n are as of binary.PutUvarint:
//
//	offset  size  field
//	     0     1  meta: bits of this file
//	     1     1  user meta
//	     2     n  length of the key
//	     *     n  length of the value
//	     *     n  time of expiry
//	     *     *  key, its last 8 bytes the version, inverted, big endian
//	     *     *  value
//	     *     4  CRC-32C of all before, big endian
const (
	logHeaderSize  = 20
	maxEntryHeader = 2 + 3*binary.MaxVarintLen64
	maxKeySize     = 1 << 16
	versionSize    = 8
	checksumSize   = 4

	bitPointer = 1 << 1 // the value is a pointer into a value log
	bitTxn     = 1 << 6 // the entry is part of a transaction
	bitFin     = 1 << 7 // the entry ends a transaction; its value is the version
)

// maxAlloc is what Badger may be made to allocate for one entry before it finds
// out that it is damaged.
const maxAlloc = 64 << 20

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	seed       = maphash.MakeSeed()
)

// entry is what the rules need of an entry of a log or a table.
type entry struct {
	off, end int64 // where it lies in its log
	meta     byte
	keySize  int
	version  uint64
	key      uint64   // hash of the key with its version
	value    [24]byte // the first bytes of the value
	size     int64    // of the value
}

// pointer is where a value lies, as Badger stores it: three uint32 in the
// machine's byte order.
type pointer struct{ file, size, off uint32 }

func (p pointer) end() int64 { return int64(p.off) + int64(p.size) }

func (e *entry) pointer() (p pointer, ok bool) {
	if e.meta&bitPointer == 0 || e.size != 12 {
		return p, false
	}
	n := binary.NativeEndian
	return pointer{n.Uint32(e.value[:]), n.Uint32(e.value[4:]), n.Uint32(e.value[8:])}, true
}

// finished gives the version of the transaction that e ends.
func (e *entry) finished() (version uint64, ok bool) {
	if e.meta&bitFin == 0 || e.size > int64(len(e.value)) {
		return 0, false
	}
	version, err := strconv.ParseUint(string(e.value[:e.size]), 10, 64)
	return version, err == nil
}

// logReader reads the entries of one log.
type logReader struct {
	r      *bufio.Reader
	off    int64 // of the next entry
	size   int64 // of the log
	key    []byte
	absurd bool // the entry that ends the log has lengths that no crash leaves, and that Badger does not survive
}

// newLogReader reads entries from r, which begins at offset off of a log of the
// given size.
func newLogReader(r io.Reader, off, size int64) *logReader {
	return &logReader{r: bufio.NewReaderSize(r, 1<<16), off: off, size: size}
}

// next gives the next entry. It is false at one that does not check out, behind
// which nothing can be read.
func (l *logReader) next() (e entry, ok bool, err error) {
	head, err := l.r.Peek(maxEntryHeader)
	if err != nil && err != io.EOF {
		return e, false, err
	}
	h, klen, vlen := decodeHeader(head)
	switch {
	case h <= 0:
		l.absurd = h < 0
		return e, false, nil
	case klen > maxKeySize || vlen > math.MaxUint32 ||
		l.off+int64(h)+int64(klen)+int64(vlen)+checksumSize > l.size:
		// Badger cuts lengths to 32 bits, and allocates before it reads.
		l.absurd = uint32(klen) <= maxKeySize && uint32(vlen) > maxAlloc
		return e, false, nil
	}
	e = entry{off: l.off, meta: head[0], keySize: int(klen), size: int64(vlen)}
	sum := crc32.Update(0, castagnoli, head[:h])
	if _, err := l.r.Discard(h); err != nil {
		return e, false, err
	}
	if uint64(cap(l.key)) < klen {
		l.key = make([]byte, klen)
	}
	l.key = l.key[:klen]
	if _, err := io.ReadFull(l.r, l.key); err != nil {
		return e, false, ignoreEOF(err)
	}
	e.setKey(l.key)
	sum, err = l.readValue(&e, crc32.Update(sum, castagnoli, l.key))
	if err != nil {
		return e, false, ignoreEOF(err)
	}
	var stored [checksumSize]byte
	if _, err := io.ReadFull(l.r, stored[:]); err != nil {
		return e, false, ignoreEOF(err)
	}
	e.end = e.off + int64(h) + int64(klen) + e.size + checksumSize
	l.off = e.end
	return e, binary.BigEndian.Uint32(stored[:]) == sum && klen > 0, nil
}

// readValue passes over the value, of which it keeps the first bytes.
func (l *logReader) readValue(e *entry, sum uint32) (uint32, error) {
	for n := e.size; n > 0; {
		b, err := l.r.Peek(int(min(n, 1<<15)))
		if len(b) == 0 {
			return sum, err
		}
		if n == e.size {
			copy(e.value[:], b)
		}
		sum = crc32.Update(sum, castagnoli, b)
		n -= int64(len(b))
		if _, err := l.r.Discard(len(b)); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func (e *entry) setKey(key []byte) {
	e.keySize = len(key)
	e.key = maphash.Bytes(seed, key)
	if len(key) >= versionSize {
		e.version = math.MaxUint64 - binary.BigEndian.Uint64(key[len(key)-versionSize:])
	}
}

// decodeHeader gives the size of the header at the start of b and the lengths
// in it. The size is 0 if b ends before it, negative if a number is too large.
func decodeHeader(b []byte) (size int, klen, vlen uint64) {
	at := 2
	var numbers [3]uint64
	for i := range numbers {
		if at >= len(b) {
			return 0, 0, 0
		}
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return n, 0, 0
		}
		numbers[i] = v
		at += n
	}
	return at, numbers[0], numbers[1]
}

func ignoreEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// replay gives the entries that Badger keeps when it opens the log, in order,
// and the offset where it truncates it, which is behind the last of them. open
// is the version of the transaction that is cut there, 0 if none is known.
func (l *logReader) replay(keep func(*entry)) (end int64, open uint64, err error) {
	end = l.off
	var pending []entry
	for {
		e, ok, err := l.next()
		if err != nil || !ok {
			return end, open, err
		}
		switch {
		case e.meta&bitTxn != 0:
			if open == 0 {
				open = e.version
			}
			if open != e.version {
				return end, open, nil
			}
			if keep != nil {
				pending = append(pending, e)
			}
		case e.meta&bitFin != 0:
			if v, ok := e.finished(); !ok || v != open {
				return end, open, nil
			}
			open, end = 0, e.end
			for i := range pending {
				keep(&pending[i])
			}
			pending = pending[:0]
		default:
			if open != 0 {
				return end, open, nil
			}
			end = e.end
			if keep != nil {
				keep(&e)
			}
		}
	}
}
