package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
)

// socialSchema is that of a social network, with an index for each question that
// its pages ask.
const socialSchema = `
CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE,
	display TEXT NOT NULL, bio TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE posts(id INTEGER PRIMARY KEY, author INTEGER NOT NULL, created INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX posts_author ON posts(author, created);
CREATE TABLE follows(follower INTEGER NOT NULL, followee INTEGER NOT NULL, created INTEGER NOT NULL,
	PRIMARY KEY(follower, followee)) WITHOUT ROWID;
CREATE INDEX follows_followee ON follows(followee, created);
CREATE TABLE likes(post INTEGER NOT NULL, liker INTEGER NOT NULL, created INTEGER NOT NULL,
	PRIMARY KEY(post, liker)) WITHOUT ROWID;
CREATE INDEX likes_liker ON likes(liker, created);
CREATE TABLE comments(id INTEGER PRIMARY KEY, post INTEGER NOT NULL, author INTEGER NOT NULL,
	created INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX comments_post ON comments(post, created);
CREATE INDEX comments_author ON comments(author, created);
`

// socialTable is one of the tables that rows are added to.
type socialTable int

const (
	userTable socialTable = iota
	postTable
	followTable
	likeTable
	commentTable

	socialTables
)

// socialInserts add the rows of a [socialStream]. Who likes or follows twice does so once.
var socialInserts = [socialTables]string{
	"INSERT INTO users VALUES(?, ?, ?, ?, ?, ?)",
	"INSERT INTO posts VALUES(?, ?, ?, ?)",
	"INSERT OR IGNORE INTO follows VALUES(?, ?, ?)",
	"INSERT OR IGNORE INTO likes VALUES(?, ?, ?)",
	"INSERT INTO comments VALUES(?, ?, ?, ?, ?)",
}

// socialStream makes the rows of a social network in the order in which they come
// to be, so that tables and indexes grow into each other in the file. Users come
// in sessions of some posts, comments, likes and follows. A few users have most of
// the followers and many posts; new posts get most of the likes and comments. What
// it gives depends on the seed alone, and what it keeps does not grow.
type socialStream struct {
	random                 *rand.Rand
	words                  *vocabulary
	users, posts, comments int
	now                    int64 // Unix time in milliseconds
}

func newSocialStream(seed uint64) *socialStream {
	random := rand.New(rand.NewPCG(seed, 0))
	return &socialStream{random: random, words: newVocabulary(random), now: 1_600_000_000_000}
}

// resume gives a stream that goes on where a database ends, with other chances.
func resume(ctx context.Context, db *sql.DB, seed uint64) (*socialStream, error) {
	s := newSocialStream(seed)
	const ends = "SELECT (SELECT max(id) FROM users), (SELECT max(id) FROM posts), (SELECT max(id) FROM comments), (SELECT max(created) FROM users)"
	return s, db.QueryRowContext(ctx, ends).Scan(&s.users, &s.posts, &s.comments, &s.now)
}

// skewed gives a number from 1 to n, the low ones more often as power grows above 1.
func (s *socialStream) skewed(n int, power float64) int {
	return 1 + min(n-1, int(float64(n)*math.Pow(s.random.Float64(), power)))
}

func (s *socialStream) someone() int { return s.skewed(s.users, 1.5) }

// recent is a post, mostly a new one.
func (s *socialStream) recent() int { return s.posts + 1 - s.skewed(s.posts, 4) }

// row gives the values of a row. The author, if it takes one, is who.
func (s *socialStream) row(t socialTable, who int) []any {
	s.now += 1 + s.random.Int64N(2000)
	switch t {
	case userTable:
		s.users++
		first, last := s.words.one(), s.words.one()
		name := fmt.Sprintf("%s_%s%d", first, last, s.users)
		return []any{s.users, name, name + "@example.com", first + " " + last, s.words.text(5 + s.random.IntN(20)), s.now}
	case postTable:
		s.posts++
		return []any{s.posts, who, s.now, s.words.text(8 + s.random.IntN(100))}
	case followTable:
		return []any{who, s.skewed(s.users, 2.5), s.now}
	case likeTable:
		return []any{s.recent(), who, s.now}
	}
	s.comments++
	return []any{s.comments, s.recent(), who, s.now, s.words.text(3 + s.random.IntN(20))}
}

// session gives the rows of someone who comes by.
func (s *socialStream) session(add func(socialTable, []any) error) error {
	who := s.someone()
	for _, part := range []struct {
		table socialTable
		mean  int
	}{{postTable, 5}, {commentTable, 4}, {likeTable, 20}, {followTable, 10}} {
		for range 1 + s.random.IntN(2*part.mean-1) {
			if err := add(part.table, s.row(part.table, who)); err != nil {
				return err
			}
		}
	}
	return nil
}

// socialStep is how many users, of two sessions each, one transaction adds.
const socialStep = 500

// fillSocial makes the social network of a seed in an empty database, until that
// has size bytes, in transactions of some megabytes. About half of the database
// is the table of posts.
func fillSocial(ctx context.Context, db *sql.DB, seed uint64, size int64) error {
	if _, err := db.ExecContext(ctx, socialSchema); err != nil {
		return err
	}
	s := newSocialStream(seed)
	for full := false; !full; {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if full, err = s.add(ctx, tx, socialStep, size); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// add adds users with their sessions, and tells whether the database is full.
func (s *socialStream) add(ctx context.Context, tx *sql.Tx, users int, size int64) (full bool, err error) {
	var inserts [socialTables]*sql.Stmt
	for t, query := range socialInserts {
		if inserts[t], err = tx.PrepareContext(ctx, query); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, inserts[t].Close()) }()
	}
	add := func(t socialTable, row []any) error {
		_, err := inserts[t].ExecContext(ctx, row...)
		return err
	}
	for i := 0; i < users && !full; i++ {
		if err := add(userTable, s.row(userTable, 0)); err != nil {
			return false, err
		}
		if s.users < 2 {
			continue
		}
		if err := errors.Join(s.session(add), s.session(add)); err != nil {
			return false, err
		}
		if s.users%16 == 0 {
			var used int64
			const query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
			if err := tx.QueryRowContext(ctx, query).Scan(&used); err != nil {
				return false, err
			}
			full = used >= size
		}
	}
	return full, nil
}

// small gives the statement and arguments of transaction i of many small ones,
// which in turn add a row to each table and change users and posts.
func (s *socialStream) small(i int) (query string, args []any) {
	switch i %= int(socialTables) + 2; i {
	default:
		return socialInserts[i], s.row(socialTable(i), s.someone())
	case int(socialTables):
		return "UPDATE users SET bio = ? WHERE id = ?", []any{s.words.text(5 + s.random.IntN(20)), s.someone()}
	case int(socialTables) + 1:
		return "UPDATE posts SET body = body || ' (edited)' WHERE id = ?", []any{s.recent()}
	}
}

// openFile opens a database of SQLite's with one connection. Nothing that it
// writes survives a crash.
func openFile(ctx context.Context, path string) (*sql.DB, error) {
	const pragmas = "?_pragma=journal_mode(off)&_pragma=synchronous(off)&_pragma=cache_size(-100000)"
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path)+pragmas)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// buildSocialFile makes a social network in a new file.
func buildSocialFile(ctx context.Context, path string, seed uint64, size int64) error {
	db, err := openFile(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(fillSocial(ctx, db, seed, size), db.Close())
}

// vocabulary is words that are as frequent as those of a language.
type vocabulary struct {
	all  []string
	zipf *rand.Zipf
}

func newVocabulary(random *rand.Rand) *vocabulary {
	const consonants, vowels, size = "bcdfghjklmnprstvwz", "aeiou", 8192
	w := &vocabulary{zipf: rand.NewZipf(random, 1.1, 2.7, size-1)}
	for range size {
		var b strings.Builder
		for range 1 + random.IntN(4) {
			b.WriteByte(consonants[random.IntN(len(consonants))])
			b.WriteByte(vowels[random.IntN(len(vowels))])
			if random.IntN(3) == 0 {
				b.WriteByte(consonants[random.IntN(len(consonants))])
			}
		}
		w.all = append(w.all, b.String())
	}
	return w
}

func (w *vocabulary) one() string { return w.all[w.zipf.Uint64()] }

// text gives n words.
func (w *vocabulary) text(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.one())
	}
	return b.String()
}
