// Package grafttest has databases for tests of programs that use graft. They
// are as real as others, in a temporary directory, but do not wait for the disk,
// and their bucket is in memory.
package grafttest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"graft"
	"graft/driver"
)

// Options are the settings of a database for a test.
type Options struct {
	Tag     string   // empty: main
	Dir     string   // data directory; empty: one that ends with the test
	Remote  string   // URL of the bucket; empty: one in memory for each Dir
	Pragmas []string // for each connection, after synchronous(off)
}

// Open opens an empty database, which is closed and gone when the test ends. It
// has a bucket of its own: PRAGMA graft_push works. What it cannot do ends the
// test.
func Open(t testing.TB) *sql.DB {
	t.Helper()
	return OpenWith(t, Options{})
}

// OpenWith opens a database as Open does.
func OpenWith(t testing.TB, o Options) *sql.DB {
	t.Helper()
	if o.Tag == "" {
		o.Tag = "main"
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Remote == "" {
		o.Remote = bucketOf(o.Dir)
	}
	pairs := []string{"tag", o.Tag, "dir", o.Dir, "remote", o.Remote, "_pragma", "synchronous(off)"}
	for _, p := range o.Pragmas {
		pairs = append(pairs, "_pragma", p)
	}
	db, err := sql.Open(driver.Name, dataSourceName(pairs))
	if err == nil {
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("grafttest: close: %v", err)
			}
		})
		err = db.PingContext(t.Context())
	}
	if err != nil {
		t.Fatalf("grafttest: %v", err)
	}
	return db
}

// bucketOf gives the URL of the bucket in memory of a data directory.
func bucketOf(dir string) string {
	h := fnv.New64a()
	h.Write([]byte(dir))
	return fmt.Sprintf("mem://grafttest-%016x", h.Sum64())
}

func dataSourceName(pairs []string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%s='%s' ", pairs[i], strings.ReplaceAll(pairs[i+1], "'", "''"))
	}
	return b.String()
}

// Replica opens what was pushed of db, in a data directory of its own: that is
// another machine with the same bucket. Each goes its own way from then on, and
// sees the other's commits by PRAGMA graft_push and graft_pull. db is a database
// of graft of which something was pushed.
func Replica(t testing.TB, db *sql.DB) *sql.DB {
	t.Helper()
	o := Options{Dir: t.TempDir()}
	if err := clone(t.Context(), db, &o); err != nil {
		t.Fatalf("grafttest: replica: %v", err)
	}
	return OpenWith(t, o)
}

// clone clones what db has open into the data directory of to, and says where
// it is.
func clone(ctx context.Context, db *sql.DB, to *Options) (err error) {
	dir, err := describe(ctx, db, to)
	if err != nil {
		return err
	}
	var remote graft.VolumeID
	err = withGraft(ctx, Options{Tag: to.Tag, Dir: dir}, func(g *graft.Graft) error {
		info, err := g.Info()
		remote = info.Remote
		return err
	})
	if err != nil {
		return err
	}
	return withGraft(ctx, *to, func(g *graft.Graft) error { return g.Clone(ctx, remote) })
}

// describe gives the data directory of db, and its tag and bucket to o.
func describe(ctx context.Context, db *sql.DB, o *Options) (dir string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	err = conn.Raw(func(c any) error {
		raw, ok := c.(sqlite3driver.Conn)
		if !ok {
			return fmt.Errorf("%T is no connection of graft", c)
		}
		name := raw.Raw().Filename("main")
		dir = name.URIParameter("dir")
		o.Tag, o.Remote = strings.TrimPrefix(name.String(), "/"), name.URIParameter("remote")
		return nil
	})
	return dir, errors.Join(err, conn.Close())
}

// withGraft calls fn with the Graft that o names.
func withGraft(ctx context.Context, o Options, fn func(*graft.Graft) error) (err error) {
	db, err := graft.Open(ctx, o.Dir, &graft.Options{Remote: o.Remote})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	g, err := db.Graft(ctx, o.Tag)
	if err != nil {
		return err
	}
	return fn(g)
}
