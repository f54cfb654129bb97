package crashfs

import (
	"maps"
	"slices"
)

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// Rand decides what a power cut takes. A *rand.Rand of math/rand/v2 is one.
type Rand interface {
	IntN(n int) int
}

// Kill gives the directory as a killed process leaves it: everything written is there, and no more durable than it was.
func (s *FS) Kill() *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.gone = true
	copies := make(map[*node]*node)
	clone := func(n *node) *node {
		if n == nil {
			return nil
		}
		if copies[n] == nil {
			copies[n] = &node{base: slices.Clone(n.base), changes: slices.Clone(n.changes), data: slices.Clone(n.data)}
		}
		return copies[n]
	}
	k := New()
	for name, n := range s.mu.names {
		k.mu.names[name] = clone(n)
	}
	for name, n := range s.mu.durable {
		k.mu.durable[name] = clone(n)
	}
	for _, op := range s.mu.pending {
		op.n = clone(op.n)
		k.mu.pending = append(k.mu.pending, op)
	}
	return k
}

// Crash gives the directory as a power cut leaves it; all of it is durable. Each change of the directory that is not
// durable is kept or dropped, and so is each Truncate. A write is kept, dropped, dropped but for the length that it
// gave the file, or torn: some of its sectors are kept. One change does not depend on another, except that a quarter
// of the cuts keep everything and a quarter keep nothing.
func (s *FS) Crash(choose Rand) *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.gone = true
	cut := powerCut{Rand: choose, mode: choose.IntN(4)}
	names := maps.Clone(s.mu.durable)
	for _, op := range s.mu.pending {
		if cut.keeps() {
			op.apply(names)
		}
	}
	c := New()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		data := cut.content(names[name])
		n := &node{base: data, data: slices.Clone(data)}
		c.mu.names[name], c.mu.durable[name] = n, n
	}
	return c
}

// powerCut is one power cut: mode 0 drops everything, mode 1 keeps everything.
type powerCut struct {
	Rand
	mode int
}

func (p powerCut) keeps() bool {
	return p.mode == 1 || p.mode > 1 && p.IntN(2) == 0
}

// content gives what is left of a file.
func (p powerCut) content(n *node) []byte {
	data := slices.Clone(n.base)
	for _, c := range n.changes {
		switch {
		case c.state == synced || p.keeps():
			data = c.apply(data)
		case c.data == nil || p.mode == 0:
		case p.IntN(2) == 0:
			data = p.tear(data, c)
		}
	}
	return data
}

// tear applies some sectors of a write, or its length alone.
func (p powerCut) tear(data []byte, c change) []byte {
	end := c.off + int64(len(c.data))
	lengthOnly := p.IntN(4) == 0
	if lengthOnly || p.IntN(2) == 0 {
		data = resize(data, max(int64(len(data)), end))
	}
	if lengthOnly {
		return data
	}
	for off := c.off; off < end; {
		next := min(off-off%sector+sector, end)
		if p.IntN(2) == 0 {
			data = change{off: off, data: c.data[off-c.off : next-c.off]}.apply(data)
		}
		off = next
	}
	return data
}
