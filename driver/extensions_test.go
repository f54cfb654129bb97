//go:build !graft_wasm2go

package driver_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"graft/internal/testdir"
)

// TestExtensionsLikeAFile plays scripts of FTS5, RTREE and JSON on graft and on files. The
// second part of each goes on with a lazy clone of the tag, and with the file opened again:
// what an extension keeps in memory is gone.
func TestExtensionsLikeAFile(t *testing.T) {
	remote := "mem://" + t.Name()
	dir, clones, files := testdir.InMemory(t), testdir.InMemory(t), testdir.InMemory(t)
	for _, d := range []string{dir, clones} { // the directories stay open
		open(t, "tag=none dir='%s' remote='%s'", d, remote).want("SELECT 1", "1")
	}
	for name, parts := range extensionScripts {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(files, name)
			likeAFile(t, dir, path, name, parts[0])
			for _, tag := range []string{name, name + " other"} {
				from := open(t, "tag='%s' dir='%s' remote='%s'", tag, dir, remote)
				from.exec("PRAGMA graft_push")
				to := open(t, "tag='%s' dir='%s' remote='%s'", tag, clones, remote)
				to.exec("PRAGMA graft_clone = " + quote(from.line("graft_info", "Remote:")))
			}
			likeAFile(t, clones, path, name, parts[1])
		})
	}
}

// words is a query for n rows of words.
func words(n int) string {
	return fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < %d) SELECT i, 'word' || (i * 7919 %% 611) || ' common w' || (i %% 13) || ' ' || hex(i * 104729) || ' ' || replace(printf('%%.*c', i %% 40, 'x'), 'x', 'pad' || (i %% 5) || ' ') FROM n", n)
}

var extensionScripts = map[string][2]string{
	"full text": {strings.ReplaceAll(`PRAGMA cache_size = 5
		CREATE TABLE src(a INTEGER PRIMARY KEY, b); INSERT INTO src WORDS
		CREATE VIRTUAL TABLE f USING fts5(b, prefix = '2 4'); INSERT INTO f(f, rank) VALUES ('pgsz', 400), ('automerge', 2), ('crisismerge', 4)
		INSERT INTO f(rowid, b) SELECT a, b FROM src
		CREATE VIRTUAL TABLE ext USING fts5(b, content = src, content_rowid = a, tokenize = 'porter unicode61')
		CREATE TRIGGER si AFTER INSERT ON src BEGIN INSERT INTO ext(rowid, b) VALUES (new.a, new.b); END; CREATE TRIGGER sd AFTER DELETE ON src BEGIN INSERT INTO ext(ext, rowid, b) VALUES ('delete', old.a, old.b); END
		INSERT INTO ext(ext) VALUES ('rebuild'); INSERT INTO ext(ext) VALUES ('integrity-check')
		CREATE VIRTUAL TABLE o.less USING fts5(b, content = '', contentless_delete = 1, detail = none); INSERT INTO less(rowid, b) SELECT a, b FROM src
		CREATE VIRTUAL TABLE tri USING fts5(b, tokenize = trigram); INSERT INTO tri(rowid, b) SELECT a, b FROM src WHERE a < 60
		SELECT count(*), sum(rowid) FROM f WHERE f MATCH 'word1*'; SELECT rowid FROM less WHERE less MATCH 'w3 AND pad2' LIMIT 5; SELECT count(*) FROM tri WHERE b LIKE '%ord5%'
		SELECT rowid, snippet(f, 0, '[', ']', '~', 6), round(bm25(f), 6) FROM f WHERE f MATCH 'w3 NEAR common' ORDER BY rank LIMIT 5
		BEGIN; DELETE FROM f WHERE rowid % 3 = 0; DELETE FROM less WHERE rowid % 3 = 0; INSERT INTO f(f) VALUES ('optimize'); ROLLBACK
		SELECT count(*) FROM f WHERE f MATCH 'common'; SELECT count(*) FROM less WHERE less MATCH 'common'
		INSERT INTO f(f) VALUES ('integrity-check'); INSERT INTO less(less) VALUES ('integrity-check')
		SAVEPOINT a; INSERT INTO f(rowid, b) VALUES (10001, 'outer row'); SAVEPOINT b; UPDATE f SET b = 'inner row' WHERE rowid < 100; INSERT INTO less(rowid, b) VALUES (10001, 'inner row')
		SELECT count(*) FROM f WHERE f MATCH 'inner'
		ROLLBACK TO b; SELECT count(*) FROM f WHERE f MATCH 'inner'; SELECT count(*) FROM less WHERE less MATCH 'inner'; INSERT INTO f(f, rank) VALUES ('merge', 20); ROLLBACK TO b; RELEASE a
		SELECT rowid FROM f WHERE f MATCH 'outer'
		open c SELECT rowid FROM f WHERE f MATCH 'common' ORDER BY rowid
		step c 3
		DELETE FROM src WHERE a % 5 = 1; DELETE FROM f WHERE rowid > 250
		INSERT INTO f(f) VALUES ('optimize')
		step c 3
		BEGIN; INSERT INTO f(b) VALUES ('gone'); DROP TABLE tri
		ROLLBACK
		close c
		BEGIN; INSERT INTO f(b) VALUES ('gone'); DROP TABLE tri
		SELECT count(*) FROM f WHERE f MATCH 'gone'
		ROLLBACK
		SELECT count(*) FROM f WHERE f MATCH 'gone'; SELECT count(*) FROM tri WHERE tri MATCH 'ord'
		INSERT OR ABORT INTO f(rowid, b) SELECT a + 100, b FROM src
		INSERT INTO f(rowid, b) VALUES (5, 'twice')
		INSERT OR REPLACE INTO f(rowid, b) VALUES (5, 'twice'), (6, 'twice')
		SELECT rowid FROM f WHERE f MATCH 'twice'
		INSERT INTO ext(ext, rowid, b) VALUES ('delete', 7, 'text that it never had')
		INSERT INTO ext(ext) VALUES ('integrity-check')
		INSERT INTO ext(ext, rank) VALUES ('integrity-check', 1)
		INSERT INTO ext(ext) VALUES ('rebuild'); INSERT INTO ext(ext, rank) VALUES ('integrity-check', 1)
		INSERT INTO less(less) VALUES ('delete-all'); INSERT INTO less(rowid, b) SELECT a, b FROM src WHERE a % 2
		CREATE VIRTUAL TABLE v USING fts5vocab(f, row); SELECT term, doc, cnt FROM v WHERE term > 'w' LIMIT 20
		ALTER TABLE f RENAME TO ff
		BEGIN IMMEDIATE; DELETE FROM ff; SELECT count(*) FROM ff WHERE ff MATCH 'common'
		2: SELECT count(*) FROM ff WHERE ff MATCH 'common'
		2: DELETE FROM ff
		COMMIT
		2: BEGIN; SELECT count(*) FROM ff WHERE ff MATCH 'common'
		INSERT INTO ff(rowid, b) SELECT a, b FROM src; INSERT INTO ff(ff) VALUES ('optimize')
		2: SELECT count(*) FROM ff WHERE ff MATCH 'common'
		2: INSERT INTO ff(b) VALUES ('stale')
		2: COMMIT; SELECT count(*) FROM ff WHERE ff MATCH 'common'
		2: INSERT INTO ff(b) VALUES ('fresh')
		SELECT count(*) FROM ff WHERE ff MATCH 'fresh'
		VACUUM; VACUUM o; INSERT INTO ff(ff) VALUES ('integrity-check')`, "WORDS", words(300)), `
		SELECT count(*), sum(rowid) FROM ff WHERE ff MATCH 'word1*'; SELECT highlight(ext, 0, '<', '>') FROM ext WHERE ext MATCH 'word100'
		INSERT INTO ff(ff) VALUES ('integrity-check'); INSERT INTO ext(ext, rank) VALUES ('integrity-check', 1); INSERT INTO less(less) VALUES ('integrity-check'); INSERT INTO tri(tri) VALUES ('integrity-check')
		BEGIN; DELETE FROM ff WHERE ff MATCH 'w5'; INSERT INTO ff(ff, rank) VALUES ('merge', -100); SAVEPOINT s; INSERT INTO ff(ff) VALUES ('optimize'); ROLLBACK TO s; COMMIT
		DELETE FROM less WHERE rowid < 50; INSERT INTO less(less) VALUES ('optimize'); DELETE FROM src WHERE a > 200
		INSERT INTO ff(ff) VALUES ('integrity-check'); INSERT INTO ext(ext, rank) VALUES ('integrity-check', 1); INSERT INTO less(less) VALUES ('integrity-check')
		UPDATE ff_data SET block = zeroblob(length(block)) WHERE id = (SELECT max(id) FROM ff_data)
		INSERT INTO ff(ff) VALUES ('integrity-check')
		SELECT count(*) FROM ff WHERE ff MATCH 'common'
		INSERT INTO ff(ff) VALUES ('rebuild'); INSERT INTO ff(ff) VALUES ('integrity-check'); SELECT count(*) FROM ff WHERE ff MATCH 'common'
		DROP TABLE ext; DROP TABLE less; VACUUM`},
	"boxes": {`PRAGMA cache_size = 5
		CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1, +name TEXT); CREATE VIRTUAL TABLE o.i USING rtree_i32(id, x0, x1)
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 500) INSERT INTO r SELECT i, i * 7919 % 1000, i * 7919 % 1000 + i % 17, i * 104729 % 1000, i * 104729 % 1000 + i % 5, 'box' || i FROM n
		INSERT INTO i SELECT id, x0, x1 FROM r WHERE id < 300
		SELECT count(*), sum(id) FROM r WHERE x0 < 300 AND x1 > 200 AND y0 > 500; SELECT rtreecheck('r'), rtreecheck('o', 'i')
		BEGIN; DELETE FROM r WHERE id % 2; DELETE FROM i WHERE x0 > 500; SELECT rtreecheck('r'), count(*) FROM r; ROLLBACK
		SELECT rtreecheck('r'), rtreecheck('o', 'i'), count(*) FROM r
		SAVEPOINT a; DELETE FROM r WHERE id > 400; SAVEPOINT b; UPDATE r SET x1 = x1 + 500, name = 'moved' WHERE id < 300; DELETE FROM i; SELECT rtreecheck('r'); ROLLBACK TO b
		SELECT count(*), rtreecheck('r') FROM r; SELECT count(*) FROM r WHERE name = 'moved'; RELEASE a
		INSERT INTO r VALUES (1, 0, 1, 0, 1, 'taken')
		INSERT INTO r VALUES (3000, 5, 1, 0, 1, 'wrong way')
		INSERT OR REPLACE INTO r VALUES (1, 0, 1, 0, 1, 'new') RETURNING id, name
		INSERT INTO r SELECT id + 800, x0, x1, y0, y1, name FROM r
		SELECT count(*) FROM r
		open c SELECT id FROM r WHERE x0 >= 100 AND x1 <= 400
		step c 3
		DELETE FROM r WHERE id % 3 = 0
		step c 3
		ROLLBACK
		close c
		UPDATE r SET id = id + 5000 WHERE id < 10; UPDATE r SET x0 = x0 - 50 WHERE y0 > 900; SELECT count(*), round(sum(x0), 3) FROM r
		CREATE VIRTUAL TABLE g USING geopoly(tag); INSERT INTO g(_shape, tag) SELECT geopoly_regular(id % 97, id % 89, 5, 3 + id % 4), id FROM i WHERE id < 120
		SELECT count(*) FROM g WHERE geopoly_overlap(_shape, '[[0,0],[20,0],[20,20],[0,20],[0,0]]'); DELETE FROM g WHERE geopoly_within(_shape, '[[0,0],[50,0],[50,50],[0,50],[0,0]]'); SELECT count(*) FROM g
		BEGIN IMMEDIATE; DELETE FROM r WHERE id < 400
		2: SELECT count(*), rtreecheck('r') FROM r
		2: DELETE FROM r
		COMMIT
		2: SELECT count(*), rtreecheck('r') FROM r
		DELETE FROM i WHERE id > 20; VACUUM; VACUUM o; ALTER TABLE r RENAME TO rr; SELECT rtreecheck('rr'), rtreecheck('o', 'i'), (SELECT count(*) FROM g)`, `
		SELECT id, name FROM rr WHERE x0 < 120 AND x1 > 100 AND y0 > 500
		SELECT rtreecheck('rr'), rtreecheck('o', 'i'), (SELECT count(*) FROM g)
		BEGIN; DELETE FROM rr WHERE y1 < 400; INSERT INTO rr SELECT id, x0, x1, x0, x1, 'from i' FROM i WHERE true; SAVEPOINT s; DELETE FROM rr; ROLLBACK TO s; COMMIT
		SELECT rtreecheck('rr'), count(*) FROM rr
		DELETE FROM rr_rowid WHERE rowid % 50 = 0
		SELECT rtreecheck('rr') <> 'ok'
		DELETE FROM rr WHERE id = 50
		DROP TABLE rr; DROP TABLE i; VACUUM; DELETE FROM g; SELECT count(*) FROM g`},
	"documents": {`PRAGMA cache_size = 5
		CREATE TABLE d(id INTEGER PRIMARY KEY, doc, kind GENERATED ALWAYS AS (doc ->> '$.kind') VIRTUAL, n AS (doc ->> '$.n') STORED, CHECK (json_valid(doc, 7)))
		CREATE INDEX kinds ON d(kind, n); CREATE INDEX tags ON d(doc -> '$.tags[#-1]'); CREATE TABLE o.b(id INTEGER PRIMARY KEY, doc)
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 400) INSERT INTO d(id, doc) SELECT i, json_object('kind', 'k' || (i % 5), 'n', i, 'tags', json_array('a', i % 7), 'pad', printf('%.*c', i, 'x')) FROM n
		INSERT INTO b SELECT id, jsonb(doc) FROM d
		SELECT kind, count(*), sum(n) FROM d GROUP BY kind; SELECT count(*) FROM d WHERE doc -> '$.tags[#-1]' = '3'
		INSERT INTO d(doc) VALUES ('{not json')
		INSERT INTO d(doc) VALUES ('{kind: "five", n: 0x10}') RETURNING kind, n
		BEGIN; UPDATE d SET doc = json_set(doc, '$.kind', 'moved', '$.tags[#]', json_object('x', id)) WHERE n % 3 = 0; UPDATE b SET doc = jsonb_remove(doc, '$.pad'); SAVEPOINT s; DELETE FROM d WHERE kind = 'moved'; ROLLBACK TO s
		SELECT count(*), sum(n) FROM d WHERE kind = 'moved'; SELECT sum(length(doc)) FROM b
		ROLLBACK
		SELECT count(*) FROM d WHERE kind = 'moved'; SELECT sum(length(doc)) FROM b
		UPDATE d SET doc = jsonb_patch(doc, '{"pad": null, "more": {"a": [1, 2]}}') WHERE id < 200; SELECT typeof(doc), json(doc) FROM d WHERE id = 199
		open c SELECT d.id, e.key, e.atom FROM d, json_tree(d.doc) e WHERE e.type = 'integer'
		step c 3
		DELETE FROM d WHERE n % 4 = 0
		step c 3
		close c
		SELECT json_group_array(n), json_group_object(id, kind) FROM d WHERE id < 12; SELECT count(*) FROM b, jsonb_each(b.doc, '$.tags') e WHERE e.value = 'a'
		ALTER TABLE d DROP COLUMN n; VACUUM`, `
		SELECT kind, count(*), sum(doc ->> '$.n') FROM d GROUP BY kind; SELECT sum(doc ->> '$.n') FROM b WHERE json_valid(doc, 8)
		UPDATE b SET doc = json(doc) WHERE id % 2; SELECT count(*), sum(length(doc)) FROM b WHERE json_valid(doc, 2)
		REINDEX; DELETE FROM d WHERE doc ->> '$.more.a[1]' = 2; SELECT count(*) FROM d; VACUUM`},
}
