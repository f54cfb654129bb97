package vfs

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"graft"
)

// newGuided gives a file of so many pages, of which fn writes some.
func newGuided(t *testing.T, pages graft.PageCount, fn func(*graft.Writer) error) *file {
	t.Helper()
	ctx := context.Background()
	db, err := graft.Open(ctx, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	g, err := db.Graft(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.Update(ctx, func(w *graft.Writer) error {
		if err := fn(w); err != nil {
			return err
		}
		return w.SetPageCount(pages)
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &file{reader: g.Reader()}
	f.stats.begin(f.interrupt())
	t.Cleanup(f.reader.Close)
	return f
}

// windows has pages read in order, of a kind that the first bytes of page say, and
// gives how many were fetched ahead with each that had some be.
func (g *guide) windows(f *file, page []byte, order []graft.PageIdx) (sizes []int) {
	for _, p := range order {
		before := len(g.asked)
		g.read(f, p, page)
		if n := len(g.asked) - before; n > 0 {
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// What is fetched ahead of a scan of pages in order doubles each time, up to maxRange,
// and ends with the database.
func TestARangeGrowsUpToItsBound(t *testing.T) {
	const last = 20_000
	f := newGuided(t, last, func(*graft.Writer) error { return nil })
	order := make([]graft.PageIdx, 0, last)
	for p := graft.PageIdx(1); p <= last; p++ {
		order = append(order, p)
	}
	leaf := make([]byte, graft.PageSize)
	leaf[0] = 0x0d
	for by, from := range map[int]graft.PageIdx{1: 1, -1: last} {
		g := &guide{by: by, window: firstWindow, rangeEdge: from}
		g.extend(f) // as a miss does
		first, pages := len(g.asked), slices.Clone(order)
		if by < 0 {
			slices.Reverse(pages)
		}
		sizes := append([]int{first}, g.windows(f, leaf, pages[1:])...)
		g.end()
		if want := []int{16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096, 3631}; !slices.Equal(sizes, want) {
			t.Errorf("direction %d: windows of %v pages, want %v", by, sizes, want)
		}
	}
}

// What is fetched ahead of a scan of leaves far from one another doubles each time, up
// to maxWindow, and ends with the tree.
func TestAWindowOfLeavesGrowsUpToItsBound(t *testing.T) {
	const leaves, children, root = 6000, 500, 2
	leafAt := func(i int) graft.PageIdx { return graft.PageIdx(100 + i*7919%leaves) } // in no order
	f := newGuided(t, 100+leaves, func(w *graft.Writer) error {
		var below []graft.PageIdx
		for first := 0; first < leaves; first += children {
			var kids []graft.PageIdx
			for i := first; i < first+children; i++ {
				kids = append(kids, leafAt(i))
			}
			p := root + 1 + graft.PageIdx(first/children)
			below = append(below, p)
			if err := w.Write(p, interiorPage(kids)); err != nil {
				return err
			}
		}
		return w.Write(root, interiorPage(below))
	})
	leaf := make([]byte, graft.PageSize)
	leaf[0] = 0x0d
	var g guide
	g.remember(root)
	for p := range graft.PageIdx(leaves / children) {
		g.remember(root + 1 + p)
	}
	sizes := []int(nil)
	for i := range leaves { // SQLite reads what it missed after that
		before := len(g.asked)
		g.missed(f, leafAt(i))
		g.read(f, leafAt(i), leaf)
		if n := len(g.asked) - before; n > 0 {
			sizes = append(sizes, n)
		}
	}
	g.end()
	if len(sizes) < 8 || slices.Max(sizes) != maxWindow || sizes[0] != firstWindow {
		t.Fatalf("windows of %v leaves", sizes)
	}
	for i, n := range sizes[1 : len(sizes)-1] {
		if n != min(2*sizes[i], maxWindow) {
			t.Errorf("windows of %v leaves", sizes)
			break
		}
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	if total > leaves {
		t.Errorf("%d pages were fetched ahead, of %d leaves", total, leaves)
	}
}

// interiorPage gives an interior page of a table.
func interiorPage(children []graft.PageIdx) *graft.Page {
	var page graft.Page
	n := len(children) - 1
	page[0] = 0x05
	binary.BigEndian.PutUint16(page[3:], uint16(n))
	binary.BigEndian.PutUint32(page[8:], uint32(children[n]))
	for i, child := range children[:n] {
		at := 4096 - 6*(i+1)
		binary.BigEndian.PutUint16(page[12+2*i:], uint16(at))
		binary.BigEndian.PutUint32(page[at:], uint32(child))
		page[at+4], page[at+5] = 0x80|byte(i>>7), byte(i&0x7f) // a varint
	}
	return &page
}
