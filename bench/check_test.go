package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The checks of answers see what is wrong.

func TestLostUpdateIsSeen(t *testing.T) {
	for _, s := range []system{graftSystem(""), fileSystem("wal", "full")} {
		for _, damage := range []string{
			"UPDATE t SET b = replace(b, substr(b, 20), substr(b, 21) || 'x')", // other texts
			"DELETE FROM t WHERE a = 5",
			"UPDATE t SET b = printf('%08d', a + 1) || substr(b, 9) WHERE a = 5", // of another row
		} {
			dir := t.TempDir()
			if err := s.setUp(t.Context(), dir, 10); err != nil {
				t.Fatal(err)
			}
			c, err := newUpdater(t.Context(), s, dir, 10)
			if err != nil {
				t.Fatal(err)
			}
			u := c.(updater)
			if err := u.run(t.Context(), rand.New(rand.NewPCG(0, 0)), 20); err != nil {
				t.Error(err)
			}
			if _, err := u.answer(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := u.dbs[0].ExecContext(t.Context(), damage); err != nil {
				t.Error(err)
			}
			if _, err := u.answer(t.Context()); err == nil {
				t.Errorf("%s: no error after %s", s.name, damage)
			}
			if err := u.close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestWrongRowIsSeen(t *testing.T) {
	s := fileSystem("wal", "full")
	dir := t.TempDir()
	if err := s.setUp(t.Context(), dir, 10); err != nil {
		t.Fatal(err)
	}
	for name, contender := range map[string]func() (sqlContender, error){
		"selector": func() (sqlContender, error) { return newSelector(t.Context(), s, dir, 10) },
		"scanner":  func() (sqlContender, error) { return newScanner(t.Context(), s, dir, 10) },
	} {
		c, err := contender()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.run(t.Context(), rand.New(rand.NewPCG(0, 0)), 10); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		dbs, err := s.open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, dbs[0], "UPDATE t SET b = 'x' || b")
		if err := c.run(t.Context(), rand.New(rand.NewPCG(0, 0)), 10); err == nil {
			t.Errorf("%s does not see wrong rows", name)
		}
		mustExec(t, dbs[0], "UPDATE t SET b = substr(b, 2)")
		if err := errors.Join(closeAll(dbs), c.close()); err != nil {
			t.Error(err)
		}
	}
}

func TestLostCommitIsSeen(t *testing.T) {
	const pages, commits = 20, 30
	dir := t.TempDir()
	if _, err := buildJob(t.Context(), job{Dir: dir, Pages: pages, Commits: commits}); err != nil {
		t.Fatal(err)
	}
	if _, err := openJob(t.Context(), job{Dir: dir, Pages: pages, Commits: commits}); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []job{
		{Dir: dir, Pages: pages, Commits: commits + 1},
		{Dir: dir, Pages: pages, Commits: commits - 1},
		{Dir: dir, Pages: pages + 1, Commits: commits},
		{Dir: dir},
	} {
		if _, err := openJob(t.Context(), wrong); err == nil {
			t.Errorf("no error for %+v", wrong)
		}
	}
	page := makePage(3, 1)
	if err := checkPage(page, 3, 1); err != nil {
		t.Error(err)
	}
	if checkPage(page, 3, 2) == nil || checkPage(page, 4, 1) == nil {
		t.Error("a page passes for another")
	}
}

func TestChildren(t *testing.T) {
	if _, err := child(t.Context(), job{Kind: "nosuch"}); err == nil {
		t.Error("no error of an unknown job")
	}
	if _, err := child(t.Context(), job{Kind: "build", Dir: filepath.Join(t.TempDir(), "\x00")}); err == nil {
		t.Error("no error of a job that fails")
	}
	needMemory(t)
	idle, err := child(t.Context(), job{Kind: "idle"})
	if err != nil || idle.Peak <= 0 || idle.Peak < idle.Memory {
		t.Errorf("idle: %+v, %v", idle, err)
	}
	held, err := child(t.Context(), job{Kind: "idle", Hold: true})
	if err != nil || held.Peak <= 0 {
		t.Errorf("held: %+v, %v", held, err)
	}
}

// TestMemoryIsSeen plants memory that is used for a moment.
func TestMemoryIsSeen(t *testing.T) {
	needMemory(t)
	const planted = 64 << 20
	before, _ := anonymousMemory()
	w := watchMemory()
	b := make([]byte, planted)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	o, err := w.end(time.Second) // which takes a sample
	if err != nil || o.Peak-before < planted*3/4 {
		t.Errorf("%d bytes before, then %+v, %v", before, o, err)
	}
	b[0] = 2
}

func TestSettled(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 1<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	used, note, err := settled(t.Context(), dir, time.Millisecond, time.Minute)
	if err != nil || note != "" || used.median() < 1<<20 {
		t.Errorf("%v %q %v", used, note, err)
	}
	_, note, err = settled(t.Context(), dir, time.Hour, 0)
	if err != nil || !strings.Contains(note, "not settled") {
		t.Errorf("%q %v", note, err)
	}
}
