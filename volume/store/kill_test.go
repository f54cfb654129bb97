package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"graft/volume"
	"graft/volume/store/badgerguard"
	"graft/volume/store/journal"
)

// killEnv makes TestWriteUntilKilled a process that writes to the data directory
// that it names until it is killed.
const killEnv = "GRAFT_STORE_TEST_KILL"

// killTags name the Volumes that are written to, side by side.
var killTags = [2]string{"left", "right"}

// killOptions let the journal be full and be applied often.
var killOptions = Options{journal: journal.Options{FileSize: 128 << 10, Files: 4}, ApplyAt: 200 << 10}

// killPages gives the pages of commit l.
func killPages(writer int, l volume.LSN) []volume.PageEntry {
	n := volume.PageIdx(l % 4)
	if l%30 == 7 {
		n = MaxChangePages + 20 // are staged
	}
	return editedPages(n, uint64(writer+1)<<20|uint64(l))
}

// TestWriteUntilKilled is the process. It says what Apply has acknowledged.
func TestWriteUntilKilled(t *testing.T) {
	dir := os.Getenv(killEnv)
	if dir == "" {
		return
	}
	s, err := Open(dir, killOptions)
	must(t, err)
	ended := make(chan error)
	for writer := range killTags {
		go func() { ended <- writeCommits(s, writer) }()
	}
	go func() {
		for {
			newest, _, err := badgerguard.Newest(s.badgerDir())
			_, fillErr := s.fillUp(context.Background(), newest, dbOf(s).Opts().ValueLogFileSize)
			if err := errors.Join(err, fillErr, s.Flush(), s.Compact(context.Background())); err != nil {
				ended <- err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	must(t, <-ended)
}

func writeCommits(s *Store, writer int) error {
	v, err := s.Tag(killTags[writer])
	if err != nil {
		return err
	}
	head, err := s.Head(v)
	var newest Change // that had pages
	for l := head + 1; err == nil; l++ {
		entries, id := killPages(writer, l), volume.NewSegmentID()
		c := Change{
			Grafts:  []volume.GraftState{{Local: v, Remote: otherVolume, SyncPoint: volume.SyncPoint{Local: l}}},
			Relaxed: l%3 > 0,
		}
		if len(entries) <= MaxChangePages {
			c.Segment, c.Pages = id, entries
			for _, e := range newest.Pages {
				c.Replaced = append(c.Replaced, PageRef{Segment: newest.Segment, Idx: e.Idx})
			}
			newest = c
		} else if err := s.Stage(id, entries); err != nil {
			return err
		}
		commit := volume.Commit{Volume: v, LSN: l, PageCount: volume.PageCount(len(entries)), Time: time.UnixMilli(1)}
		if set := setOf(entries); !set.IsEmpty() {
			commit.Segments = []volume.Segment{{ID: id, Pages: set}}
		}
		rec, err := volume.EncodeCommit(commit)
		if err != nil {
			return err
		}
		c.Commits = []volume.Record{rec}
		if err := s.Apply(c); err != nil {
			return err
		}
		fmt.Println(writer, l)
	}
	return err
}

func setOf(entries []volume.PageEntry) (set volume.PageSet) {
	for _, e := range entries {
		set.Add(e.Idx)
	}
	return set
}

// TestKilledProcessLosesNothing kills a process that writes, again and again.
func TestKilledProcessLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(dir, killOptions)
	must(t, err)
	for _, name := range killTags {
		apply(t, s, Change{Tags: []Tag{{name, volume.NewVolumeID()}}})
	}
	closeStore(t, s)
	var checked [len(killTags)]volume.LSN
	for round := range 6 {
		acknowledged := writeUntilKilled(t, dir, time.Duration(r.IntN(200))*time.Millisecond)
		s, err := Open(dir, killOptions)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for writer, from := range checked {
			if round == 5 {
				from = 0
			}
			checked[writer] = checkKilled(t, s, writer, from, max(acknowledged[writer], checked[writer]))
		}
		if round%2 == 0 {
			closeStore(t, s)
			continue
		}
		s.abandon(t)
	}
	if checked[0] < 6*beforeKill {
		t.Errorf("%d commits are no test", checked)
	}
}

// abandon closes s with nothing of the journal applied, as if it was killed.
func (s *Store) abandon(t *testing.T) {
	t.Helper()
	s.poison.set(errPlanted)
	if err := s.Close(); !errors.Is(err, errPlanted) {
		t.Errorf("close: %v", err)
	}
}

// beforeKill is how many commits of the first writer are acknowledged, at least, before
// its process is killed.
const beforeKill = 4

// writeUntilKilled gives the newest commit of each Volume that was acknowledged
// until the process was killed, some time after the first of them.
func writeUntilKilled(t *testing.T, dir string, after time.Duration) (acknowledged [len(killTags)]volume.LSN) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, "-test.run=^TestWriteUntilKilled$")
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	first := 0 // commits of the first writer
	for lines.Scan() {
		var writer int
		var l volume.LSN
		if _, err := fmt.Sscan(lines.Text(), &writer, &l); err != nil {
			t.Errorf("the process says %q", lines.Text())
			continue
		}
		acknowledged[writer] = l
		if writer == 0 {
			first++
		}
		if timer == nil && first == beforeKill {
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("the process ended by itself: %v", err)
	}
	return acknowledged
}

// checkKilled wants each commit of a Volume above from to be whole, and gives
// the newest, which is least or above.
func checkKilled(t *testing.T, s *Store, writer int, from, least volume.LSN) volume.LSN {
	t.Helper()
	v, err := s.Tag(killTags[writer])
	must(t, err)
	head, err := s.Head(v)
	must(t, err)
	if head < least {
		t.Fatalf("head %d, but %d was acknowledged", head, least)
	}
	if head == 0 {
		return 0
	}
	must(t, s.Log(v, volume.LSNRange{First: 1, Last: head}, func(rec volume.Record) error {
		if rec.Commit.LSN <= from {
			return nil
		}
		want := killPages(writer, rec.Commit.LSN)
		if !rec.Commit.Pages().Equal(setOf(want)) {
			t.Fatalf("commit %d has other pages", rec.Commit.LSN)
		}
		if len(want) > 0 {
			checkPages(t, s, rec.Commit.Segments[0].ID, want)
		}
		return nil
	}))
	if g, err := s.Graft(v); err != nil || g.SyncPoint.Local != head {
		t.Fatalf("graft of commit %d, head is %d, %v", g.SyncPoint.Local, head, err)
	}
	return head
}
