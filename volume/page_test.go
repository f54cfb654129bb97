package volume

import (
	"math"
	"testing"
)

func TestPageIdxParsesItsText(t *testing.T) {
	for _, p := range []PageIdx{1, 10, math.MaxUint32} {
		if got, err := ParsePageIdx(p.String()); got != p || err != nil {
			t.Errorf("%s: %d, %v", p, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "+1", " 1", "0x1", "4294967296"} {
		if got, err := ParsePageIdx(text); err == nil || got != 0 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if !PageIdx(0).IsZero() || PageIdx(1).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestPageCountParsesItsText(t *testing.T) {
	for _, n := range []PageCount{0, 1, math.MaxUint32} {
		if got, err := ParsePageCount(n.String()); got != n || err != nil {
			t.Errorf("%s: %d, %v", n, got, err)
		}
	}
	for _, text := range []string{"", "-1", "+1", " 1", "4294967296"} {
		if got, err := ParsePageCount(text); err == nil || got != 0 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestPageCountHasPagesFromOneOn(t *testing.T) {
	for _, c := range []struct {
		n    PageCount
		p    PageIdx
		want bool
	}{
		{0, 0, false}, {0, 1, false}, {1, 0, false}, {1, 1, true}, {1, 2, false},
		{math.MaxUint32, math.MaxUint32, true}, {math.MaxUint32, 0, false}, {math.MaxUint32 - 1, math.MaxUint32, false},
	} {
		if got := c.n.Has(c.p); got != c.want {
			t.Errorf("%d pages have page %d: %t", c.n, c.p, got)
		}
	}
	if got := PageCount(math.MaxUint32).Bytes(); got != math.MaxUint32*4096 {
		t.Errorf("%d bytes", got)
	}
	if !PageCount(0).IsZero() || PageCount(1).IsZero() {
		t.Error("IsZero is wrong")
	}
}
