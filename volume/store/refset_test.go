package store

import (
	"testing"

	"pgregory.net/rapid"

	"graft/volume"
)

func TestLeafSetBehavesAsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, want := new(LeafSet), make(map[volume.LeafIdx]bool)
		number := rapid.OneOf(rapid.Uint32Max(200), rapid.Uint32Max(uint32(volume.LeafOf(1<<32-1))))
		for range rapid.IntRange(0, 20).Draw(t, "adds") {
			n := volume.LeafIdx(number.Draw(t, "leaf"))
			end := n + volume.LeafIdx(rapid.Uint32Max(300).Draw(t, "more")*rapid.Uint32Max(1).Draw(t, "a range"))
			if set.AddRange(n, end); end == n {
				set.Add(n)
				end++
			}
			for ; n < end; n++ {
				want[n] = true
			}
			want[end] = want[end] || false
		}
		for _, n := range []volume.LeafIdx{0, 63, 64, volume.LeafOf(1<<32 - 1), volume.LeafIdx(number.Draw(t, "other"))} {
			want[n] = want[n] || false
		}
		for n, in := range want {
			if set.Contains(n) != in {
				t.Fatalf("leaf %d is in: %t", n, !in)
			}
		}
	})
	if (*LeafSet)(nil).Contains(0) {
		t.Error("a nil set has something")
	}
}
