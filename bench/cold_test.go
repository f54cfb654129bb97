package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"graft"
)

// TestColdRows plants trials that just meet their targets, and such as miss them.
func TestColdRows(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		trips    float64
		hydrated float64
		elapsed  time.Duration
		want     verdict
	}{
		{6, .005, 199 * ms, met}, // 1.3 × 6 × 25 ms + 5 ms = 200 ms
		{6, .005, 201 * ms, missed},
		{7, .005, 201 * ms, met},
		{6, .007, 201 * ms, met},
	} {
		one := trial{elapsed: test.elapsed, inRow: test.trips}
		c := coldTrials{cold: []trial{one, one, one}, hydrated: series{Unit: seconds, Samples: slices.Repeat([]float64{test.hydrated}, 3)}, latency: 25 * ms}
		r := c.time("planted")
		if got := judge(r.Figure, r.Target); got != test.want || len(r.Figure.Samples) != 3 {
			t.Errorf("%v in %v round trips is %v: %s", test.elapsed, test.trips, r.Figure, got)
		}
	}
}

// TestMoreRow plants medians that are one apart, and two, whatever single rounds
// say.
func TestMoreRow(t *testing.T) {
	of := func(samples ...float64) series { return series{Unit: requests, Samples: samples} }
	for _, test := range []struct {
		large, other series
		more         float64
		want         verdict
	}{
		{of(7, 19, 7), of(6, 6, 1), 1, met},
		{of(8, 6, 8), of(6, 8, 6), 2, missed},
		{of(6, 6, 6), of(7, 7, 7), 0, met},
	} {
		r := moreRow("planted", test.large, test.other)
		if got := judge(r.Figure, r.Target); got != test.want || r.Figure.median() != test.more {
			t.Errorf("%v and %v: %v more: %s", test.large, test.other, r.Figure, got)
		}
	}
}

// TestColdAnswers plants another answer than a replica gives, and a replica that
// lacks pages where a hydrated one is meant.
func TestColdAnswers(t *testing.T) {
	e := tinyEnv(t)
	n, err := e.network(t.Context(), e.size.social)
	if err != nil {
		t.Fatal(err)
	}
	file, err := openFile(t.Context(), n.file)
	if err != nil {
		t.Fatal(err)
	}
	users, err := members(t.Context(), file, 1)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, file, "PRAGMA journal_mode = memory")
	damages := []string{
		"UPDATE posts SET body = body || 'x' WHERE author = %d",
		"UPDATE follows SET created = created + 1 WHERE followee = %d",
		"UPDATE likes SET created = created + 1 WHERE liker = %d",
		"INSERT INTO comments SELECT 1000000, id, 1, 0, '' FROM posts WHERE author = %d ORDER BY created DESC LIMIT 1",
		"UPDATE users SET bio = bio || 'x' WHERE id = %d",
	}
	seen := map[string]int{"cold-point-join": 1, "cold-profile": 5, "cold-scan": 1} // of the damages
	for _, q := range coldQueries {
		if _, err := q.trials(t.Context(), e, n); err != nil {
			t.Errorf("%s: %v", q.name, err)
		}
		for _, damage := range damages {
			mustExec(t, file, "SAVEPOINT s")
			mustExec(t, file, fmt.Sprintf(damage, users[0]))
			want, err := q.ask(t.Context(), file, users[0])
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, file, "ROLLBACK TO s")
			mustExec(t, file, "RELEASE s")
			if _, err := q.cold(t.Context(), e, n, users[0], want); err != nil {
				seen[q.name]--
			}
		}
		if seen[q.name] != 0 {
			t.Errorf("%s: %d damages too few are seen", q.name, seen[q.name])
		}
		want, err := q.ask(t.Context(), file, users[0])
		if err != nil {
			t.Fatal(err)
		}
		bare := *n
		bare.hydrated = t.TempDir()
		err = n.with(t.Context(), bare.hydrated, func(_ bucket, r *replica) error { return r.graft.Clone(t.Context(), n.remote) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.hydrated(t.Context(), &bare, users[0], want); err == nil || !strings.Contains(err.Error(), "hydrated") {
			t.Errorf("%s of a replica without pages: error %v", q.name, err)
		}
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}

// TestSmallPushes counts the commits, and compares the two buckets that are
// measured by it.
func TestSmallPushes(t *testing.T) {
	e := tinyEnv(t)
	n, err := e.pushedNetwork(t.Context(), e.size.social)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := e.reimported(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		n    *network
		want graft.LSN
	}{{n, graft.LSN(1 + e.size.smallPushes)}, {fresh, 1}} {
		err := test.n.with(t.Context(), t.TempDir(), func(_ bucket, r *replica) error {
			if err := r.graft.Clone(t.Context(), test.n.remote); err != nil {
				return err
			}
			info, err := r.graft.Info()
			if info.SyncPoint.Remote != test.want {
				t.Errorf("%s has %v commits, not %v", test.n.name, info.SyncPoint.Remote, test.want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	base, err := e.network(t.Context(), e.size.social)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := mustRead(t, base.file), mustRead(t, n.file); bytes.Equal(a, b) {
		t.Error("the pushes changed nothing")
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTrace holds the trace of a scan to the database: each page of posts is in a
// frame that was got.
func TestTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	e, err := newEnv(settings{size: "tiny", rounds: 1, dir: t.TempDir(), trace: path}, &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := e.network(t.Context(), e.size.social)
	if err != nil {
		t.Fatal(err)
	}
	c, err := coldQueries[2].trials(t.Context(), e, n)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.Index(n.names.trees[1:], "other"); i >= 0 {
		t.Errorf("page %d is of no tree", i+1)
	}
	want := 0
	for _, tree := range n.names.trees {
		if tree == "posts" {
			want++
		}
	}
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(mustRead(t, path))), "\n")
	if got := len(lines) - 1; got != int(c.cold[0].total()) {
		t.Errorf("%d lines of %d requests", got, c.cold[0].total())
	}
	got := 0
	for _, line := range lines[1:] {
		for part := range strings.SplitSeq(line, ", ") {
			var k int
			if n, err := fmt.Sscanf(part, "%d posts", &k); n == 1 && err == nil && part == fmt.Sprintf("%d posts", k) {
				got += k
			}
		}
	}
	if got != want || want < 100 {
		t.Errorf("the frames have %d pages of posts, and the database %d", got, want)
	}
}
