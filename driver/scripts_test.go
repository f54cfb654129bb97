package driver_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"graft/internal/sqlitefile"
	"graft/internal/testdir"
)

// player runs a script on one connection and writes down what it answers. A line is SQL,
// in which OTHER is the name of a second database, or a command for what SQL cannot do:
//
//	open N SQL          prepares a statement and keeps it
//	step N [COUNT]      steps it
//	close N             closes it
//	blob N TABLE ROW    opens the column b of a row
//	read N OFFSET COUNT, write N OFFSET TEXT, shut N
//	version SCHEMA      tells whether data_version is another than it was
//
// What comes behind "2:" is for a second connection.
type player struct {
	conn  *sqlite3.Conn
	other string
	stmts map[string]*sqlite3.Stmt
	blobs map[string]*sqlite3.Blob
	saw   map[string]string // data_version of each schema
}

func newPlayer(t *testing.T, main, other string) *player {
	t.Helper()
	conn, err := sqlite3.Open(main)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &player{conn: conn, other: other, stmts: make(map[string]*sqlite3.Stmt), blobs: make(map[string]*sqlite3.Blob), saw: make(map[string]string)}
}

// play runs one line, and tells how the transactions stand then.
func (p *player) play(line string) string {
	out := p.command(line)
	var states strings.Builder
	for _, schema := range []string{"main", "o", "temp"} {
		fmt.Fprint(&states, p.conn.TxnState(schema), " ")
	}
	return fmt.Sprintf("%s\n  %s\n  autocommit %v, transactions %s, changes %d of %d, rowid %d", line, strings.Join(out, "\n  "),
		p.conn.GetAutocommit(), states.String(), p.conn.Changes(), p.conn.TotalChanges(), p.conn.LastInsertRowID())
}

func (p *player) command(line string) []string {
	word, rest, _ := strings.Cut(line, " ")
	name, rest, _ := strings.Cut(rest, " ")
	var offset, count int
	switch word {
	case "open":
		stmt, _, err := p.conn.Prepare(rest)
		p.stmts[name] = stmt
		return []string{fmt.Sprint(err)}
	case "step":
		count = 1
		_, _ = fmt.Sscan(rest, &count)
		return rows(p.stmts[name], count)
	case "close":
		return []string{fmt.Sprint(p.stmts[name].Close())}
	case "blob":
		table, row := "", int64(0)
		_, _ = fmt.Sscan(rest, &table, &row)
		b, err := p.conn.OpenBlob("main", table, "b", row, true)
		p.blobs[name] = b
		return []string{fmt.Sprint(err)}
	case "read":
		_, _ = fmt.Sscan(rest, &offset, &count)
		_, err := p.blobs[name].Seek(int64(offset), 0)
		buf := make([]byte, count)
		n, readErr := p.blobs[name].Read(buf)
		return []string{fmt.Sprint(err, n, readErr, string(bytes.Trim(buf[:n], "\x00")))}
	case "write":
		text := ""
		_, _ = fmt.Sscan(rest, &offset, &text)
		_, err := p.blobs[name].Seek(int64(offset), 0)
		n, writeErr := p.blobs[name].Write([]byte(text))
		return []string{fmt.Sprint(err, n, writeErr)}
	case "version":
		was := p.saw[name]
		p.saw[name] = strings.Join(p.sql("PRAGMA "+name+".data_version"), "; ")
		return []string{fmt.Sprint(p.saw[name] != was)}
	case "shut":
		return []string{fmt.Sprint(p.blobs[name].Close())}
	}
	return p.sql(strings.ReplaceAll(line, "OTHER", quote(p.other)))
}

// sql runs statements until one fails.
func (p *player) sql(text string) (out []string) {
	for text != "" {
		stmt, tail, err := p.conn.Prepare(text)
		if err != nil {
			return append(out, strings.ReplaceAll(err.Error(), p.other, "OTHER"))
		}
		if text = tail; stmt == nil {
			continue
		}
		answer := rows(stmt, 1000)
		stmt.Close()
		if out = append(out, answer...); answer[len(answer)-1] != "no error" {
			return out
		}
	}
	return out
}

// rows steps a statement.
func rows(stmt *sqlite3.Stmt, count int) (out []string) {
	for ; count > 0; count-- {
		if !stmt.Step() {
			if err := stmt.Err(); err != nil {
				return append(out, err.Error())
			}
			break
		}
		var row []string
		for i := range stmt.ColumnCount() {
			row = append(row, fmt.Sprintf("%.60q", stmt.ColumnText(i)))
		}
		out = append(out, strings.Join(row, " "))
	}
	return append(out, "no error")
}

// TestScriptsLikeAFile plays scripts on graft and on files: all answers, errors and
// states of transactions are the same, and in the end so are all pages.
func TestScriptsLikeAFile(t *testing.T) {
	dir, files := testdir.InMemory(t), testdir.InMemory(t)
	holder := open(t, "tag=none dir='%s'", dir) // the directory stays open
	holder.want("SELECT 1", "1")
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			likeAFile(t, dir, filepath.Join(files, name), name, script)
		})
	}
}

// likeAFile plays a script on the tag of that name and on a file.
func likeAFile(t *testing.T, dir, path, tag, script string) {
	t.Helper()
	g := newPlayer(t, uriOf(dir, tag), uriOf(dir, tag+" other"))
	f := newPlayer(t, plainURI(path), plainURI(path+" other"))
	const begin = "PRAGMA synchronous = off; PRAGMA page_size = 4096; ATTACH OTHER AS o"
	together(t, g, f, begin)
	var g2, f2 *player
	if strings.Contains(script, "2: ") { // then a file has to be in WAL mode: there too readers keep no writer out
		f.sql("PRAGMA main.journal_mode = wal; PRAGMA o.journal_mode = wal")
		g2, f2 = newPlayer(t, uriOf(dir, tag), g.other), newPlayer(t, plainURI(path), f.other)
		together(t, g2, f2, begin)
	}
	for line := range strings.Lines(script + "\nPRAGMA main.integrity_check; PRAGMA o.integrity_check; PRAGMA foreign_key_check") {
		line = strings.TrimSpace(line)
		if second, ok := strings.CutPrefix(line, "2: "); ok {
			together(t, g2, f2, second)
		} else {
			together(t, g, f, line)
		}
	}
	if f2 != nil {
		g2.conn.Close()
		t.Log(f2.conn.Close(), f.sql("PRAGMA main.journal_mode = delete; PRAGMA o.journal_mode = delete"))
	}
	for schema, file := range map[string]string{"main": path, "o": path + " other"} {
		samePages(t, g, schema, file)
	}
	g.conn.Close()
	f.conn.Close()
}

// together plays a line on graft and on a file.
func together(t *testing.T, g, f *player, line string) {
	t.Helper()
	got, want := g.play(line), f.play(line)
	if got != want {
		t.Fatalf("graft says\n%s\na file\n%s", got, want)
	}
	t.Log(got)
}

// samePages compares what a tag has with a file.
func samePages(t *testing.T, g *player, schema, file string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		return
	}
	exported := filepath.Join(t.TempDir(), "exported")
	if err := g.conn.Exec("PRAGMA " + schema + ".graft_export = " + quote(exported)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{got, want} {
		sqlitefile.Header(b).SetCounter(1)
	}
	if len(got) != len(want) {
		t.Fatalf("%s has %d bytes, a file %d", schema, len(got), len(want))
	}
	for p := 0; p < len(want); p += 4096 {
		if !bytes.Equal(got[p:p+4096], want[p:p+4096]) {
			t.Errorf("page %d of %s differs", p/4096+1, schema)
		}
	}
}
