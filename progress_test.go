package graft_test

import (
	"slices"
	"testing"
	"time"

	"graft"
)

func TestAutoSyncTellsOptionsProgress(t *testing.T) {
	_, opts := newBucket(t)
	opts.AutoSync = time.Millisecond
	pushed := make(chan graft.Progress, 1)
	opts.Progress = func(p graft.Progress) {
		if p.Op == "push" && p.Phase == graft.PhaseDone {
			pushed <- p
		}
	}
	g := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	write(t, g, "text")
	if p := <-pushed; p.Graft != infoOf(t, g).Graft || p.Pages != 1 || p.Bytes == 0 {
		t.Errorf("the push ends with %+v", p)
	}
}

func TestProgressOfAHydratedGraft(t *testing.T) {
	_, opts := newBucket(t)
	a := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	writeMany(t, a, 300)
	remote := push(t, a)
	b := graftOf(t, openDB(t, t.TempDir(), opts), "main")
	var ends []string
	ctx := graft.WithProgress(ctx, func(p graft.Progress) {
		if p.Phase == graft.PhaseDone {
			ends = append(ends, p.Op)
		}
	})
	must(t, b.Clone(ctx, remote))
	_, err := b.Fetch(ctx)
	must(t, err)
	_, err = b.Pull(ctx)
	must(t, err)
	_, err = b.Hydrate(ctx)
	must(t, err)
	write(t, b, "mine")
	_, _, err = b.Reset(ctx)
	must(t, err)
	_, err = b.Fork(ctx, "fork")
	must(t, err)
	if want := []string{"clone", "fetch", "pull", "hydrate", "reset"}; !slices.Equal(ends, want) {
		t.Errorf("operations that ended are %q, want %q", ends, want)
	}
}
