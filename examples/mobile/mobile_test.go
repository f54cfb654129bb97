package mobile

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"graft"
	"graft/internal/faultbucket"
)

// device opens the database of a device of its own.
func device(t *testing.T, bucket string) *Database {
	t.Helper()
	d, err := Open(t.TempDir(), "main", bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func execute(t *testing.T, d *Database, statement string, args *Args) int64 {
	t.Helper()
	n, err := d.Execute(statement, args)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// all gives the rows of a query, with bars between columns.
func all(t *testing.T, d *Database, query string) string {
	t.Helper()
	rows, err := d.Query(query, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var text []string
	for {
		more, err := rows.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return strings.Join(text, "\n")
		}
		var row []string
		for i := range rows.Columns() {
			v, err := rows.Text(i)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		text = append(text, strings.Join(row, "|"))
	}
}

// steps is a Listener that notes what it hears, and ends the operation once it is told to.
type steps struct {
	mu    sync.Mutex
	heard []string
	end   bool
}

func (s *steps) Progress(operation, phase string, bytes, total int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, operation+" "+phase)
	return !s.end
}

func (s *steps) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heard) == 0 {
		return ""
	}
	return s.heard[len(s.heard)-1]
}

func TestValues(t *testing.T) {
	d := device(t, "")
	args := NewArgs()
	args.AddNull()
	args.AddInteger(-7)
	args.AddReal(0.5)
	args.AddText("snow ☃")
	blob := []byte{0, 1, 2}
	args.AddBytes(blob)
	blob[0] = 9 // gomobile takes it back
	execute(t, d, "CREATE TABLE t(a, b, c, d, e)", nil)
	if n := execute(t, d, "INSERT INTO t VALUES (?, ?, ?, ?, ?)", args); n != 1 {
		t.Errorf("%d rows", n)
	}
	rows := firstRow(t, d, "SELECT * FROM t")
	null, err := rows.IsNull(0)
	if !null || err != nil {
		t.Error("NULL:", null, err)
	}
	if v, err := rows.Integer(1); v != -7 || err != nil {
		t.Error("integer:", v, err)
	}
	if v, err := rows.Real(2); v != 0.5 || err != nil {
		t.Error("real:", v, err)
	}
	if v, err := rows.Text(3); v != "snow ☃" || err != nil {
		t.Error("text:", v, err)
	}
	if v, err := rows.Bytes(4); !bytes.Equal(v, []byte{0, 1, 2}) || err != nil {
		t.Error("bytes:", v, err)
	}
	if name, err := rows.Column(3); name != "d" || err != nil {
		t.Error("column:", name, err)
	}
	if _, err := rows.Text(5); err == nil {
		t.Error("there is a sixth column")
	}
	if _, err := rows.Integer(3); err == nil {
		t.Error("a text is a number")
	}
	if more, err := rows.Next(); more || err != nil {
		t.Error("a second row:", err)
	}
}

// firstRow runs a query and stands on its first row. It is closed with the test.
func firstRow(t *testing.T, d *Database, query string) *Rows {
	t.Helper()
	rows, err := d.Query(query, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rows.Close() })
	if more, err := rows.Next(); !more || err != nil {
		t.Fatal(more, err)
	}
	return rows
}

// TestDeclaredTypes wants what was written, whatever the type that the column was declared with.
func TestDeclaredTypes(t *testing.T) {
	d := device(t, "")
	execute(t, d, "CREATE TABLE t(a TIMESTAMP, b BOOLEAN, c DATETIME, d DATE, e TIME, f)", nil)
	execute(t, d, "INSERT INTO t VALUES (1764446400, 1, '2026-11-29 20:00:00', '2026-11-29', 1.5, '2026-11-29T20:00:00Z')", nil)
	if got, want := all(t, d, "SELECT * FROM t"), "1764446400|1|2026-11-29 20:00:00|2026-11-29|1.5|2026-11-29T20:00:00Z"; got != want {
		t.Errorf("it gives %s, not %s", got, want)
	}
	rows := firstRow(t, d, "SELECT * FROM t")
	if v, err := rows.Integer(0); v != 1764446400 || err != nil {
		t.Error("TIMESTAMP:", v, err)
	}
	if v, err := rows.Integer(1); v != 1 || err != nil {
		t.Error("BOOLEAN:", v, err)
	}
	if v, err := rows.Real(1); v != 1 || err != nil {
		t.Error("BOOLEAN:", v, err)
	}
	if v, err := rows.Bytes(2); string(v) != "2026-11-29 20:00:00" || err != nil {
		t.Error("DATETIME:", v, err)
	}
}

// TestExecuteCounts counts what several statements change.
func TestExecuteCounts(t *testing.T) {
	d := device(t, "")
	for _, c := range []struct {
		statement string
		want      int64
	}{
		{"CREATE TABLE t(a)", 0},
		{"INSERT INTO t VALUES (1), (2), (3); UPDATE t SET a = a + 1 WHERE a > 1", 5},
		{"DELETE FROM t; CREATE TABLE u(a)", 3},
		{"SELECT 1", 0},
	} {
		if n := execute(t, d, c.statement, nil); n != c.want {
			t.Errorf("%s: %d rows, not %d", c.statement, n, c.want)
		}
	}
}

func TestTwoDevices(t *testing.T) {
	bucket := "mem://" + t.Name()
	a, b := device(t, bucket), device(t, bucket)
	execute(t, a, "CREATE TABLE t(a)", nil)
	var heard steps
	if n, err := a.Push(&heard); n != 1 || err != nil || heard.last() != "push done" {
		t.Fatal(n, err, heard.last())
	}
	volume, err := a.RemoteVolume()
	if err != nil || volume == "" {
		t.Fatal(volume, err)
	}
	if err := b.Clone(volume, &heard); err != nil || heard.last() != "clone done" {
		t.Fatal(err, heard.last())
	}
	execute(t, a, "INSERT INTO t VALUES ('from a')", nil)
	if s, err := a.Status(); err != nil || s.Unpushed != 1 || s.Behind != 0 || s.Text == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := a.Push(nil); err != nil {
		t.Fatal(err)
	}
	if moved, err := b.Pull(nil); !moved || err != nil {
		t.Fatal(moved, err)
	}
	if _, err := b.Download(&heard); err != nil || heard.last() != "hydrate done" {
		t.Fatal(err, heard.last())
	}
	if got := all(t, b, "SELECT a FROM t"); got != "from a" {
		t.Errorf("b has %q", got)
	}
}

func TestBothSidesMoved(t *testing.T) {
	bucket := "mem://" + t.Name()
	a, b := device(t, bucket), device(t, bucket)
	execute(t, a, "CREATE TABLE t(a)", nil)
	if _, err := a.Push(nil); err != nil {
		t.Fatal(err)
	}
	volume, err := a.RemoteVolume()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Clone(volume, nil); err != nil {
		t.Fatal(err)
	}
	execute(t, a, "INSERT INTO t VALUES ('a')", nil)
	execute(t, b, "INSERT INTO t VALUES ('b')", nil)
	if _, err := a.Push(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Push(nil); Kind(err) != KindDiverged {
		t.Fatal(err)
	}
	if backup, err := b.Reset(nil); backup == "" || err != nil {
		t.Fatal(backup, err)
	}
	if got := all(t, b, "SELECT a FROM t"); got != "a" {
		t.Errorf("b has %q", got)
	}
}

// gate lets so many reads of a bucket through, and has the others wait for a Listener that ended their operation.
type gate struct {
	left, asked atomic.Int64
	ended       chan struct{}
}

func (g *gate) before(r faultbucket.Request) error {
	if r.Op != "get" {
		return nil
	}
	g.asked.Add(1)
	if g.left.Add(-1) < 0 {
		select {
		case <-g.ended:
			time.Sleep(300 * time.Millisecond) // it has yet to return
		case <-time.After(5 * time.Second): // nobody heard of bytes
		}
	}
	return nil
}

// Progress ends the operation at the first bytes.
func (g *gate) Progress(_, _ string, bytes, _ int64) bool {
	if bytes == 0 {
		return true
	}
	select {
	case <-g.ended:
	default:
		close(g.ended)
	}
	return false
}

// TestAListenerEndsAnOperation ends a download at its first bytes, whose last read waits for that.
func TestAListenerEndsAnOperation(t *testing.T) {
	bucket, reads := faultbucket.New(), &gate{ended: make(chan struct{})}
	opened := bucket.Blob()
	t.Cleanup(func() { _ = opened.Close() }) // it is memory
	reads.left.Store(math.MaxInt64)
	bucket.Fail(reads.before, nil)
	var volume string
	join := func() *Database {
		d, err := open(t.TempDir(), "main", &graft.Options{Bucket: opened})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		if volume != "" {
			if err := d.Clone(volume, nil); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	a := join()
	execute(t, a, "CREATE TABLE t(a)", nil)
	for range 8 {
		execute(t, a, "INSERT INTO t VALUES (randomblob(500000))", nil)
		if _, err := a.Push(nil); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if volume, err = a.RemoteVolume(); err != nil {
		t.Fatal(err)
	}
	b := join()
	before := reads.asked.Load()
	pages, err := b.Download(nil)
	if err != nil || pages < 900 {
		t.Fatal(pages, err)
	}
	took := reads.asked.Load() - before
	c := join()
	reads.left.Store(took - 1)
	if _, err := c.Download(reads); Kind(err) != KindCancelled {
		t.Errorf("the download ends with %v", err)
	}
	reads.left.Store(math.MaxInt64)
	if n, err := c.Download(nil); n == 0 || n > pages || err != nil {
		t.Errorf("%d of %d pages are left, %v", n, pages, err)
	}
	if got := all(t, c, "SELECT count(*), sum(length(a)) FROM t"); got != "8|4000000" {
		t.Errorf("it has %s", got)
	}
}

// TestDamageIsCorrupt spoils every object of a bucket.
func TestDamageIsCorrupt(t *testing.T) {
	dir := t.TempDir()
	remote := "file://" + filepath.ToSlash(dir)
	a, b := device(t, remote), device(t, remote)
	execute(t, a, "CREATE TABLE t(a)", nil)
	if _, err := a.Push(nil); err != nil {
		t.Fatal(err)
	}
	volume, err := a.RemoteVolume()
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.WriteFile(path, []byte("spoiled"), 0o666)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Clone(volume, nil); err == nil {
		_, err = b.Download(nil)
		if Kind(err) != KindCorrupt {
			t.Errorf("the download ends with %v", err)
		}
	} else if Kind(err) != KindCorrupt {
		t.Errorf("the clone ends with %v", err)
	}
}

func TestKinds(t *testing.T) {
	d, other := device(t, "mem://"+t.Name()), device(t, "mem://other")
	execute(t, other, "CREATE TABLE t(a)", nil)
	if _, err := other.Push(nil); err != nil {
		t.Fatal(err)
	}
	volume, err := other.RemoteVolume()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		err  error
	}{
		{KindNone, nil},
		{KindFull, fmt.Errorf("write: %w", graft.ErrFull)},
		{KindInUse, fmt.Errorf("open: %w", graft.ErrInUse)},
		{KindNoVolume, d.Clone(volume, nil)},
		{KindOther, d.Clone("no name", nil)},
		{KindOther, second(d.Execute("SELECT", nil))},
	} {
		if got := Kind(c.err); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "x"), "", ""); Kind(err) != KindOther {
		t.Error("no tag:", err)
	}
}

func second[T any](_ T, err error) error { return err }
