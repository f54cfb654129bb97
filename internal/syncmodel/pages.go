package syncmodel

import "fmt"

const (
	pages    = 2 // pages of a Volume at most
	maxLSN   = 8 // commits of a remote Volume at most
	maxLog   = 3 // unpushed commits of a Graft at most
	grafts   = 3
	volumes  = 2                 // the first one, and that of a fork
	pushes   = 8                 // push ids that one Graft draws at most
	maxPush  = grafts*pushes + 2 // push ids there are; the last is that of the first commit
	inFlight = 3                 // records that may land later, at most
)

type (
	lsn    uint8
	value  uint8  // what a page holds; each commit writes one of its own; 0 is zeros
	pushID uint8  // names a push, its Segment and the checkpoint that it put; 0 is none
	recID  uint16 // number of a record in a Model; equal numbers mean equal bytes; 0 is none
)

// self stands in a record for the number of that record.
const self recID = 1<<16 - 1

// content is what a Snapshot shows.
type content struct {
	Count uint8
	Pages [pages]value
}

// change is what a commit does to a content.
type change struct {
	Count, Kept uint8
	Has         [pages]bool
	Pages       [pages]value
}

func (c change) String() string {
	return fmt.Sprintf("count %d kept %d pages %v", c.Count, c.Kept, c.Pages)
}

// with gives the content after a commit: what is above kept is dropped first.
func (c content) with(ch change) content {
	for p := range c.Pages {
		if p >= int(ch.Kept) {
			c.Pages[p] = 0
		}
		if ch.Has[p] {
			c.Pages[p] = ch.Pages[p]
		}
	}
	c.Count = ch.Count
	return c
}

// root is the page index of a Snapshot: page -> the record that holds it.
type root struct {
	Count uint8
	At    [pages]recID
}

// delta is the page-index delta that a record carries, since its checkpoint.
type delta struct {
	Count, Kept uint8
	Has         [pages]bool
	At          [pages]recID
}

// with gives the Root after a delta. Addresses in d that are self become id.
func (r root) with(d delta, id recID) root {
	for p := range r.At {
		if p >= int(d.Kept) {
			r.At[p] = 0
		}
		if d.Has[p] {
			r.At[p] = d.At[p]
			if d.At[p] == self {
				r.At[p] = id
			}
		}
	}
	r.Count = d.Count
	return r
}

// indexDelta is the delta of one commit alone.
func (c change) indexDelta() delta {
	d := delta{Count: c.Count, Kept: c.Kept, Has: c.Has}
	for p, has := range c.Has {
		if has {
			d.At[p] = self
		}
	}
	return d
}

// then gives the delta of d, which stands in record id, followed by next.
func (d delta) then(id recID, next delta) delta {
	out := next
	out.Kept = min(d.Kept, next.Kept)
	for p := range out.At {
		if d.Has[p] && !next.Has[p] && p < int(next.Kept) {
			out.Has[p], out.At[p] = true, d.At[p]
			if d.At[p] == self {
				out.At[p] = id
			}
		}
	}
	return out
}

// rollup makes one change of a log: the newest version of each page, kept the
// minimum, and a page only if no later commit kept less.
func (m *Model) rollup(log []change) change {
	out := log[len(log)-1]
	kept := out.Kept
	for i := len(log) - 2; i >= 0; i-- {
		for p, has := range log[i].Has {
			cut := p >= int(kept) && !m.mut.RollupIgnoresKept
			if has && !out.Has[p] && !cut {
				out.Has[p], out.Pages[p] = true, log[i].Pages[p]
			}
		}
		kept = min(kept, log[i].Kept)
	}
	out.Kept = kept
	return out
}

// shown is the content of a Root.
func (m *Model) shown(r root) content {
	c := content{Count: r.Count}
	for p, id := range r.At {
		if id != 0 {
			c.Pages[p] = m.recs[id].Pages[p]
		}
	}
	return c
}

// newest is what a Graft shows: its Root with the local commits applied.
func (m *Model) newest(st *store) content {
	if m.mut.LayerWalk {
		return m.walk(st)
	}
	c := m.shown(st.Base)
	for _, ch := range st.unpushed() {
		c = c.with(ch)
	}
	return c
}

// walk reads each page from the newest layer that has it, which is wrong.
func (m *Model) walk(st *store) content {
	var layers []change
	for id := st.parent(); id != 0; id = m.recs[id].Parent {
		layers = append([]change{m.recs[id].change}, layers...)
	}
	layers = append(layers, st.unpushed()...)
	var c content
	for _, l := range layers {
		c.Count = l.Count
		for p, has := range l.Has {
			if has {
				c.Pages[p] = l.Pages[p]
			}
		}
	}
	for p := range c.Pages {
		if p >= int(c.Count) {
			c.Pages[p] = 0
		}
	}
	return c
}
