package volume

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"graft/internal/graftpb"
)

// tablePages draws pages at the borders of leaves, few enough to meet.
var tablePages = rapid.OneOf(
	rapid.Uint32Range(1, 20),
	rapid.Uint32Range(LeafPages-5, LeafPages+5),
	rapid.Uint32Range(2*LeafPages-5, 2*LeafPages+5),
	rapid.Uint32Range(1<<32-LeafPages-5, 1<<32-LeafPages+5),
	rapid.Uint32Range(1<<32-5, 1<<32-1),
)

// addresses is the model of a PageTable.
type addresses map[PageIdx]Address

func (m addresses) table() PageTable {
	var entries []PageAddress
	for _, p := range slices.Sorted(maps.Keys(m)) {
		a := m[p]
		entries = append(entries, PageAddress{p, &a})
	}
	return NewPageTable(entries)
}

func drawAddresses(t *rapid.T) addresses {
	m := addresses{}
	for _, p := range rapid.SliceOfN(tablePages, 0, 12).Draw(t, "pages") {
		m[PageIdx(p)] = Address{Offset: rapid.Int64().Draw(t, "offset")}
	}
	return m
}

func checkTable(t *rapid.T, table PageTable, m addresses) {
	t.Helper()
	if !equalTables(table, m.table()) || table.Len() != len(m) {
		t.Fatalf("table of %d pages is not as its model of %d", table.Len(), len(m))
	}
	var pages []PageIdx
	for p, a := range table.All() {
		pages = append(pages, p)
		if *a != m[p] {
			t.Fatalf("page %d at %+v, want %+v", p, a, m[p])
		}
	}
	if !slices.Equal(pages, slices.Sorted(maps.Keys(m))) {
		t.Fatalf("yields pages %v", pages)
	}
	leaves := map[LeafIdx]addresses{}
	for p, a := range m {
		for _, q := range []PageIdx{p - 1, p, p + 1} {
			got, ok := table.At(q)
			if want, has := m[q]; ok != has || has && *got != want || !has && got != nil {
				t.Fatalf("page %d at %+v, %t; want %+v, %t", q, got, ok, want, has)
			}
		}
		if leaves[LeafOf(p)] == nil {
			leaves[LeafOf(p)] = addresses{}
		}
		leaves[LeafOf(p)][p] = a
	}
	if got := slices.Collect(table.Leaves()); !slices.Equal(got, slices.Sorted(maps.Keys(leaves))) {
		t.Fatalf("has leaves %v", got)
	}
	for n, leaf := range leaves {
		for _, n := range []LeafIdx{n, n + 1} {
			if got := table.Leaf(n); !equalTables(got, leaves[n].table()) {
				t.Fatalf("leaf %d has %d pages, want %d", n, got.Len(), len(leaf))
			}
		}
	}
}

func TestPageTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			table PageTable
			model addresses
		}
		var now version
		old := []version{now}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			model := maps.Clone(now.model)
			if rapid.Bool().Draw(t, "truncate") {
				n := PageCount(rapid.OneOf(rapid.Just(uint32(0)), tablePages).Draw(t, "to"))
				maps.DeleteFunc(model, func(p PageIdx, _ Address) bool { return !n.Has(p) })
				now = version{now.table.Truncated(n), model}
			} else {
				newer := drawAddresses(t)
				if model == nil {
					model = addresses{}
				}
				maps.Copy(model, newer)
				now = version{now.table.With(newer.table()), model}
			}
			old = append(old, now)
		}
		for _, v := range old { // no later step changed an earlier table
			checkTable(t, v.table, v.model)
		}
	})
}

func TestPageTableYieldsAsFarAsAsked(t *testing.T) {
	table := tableOfPages(1, 2, LeafPages+1, 2*LeafPages+1)
	for range table.All() {
		break
	}
	n := 0
	for leaf := range table.Leaves() {
		if n++; leaf == 1 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d leaves up to leaf 1", n)
	}
}

func TestPageTableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawPageTable(t, drawPageSet(t), someVolume)
		m := table.toProto(someVolume)
		got, err := pageTableFromProto(m, someVolume)
		if err != nil || !equalTables(got, table) {
			t.Fatalf("%d pages read back of %d, %v", got.Len(), table.Len(), err)
		}
		if again := got.toProto(someVolume); !proto.Equal(again, m) || table.EncodedSize(someVolume) != proto.Size(m) {
			t.Fatalf("encodes again as\n%v, before\n%v", again, m)
		}
		frames := map[*Address]bool{}
		for _, a := range got.All() {
			frames[a] = true
		}
		if len(frames) != len(m.FrameLength) {
			t.Fatalf("%d addresses of %d frames", len(frames), len(m.FrameLength))
		}
	})
	if got, err := pageTableFromProto(PageTable{}.toProto(someVolume), someVolume); err != nil || got.Len() != 0 {
		t.Errorf("an empty table has %d pages, %v", got.Len(), err)
	}
}

// someTable has five pages in four frames, one of them inline in a commit of
// another Volume, and two in a pack.
func someTable() PageTable {
	a := &Address{Source{Segment: someSegment}, 8, 128}
	b := &Address{Source{Segment: otherSegment, Volume: otherVolume, LSN: 3}, 16, 64}
	c := &Address{Source{Segment: someSegment, Pack: somePack}, 8, 64}
	d := &Address{Source{Segment: otherSegment, Pack: somePack}, 72, 64}
	return NewPageTable([]PageAddress{{3, a}, {4, b}, {200, a}, {201, c}, {202, d}})
}

var somePack = SegmentID{segmentPrefix, 7: segmentPrefix, 15: 9}

func TestPageTableNamesItsHomeByAbsence(t *testing.T) {
	m := someTable().toProto(someVolume)
	want := &graftpb.PageTable{
		Sources: []*graftpb.Source{
			{Segment: someSegment[:]}, {Segment: otherSegment[:], Volume: otherVolume[:], Lsn: 3},
			{Segment: someSegment[:], Pack: 1}, {Segment: otherSegment[:], Pack: 1},
		},
		FrameSource: []uint32{0, 1, 2, 3}, FrameSkip: []int64{8, 16, 8, 0}, FrameLength: []uint32{2, 1, 1, 1},
		PageGap: []uint32{3, 1, 196, 1, 1}, PageStep: []int32{0, 1, -1, 2, 1}, Packs: somePack[:],
	}
	if !proto.Equal(m, want) {
		t.Errorf("got %v, want %v", m, want)
	}
	if m := someTable().toProto(otherVolume); m.Sources[1].Volume != nil || m.Sources[1].Lsn != 3 {
		t.Errorf("in a record of its own volume a source is %v", m.Sources[1])
	}
}

func TestPageTableRefusesWhatCannotBe(t *testing.T) {
	for name, breakIt := range map[string]func(*graftpb.PageTable){
		"nothing":                func(m *graftpb.PageTable) { proto.Reset(m) },
		"no pages":               func(m *graftpb.PageTable) { m.PageGap, m.PageStep = nil, nil },
		"a page more":            func(m *graftpb.PageTable) { m.PageGap = append(m.PageGap, 1) },
		"a frame of a page more": func(m *graftpb.PageTable) { m.PageStep = append(m.PageStep, 0) },
		"page 0":                 func(m *graftpb.PageTable) { m.PageGap[0] = 0 },
		"a page twice":           func(m *graftpb.PageTable) { m.PageGap[1] = 0 },
		"pages over the highest": func(m *graftpb.PageTable) { m.PageGap[2] = 1<<32 - 1 },
		"frames of pages swap":   func(m *graftpb.PageTable) { m.PageStep[0], m.PageStep[1] = 1, -1 },
		"a page in no frame":     func(m *graftpb.PageTable) { m.PageStep[2] = 1 },
		"a page in frame 2^31":   func(m *graftpb.PageTable) { m.PageStep[2] = 1<<31 - 1 },
		"a page in frame -1":     func(m *graftpb.PageTable) { m.PageStep[2] = -2 },
		"a page in frame -2^31":  func(m *graftpb.PageTable) { m.PageStep[0] = -1 << 31 },
		"an unused frame":        func(m *graftpb.PageTable) { m.PageStep[3], m.PageStep[4] = 1, 0 },
		"a frame twice":          func(m *graftpb.PageTable) { m.FrameSource[3], m.FrameSkip[3], m.Sources = 2, -64, m.Sources[:3] },
		"a source more":          func(m *graftpb.PageTable) { m.FrameSource = append(m.FrameSource, 0) },
		"an offset more":         func(m *graftpb.PageTable) { m.FrameSkip = append(m.FrameSkip, 0) },
		"a length more":          func(m *graftpb.PageTable) { m.FrameLength = append(m.FrameLength, 1) },
		"a frame of no bytes":    func(m *graftpb.PageTable) { m.FrameLength[0] = 0 },
		"a frame too long":       func(m *graftpb.PageTable) { m.FrameLength[0] = maxFrameLength/frameUnit + 1 },
		"beyond any file":        func(m *graftpb.PageTable) { m.FrameSkip[0] = 1<<62 + 1 },
		"the highest offset":     func(m *graftpb.PageTable) { m.FrameSkip[0] = 1<<63 - 1 },
		"the lowest offset":      func(m *graftpb.PageTable) { m.FrameSkip[0] = -1 << 63 },
		"before the object":      func(m *graftpb.PageTable) { m.FrameSkip[0] = -1 },
		"a frame of 2^32 bytes":  func(m *graftpb.PageTable) { m.FrameLength[0] = 1 << 26 },
		"a frame of no source":   func(m *graftpb.PageTable) { m.FrameSource[1] = 4 },
		"a pack more":            func(m *graftpb.PageTable) { m.Packs = append(m.Packs[:gidSize:gidSize], otherSegment[:]...) },
		"half a pack more":       func(m *graftpb.PageTable) { m.Packs = append(m.Packs[:gidSize:gidSize], 1) },
		"a pack less":            func(m *graftpb.PageTable) { m.Packs = nil },
		"a pack twice":           func(m *graftpb.PageTable) { m.Packs, m.Sources[3].Pack = append(somePack[:], somePack[:]...), 2 },
		"a pack of no id":        func(m *graftpb.PageTable) { m.Packs = someVolume[:] },
		"pack 2^32-1":            func(m *graftpb.PageTable) { m.Sources[3].Pack = 1<<32 - 1 },
		"packs swapped":          func(m *graftpb.PageTable) { m.Packs, m.Sources[2].Pack = append(somePack[:], otherSegment[:]...), 2 },
		"a pack of a commit":     func(m *graftpb.PageTable) { m.Sources[3].Lsn = 3 },
		"a pack of a volume":     func(m *graftpb.PageTable) { m.Sources[3].Volume = otherVolume[:] },
		"a pack of itself":       func(m *graftpb.PageTable) { m.Packs = someSegment[:] },
		"source 2^32-1":          func(m *graftpb.PageTable) { m.FrameSource[1] = 1<<32 - 1 },
		"sources swapped":        func(m *graftpb.PageTable) { m.FrameSource[0], m.FrameSource[1] = 1, 0 },
		"a source less":          func(m *graftpb.PageTable) { m.Sources = m.Sources[:1] },
		"an unused source":       func(m *graftpb.PageTable) { m.FrameSource[1] = 0 },
		"a source twice":         func(m *graftpb.PageTable) { m.Sources[1] = m.Sources[0] },
		"a source of no id":      func(m *graftpb.PageTable) { m.Sources[0].Segment = nil },
		"a source of a volume":   func(m *graftpb.PageTable) { m.Sources[0].Segment = someVolume[:] },
		"a volume of no LSN":     func(m *graftpb.PageTable) { m.Sources[1].Lsn = 0 },
		"a volume of a segment":  func(m *graftpb.PageTable) { m.Sources[1].Volume = someSegment[:] },
		"its home by name":       func(m *graftpb.PageTable) { m.Sources[1].Volume = someVolume[:] },
	} {
		m := someTable().toProto(someVolume)
		breakIt(m)
		if table, err := pageTableFromProto(m, someVolume); !errors.Is(err, ErrCorrupt) || table.Len() != 0 {
			t.Errorf("%s: %d pages, %v", name, table.Len(), err)
		}
	}
}

func TestNextLeafGivesEveryLeaf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawPageTable(t, drawPageSet(t), someVolume)
		c := Checkpoint{}
		for n := range table.Leaves() {
			c.Chunks = append(c.Chunks, Chunk{Leaf: n, Leaves: 1})
		}
		for name, next := range map[string]func(LeafIdx) (LeafIdx, bool){"table": table.NextLeaf, "checkpoint": c.NextLeaf} {
			var got []LeafIdx
			for n, ok := next(0); ok; n, ok = next(n + 1) {
				got = append(got, n)
			}
			if want := slices.Collect(table.Leaves()); !slices.Equal(got, want) {
				t.Fatalf("%s: leaves %v, want %v", name, got, want)
			}
		}
	})
}
