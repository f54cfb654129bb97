package main

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// socialFile makes a network in a file.
func socialFile(t *testing.T, seed uint64, size int64) (*sql.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "social.db")
	if err := buildSocialFile(t.Context(), path, seed, size); err != nil {
		t.Fatal(err)
	}
	db, err := openFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, path
}

// TestSocialSameSeed makes equal files of equal seeds, and other ones of others.
func TestSocialSameSeed(t *testing.T) {
	sums := make(map[[sha256.Size]byte]int)
	for i, seed := range []uint64{1, 1, 2} {
		_, path := socialFile(t, seed, 1<<20)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < 1<<20 || len(b) > 5<<18 {
			t.Errorf("database %d has %d bytes", i, len(b))
		}
		sums[sha256.Sum256(b)]++
	}
	if len(sums) != 2 {
		t.Errorf("three files with seeds 1, 1 and 2 have %d contents", len(sums))
	}
}

// TestSocialShape looks at what the network is to be like.
func TestSocialShape(t *testing.T) {
	db, _ := socialFile(t, 1, 8<<20)
	for _, test := range []struct {
		what, query string
		least, most float64
	}{
		{"share of the posts", "SELECT sum(length(body) + 15.0) * 1.02 / (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size) FROM posts", .42, .58},
		{"posts of a user", "SELECT count(*) * 1.0 / (SELECT count(*) FROM users) FROM posts", 8, 12},
		{"followers of the first hundredth of users", "SELECT sum(followee <= (SELECT count(*) / 100 FROM users)) * 1.0 / count(*) FROM follows", .1, .3},
		{"likes within a hundredth of the time", `SELECT sum(l.created - p.created < (SELECT max(created) - min(created) FROM posts) / 100) * 1.0 / count(*)
			FROM likes l JOIN posts p ON p.id = l.post`, .2, .4},
		{"rows that refer to none", `SELECT (SELECT count(*) FROM posts WHERE author NOT IN (SELECT id FROM users))
			+ (SELECT count(*) FROM likes WHERE post NOT IN (SELECT id FROM posts) OR liker NOT IN (SELECT id FROM users))
			+ (SELECT count(*) FROM comments WHERE post NOT IN (SELECT id FROM posts) OR author NOT IN (SELECT id FROM users))
			+ (SELECT count(*) FROM follows WHERE follower NOT IN (SELECT id FROM users) OR followee NOT IN (SELECT id FROM users))`, 0, 0},
		{"times that go back", "SELECT count(*) FROM posts a JOIN posts b ON b.id = a.id + 1 WHERE b.created <= a.created", 0, 0},
	} {
		var got float64
		if err := db.QueryRow(test.query).Scan(&got); err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
		if got < test.least || got > test.most {
			t.Errorf("%s: %v, not %v to %v", test.what, got, test.least, test.most)
		}
	}
	if got, err := ask(t.Context(), db, "PRAGMA integrity_check", 1); err != nil || got != "ok" {
		t.Errorf("integrity_check: %s, %v", got, err)
	}
}

// TestSocialSmall does one round of small transactions, each of which changes its
// table.
func TestSocialSmall(t *testing.T) {
	db, _ := socialFile(t, 1, 1<<20)
	s, err := resume(t.Context(), db, 2)
	if err != nil {
		t.Fatal(err)
	}
	const count = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM posts), (SELECT count(*) FROM comments)"
	before, err := ask(t.Context(), db, count, 3)
	if err != nil {
		t.Fatal(err)
	}
	var users, posts, comments int
	if _, err := fmt.Sscan(before, &users, &posts, &comments); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		query, args := s.small(i)
		if _, err := db.Exec(query, args...); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	if got, err := ask(t.Context(), db, count, 3); err != nil || got != fmt.Sprint(users+1, " ", posts+1, " ", comments+1) {
		t.Errorf("rows %s after %s, %v", got, before, err)
	}
	if got, err := ask(t.Context(), db, "SELECT count(*) FROM posts WHERE body LIKE '% (edited)'", 1); err != nil || got != "1" {
		t.Errorf("%s posts are edited, %v", got, err)
	}
}

// TestSocialStreamKeepsNothing makes rows of 30 MB, and looks at the memory that is left in use.
func TestSocialStreamKeepsNothing(t *testing.T) {
	s := newSocialStream(1)
	s.row(userTable, 0)
	s.row(postTable, 1)
	used := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, made := used(), 0
	for made < 30<<20 {
		err := s.session(func(_ socialTable, values []any) error {
			for _, v := range values {
				if text, ok := v.(string); ok {
					made += len(text)
				}
				made += 8
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if grown := used() - before; grown > 2<<20 {
		t.Errorf("%d bytes are in use after rows of %d", grown, made)
	}
	runtime.KeepAlive(s)
}
