package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"

	"graft"
	"graft/driver"
	"graft/internal/faultbucket"
)

var errUnplugged = errors.New("no bucket")

// evictions is a handler of logs that tells of each eviction.
type evictions chan struct{}

func (e evictions) Enabled(context.Context, slog.Level) bool { return true }
func (e evictions) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e evictions) WithGroup(string) slog.Handler            { return e }

func (e evictions) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "evicted" {
		select {
		case e <- struct{}{}:
		default:
		}
	}
	return nil
}

// pinned is a replica with a quota of fetched pages.
type pinned struct {
	*database
	t       *testing.T
	bucket  *faultbucket.Bucket
	blob    *blob.Bucket
	dir     string
	db      *graft.DB
	evicted evictions
}

const pinnedQuota = 700 // pages

func (p *pinned) open() {
	p.t.Helper()
	p.blob, p.evicted = p.bucket.Blob(), make(evictions, 1)
	var err error
	p.db, err = graft.Open(context.Background(), p.dir, &graft.Options{Bucket: p.blob, Cache: pinnedQuota * graft.PageSize, PageCache: 4096, Logger: slog.New(p.evicted)})
	if err != nil {
		p.t.Fatal(err)
	}
	connector, err := driver.NewConnector(p.db, "main", &driver.Options{Pragmas: []string{"cache_size(2)"}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.database = &database{sql.OpenDB(connector), p.t}
}

func (p *pinned) close() {
	p.t.Helper()
	for _, closer := range []func() error{p.DB.Close, p.db.Close, p.blob.Close} {
		if err := closer(); err != nil {
			p.t.Error(err)
		}
	}
}

// unplug opens the directory anew with a bucket that answers nothing.
func (p *pinned) unplug() {
	p.t.Helper()
	p.close()
	p.bucket.Fail(func(faultbucket.Request) error { return errUnplugged }, nil)
	p.open()
}

// settle waits until the quota is kept.
func (p *pinned) settle() {
	p.t.Helper()
	p.settleAt(pinnedQuota)
}

// settleAt waits until no more than so many pages are here.
func (p *pinned) settleAt(most graft.PageCount) {
	p.t.Helper()
	g, err := p.db.Graft(context.Background(), "main")
	if err != nil {
		p.t.Fatal(err)
	}
	for {
		here, err := g.Audit(context.Background())
		if err != nil {
			p.t.Fatal(err)
		}
		if here.Present <= most {
			return
		}
		select {
		case <-p.evicted:
		case <-time.After(time.Minute): // it would hang
			p.t.Fatalf("%d pages are here, want %d at most", here.Present, most)
		}
	}
}

// Questions whose answers need all pages of the tables and indexes that are pinned.
var pinnedQueries = []string{
	"SELECT count(*) || hex(group_concat(substr(v, -20), '')) || sum(length(v)) FROM a",
	"SELECT sum(c) FROM a INDEXED BY a_c WHERE c > -1",
	"SELECT group_concat(k || v, '') FROM w",
}

const otherQuery = "SELECT sum(length(v)) FROM b"

func (p *pinned) wantPinned(source *database) {
	p.t.Helper()
	for _, q := range pinnedQueries {
		if got, want := p.ask(q), source.ask(q); got != want {
			p.t.Errorf("%s: %.80q, want %.80q", q, got, want)
		}
	}
}

// newPinned gives a database with rows of many pages and keys of many, and a replica
// that has pinned two of three tables and read all.
func newPinned(t *testing.T, encoding string) (source *database, p *pinned) {
	t.Helper()
	bucket := faultbucket.New()
	source = openWarm(t, bucket, false)
	source.exec("PRAGMA encoding = '"+encoding+"'", "CREATE TABLE b(k INTEGER PRIMARY KEY, v BLOB)",
		"CREATE TABLE a(k INTEGER PRIMARY KEY, v BLOB, c INTEGER)", "CREATE INDEX a_c ON a(c)", "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 100) INSERT INTO a SELECT i, randomblob(i*211), i*7919%1009 FROM n",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 60) INSERT INTO w SELECT hex(randomblob(i*20)), i FROM n",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 3000) INSERT INTO b SELECT i, randomblob(1200) FROM n",
		"PRAGMA graft_push")
	p = &pinned{t: t, bucket: bucket, dir: t.TempDir()}
	p.open()
	t.Cleanup(func() { p.close() })
	p.exec("PRAGMA graft_clone = '"+source.line("graft_info", "Remote:")+"'", "PRAGMA graft_pin = 'table A'", "PRAGMA graft_pin = 'table w'")
	p.want(otherQuery, source.ask(otherQuery))
	p.settle()
	return source, p
}

func TestPinnedTablesAreNotEvicted(t *testing.T) {
	for _, encoding := range []string{"UTF-8", "UTF-16le"} {
		t.Run(encoding, func(t *testing.T) {
			source, p := newPinned(t, encoding)
			p.unplug()
			p.wantPinned(source)
			p.fails(otherQuery, errUnplugged.Error())
			p.bucket.Fail(nil, nil)
			p.want(otherQuery, source.ask(otherQuery)) // evicts after a restart
			p.settle()
			p.unplug()
			p.wantPinned(source)
			for _, pragma := range []string{"PRAGMA graft_unpin = 'table A'", "PRAGMA graft_unpin = 'table w'"} {
				p.exec(pragma)
			}
			p.want("PRAGMA graft_pins_json", `{"pins":[]}`)
			p.bucket.Fail(nil, nil)
			p.want(otherQuery, source.ask(otherQuery))
			p.settle()
			p.want(otherQuery, source.ask(otherQuery))
			p.settle()
			p.unplug()
			p.fails(pinnedQueries[0], errUnplugged.Error())
		})
	}
}

// What a pull changed is missing until it is pinned again, and tells so.
func TestPinsFollowTheNewestSnapshot(t *testing.T) {
	source, p := newPinned(t, "UTF-8")
	source.exec("UPDATE a SET v = randomblob(length(v) + 9000), c = c + 1 WHERE k % 3 = 0", "PRAGMA graft_push")
	p.exec("PRAGMA graft_pull")
	if text := p.ask("PRAGMA graft_pins"); !strings.Contains(text, "table A: ") || !strings.Contains(text, "missing, and those that they lead to") {
		t.Errorf("pins are %s", text)
	}
	p.exec("PRAGMA graft_pin = 'table A'")
	if text := p.ask("PRAGMA graft_pins"); strings.Contains(text, "missing") || strings.Count(text, " are here") != 2 {
		t.Errorf("pins are %s", text)
	}
	p.want(otherQuery, source.ask(otherQuery))
	p.settle()
	p.unplug()
	p.wantPinned(source)
}

// A pin that the quota has no room for is refused, before it is fetched.
func TestAPinThatDoesNotFitIsRefused(t *testing.T) {
	_, p := newPinned(t, "UTF-8")
	p.bucket.Requests()
	_, err := p.Exec("PRAGMA graft_pin = 'all'")
	if !errors.Is(err, graft.ErrQuota) {
		t.Errorf("pin all: %v", err)
	}
	if n := len(p.bucket.Requests()); n > 1 {
		t.Errorf("a refused pin took %d requests", n)
	}
	p.fails("PRAGMA graft_pin = 'table b'", "quota")
	if text := p.ask("PRAGMA graft_pins"); strings.Count(text, "\n") != 1 {
		t.Errorf("pins are %s", text)
	}
}

// Pages of a pinned table that a pull left as they were stay, although the pages that
// lead to them changed and are not here.
func TestWhatAPullLeavesOfAPinIsNotEvicted(t *testing.T) {
	source, p := newPinned(t, "UTF-8")
	source.exec("INSERT INTO a SELECT k + 1000, randomblob(900), 2000 + k FROM a LIMIT 20", "PRAGMA graft_push")
	p.exec("PRAGMA graft_pull", "PRAGMA graft_unpin = 'table w'") // finds what is pinned, without page 1
	for range 2 {
		p.want(otherQuery, source.ask(otherQuery))
		p.settle()
	}
	g, err := p.db.Graft(context.Background(), "main")
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Pin(context.Background(), graft.Pin{Kind: graft.PinTable, Table: "a"})
	if err != nil || got.Pages < 250 || got.Fetched < 3 || got.Fetched > 30 {
		t.Errorf("pinned again: %+v, %v", got, err)
	}
	p.want(otherQuery, source.ask(otherQuery))
	p.settle()
	p.unplug()
	p.want(pinnedQueries[0], source.ask(pinnedQueries[0]))
}

// After a pull and a restart nobody knows which pages are those of a pin: the page that
// leads to them changed, and is not here. None of them is evicted.
func TestAPinOutlastsAPullAndARestart(t *testing.T) {
	source, p := newPinned(t, "UTF-8")
	source.exec("CREATE TABLE y(k INTEGER PRIMARY KEY, v BLOB)",
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 100) INSERT INTO y SELECT i, randomblob(1200) FROM n",
		"CREATE TABLE z(k INTEGER PRIMARY KEY, v BLOB)", // no page of it is in a frame with page 1
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 600) INSERT INTO z SELECT i, randomblob(1200) FROM n", "PRAGMA graft_push")
	p.exec("PRAGMA graft_pull", "PRAGMA graft_unpin = 'table A'", "PRAGMA graft_unpin = 'table w'", "PRAGMA graft_pin = 'table z'")
	source.exec("UPDATE y SET v = randomblob(1200)", "INSERT INTO z SELECT k + 1000, randomblob(1200) FROM z LIMIT 20", "PRAGMA graft_push")
	p.exec("PRAGMA graft_pull")
	p.close()
	p.open()
	// The other way, a scan would run over the end of its table into the pages of the pin.
	const backwards = "SELECT sum(length(v)) FROM (SELECT v FROM b ORDER BY k DESC LIMIT 9999)"
	for range 2 {
		p.want(backwards, source.ask(backwards))
		p.settleAt(pinnedQuota + pinnedQuota/8)
	}
	if text := p.ask("PRAGMA graft_pins"); !strings.Contains(text, "missing, and those that they lead to") {
		t.Fatalf("pins are %s", text)
	}
	g, err := p.db.Graft(context.Background(), "main")
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Pin(context.Background(), graft.Pin{Kind: graft.PinTable, Table: "z"})
	if err != nil || got.Pages < 200 || got.Fetched == 0 || got.Fetched > 30 {
		t.Errorf("pinned again: %+v, %v", got, err)
	}
	p.want(otherQuery, source.ask(otherQuery)) // the others are evicted again
	p.settle()
	p.want("SELECT count(*) FROM z", "620")
}
