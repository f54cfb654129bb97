package sync_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"graft/internal/faultbucket"
	"graft/objstore"
	"graft/snapshot"
	graftsync "graft/sync"
	"graft/volume"
	"graft/volume/store"
)

// machine is a data directory with its view of a bucket.
type machine struct {
	t      *testing.T
	dir    string
	quota  int64 // bytes of fetched pages; zero: any
	log    *slog.Logger
	store  *store.Store
	heads  *snapshot.Heads
	remote *graftsync.Remote
	head   *snapshot.Head
}

// many are more pages than a commit has room for.
var many = pagesTo(100)

// pagesTo are the first n pages.
func pagesTo(n volume.PageIdx) (pages []volume.PageIdx) {
	for p := range n {
		pages = append(pages, p+1)
	}
	return pages
}

// repeat gives text for each of many.
func repeat(text string) []string { return slices.Repeat([]string{text}, len(many)) }

// newMachine opens a new data directory; it is closed with the test.
func newMachine(t *testing.T, bucket *faultbucket.Bucket) *machine {
	t.Helper()
	return newMachineOn(t, bucket.Blob(), 0)
}

// newCache is newMachine with a quota of so many fetched pages, above which the test
// evicts.
func newCache(t *testing.T, bucket *faultbucket.Bucket, pages int) *machine {
	t.Helper()
	return newMachineOn(t, bucket.Blob(), int64(pages)*volume.PageSize)
}

// newMachineOn is newMachine for a bucket that is seen in another way, with a quota.
func newMachineOn(t *testing.T, blob *blob.Bucket, quota int64) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), quota: quota, log: slog.New(slog.DiscardHandler)}
	m.open(blob)
	m.head = m.heads.New("main")
	t.Cleanup(m.close)
	return m
}

// newPair gives a bucket and two machines with one Graft of one page in it,
// whose content is text: the first has pushed it, the second is a clone.
func newPair(t *testing.T, text string) (bucket *faultbucket.Bucket, a, b *machine) {
	t.Helper()
	bucket = faultbucket.New()
	a, b = newMachine(t, bucket), newMachine(t, bucket)
	a.commit(text, 1)
	a.must(a.push())
	b.clone(a.head.State().Remote)
	return bucket, a, b
}

func (m *machine) open(blob *blob.Bucket) {
	m.t.Helper()
	var err error
	m.heads = snapshot.NewHeads(m.log)
	if m.store, err = store.Open(m.dir, store.Options{Live: m.heads.Live, Quota: m.quota}); err != nil {
		m.t.Fatal(err)
	}
	m.remote = graftsync.NewRemote(objstore.New(blob), m.store, m.log)
	m.remote.UseHeads(m.heads.Open)
	m.heads.Keep(m.remote.PinnedPoints, func(ctx context.Context) error { return m.remote.HoldPins(ctx, false) })
	m.heads.Start(m.store, m.remote)
}

func (m *machine) close() {
	m.remote.Close()
	if err := errors.Join(m.heads.Close(), m.store.Close()); err != nil {
		m.t.Error(err)
	}
}

// reopen closes the data directory and opens it again, with bucket.
func (m *machine) reopen(bucket *faultbucket.Bucket) {
	m.t.Helper()
	local := m.head.State().Local
	m.close()
	m.open(bucket.Blob())
	m.attach(local)
}

func (m *machine) attach(local volume.VolumeID) {
	m.t.Helper()
	head, err := m.heads.Open(context.Background(), local)
	if err != nil {
		m.t.Fatal(err)
	}
	m.head = head
}

// clone attaches m to a new Graft of v.
func (m *machine) clone(v volume.VolumeID) {
	m.t.Helper()
	g, err := m.remote.Clone(context.Background(), v)
	if err != nil {
		m.t.Fatal(err)
	}
	m.attach(g.Local)
}

// commit writes pages whose content is text, in one commit.
func (m *machine) commit(text string, pages ...volume.PageIdx) {
	m.t.Helper()
	m.update(func(w *snapshot.Writer) error {
		for _, p := range pages {
			if err := w.Write(p, pageOf(text, p)); err != nil {
				return err
			}
		}
		return nil
	})
}

// resize sets the page count, in one commit.
func (m *machine) resize(n volume.PageCount) {
	m.t.Helper()
	m.update(func(w *snapshot.Writer) error { return w.SetPageCount(n) })
}

func (m *machine) update(fn func(*snapshot.Writer) error) {
	m.t.Helper()
	w, err := m.head.Writer(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	defer w.Discard()
	if err := fn(w); err != nil {
		m.t.Fatal(err)
	}
	if lsn, err := w.Commit(context.Background()); err != nil || lsn == 0 {
		m.t.Fatalf("commit: LSN %d, %v", lsn, err)
	}
}

func pageOf(text string, p volume.PageIdx) *volume.Page {
	page := new(volume.Page)
	copy(page[:], fmt.Sprintf("%s@%d|", text, p))
	return page
}

// content reads the whole Graft: the text of each page, "" for zeros.
func (m *machine) content() []string {
	m.t.Helper()
	texts, err := m.tryContent()
	if err != nil {
		m.t.Fatal(err)
	}
	return texts
}

func (m *machine) tryContent() ([]string, error) {
	r := m.head.Reader()
	texts := []string{}
	for p := volume.PageIdx(1); r.PageCount().Has(p); p++ {
		page, err := r.Page(context.Background(), p)
		if err != nil {
			return nil, err
		}
		text, _, _ := strings.Cut(string(page[:64]), "@")
		texts = append(texts, strings.Trim(text, "\x00"))
	}
	return texts, nil
}

// settle waits until what was fetched is stored.
func (m *machine) settle() { m.store.AwaitLanded(context.Background()) }

// evict evicts, and makes sure that the quota is kept.
func (m *machine) evict() store.Evicted {
	m.t.Helper()
	m.settle()
	got, err := m.store.Evict(context.Background())
	m.must(err)
	if int64(got.Left)*volume.PageSize > m.quota {
		m.t.Fatalf("after an eviction %d pages are left, over the quota of %d bytes", got.Left, m.quota)
	}
	return got
}

func (m *machine) push() error {
	_, err := m.remote.Push(context.Background(), m.head)
	return err
}

func (m *machine) pull() error {
	_, err := m.remote.Pull(context.Background(), m.head)
	return err
}

func (m *machine) status() string {
	m.t.Helper()
	s, err := m.remote.Status(m.head)
	if err != nil {
		m.t.Fatal(err)
	}
	return s.String()
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) wantError(err, want error) {
	m.t.Helper()
	if !errors.Is(err, want) {
		m.t.Fatalf("error is %v, want %v", err, want)
	}
}

func (m *machine) wantContent(want ...string) {
	m.t.Helper()
	if got := m.content(); fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Fatalf("content is %q, want %q", got, want)
	}
}

func (m *machine) wantStatus(want string) {
	m.t.Helper()
	if got := m.status(); got != want {
		m.t.Fatalf("status is %q, want %q", got, want)
	}
}
