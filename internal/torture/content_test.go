package torture

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"graft"
)

// opID names a transaction: what it does to the pages follows from its opID and
// from the pages before it.
type opID uint64

// state is what a transaction saw or made, as page 1 says: how many
// transactions there were, and a hash of their opIDs in order.
type state struct {
	n    uint64
	hash [sha256.Size]byte
}

func (s state) String() string { return fmt.Sprintf("%d:%x", s.n, s.hash[:4]) }

// next is the state after transaction id.
func (s state) next(id opID) state {
	return state{n: s.n + 1, hash: sha256.Sum256(binary.LittleEndian.AppendUint64(s.hash[:], uint64(id)))}
}

// The pages: page 1 is the state, those of the list are all opIDs in order,
// and the rest is written, cut off and grown anew.
const (
	listPage  = 2 // the first of the list
	perPage   = graft.PageSize / 8
	listPages = 256
	restPage  = listPage + listPages // the first of the rest
	restPages = 40

	// manyPages are more than a push puts into its commit: it uploads a Segment.
	manyPages = 65
)

// pager reads pages. Those that were never written are zeros.
type pager interface {
	PageCount() graft.PageCount
	Page(ctx context.Context, p graft.PageIdx) (*graft.Page, error)
}

// editor is what a transaction needs of a graft.Writer, and of the model of one.
type editor interface {
	pager
	Write(p graft.PageIdx, page *graft.Page) error
	SetPageCount(n graft.PageCount) error
}

// readPage gives a page, or zeros above the page count.
func readPage(ctx context.Context, from pager, p graft.PageIdx) (*graft.Page, error) {
	if !from.PageCount().Has(p) {
		return new(graft.Page), nil
	}
	return from.Page(ctx, p)
}

func readState(ctx context.Context, from pager) (s state, err error) {
	page, err := readPage(ctx, from, 1)
	if err == nil {
		s.n = binary.LittleEndian.Uint64(page[:])
		copy(s.hash[:], page[8:])
	}
	return s, err
}

// transact runs transaction id, and gives the states before and after it.
func transact(ctx context.Context, e editor, id opID) (before, after state, err error) {
	if before, err = readState(ctx, e); err != nil {
		return before, after, err
	}
	after = before.next(id)
	p := graft.PageIdx(listPage + before.n/perPage)
	if p >= restPage {
		return before, after, fmt.Errorf("the list is full")
	}
	old, err := readPage(ctx, e, p)
	if err != nil {
		return before, after, err
	}
	list, head := *old, new(graft.Page)
	binary.LittleEndian.PutUint64(list[before.n%perPage*8:], uint64(id))
	binary.LittleEndian.PutUint64(head[:], after.n)
	copy(head[8:], after.hash[:])
	if err := e.Write(1, head); err != nil {
		return before, after, err
	}
	if err := e.Write(p, &list); err != nil {
		return before, after, err
	}
	return before, after, changeRest(e, id)
}

// changeRest writes pages of the rest, now and then many of them, or cuts it off, and
// may let it grow.
func changeRest(e editor, id opID) error {
	dice := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(id)))
	page := func(i int) graft.PageIdx { return graft.PageIdx(restPage + int(dice[i])%restPages) }
	if dice[0]%2 == 0 {
		if err := e.SetPageCount(graft.PageCount(page(1) - 1)); err != nil {
			return err
		}
	}
	switch dice[0] / 2 % 3 {
	case 0:
		if n := graft.PageCount(page(2)); n > e.PageCount() {
			return e.SetPageCount(n)
		}
	case 1:
		for i := range 1 + int(dice[3])%4 {
			if err := e.Write(page(4+i), filled(id, page(4+i))); err != nil {
				return err
			}
		}
	}
	if dice[20]%8 > 0 {
		return nil
	}
	for i := range graft.PageIdx(manyPages + int(dice[21])%86) {
		if err := e.Write(page(22)+i, filled(id, page(22)+i)); err != nil {
			return err
		}
	}
	return nil
}

// filled gives page p as transaction id writes it.
func filled(id opID, p graft.PageIdx) *graft.Page {
	page := new(graft.Page)
	binary.LittleEndian.PutUint64(page[0:], uint64(id))
	binary.LittleEndian.PutUint64(page[8:], uint64(p))
	for n := 16; n < len(page); n *= 2 {
		copy(page[n:], page[:n])
	}
	return page
}

// model is the pages in memory.
type model struct {
	count graft.PageCount
	pages map[graft.PageIdx]*graft.Page
}

func newModel() *model { return &model{pages: make(map[graft.PageIdx]*graft.Page)} }

func (m *model) PageCount() graft.PageCount { return m.count }

func (m *model) Page(_ context.Context, p graft.PageIdx) (*graft.Page, error) {
	if page := m.pages[p]; page != nil {
		return page, nil
	}
	return new(graft.Page), nil
}

func (m *model) Write(p graft.PageIdx, page *graft.Page) error {
	m.pages[p], m.count = page, max(m.count, graft.PageCount(p))
	return nil
}

func (m *model) SetPageCount(n graft.PageCount) error {
	for p := range m.pages {
		if !n.Has(p) {
			delete(m.pages, p)
		}
	}
	m.count = n
	return nil
}

// readList gives the opIDs of all transactions, which the state must confirm.
func readList(ctx context.Context, from pager) ([]opID, error) {
	s, err := readState(ctx, from)
	if err != nil {
		return nil, err
	}
	var ids []opID
	var sum state
	for i := range min(s.n, perPage*listPages) {
		page, err := readPage(ctx, from, graft.PageIdx(listPage+i/perPage))
		if err != nil {
			return nil, err
		}
		id := opID(binary.LittleEndian.Uint64(page[i%perPage*8:]))
		ids, sum = append(ids, id), sum.next(id)
	}
	if sum != s {
		return nil, fmt.Errorf("%w: the list makes state %s, page 1 says %s", errContent, sum, s)
	}
	return ids, nil
}

// compare wants the pages to be what the transactions of the list make.
func compare(ctx context.Context, from pager) ([]opID, error) {
	ids, err := readList(ctx, from)
	if err != nil {
		return nil, err
	}
	want := newModel()
	for _, id := range ids {
		if _, _, err := transact(ctx, want, id); err != nil {
			return nil, err
		}
	}
	if n := from.PageCount(); n != want.count {
		return nil, fmt.Errorf("%w: there are %d pages, want %d", errContent, n, want.count)
	}
	for p := graft.PageIdx(1); want.count.Has(p); p++ {
		got, err := from.Page(ctx, p)
		if err != nil {
			return nil, err
		}
		if page, _ := want.Page(ctx, p); *page != *got {
			return nil, fmt.Errorf("%w: page %d begins with %x, want %x", errContent, p, got[:16], page[:16])
		}
	}
	return ids, nil
}

// repeated gives an opID that is in the list twice, or zero.
func repeated(ids []opID) opID {
	sorted := slices.Sorted(slices.Values(ids))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return sorted[i]
		}
	}
	return 0
}
