package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"graft"
)

func tinyEnv(t *testing.T) *env {
	t.Helper()
	e, err := newEnv(settings{size: "tiny", rounds: 2, dir: t.TempDir()}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestPlantedRequests lets a workload ask one request more than it may, or take
// one round trip more.
func TestPlantedRequests(t *testing.T) {
	for _, test := range []struct {
		requests int
		want     verdict
		took     time.Duration
	}{
		{3, met, 3 * latency},
		{4, missed, 4 * latency},
		{manyInRow + 1, missed, 0}, // without latency
	} {
		synctest.Test(t, func(t *testing.T) {
			b := memoryBucket()
			e := &env{rounds: 3, size: size{latency: latency, restless: true}}
			all, note, err := trials(t.Context(), e, func(s speed) (trial, error) {
				return b.measured(s, func() error {
					for range test.requests {
						if _, err := b.Exists(t.Context(), "k"); err != nil {
							return err
						}
					}
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			r := trialRow("planted", all, note, firstPageTarget)
			if got := judge(r.Figure, r.Target); got != test.want || len(r.Figure.Samples) != 3 {
				t.Errorf("%d requests are %v: %s", test.requests, r.Figure, got)
			}
			if r.Graft.median() != test.took.Seconds() || r.Reference.median() != float64(test.requests) {
				t.Errorf("%d requests took %v, %v in a row", test.requests, r.Graft, r.Reference)
			}
			if told := strings.Contains(r.Note, "too many"); told != (test.took == 0) {
				t.Errorf("%d requests: note %q", test.requests, r.Note)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSpread(t *testing.T) {
	of := func(samples ...float64) series { return series{Unit: requests, Samples: samples} }
	for _, test := range []struct {
		all  []series
		want []float64
		says verdict
	}{
		{[]series{of(3, 3, 3), of(3, 3, 3), of(3, 3, 3)}, []float64{1, 1, 1}, met},
		{[]series{of(2, 2, 2), of(2, 2, 2), of(3, 3, 3)}, []float64{1.5, 1.5, 1.5}, missed},
		{[]series{of(4, 4, 4), of(2, 2, 2), of(2, 2, 2)}, []float64{2, 2, 2}, missed}, // fewer after more commits
	} {
		got := spread(test.all)
		if !slices.Equal(got.Samples, test.want) || judge(got, sameTarget) != test.says {
			t.Errorf("%v: %v, %s", test.all, got.Samples, judge(got, sameTarget))
		}
	}
}

// TestWrongReplicaIsSeen plants other content than a replica is to show.
func TestWrongReplicaIsSeen(t *testing.T) {
	e := tinyEnv(t)
	s, err := e.remoteSite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.volumes) != 3 {
		t.Fatalf("%d volumes", len(s.volumes))
	}
	last := s.volumes[2]
	if _, err := s.firstPage(t.Context(), e, &last, speed{}); err != nil {
		t.Error(err)
	}
	other := last
	other.id = s.volumes[1].id // the same table with other texts
	if _, err := s.firstPage(t.Context(), e, &other, speed{}); err == nil {
		t.Error("no error for the content of another volume")
	}
	other = last
	other.first[4095]++
	if _, err := s.firstPage(t.Context(), e, &other, speed{}); err == nil || !strings.Contains(err.Error(), "first page") {
		t.Errorf("another first page: error %v", err)
	}
	if _, err := s.pull(t.Context(), e, speed{}); err != nil {
		t.Error(err)
	}
	s.missing--
	if _, err := s.pull(t.Context(), e, speed{}); err == nil {
		t.Error("no error for a pull of more commits than are missing")
	}
}

// TestPushIsSeen pushes less than is to be pushed.
func TestPushIsSeen(t *testing.T) {
	b := memoryBucket()
	r, err := openReplica(t.Context(), t.TempDir(), &graft.Options{Bucket: b.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(t.Context(), r.sql, 10); err != nil {
		t.Fatal(err)
	}
	if err := r.push(t.Context(), 2); err != nil {
		t.Error(err)
	}
	if err := r.push(t.Context(), 1); err == nil {
		t.Error("no error when nothing was pushed")
	}
	random := rand.New(rand.NewPCG(0, 0))
	if err := r.updateRow(t.Context(), random, 10); err != nil {
		t.Error(err)
	}
	mustExec(t, r.sql, "DELETE FROM t")
	if err := r.updateRow(t.Context(), random, 10); err == nil {
		t.Error("no error for the update of a row that is not there")
	}
	if err := wantRows(t.Context(), r.sql, 10); err == nil {
		t.Error("no error for a table without rows")
	}
	if err := errors.Join(r.close(), b.Close()); err != nil {
		t.Error(err)
	}
}

// TestHydrate measures stand-ins for what graft does not have yet: one that
// reads every page, and those that leave some out.
func TestHydrate(t *testing.T) {
	needMemory(t)
	e := tinyEnv(t)
	m, err := e.importedDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		read func(pages int) int // how many pages
		ok   bool
	}{
		{"all", func(pages int) int { return pages }, true},
		{"half", func(pages int) int { return pages / 2 }, false},
		{"none", func(int) int { return 0 }, false},
	} {
		j := job{Dir: filepath.Join(t.TempDir(), "replica"), Bucket: m.bucket}
		if err := copyDir(j.Dir, m.clone); err != nil {
			t.Fatal(err)
		}
		o, err := withGraft(t.Context(), j, func(g *graft.Graft) (outcome, error) {
			return hydrated(t.Context(), g, func(ctx context.Context) error { return readPages(ctx, g, test.read(m.pages)) })
		})
		if (err == nil) != test.ok || err == nil && (o.Seconds <= 0 || o.Peak <= 0) {
			t.Errorf("%s: %+v, %v", test.name, o, err)
		}
	}
	// The reference moves the same bytes.
	o, err := child(t.Context(), job{Kind: "download", Dir: filepath.Join(t.TempDir(), "file"), Object: m.object})
	if err != nil || o.Seconds <= 0 || m.size == 0 {
		t.Errorf("%+v, %v, %d bytes", o, err, m.size)
	}
	if err := os.Truncate(filepath.Join(m.object, objectKey), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := downloadJob(t.Context(), job{Dir: filepath.Join(t.TempDir(), "file"), Object: m.object}); err == nil {
		t.Error("no error for a download of nothing")
	}
}

func readPages(ctx context.Context, g *graft.Graft, n int) error {
	return g.View(func(r *graft.Reader) error {
		for p := 1; p <= n; p++ {
			if _, err := r.Page(ctx, graft.PageIdx(p)); err != nil {
				return err
			}
		}
		return nil
	})
}
