package volume

import (
	"cmp"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLSNParsesItsText(t *testing.T) {
	for _, l := range []LSN{1, 9, 10, 1 << 32, math.MaxUint64} {
		if got, err := ParseLSN(l.String()); got != l || err != nil {
			t.Errorf("%s: %d, %v", l, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "+1", "1 ", "0x1", "1_0", "1.0", "one", "18446744073709551616"} {
		if got, err := ParseLSN(text); err == nil || got != 0 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if LSN(0).Next() != 1 || !LSN(0).IsZero() || LSN(1).IsZero() {
		t.Error("the first LSN is not 1")
	}
}

func TestCommitKeyIsHexOfTheComplement(t *testing.T) {
	for l, want := range map[LSN]string{
		1:              "fffffffffffffffe",
		2:              "fffffffffffffffd",
		0x10:           "ffffffffffffffef",
		1 << 32:        "fffffffeffffffff",
		math.MaxUint64: "0000000000000000",
	} {
		if got, want := CommitKey(someVolume, l), "volumes/"+someVolume.String()+"/log/"+want; got != want {
			t.Errorf("LSN %d: %s, want %s", l, got, want)
		}
	}
}

func TestCommitKeySortsNewestFirst(t *testing.T) {
	lsn := rapid.OneOf(rapid.Uint64Range(1, 300), rapid.Uint64Min(1))
	rapid.Check(t, func(t *rapid.T) {
		a, b := LSN(lsn.Draw(t, "a")), LSN(lsn.Draw(t, "b"))
		if got, want := strings.Compare(CommitKey(someVolume, a), CommitKey(someVolume, b)), cmp.Compare(b, a); got != want {
			t.Fatalf("keys of %d and %d compare as %d, want %d", a, b, got, want)
		}
	})
}

func TestLSNRange(t *testing.T) {
	for _, c := range []struct {
		r    LSNRange
		zero bool
		len  uint64
		text string
	}{
		{LSNRange{}, true, 0, "empty"},
		{LSNRange{1, 0}, true, 0, "empty"},
		{LSNRange{5, 4}, true, 0, "empty"},
		{LSNRange{9, 1}, true, 0, "empty"},
		{LSNRange{1, 1}, false, 1, "1..1"},
		{LSNRange{3, 7}, false, 5, "3..7"},
		{LSNRange{1, math.MaxUint64}, false, math.MaxUint64, "1..18446744073709551615"},
	} {
		if c.r.IsZero() != c.zero || c.r.Len() != c.len || c.r.String() != c.text {
			t.Errorf("%d to %d: zero %t, length %d, text %q", c.r.First, c.r.Last, c.r.IsZero(), c.r.Len(), c.r)
		}
	}
}
