package driver_test

const fillT = `CREATE TABLE t(a INTEGER PRIMARY KEY, b, c DEFAULT 0); CREATE INDEX i ON t(c, b); WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 300) INSERT INTO t SELECT i, printf('%.200c', 'x'), i % 7 FROM n
`

var scripts = map[string]string{
	"nested savepoints": fillT + `
		CREATE TABLE o.u(a UNIQUE, b)
		SAVEPOINT a; INSERT INTO t(b) VALUES ('1'); SAVEPOINT b; INSERT INTO u VALUES (1, 2); UPDATE t SET c = 9
		ROLLBACK TO b
		SELECT count(*), sum(c) FROM t
		INSERT INTO u VALUES (5, 5); SAVEPOINT c; DELETE FROM t WHERE a > 100; DELETE FROM u; INSERT INTO u SELECT a, b FROM t
		ROLLBACK TO c; RELEASE c
		INSERT OR FAIL INTO u SELECT a, b FROM t WHERE a < 10
		INSERT INTO u SELECT a + 100, b FROM t WHERE a < 10 UNION ALL SELECT 105, 1
		SELECT count(*) FROM u
		INSERT OR ROLLBACK INTO u VALUES (5, 6)
		RELEASE a
		SAVEPOINT x; CREATE TABLE v AS SELECT * FROM t; SAVEPOINT y; DROP TABLE v; ROLLBACK TO y; SELECT count(*) FROM v; RELEASE x
		ROLLBACK TO x
		SAVEPOINT s; SAVEPOINT S; INSERT INTO u VALUES (8, 8); ROLLBACK TO s; RELEASE s; RELEASE s
		SELECT * FROM u`,
	"cursors over COMMIT and ROLLBACK": fillT + `
		open c SELECT a, c FROM t WHERE c = 3 ORDER BY a
		step c 3
		BEGIN; UPDATE t SET b = 'y' WHERE a < 50; COMMIT
		step c 2
		BEGIN; DELETE FROM t WHERE a > 100
		ROLLBACK
		step c 2
		BEGIN; CREATE TABLE z(a)
		ROLLBACK
		step c 2
		step c 2
		open d UPDATE t SET c = c + 10 WHERE a < 5 RETURNING a, c
		step d 1
		SELECT sum(c) FROM t
		COMMIT
		close d
		SELECT sum(c) FROM t
		BEGIN
		open e INSERT INTO t(b) VALUES ('r1'), ('r2') RETURNING a
		step e 1
		SAVEPOINT s
		COMMIT
		step e 5
		ROLLBACK TO s
		RELEASE s
		close e
		COMMIT
		open f SELECT a FROM t
		step f 1
		DROP TABLE t
		ALTER TABLE t RENAME TO tt
		DROP INDEX i
		VACUUM
		DETACH o
		close f
		DROP TABLE tt
		close c`,
	"pragmas inside": fillT + `
		BEGIN; DELETE FROM t WHERE a > 150
		SELECT * FROM pragma_page_count, pragma_freelist_count
		SELECT name, type FROM pragma_table_info('t')
		SELECT * FROM pragma_integrity_check
		CREATE TRIGGER tr AFTER INSERT ON t BEGIN PRAGMA user_version = 3; END
		CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO t(b) SELECT page_count FROM pragma_page_count; END
		INSERT INTO t(b) VALUES ('x')
		PRAGMA user_version = 7; PRAGMA application_id = 8; PRAGMA schema_version = 99
		SELECT user_version, application_id, schema_version FROM pragma_user_version, pragma_application_id, pragma_schema_version
		PRAGMA page_count; PRAGMA max_page_count
		PRAGMA encoding = 'UTF-16le'; PRAGMA auto_vacuum = 1; PRAGMA synchronous = full
		PRAGMA foreign_keys = off; PRAGMA foreign_keys
		ROLLBACK
		PRAGMA user_version; PRAGMA application_id; PRAGMA schema_version; PRAGMA page_count; PRAGMA freelist_count
		PRAGMA secure_delete; PRAGMA secure_delete = on; DELETE FROM t WHERE a % 2; PRAGMA freelist_count; PRAGMA optimize; PRAGMA shrink_memory
		PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql = replace(sql, 'DEFAULT 0', 'DEFAULT 1') WHERE name = 't'; PRAGMA writable_schema = reset
		INSERT INTO t(b) VALUES ('d')
		SELECT a, c FROM t ORDER BY a DESC LIMIT 1
		PRAGMA max_page_count = 20
		INSERT INTO t(b) SELECT b FROM t
		INSERT INTO t(b) SELECT zeroblob(9000) FROM t
		BEGIN; INSERT INTO t(b) VALUES ('in a transaction')
		INSERT INTO t(b) SELECT zeroblob(9000) FROM t
		SELECT count(*) FROM t
		COMMIT
		PRAGMA max_page_count = 1000000; ANALYZE; REINDEX; SELECT tbl, idx, stat FROM sqlite_stat1`,
	"recursive writes that spill": `PRAGMA cache_size = 1; PRAGMA o.cache_size = 1; PRAGMA temp.cache_size = 1; PRAGMA cache_spill = 1
		` + fillT + `
		CREATE TABLE o.u(a INTEGER PRIMARY KEY, b UNIQUE)
		BEGIN; WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 600) INSERT INTO t(b, c) SELECT printf('%.300c', 'y'), i FROM n
		SAVEPOINT s; WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 400) INSERT INTO u SELECT i, 'k' || i FROM n
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 400) INSERT OR ABORT INTO u SELECT i + 5000, 'k' || ((i + 600) % 900) FROM n
		SELECT count(*), sum(a) FROM u
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 400) INSERT OR FAIL INTO u SELECT i + 5000, 'k' || ((i + 600) % 900) FROM n
		SELECT count(*), sum(a) FROM u
		UPDATE OR REPLACE u SET b = 'k' || ((a * 7) % 180)
		ROLLBACK TO s
		SELECT count(*), sum(a) FROM u
		DELETE FROM t WHERE c % 3 = 0; SAVEPOINT q; CREATE TABLE o.w AS SELECT t1.a, t2.b FROM t t1, t t2 WHERE t1.a < 15 AND t2.a < 15; ROLLBACK TO q
		COMMIT
		BEGIN; UPDATE t SET b = b || 'z'; INSERT INTO u SELECT a, a FROM t; UPDATE t SET b = 'short'; ROLLBACK
		SELECT count(*), total(length(b)), total(c) FROM t
		DELETE FROM t; DELETE FROM u; VACUUM; VACUUM o`,
	"temp triggers": fillT + `
		CREATE TABLE o.log(n INTEGER PRIMARY KEY, a, b); CREATE TEMP TABLE m AS SELECT * FROM t WHERE a < 10
		CREATE TEMP TRIGGER tr AFTER UPDATE ON main.t BEGIN INSERT INTO log(a, b) VALUES (old.a, new.b); UPDATE m SET b = new.b WHERE a = old.a; END
		CREATE TEMP TRIGGER tq BEFORE DELETE ON main.t WHEN old.a = 7 BEGIN SELECT RAISE(ABORT, 'not seven'); END
		UPDATE t SET b = 'u' WHERE a < 20
		DELETE FROM t
		BEGIN; UPDATE t SET b = 'v' WHERE a < 5; DELETE FROM t WHERE a = 7
		SELECT count(*) FROM log
		ROLLBACK
		SELECT count(*) FROM log; SELECT count(*) FROM m WHERE b = 'u'
		CREATE TEMP TRIGGER tz AFTER INSERT ON main.t WHEN new.c > 5 BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END
		BEGIN; INSERT INTO log(a) VALUES ('gone'); INSERT INTO t(c) VALUES (1), (2), (6)
		SELECT count(*) FROM log WHERE a = 'gone'
		CREATE TEMP TRIGGER ty AFTER INSERT ON main.t WHEN new.c = 5 BEGIN SELECT RAISE(FAIL, 'from here'); END
		INSERT INTO t(c) VALUES (1), (2), (5), (3)
		SELECT max(a) FROM t
		CREATE TEMP VIEW v AS SELECT * FROM log JOIN t USING (a); SELECT count(*) FROM v
		CREATE TEMP TRIGGER tv INSTEAD OF INSERT ON v BEGIN INSERT INTO log(a, b) VALUES (new.a, 'by view'); END
		INSERT INTO v(a) SELECT a FROM t LIMIT 30
		ATTACH ':memory:' AS mem; CREATE TABLE mem.x AS SELECT * FROM log
		SELECT count(*) FROM log WHERE b = 'by view'`,
	"upserts": `
		CREATE TABLE w(k TEXT, n INT, v, PRIMARY KEY (k, n)) WITHOUT ROWID
		CREATE TABLE g(a INTEGER PRIMARY KEY, b TEXT, c INT AS (length(b)) VIRTUAL, d TEXT AS (upper(b)) STORED UNIQUE, CHECK (c < 50)) STRICT
		CREATE INDEX o.none ON g(c)
		CREATE INDEX gc ON g(c) WHERE c > 3; CREATE INDEX ge ON g(a % 10, d)
		WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 500) INSERT INTO w SELECT 'k' || (i % 20), i, zeroblob(i * 7) FROM n WHERE true ON CONFLICT DO NOTHING
		INSERT INTO w SELECT k, n, 'new' FROM w WHERE n % 3 = 0 ON CONFLICT DO UPDATE SET v = excluded.v, n = n + 1000 WHERE n < 300 RETURNING k, n
		INSERT INTO g(b) VALUES ('one'), ('two'), ('three') RETURNING *
		INSERT INTO g(b) VALUES ('TWO')
		INSERT INTO g(b) VALUES ('TWO'), ('four') ON CONFLICT(d) DO UPDATE SET b = b || excluded.b RETURNING a, b, c, d
		INSERT INTO g(b) VALUES (printf('%.60c', 'x'))
		INSERT INTO g(b) VALUES (x'00')
		REPLACE INTO g(a, b) VALUES (1, 'four') RETURNING *
		UPDATE g SET a = a + 1
		UPDATE g SET a = -a RETURNING a, d
		DELETE FROM w WHERE n > 100 RETURNING n
		SELECT count(*), sum(length(v)) FROM w; SELECT * FROM g
		CREATE TABLE p(a PRIMARY KEY); CREATE TABLE q(a REFERENCES p DEFERRABLE INITIALLY DEFERRED); PRAGMA foreign_keys = on
		BEGIN; INSERT INTO q VALUES (1); CREATE TABLE o.x(a); INSERT INTO o.x VALUES (1); COMMIT
		SELECT * FROM q, o.x
		INSERT INTO p VALUES (1); COMMIT
		INSERT INTO q VALUES (2)
		DELETE FROM p
		SELECT * FROM q, p`,
	"blobs": `CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); INSERT INTO t VALUES (1, zeroblob(1200000), 1), (2, zeroblob(10), 2), (3, 'text', 3), (4, NULL, 4)
		blob x t 1
		write x 1000000 hello
		read x 999990 30
		BEGIN; SAVEPOINT s
		COMMIT
		shut x
		BEGIN; SAVEPOINT s
		blob x t 1
		write x 1100000 world
		ROLLBACK TO s
		read x 1100000 10
		shut x
		blob x t 1
		read x 1100000 10
		write x 1199998 beyond
		write x 1199990 again
		shut x
		COMMIT
		blob x t 1
		read x 1199985 30
		blob y t 4
		blob y t 2
		write y 0 abc
		UPDATE t SET c = 9 WHERE a = 2
		read y 0 5
		write y 0 def
		shut y
		PRAGMA cache_size = 1
		BEGIN
		write x 0 spilled
		UPDATE t SET b = zeroblob(20000) WHERE a = 2
		ROLLBACK
		read x 0 10
		shut x
		SELECT a, length(b), hex(substr(b, 1, 8)), hex(substr(b, 1000001, 5)), hex(substr(b, 1199991, 5)) FROM t WHERE a < 3
		UPDATE t SET b = substr(b, 1, 600000) || b WHERE a = 1; DELETE FROM t WHERE a = 1; PRAGMA freelist_count`,
	"altered tables": fillT + `
		CREATE VIEW v AS SELECT a, b FROM t; CREATE TRIGGER tr AFTER DELETE ON t BEGIN UPDATE t SET b = 'd' WHERE a = old.a + 1; END
		BEGIN; ALTER TABLE t RENAME COLUMN b TO bb; ALTER TABLE t ADD COLUMN d NOT NULL DEFAULT 'dd'; ALTER TABLE t RENAME TO tt
		SELECT sql FROM sqlite_schema
		DELETE FROM tt WHERE a < 10
		ROLLBACK
		SELECT sql FROM sqlite_schema
		ALTER TABLE t ADD COLUMN e REFERENCES t; ALTER TABLE t ADD COLUMN f UNIQUE
		ALTER TABLE t ADD COLUMN f AS (a * 2); CREATE INDEX fi ON t(f); ALTER TABLE t DROP COLUMN c
		DROP INDEX i; ALTER TABLE t DROP COLUMN c; SELECT sum(f) FROM t WHERE f > 100
		SAVEPOINT s; DROP TABLE t; CREATE TABLE t(x); INSERT INTO t VALUES (1); DROP VIEW v; CREATE VIEW v AS SELECT x AS b FROM t; SELECT * FROM v; ROLLBACK TO s
		SELECT count(*) FROM v
		RELEASE s
		CREATE TABLE o.c AS SELECT * FROM main.t; ALTER TABLE o.c RENAME TO main.c
		ALTER TABLE o.c RENAME TO c2; ALTER TABLE c2 DROP COLUMN b; SELECT count(*), sum(f) FROM c2
		CREATE TABLE auto(a INTEGER PRIMARY KEY AUTOINCREMENT, b); INSERT INTO auto(b) VALUES (1), (2); DELETE FROM auto; INSERT INTO auto(b) VALUES (3) RETURNING a
		BEGIN; INSERT INTO auto(b) VALUES (4); ROLLBACK; INSERT INTO auto(b) VALUES (5) RETURNING a; SELECT * FROM sqlite_sequence`,
	"vacuums": `PRAGMA auto_vacuum = incremental; PRAGMA o.auto_vacuum = full
		` + fillT + `
		CREATE TABLE o.u(a INTEGER PRIMARY KEY, b); INSERT INTO u SELECT a, zeroblob(5000) FROM t
		BEGIN; DELETE FROM t WHERE a < 200; PRAGMA incremental_vacuum(3); PRAGMA page_count; PRAGMA freelist_count
		SAVEPOINT s; PRAGMA incremental_vacuum; PRAGMA page_count; ROLLBACK TO s; PRAGMA page_count; PRAGMA freelist_count
		DELETE FROM u WHERE a % 2; PRAGMA o.page_count
		ROLLBACK
		PRAGMA page_count; PRAGMA o.page_count
		BEGIN; DELETE FROM u WHERE a > 20; COMMIT; PRAGMA o.page_count
		DELETE FROM t WHERE a > 20; PRAGMA freelist_count; PRAGMA incremental_vacuum(5); PRAGMA freelist_count; PRAGMA page_count
		BEGIN; PRAGMA incremental_vacuum; INSERT INTO t(b) SELECT b FROM t; DROP TABLE u; CREATE TABLE o.u2 AS SELECT * FROM t; COMMIT; PRAGMA page_count; PRAGMA o.page_count
		PRAGMA auto_vacuum = none; VACUUM; PRAGMA auto_vacuum; PRAGMA page_count
		PRAGMA auto_vacuum = full; VACUUM; PRAGMA auto_vacuum; PRAGMA page_count
		BEGIN; VACUUM; ROLLBACK
		ROLLBACK
		DELETE FROM t; VACUUM; DROP TABLE t; VACUUM; PRAGMA page_count; PRAGMA o.page_count`,
	"transactions": fillT + `
		BEGIN EXCLUSIVE; COMMIT; COMMIT
		BEGIN; BEGIN
		SELECT count(*) FROM t
		ROLLBACK; ROLLBACK
		BEGIN IMMEDIATE; SELECT 1; END; BEGIN DEFERRED; CREATE TABLE o.e(a); DROP TABLE o.e; COMMIT; PRAGMA o.schema_version
		SAVEPOINT s; BEGIN
		RELEASE none
		ROLLBACK TO none
		INSERT INTO t VALUES (1, 1, 1)
		INSERT OR ROLLBACK INTO t VALUES (1, 1, 1)
		RELEASE s
		BEGIN; UPDATE t SET b = b; UPDATE t SET c = c; COMMIT
		version main
		version o
		ATTACH OTHER AS o2
		CREATE TABLE o.x(a); INSERT INTO o.x VALUES (1); SELECT * FROM o2.x
		BEGIN; INSERT INTO o.x VALUES (2); SELECT * FROM o.x
		INSERT INTO o2.x VALUES (3)
		ROLLBACK; INSERT INTO o2.x VALUES (3); SELECT * FROM o.x
		DETACH o2
		PRAGMA query_only = on; DELETE FROM t
		BEGIN IMMEDIATE; ROLLBACK
		ROLLBACK
		PRAGMA query_only = off; DELETE FROM t WHERE a = 300; SELECT count(*) FROM t
		CREATE TEMP TABLE big AS SELECT t1.a, t2.b FROM t t1, t t2 WHERE t1.a < 20; BEGIN; DELETE FROM big WHERE a % 2; INSERT INTO t(b) SELECT b FROM big LIMIT 5; ROLLBACK; SELECT count(*) FROM big; SELECT count(*) FROM t
		SELECT count(*) FROM (SELECT DISTINCT t1.b || t2.a FROM t t1, t t2 WHERE t2.a < 15)
		DROP TABLE big; DROP TABLE temp.big`,
	"two connections": fillT + `
		CREATE TABLE o.x(a); BEGIN; SELECT count(*) FROM t
		2: DELETE FROM t WHERE a > 200; CREATE TABLE n(a); INSERT INTO n VALUES (1)
		2: version main
		version main
		SELECT count(*) FROM t
		version main
		SELECT * FROM n
		INSERT INTO t(b) VALUES ('stale')
		ROLLBACK; SELECT * FROM n
		version main
		version main
		BEGIN IMMEDIATE; UPDATE t SET c = 1
		2: DELETE FROM t
		2: BEGIN IMMEDIATE
		2: BEGIN; SELECT sum(c) FROM t; CREATE TABLE o.y(a)
		2: DELETE FROM t
		2: SELECT sum(c) FROM t
		COMMIT
		2: SELECT sum(c) FROM t; INSERT INTO o.x VALUES (1)
		2: INSERT INTO t(b) VALUES ('stale')
		2: COMMIT; SELECT sum(c) FROM t
		open c SELECT a, c FROM t WHERE a > 5
		step c 2
		2: UPDATE t SET c = 100; DROP TABLE n; VACUUM
		step c 2
		SELECT max(c) FROM t; SELECT * FROM o.x
		INSERT INTO o.x VALUES (2); INSERT INTO t(b) VALUES ('stale')
		close c
		SELECT max(c) FROM t; SELECT * FROM n
		version main
		version o
		PRAGMA schema_version
		2: version main
		2: version o
		SAVEPOINT s; INSERT INTO o.x VALUES (3); ROLLBACK TO s
		2: INSERT INTO o.x VALUES (4)
		RELEASE s
		2: INSERT INTO o.x VALUES (5); ALTER TABLE o.x ADD COLUMN b DEFAULT 7
		BEGIN; SELECT * FROM o.x; DELETE FROM t; ROLLBACK
		2: DETACH o; ATTACH OTHER AS o; PRAGMA o.cache_size = 1; BEGIN; INSERT INTO o.x SELECT a, zeroblob(3000) FROM t; DROP TABLE t
		SELECT count(*) FROM o.x; SELECT count(*) FROM t
		2: SAVEPOINT q; CREATE TABLE q AS SELECT * FROM o.x; ROLLBACK TO q; COMMIT
		SELECT count(*), sum(a) FROM o.x
		SELECT count(*) FROM t
		SELECT * FROM q`,
}
