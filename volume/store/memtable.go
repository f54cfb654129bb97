package store

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"graft/volume"
)

// op is one write of a Change: a key that is set, or deleted when value is nil.
// Keys and values are not changed once the op is made.
type op struct {
	key   []byte
	value []byte
	owner volume.VolumeID // of pages: the local Volume that committed them, or zero

	patch []byte // in a redo record, instead of the value; nil everywhere else
}

// size is how many bytes of memory the op takes, nearly.
func (o *op) size() int { return len(o.key) + len(o.value) }

// sizeOf is the sum of the sizes of ops.
func sizeOf(ops []op) (n int64) {
	for i := range ops {
		n += int64(ops[i].size())
	}
	return n
}

// memtable holds ops that are in the redo journal and not in Badger yet, the
// newest of each key.
type memtable struct {
	ops   map[string]op
	heads map[volume.VolumeID]volume.LSN // newest commit of each Volume
	bytes int                            // of the ops
	trace int                            // of all ops since the last application, those included that thin has left out: what a replay takes
	last  uint64                         // sequence number of the newest record
}

func newMemtable() *memtable {
	return &memtable{ops: make(map[string]op), heads: make(map[volume.VolumeID]volume.LSN)}
}

// keepOps is how many keys a memtable has at most that is used again: a map
// keeps its space.
const keepOps = 16 << 10

// again gives m empty, or another if m has grown large: to fill a map that has
// its space costs half.
func (m *memtable) again() *memtable {
	if len(m.ops) > keepOps {
		return newMemtable()
	}
	clear(m.ops)
	clear(m.heads)
	m.bytes, m.trace, m.last = 0, 0, 0
	return m
}

func (m *memtable) add(seq uint64, ops []op) {
	m.last = seq
	for _, o := range ops {
		m.put(o)
		m.trace += o.size()
		if v, l, ok := parseKeyLog(o.key); ok && o.value != nil {
			m.heads[v] = max(m.heads[v], l)
		}
	}
}

func (m *memtable) put(o op) {
	m.ops[string(o.key)] = o
	m.bytes += o.size() // a little more, where a key had another value
}

// page gives a page that the memtable holds, or nil.
func (m *memtable) page(ref PageRef) *volume.Page {
	var key [1 + len(ref.Segment) + 4]byte
	if o := m.ops[string(appendKeyPage(key[:0], ref.Segment, ref.Idx))]; o.value != nil {
		return (*volume.Page)(o.value)
	}
	return nil
}

// thin gives a memtable of the same records that has some of its ops, which it takes over.
func (m *memtable) thin(ops []op) *memtable {
	t := &memtable{ops: make(map[string]op, len(ops)), heads: m.heads, trace: m.trace, last: m.last}
	for _, o := range ops {
		t.put(o)
	}
	return t
}

// follow adds what later records have put into n.
func (m *memtable) follow(n *memtable) {
	for _, o := range n.ops {
		m.put(o)
	}
	for v, l := range n.heads {
		m.heads[v] = max(m.heads[v], l)
	}
	m.trace, m.last = m.trace+n.trace, max(m.last, n.last)
}

// overlay is what stands before Badger: the memtable that changes go to, and
// the one that is being applied.
type overlay struct {
	sync.RWMutex
	active *memtable
	sealed *memtable // nil when none is being applied
	spare  *memtable // empty, to be the next active one, or nil; guarded by the applier's lock

	// generation counts how often active was sealed: a patch holds as long as its base is in active.
	generation uint64

	inUse atomic.Bool // it is not empty: reads need not take the lock otherwise
}

// add enters the ops of a redo record. The caller holds the lock, or is alone.
func (o *overlay) add(seq uint64, ops []op) {
	o.active.add(seq, ops)
	o.inUse.Store(true)
}

// rotate seals the active memtable. The caller holds the lock,
// and the applier's.
func (o *overlay) rotate() {
	o.sealed, o.active, o.spare = o.active, o.spare, nil
	o.generation++
	if o.active == nil {
		o.active = newMemtable()
	}
}

// get gives the newest op of a key that is not in Badger yet.
func (o *overlay) get(key []byte) (op, bool) {
	if !o.inUse.Load() {
		return op{}, false
	}
	o.RLock()
	defer o.RUnlock()
	if found, ok := o.active.ops[string(key)]; ok {
		return found, true
	}
	if o.sealed == nil {
		return op{}, false
	}
	found, ok := o.sealed.ops[string(key)]
	return found, ok
}

// withPrefix gives the newest ops of all keys with a prefix, in the order of
// their keys. It looks at every key: it is for key spaces of few keys.
func (o *overlay) withPrefix(prefix []byte) []op {
	o.RLock()
	defer o.RUnlock()
	var found []op
	for _, m := range []*memtable{o.active, o.sealed} {
		if m == nil {
			continue
		}
		for _, op := range m.ops {
			if bytes.HasPrefix(op.key, prefix) && (m == o.active || !o.active.has(op.key)) {
				found = append(found, op)
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return bytes.Compare(found[i].key, found[j].key) < 0 })
	return found
}

func (m *memtable) has(key []byte) bool {
	_, ok := m.ops[string(key)]
	return ok
}

// head gives the newest commit of v that is not in Badger yet, or zero.
func (o *overlay) head(v volume.VolumeID) volume.LSN {
	o.RLock()
	defer o.RUnlock()
	head := o.active.heads[v]
	if o.sealed != nil {
		head = max(head, o.sealed.heads[v])
	}
	return head
}

// A redo record is its ops, one after the other: a byte, 1 for set, 2 for delete and
// 3 for a page that is set to what a patch makes of its base; the length of the key
// as a varint, and the key; for a set, the length of the value as a varint, and the
// value, and for a patch likewise the patch. Its checksum is the journal's.
const (
	opSet    = 1
	opDelete = 2
	opPatch  = 3
)

// appendOps appends the redo record of ops to b.
func appendOps(b []byte, ops []op) []byte {
	size := 0
	for _, o := range ops {
		size += 1 + 2*binary.MaxVarintLen32 + len(o.key) + max(len(o.value), len(o.patch))
	}
	b = slices.Grow(b, size)
	for _, o := range ops {
		kind, value := byte(opSet), o.value
		switch {
		case o.patch != nil:
			kind, value = opPatch, o.patch
		case value == nil:
			kind = opDelete
		}
		b = append(b, kind)
		b = binary.AppendUvarint(b, uint64(len(o.key)))
		b = append(b, o.key...)
		if kind != opDelete {
			b = binary.AppendUvarint(b, uint64(len(value)))
			b = append(b, value...)
		}
	}
	return b
}

// decodeOps reads what [appendOps] gave: see unpatch. The ops share b.
func decodeOps(b []byte) ([]op, error) {
	var ops []op
	for len(b) > 0 {
		kind := b[0]
		key, rest, ok := cutBytes(b[1:])
		if !ok || len(key) == 0 || kind < opSet || kind > opPatch {
			return nil, corruptf("redo record: write %d", len(ops))
		}
		var value []byte
		if kind != opDelete {
			if value, rest, ok = cutBytes(rest); !ok {
				return nil, corruptf("redo record: value of write %d", len(ops))
			}
		}
		o := op{key: key, value: value}
		_, page := parseKeyPage(key)
		switch {
		case kind == opPatch:
			if o.value, o.patch = nil, value; !page || checkPatch(value) != nil {
				return nil, corruptf("redo record: patch of write %d", len(ops))
			}
		case kind == opSet && page && len(value) != volume.PageSize:
			return nil, corruptf("redo record: page of %d bytes", len(value))
		}
		ops, b = append(ops, o), rest
	}
	return ops, nil
}

// cutBytes reads a length and as many bytes, which are not nil.
func cutBytes(b []byte) (part, rest []byte, ok bool) {
	n, rest, ok := cutUvarint(b)
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n:n], rest[n:], true
}

// cutUvarint reads a varint that is no longer than it need be.
func cutUvarint(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || size > 1 && b[size-1] == 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}
