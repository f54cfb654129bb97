package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"graft/volume"
	"graft/volume/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// graft is a Head with what it stands on.
type graft struct {
	base   string // of the directories, one for each life that a kill has ended
	lives  int
	dir    string
	opts   store.Options
	asleep bool // nothing works in the background of a store that is opened
	store  *store.Store
	heads  *Heads
	source *fakeSource
	head   *Head
}

var quiet = slog.New(slog.DiscardHandler)

// newGraft gives an unborn Graft of tag main in a store of its own.
func newGraft(t *testing.T) *graft {
	t.Helper()
	return newGraftOf(t, t.TempDir(), store.Options{})
}

// newGraftOf is newGraft of a store in a directory of base.
func newGraftOf(t *testing.T, base string, opts store.Options) *graft {
	t.Helper()
	g := &graft{base: base, dir: filepath.Join(base, "0"), opts: opts, source: &fakeSource{}}
	g.openStore(t)
	t.Cleanup(func() { g.close(t) })
	g.head = g.heads.New("main")
	return g
}

func (g *graft) openStore(t rapid.TB) {
	t.Helper()
	var err error
	g.heads = NewHeads(quiet)
	opts := g.opts
	opts.Live = g.heads.Live
	if g.store, err = store.Open(g.dir, opts); err != nil {
		t.Fatal(err)
	}
	if g.asleep {
		g.heads.store, g.heads.remote, g.heads.stop = g.store, g.remote(), func() {}
		close(g.heads.stopped)
		return
	}
	g.heads.Start(g.store, g.remote())
}

func (g *graft) close(t rapid.TB) {
	t.Helper()
	if err := g.heads.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		t.Fatal(err)
	}
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// reopen closes the store and opens the Graft again.
func (g *graft) reopen(t rapid.TB) {
	t.Helper()
	g.close(t)
	g.openStore(t)
	g.reopenHead(t)
}

// crash opens the Graft again as a killed process would have left it: no index
// is saved, and the journal is not applied.
func (g *graft) crash(t rapid.TB) {
	t.Helper()
	g.heads.stop()
	<-g.heads.stopped
	g.kill(t)
	g.reopenHead(t)
}

func (g *graft) reopenHead(t rapid.TB) {
	t.Helper()
	head, err := g.heads.Open(context.Background(), g.head.State().Local)
	if err != nil {
		t.Fatal(err)
	}
	g.head = head
}

func (g *graft) writer(t rapid.TB) *Writer {
	t.Helper()
	w, err := g.head.Writer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// update commits what fn does in a Writer.
func (g *graft) update(t rapid.TB, fn func(w *Writer)) volume.LSN {
	t.Helper()
	w := g.writer(t)
	defer w.Discard()
	fn(w)
	return commit(t, w)
}

func commit(t rapid.TB, w *Writer) volume.LSN {
	t.Helper()
	lsn, err := w.Commit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

// write stages pages first to last, made of seed.
func write(t rapid.TB, w *Writer, first, last volume.PageIdx, seed uint64) {
	t.Helper()
	for p := first; p <= last; p++ {
		if err := w.Write(p, page(seed, p)); err != nil {
			t.Fatal(err)
		}
	}
}

func setPageCount(t rapid.TB, w *Writer, n volume.PageCount) {
	t.Helper()
	if err := w.SetPageCount(n); err != nil {
		t.Fatal(err)
	}
}

// page gives a page that tells its seed and index; seed 0 gives zeros.
func page(seed uint64, p volume.PageIdx) *volume.Page {
	var page volume.Page
	if seed != 0 {
		binary.LittleEndian.PutUint64(page[:], seed)
		binary.LittleEndian.PutUint32(page[volume.PageSize-4:], uint32(p))
	}
	return &page
}

// pageReader is a Reader or a Writer.
type pageReader interface {
	PageCount() volume.PageCount
	Page(ctx context.Context, p volume.PageIdx) (*volume.Page, error)
	ReadPage(ctx context.Context, p volume.PageIdx, dst *volume.Page) error
}

// content is what a Graft must read as: the seed of each page that is not
// zeros, and the page count.
type content struct {
	count volume.PageCount
	seeds map[volume.PageIdx]uint64
}

// contentOf gives a content of count pages, where all from first to last are
// made of seed.
func contentOf(count volume.PageCount, first, last volume.PageIdx, seed uint64) content {
	c := content{count: count, seeds: make(map[volume.PageIdx]uint64)}
	c.set(first, last, seed)
	return c
}

func (c content) set(first, last volume.PageIdx, seed uint64) content {
	for p := first; p <= last; p++ {
		c.seeds[p] = seed
	}
	return c
}

// check reads every page, every second one into memory of its own.
func (c content) check(t rapid.TB, r pageReader) {
	t.Helper()
	if r.PageCount() != c.count {
		t.Fatalf("%d pages, want %d", r.PageCount(), c.count)
	}
	for p := volume.PageIdx(1); c.count.Has(p); p++ {
		got, err := page(99, 99), error(nil)
		if p%2 == 0 {
			err = r.ReadPage(context.Background(), p, got)
		} else {
			got, err = r.Page(context.Background(), p)
		}
		if err != nil {
			t.Fatalf("page %d: %v", p, err)
		}
		if *got != *page(c.seeds[p], p) {
			t.Fatalf("page %d starts with % x, want seed %d", p, got[:8], c.seeds[p])
		}
	}
}

// putRemote stores the next commit of the remote Volume, whose pages are not
// stored here but in the source.
func (g *graft) putRemote(t rapid.TB, lsn volume.LSN, c volume.Commit, seed uint64) volume.SegmentID {
	t.Helper()
	id := volume.NewSegmentID()
	pages := c.Pages()
	c.Volume, c.LSN = g.head.State().Remote, lsn
	if c.Segments = nil; !pages.IsEmpty() {
		c.Segments = []volume.Segment{{ID: id, Pages: pages}}
	}
	rec, err := volume.EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.store.Apply(store.Change{Commits: []volume.Record{rec}}); err != nil {
		t.Fatal(err)
	}
	for p := range pages.All() {
		g.source.put(id, p, page(seed, p))
	}
	return id
}

// pages is a Segment set for putRemote: all pages from first to last.
func pages(first, last volume.PageIdx) []volume.Segment {
	var s volume.PageSet
	for p := first; p <= last; p++ {
		s.Add(p)
	}
	return []volume.Segment{{Pages: s}}
}

// rollup gives what a push of everything that is not pushed would be: the
// remote commit, and where its pages are stored here.
func (g *graft) rollup(t rapid.TB) (volume.Pending, []volume.Alias) {
	t.Helper()
	state := g.head.State()
	root := state.Snapshot.Root()
	c := volume.Commit{Volume: state.Remote, LSN: state.SyncPoint.Remote + 1, PageCount: root.PageCount(), Kept: root.PageCount()}
	changed := make(map[volume.SegmentID]bool)
	err := g.store.Log(state.Local, state.Unpushed(), func(rec volume.Record) error {
		c.Kept = min(c.Kept, rec.Commit.Kept)
		for _, s := range rec.Commit.Segments {
			changed[s.ID] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	aliases := make(map[volume.SegmentID]*volume.Alias)
	all := volume.Segment{ID: volume.NewSegmentID()}
	for p := volume.PageIdx(1); root.PageCount().Has(p); p++ {
		id, err := root.Lookup(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if !changed[id] {
			continue
		}
		if aliases[id] == nil {
			aliases[id] = &volume.Alias{Segment: id}
		}
		aliases[id].Pages.Add(p)
		all.Pages.Add(p)
	}
	if !all.Pages.IsEmpty() {
		c.Segments = []volume.Segment{all}
	}
	rec, err := volume.EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	var list []volume.Alias
	for _, a := range aliases {
		list = append(list, *a)
	}
	return volume.Pending{Record: rec, Local: state.LocalHead}, list
}
