package snapshot

import (
	"slices"
	"sync"
	"testing"

	"graft/volume"
)

func TestUsedPagesAreKnownInOrder(t *testing.T) {
	var h Head
	for _, p := range []volume.PageIdx{5, 5, 5 + usedSlots, 5, 1, 5 + usedSlots} {
		h.used.note(p)
	}
	if got, want := h.Used(), []volume.PageIdx{5, 5 + usedSlots, 1}; !slices.Equal(got, want) {
		t.Errorf("used %v, want %v", got, want)
	}
}

func TestUsedPagesAreBounded(t *testing.T) {
	var h Head
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for p := range volume.PageIdx(2 * maxUsed) {
				h.used.note(p + 1)
			}
		})
	}
	wg.Wait()
	got := h.Used()
	if len(got) != maxUsed {
		t.Errorf("%d pages, want %d", len(got), maxUsed)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != maxUsed {
		t.Error("a page is there twice")
	}
}

func BenchmarkNoteUsed(b *testing.B) {
	var h Head
	for b.Loop() {
		h.used.note(7)
	}
}
