package snapshot

import (
	"slices"
	"sync"
	"sync/atomic"

	"graft/volume"
)

const (
	// maxUsed is how many used pages of a Graft are known, at most.
	maxUsed = 8192
	// usedSlots is how many of them are told without a lock.
	usedSlots = 2048
)

// usedPages are the pages of a Graft that were used since it was opened, in the
// order of their first use, as far as there is room. The zero value is empty.
type usedPages struct {
	full  atomic.Bool
	slots [usedSlots]atomic.Uint32 // a page that is known, or 0; by its low bits

	mu    sync.Mutex
	known map[volume.PageIdx]struct{}
	order []volume.PageIdx
}

// note adds a page, if it is new. It costs next to nothing for one that was noted
// a moment ago.
func (u *usedPages) note(p volume.PageIdx) {
	slot := &u.slots[p%usedSlots]
	if slot.Load() == uint32(p) || u.full.Load() {
		return
	}
	slot.Store(uint32(p))
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.known[p]; ok || len(u.order) == maxUsed {
		return
	}
	if u.known == nil {
		u.known = make(map[volume.PageIdx]struct{})
	}
	u.known[p] = struct{}{}
	u.order = append(u.order, p)
	u.full.Store(len(u.order) == maxUsed)
}

// Used gives the pages that Readers told to NoteUsed have read since the Graft was
// opened, in the order of their first use: the first 8192 of them.
func (h *Head) Used() []volume.PageIdx {
	h.used.mu.Lock()
	defer h.used.mu.Unlock()
	return slices.Clone(h.used.order)
}

// NoteUsed has the pages that are read from now on count as used: see [Head.Used].
// It is called before the Reader is used. A Clone does not inherit it.
func (r *Reader) NoteUsed() { r.notesUsed = true }
