package sync

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"graft/volume"
)

// packPlanner plans packs for a table of pages whose places it keeps.
type packPlanner struct {
	places map[volume.PageIdx]volume.Source
	packs  map[volume.SegmentID]string // names
}

func TestPackPlans(t *testing.T) {
	var p *packPlanner
	runPlans(t, "testdata/pack.txt", map[string]func(*testing.T, *datadriven.TestData) string{
		"new": func(*testing.T, *datadriven.TestData) string {
			p = &packPlanner{make(map[volume.PageIdx]volume.Source), make(map[volume.SegmentID]string)}
			return ""
		},
		"place": func(t *testing.T, d *datadriven.TestData) string { return p.place(t, d) },
		"plan":  func(_ *testing.T, d *datadriven.TestData) string { return p.plan(d.HasArg("move")) },
	})
}

// place has pages lie in a commit each, in a pack, or in an object of their own Segment.
func (p *packPlanner) place(t *testing.T, d *datadriven.TestData) string {
	for line := range strings.Lines(d.Input) {
		args := argsOf(d, t, line)
		pages, step := rangesOf(d, t, args["pages"]), 1
		if text, ok := args["every"]; ok {
			step = numberOf(d, t, text)
		}
		s := volume.Source{Segment: volume.NewSegmentID()}
		switch {
		case args["commit"] != "":
			s.Volume, s.LSN = volume.VolumeID{1}, volume.LSN(numberOf(d, t, args["commit"]))
		case args["pack"] != "":
			s.Pack = volume.NewSegmentID()
			p.packs[s.Pack] = args["pack"]
		}
		n := 0
		for q := range pages.All() {
			if n++; (n-1)%step == 0 {
				p.places[q] = s
			}
		}
	}
	return ""
}

// plan plans a pack, and moves its pages there.
func (p *packPlanner) plan(move bool) string {
	var pages []volume.PageAddress
	for _, q := range slices.Sorted(maps.Keys(p.places)) {
		pages = append(pages, volume.PageAddress{Idx: q, Frame: &volume.Address{Source: p.places[q]}})
	}
	plan := planPack(pages)
	merged := make(map[string]int)
	for _, e := range plan.merged {
		merged[p.packs[e.Frame.Source.Pack]]++
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d pages of %d commits\n", len(plan.loose), commits(plan.loose))
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		fmt.Fprintf(&out, "%d pages of pack %s\n", merged[name], name)
	}
	all := plan.all()
	if n := len(plan.merged); n == maxPackPages-len(plan.loose) {
		fmt.Fprintf(&out, "from page %d to %d\n", plan.merged[0].Idx, plan.merged[n-1].Idx)
	}
	if !slices.IsSortedFunc(all, func(a, b volume.PageAddress) int { return int(a.Idx) - int(b.Idx) }) || len(all) > maxPackPages {
		return fmt.Sprintf("%d pages, or out of order", len(all))
	}
	if move {
		id := volume.NewSegmentID()
		p.packs[id] = fmt.Sprint("of ", len(all), " pages")
		for _, e := range all {
			s := e.Frame.Source
			s.Volume, s.LSN, s.Pack = volume.VolumeID{}, 0, id
			p.places[e.Idx] = s
		}
	}
	return out.String()
}

// However pages are written, few packs meet, and each page is moved a few times.
func TestPacksStayFew(t *testing.T) {
	p := &packPlanner{make(map[volume.PageIdx]volume.Source), make(map[volume.SegmentID]string)}
	const all, pushes, each = 4000, 64, 100
	moved := 0
	for i := range pushes {
		for j := range each {
			q := volume.PageIdx(1 + (i*each+j)*1237%all)
			p.places[q] = volume.Source{Segment: volume.NewSegmentID(), Volume: volume.VolumeID{1}, LSN: volume.LSN(i + 1)}
		}
		before := maps.Clone(p.places)
		p.plan(true)
		for q, s := range p.places {
			if s != before[q] {
				moved++
			}
		}
	}
	left := make(map[volume.SegmentID]bool)
	for _, s := range p.places {
		left[s.Pack] = true
	}
	t.Logf("%d packs, each page moved %.1f times", len(left), float64(moved)/(pushes*each))
	if len(left) > 16 || moved > 5*pushes*each {
		t.Errorf("%d packs, and %d moves of %d pages", len(left), moved, pushes*each)
	}
}
