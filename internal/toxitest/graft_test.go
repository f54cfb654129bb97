package toxitest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"graft"
	_ "graft/driver"
	"graft/internal/testdir"
	"graft/internal/testserver"
	"graft/objstore"
)

// A fault is what is wrong with the line of a replica. While it lasts each operation succeeds, or fails with one of
// causes in its text.
type fault struct {
	toxic             string // none: the server is away
	stream, attribute string
	value             int
	timeout           time.Duration // of each operation; zero: none
	back              bool          // the server comes back while they wait
	succeed           bool          // all do
	causes            []string
}

func (f *fault) name() string {
	if f.toxic == "" {
		return fmt.Sprintf("away, back %v", f.back)
	}
	return fmt.Sprintf("%s %s %d", f.toxic, f.stream, f.value)
}

var faults = func() []fault {
	cut := []string{"EOF", "connection reset", "broken pipe", "wrong length", "connection broken", "closed network connection"}
	return []fault{
		{toxic: "latency", stream: "downstream", attribute: "latency", value: 20, succeed: true},
		{toxic: "latency", stream: "downstream", attribute: "latency", value: 60_000, timeout: 200 * time.Millisecond, causes: []string{"deadline"}},
		{toxic: "reset_peer", stream: "upstream", attribute: "timeout", causes: cut},
		{toxic: "reset_peer", stream: "downstream", attribute: "timeout", causes: cut},
		{causes: []string{"connection refused"}},
		{back: true, succeed: true},
		{toxic: "limit_data", stream: "upstream", attribute: "bytes", value: 6_000, causes: cut},
		{toxic: "limit_data", stream: "downstream", attribute: "bytes", value: 900, causes: cut},
		{toxic: "limit_data", stream: "downstream", attribute: "bytes", value: 40_000, causes: cut},
	}
}()

// TestGraft has replicas clone, pull, push, read and hydrate, all at a time, each on a line with another fault. An
// operation succeeds, or says what is wrong with the line and no more than that. When the line is mended all go on, and
// what they have then is what was pushed, to the byte.
func TestGraft(t *testing.T) {
	server := newServer(t)
	o := newOrigin(t, server)
	replicas := make([]*replica, len(faults))
	for i := range faults {
		replicas[i] = o.newReplica(t)
	}
	o.move(t, "pull")
	readers := openReplica(t, server)
	for i, f := range faults {
		t.Run(f.name(), func(t *testing.T) {
			t.Parallel()
			r := replicas[i]
			if f.toxic != "" {
				r.line.spoil(t, f.toxic, f.stream, f.attribute, f.value, 1)
			}
			r.line.proxy.Stop() // the connections from before
			if f.toxic != "" {
				r.start(t)
			} else if f.back {
				go r.startWhenAsked(t)
			}
			failed := r.runAll(t, &f)
			if f.succeed != (failed == 0) {
				t.Errorf("%d operations failed, all are to succeed: %v", failed, f.succeed)
			}
			switch {
			case f.toxic != "":
				r.line.mend(t)
			case !f.back:
				r.start(t)
			}
			r.finish(t)
			r.compare(t, readers, fmt.Sprint("of fault ", i))
		})
	}
}

// origin is who pushed what the replicas sync with.
type origin struct {
	server  string
	db      *graft.DB
	volumes map[string]graft.VolumeID
	pages   map[string][]byte
	rows    string // of table t in the Graft "query"
}

// pagesOfEach is how many pages a Graft has: too many for one commit to hold them.
const pagesOfEach = 100

func newOrigin(t *testing.T, server string) *origin {
	o := &origin{server: server, db: openReplica(t, server), volumes: make(map[string]graft.VolumeID), pages: make(map[string][]byte)}
	sqlDB := openSQL(t, o.db, "query")
	if _, err := sqlDB.Exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b);
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 300) INSERT INTO t SELECT i, randomblob(1000) FROM n`); err != nil {
		t.Fatal(err)
	}
	var err error
	if o.rows, err = rowsOf(t.Context(), sqlDB); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"clone", "pull", "read", "hydrate"} {
		fill(t, graftOf(t, o.db, tag), pagesOfEach)
	}
	for _, tag := range []string{"clone", "pull", "read", "hydrate", "query"} {
		o.push(t, tag)
	}
	return o
}

// move commits and pushes to the Graft of a tag once more.
func (o *origin) move(t *testing.T, tag string) {
	fill(t, graftOf(t, o.db, tag), 80)
	o.push(t, tag)
}

func (o *origin) push(t *testing.T, tag string) {
	t.Helper()
	g := graftOf(t, o.db, tag)
	if _, err := g.Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.volumes[tag], o.pages[tag] = infoOf(t, g).Remote, pagesOf(t, g)
}

// replica is a data directory on a line of its own.
type replica struct {
	*origin
	db   *graft.DB
	line *line // its proxy alone
	sql  *sql.DB
}

// newReplica returns one that has something to do for each operation.
func (o *origin) newReplica(t *testing.T) *replica {
	t.Helper()
	r := &replica{origin: o, line: &line{proxy: newProxy(t, o.server)}}
	r.db = openReplica(t, "http://"+r.line.proxy.Listen)
	for _, tag := range []string{"pull", "read", "hydrate", "query"} {
		if err := graftOf(t, r.db, tag).Clone(t.Context(), o.volumes[tag]); err != nil {
			t.Fatal(err)
		}
	}
	r.sql = openSQL(t, r.db, "query")
	if err := r.sql.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(t, graftOf(t, r.db, "push"), 1)
	fill(t, graftOf(t, r.db, "import"), pagesOfEach)
	return r
}

// start starts the proxy.
func (r *replica) start(t *testing.T) {
	if err := r.line.proxy.Start(); err != nil {
		t.Error(err)
	}
}

// startWhenAsked starts the proxy when the replica has made some requests.
func (r *replica) startWhenAsked(t *testing.T) {
	for before := r.db.RemoteStats(); r.db.RemoteStats().Sub(before).Requests() < 8; {
		time.Sleep(time.Millisecond)
	}
	r.start(t)
}

// operations are what a replica does over its line. Done again they do nothing, or the same.
func (r *replica) operations(t *testing.T) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"clone": func(ctx context.Context) error {
			g := graftOf(t, r.db, "clone")
			if g.Exists() {
				return nil
			}
			return g.Clone(ctx, r.volumes["clone"])
		},
		"pull":    func(ctx context.Context) error { return second(graftOf(t, r.db, "pull").Pull(ctx)) },
		"push":    func(ctx context.Context) error { return second(graftOf(t, r.db, "push").Push(ctx)) },
		"import":  func(ctx context.Context) error { return second(graftOf(t, r.db, "import").Push(ctx)) },
		"hydrate": func(ctx context.Context) error { return second(graftOf(t, r.db, "hydrate").Hydrate(ctx)) },
		"read": func(ctx context.Context) error {
			return graftOf(t, r.db, "read").View(func(reader *graft.Reader) error {
				page, err := reader.Page(ctx, 50)
				return right(err, err == nil && bytes.Equal(page[:], r.pages["read"][49*graft.PageSize:][:graft.PageSize]))
			})
		},
		"query": func(ctx context.Context) error {
			rows, err := rowsOf(ctx, r.sql)
			return right(err, rows == r.rows)
		},
	}
}

func second[T any](_ T, err error) error { return err }

// runAll runs all operations and returns how many failed.
func (r *replica) runAll(t *testing.T, f *fault) (failed int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, do := range r.operations(t) {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if f.timeout > 0 {
				ctx, cancel = context.WithTimeout(t.Context(), f.timeout)
			}
			defer cancel()
			if err := do(ctx); err != nil {
				checkError(t, f, name, err)
				mu.Lock()
				defer mu.Unlock()
				failed++
			}
		})
	}
	wg.Wait()
	return failed
}

// checkError wants an error to be one of the line, and to name it, and the object that was wanted.
func checkError(t *testing.T, f *fault, name string, err error) {
	t.Helper()
	for _, wrong := range []error{
		errWrong, graft.ErrCorrupt, graft.ErrRemoteMismatch, graft.ErrDiverged, graft.ErrNoVolume, graft.ErrNotRetained,
		graft.ErrExpired, objstore.ErrNotExist, objstore.ErrExist,
	} {
		if errors.Is(err, wrong) {
			t.Errorf("%s: %v is %q", name, err, wrong)
		}
	}
	if f.timeout > 0 && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v is not the end of its context", name, err)
	}
	// SQLite that is interrupted does not tell in what.
	if !says(err, f.causes...) || !says(err, "volumes/", "segments/") && !says(err, "interrupted: context deadline") {
		t.Errorf("%s: %v does not say what was wanted, and one of %q", name, err, f.causes)
	}
}

func says(err error, texts ...string) bool {
	for _, text := range texts {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// finish does over the good line what failed. A put may still meet a connection that was cut.
func (r *replica) finish(t *testing.T) {
	for name, do := range r.operations(t) {
		var err error
		for range 3 {
			if err = do(t.Context()); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("mended: %s: %v", name, err)
		}
	}
}

// compare wants what the replica has and what it pushed to be right. Readers clone that, under tags that end with which.
func (r *replica) compare(t *testing.T, readers *graft.DB, which string) {
	for _, tag := range []string{"clone", "pull", "read", "hydrate", "query"} {
		if got := pagesOf(t, graftOf(t, r.db, tag)); !bytes.Equal(got, r.pages[tag]) {
			t.Errorf("%s: %d bytes of %d, or others", tag, len(got), len(r.pages[tag]))
		}
	}
	for _, tag := range []string{"push", "import"} {
		g, reader := graftOf(t, r.db, tag), graftOf(t, readers, tag+which)
		info := infoOf(t, g)
		if info.SyncPoint.Remote != 1 {
			t.Errorf("%s: one push made %d commits", tag, info.SyncPoint.Remote)
		}
		if err := reader.Clone(t.Context(), info.Remote); err != nil {
			t.Error(err)
		} else if !bytes.Equal(pagesOf(t, reader), pagesOf(t, g)) {
			t.Errorf("%s: who cloned it has other pages", tag)
		}
	}
}

// openReplica opens a new data directory whose bucket is on the server at an endpoint.
func openReplica(t *testing.T, endpoint string) *graft.DB {
	t.Helper()
	db, err := graft.Open(t.Context(), testdir.InMemory(t), &graft.Options{Remote: testserver.BucketURL(endpoint, "graft")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// openSQL opens the database that a tag names in the data directory of db.
func openSQL(t *testing.T, db *graft.DB, tag string) *sql.DB {
	t.Helper()
	opened, err := sql.Open("graft", fmt.Sprintf("tag=%s dir='%s'", tag, db.Path()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	return opened
}

func rowsOf(ctx context.Context, db *sql.DB) (rows string, err error) {
	err = db.QueryRowContext(ctx, "SELECT hex(group_concat(substr(b, 1, 9))) FROM t").Scan(&rows)
	return rows, err
}

func graftOf(t *testing.T, db *graft.DB, tag string) *graft.Graft {
	t.Helper()
	g, err := db.Graft(context.WithoutCancel(t.Context()), tag)
	if err != nil {
		t.Error(err)
	}
	return g
}

func infoOf(t *testing.T, g *graft.Graft) graft.Info {
	t.Helper()
	info, err := g.Info()
	if err != nil {
		t.Error(err)
	}
	return info
}

// fill commits the first n pages, of bytes that no compression makes less.
func fill(t *testing.T, g *graft.Graft, n graft.PageCount) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1: byte(n), 2: g.Tag()[0]})
	_, err := g.Update(t.Context(), func(w *graft.Writer) error {
		for p := graft.PageIdx(1); n.Has(p); p++ {
			page := new(graft.Page)
			_, _ = random.Read(page[:])
			if err := w.Write(p, page); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pagesOf reads all pages.
func pagesOf(t *testing.T, g *graft.Graft) (pages []byte) {
	t.Helper()
	if _, err := g.Hydrate(t.Context()); err != nil { // in fewer requests than page by page
		t.Error(err)
	}
	err := g.View(func(r *graft.Reader) error {
		for p := graft.PageIdx(1); r.PageCount().Has(p); p++ {
			page, err := r.Page(t.Context(), p)
			if err != nil {
				return err
			}
			pages = append(pages, page[:]...)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return pages
}
