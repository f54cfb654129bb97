package store

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"graft/volume"
)

// allocated gives the bytes that the files of a directory take on the disk.
func allocated(t *testing.T, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		must(t, err)
		sum += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	return sum
}

func TestCompactGivesSpaceBack(t *testing.T) {
	const stored = 6000 // pages
	s := openNew(t)
	kept, gone := volume.NewSegmentID(), volume.NewSegmentID()
	must(t, s.Stage(kept, pages(1, 100, 0)))
	must(t, s.Stage(gone, pages(1, stored, 1)))
	must(t, s.Stage(kept, pages(101, 200, 0)))
	dir := filepath.Join(s.Dir(), "badger")
	before := allocated(t, dir)
	if before < stored*volume.PageSize {
		t.Fatalf("%d bytes are allocated", before)
	}
	live := Live{Pages: NewPageRefSet()}
	for p := range volume.PageIdx(200) {
		live.Pages.Add(PageRef{kept, p + 1})
	}
	swept, err := s.Sweep(context.Background(), func(context.Context) (Live, error) { return live, nil })
	must(t, err)
	if swept.Kept != 200 || swept.Removed != stored {
		t.Errorf("swept %+v", swept)
	}
	must(t, s.Compact(context.Background()))
	if after := allocated(t, dir); after > before/2 {
		t.Errorf("%d bytes are allocated, %d before", after, before)
	}
	s.cache.pages.InvalidateAll()
	for range 2 {
		checkPages(t, s, kept, pages(1, 200, 0))
		checkNoPages(t, s, gone, pages(1, stored, 1))
		s = reopen(t, s)
	}
}
