package volume

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"pgregory.net/rapid"
)

// pageModel is what a PageSet must behave as.
type pageModel map[PageIdx]bool

func (m pageModel) check(t rapid.TB, s PageSet) {
	t.Helper()
	want := slices.Sorted(maps.Keys(m))
	if got := slices.Collect(s.All()); !slices.Equal(got, want) {
		t.Fatalf("pages %v, want %v", got, want)
	}
	var highest PageIdx
	if len(want) > 0 {
		highest = want[len(want)-1]
	}
	if s.Len() != len(want) || s.IsEmpty() != (len(want) == 0) || s.Max() != highest {
		t.Fatalf("length %d, empty %t, highest %d; want %v", s.Len(), s.IsEmpty(), s.Max(), want)
	}
	for _, p := range want {
		if !s.Contains(p) || s.Contains(p-1) != m[p-1] || s.Contains(p+1) != m[p+1] {
			t.Fatalf("Contains is wrong around page %d of %v", p, want)
		}
	}
	if !s.Equal(PageSetOf(want...)) || !PageSetOf(want...).Equal(s) {
		t.Fatalf("is not equal to the set of %v", want)
	}
}

func TestPageSetBehavesAsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s PageSet
		m := pageModel{}
		var others []PageSet // none of which may change with s
		var models []pageModel
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				m.check(t, s)
				for i := range others {
					models[i].check(t, others[i])
				}
			},
			"add": func(t *rapid.T) {
				p := drawPageIdx(t)
				s.Add(p)
				m[p] = true
			},
			"remove": func(t *rapid.T) {
				p := drawPageIdx(t)
				s.Remove(p)
				delete(m, p)
			},
			"truncate": func(t *rapid.T) {
				n := PageCount(drawPageIdx(t) - 1)
				s.Truncate(n)
				maps.DeleteFunc(m, func(p PageIdx, _ bool) bool { return !n.Has(p) })
			},
			"add set": func(t *rapid.T) {
				o := drawPageSet(t)
				s.AddSet(o)
				om := pageModel{}
				for p := range o.All() {
					om[p] = true
					m[p] = true
				}
				others, models = append(others, o), append(models, om)
			},
			"clone": func(t *rapid.T) {
				others, models = append(others, s.Clone()), append(models, maps.Clone(m))
			},
			"encode": func(t *rapid.T) {
				b := encodePageSet(t, s)
				if fresh := encodePageSet(t, PageSetOf(slices.Collect(s.All())...)); !bytes.Equal(b, fresh) {
					t.Fatalf("equal sets give %x and %x", b, fresh)
				}
				got, err := ParsePageSet(b)
				if err != nil {
					t.Fatal(err)
				}
				s = got
			},
		})
	})
}

func TestPageSetTruncateAtTheLimits(t *testing.T) {
	s := PageSetOf(1, math.MaxUint32)
	s.Truncate(math.MaxUint32)
	if s.Len() != 2 {
		t.Errorf("truncation to everything leaves %d pages", s.Len())
	}
	s.Truncate(math.MaxUint32 - 1)
	if !s.Equal(PageSetOf(1)) {
		t.Errorf("truncation leaves %v", slices.Collect(s.All()))
	}
	s.Truncate(0)
	if !s.IsEmpty() || !s.Equal(PageSet{}) || !(PageSet{}).Equal(s) {
		t.Errorf("truncation to nothing leaves %v", slices.Collect(s.All()))
	}
}

func TestPageSetAllStopsEarly(t *testing.T) {
	for p := range PageSetOf(3, 5, 8).All() {
		if p == 8 {
			t.Fatal("goes on after break")
		}
		if p == 5 {
			break
		}
	}
}

func TestPageSetIsSmallForARun(t *testing.T) {
	var s PageSet
	for p := PageIdx(1); p <= 256; p++ {
		s.Add(p)
	}
	if b := encodePageSet(t, s); len(b) > 32 {
		t.Errorf("256 pages in a row take %d bytes", len(b))
	}
	prefix := []byte("before")
	if b, err := s.AppendBinary(prefix); err != nil || !bytes.HasPrefix(b, prefix) {
		t.Errorf("does not append: %q, %v", b, err)
	}
	if b := encodePageSet(t, PageSet{}); len(b) != 0 {
		t.Errorf("the empty set takes %d bytes", len(b))
	}
}

func TestParsePageSetCopiesItsInput(t *testing.T) {
	want := PageSetOf(1, 2, 3, 4, 5, 9, 70000)
	b := encodePageSet(t, want)
	s, err := ParsePageSet(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !s.Equal(want) {
		t.Errorf("changes with its input: %v", slices.Collect(s.All()))
	}
}

func TestParsePageSetRefusesDamage(t *testing.T) {
	withZero := roaring.BitmapOf(0, 1)
	zero, err := withZero.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	empty, err := roaring.New().ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	good := encodePageSet(t, PageSetOf(1, 2, 3, 100, 200, 70000))
	bad := map[string][]byte{
		"page 0":            zero,
		"empty bitmap":      empty,
		"one byte too many": append(slices.Clone(good), 0),
		"text":              []byte("not a bitmap"),
		"a huge count":      {0x3a, 0x30, 0, 0, 0xff, 0xff, 0xff, 0xff},
	}
	for name, b := range bad {
		if s, err := ParsePageSet(b); !errors.Is(err, ErrCorrupt) || !s.IsEmpty() {
			t.Errorf("%s: %d pages, %v", name, s.Len(), err)
		}
	}
	for n := 1; n < len(good); n++ {
		if _, err := ParsePageSet(good[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut off at %d of %d bytes: %v", n, len(good), err)
		}
	}
	if s, err := ParsePageSet(nil); err != nil || !s.IsEmpty() {
		t.Errorf("no bytes: %d pages, %v", s.Len(), err)
	}
}

func FuzzParsePageSet(f *testing.F) {
	var run PageSet
	for p := PageIdx(10); p < 5000; p++ {
		run.Add(p)
	}
	for _, s := range []PageSet{PageSetOf(1), PageSetOf(1, 3, 5, 70000, math.MaxUint32), run} {
		f.Add(encodePageSet(f, s))
	}
	var dense PageSet
	for p := PageIdx(1); p < 20000; p += 2 {
		dense.Add(p)
	}
	f.Add(encodePageSet(f, dense))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParsePageSet(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		if s.IsEmpty() {
			if len(b) > 0 {
				t.Fatal("bytes were accepted as the empty set")
			}
			return
		}
		if s.Contains(0) || !s.Contains(s.Max()) || s.Len() < 1 {
			t.Fatalf("set of %d pages up to %d", s.Len(), s.Max())
		}
		if size := s.bits.GetSizeInBytes(); size > uint64(3*len(b)+64) {
			t.Fatalf("%d bytes take %d in memory", len(b), size)
		}
		again, err := ParsePageSet(encodePageSet(t, s))
		if err != nil || !again.Equal(s) {
			t.Fatalf("set of %d pages reads back as %d, %v", s.Len(), again.Len(), err)
		}
	})
}

func TestPageSetCountIn(t *testing.T) {
	s := PageSetOf(1, 4, 6, 70000, 1<<32-1)
	for _, c := range []struct {
		first, last PageIdx
		want        int
	}{{1, 1, 1}, {0, 1, 1}, {1, 6, 3}, {2, 3, 0}, {2, 5, 1}, {7, 1<<32 - 1, 2}, {0, 1<<32 - 1, 5}, {5, 4, 0}} {
		if got := s.CountIn(c.first, c.last); got != c.want {
			t.Errorf("%d..%d: %d, want %d", c.first, c.last, got, c.want)
		}
	}
	if got := (PageSet{}).CountIn(1, 10); got != 0 {
		t.Errorf("empty set: %d", got)
	}
}
