package sync

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"graft/objstore"
	"graft/snapshot"
	"graft/volume"
)

// argsOf reads words like "pages=1-3,7" and "count=8".
func argsOf(d *datadriven.TestData, t *testing.T, line string) map[string]string {
	args := make(map[string]string)
	for _, word := range strings.Fields(line) {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			d.Fatalf(t, "%q is no argument", word)
		}
		args[name] = value
	}
	return args
}

func numberOf(d *datadriven.TestData, t *testing.T, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return n
}

// rangesOf reads "1-3,7".
func rangesOf(d *datadriven.TestData, t *testing.T, text string) (pages volume.PageSet) {
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		for p := numberOf(d, t, first); p <= numberOf(d, t, last); p++ {
			pages.Add(volume.PageIdx(p))
		}
	}
	return pages
}

// ranges writes what rangesOf reads.
func ranges(pages []volume.PageIdx) string {
	slices.Sort(pages)
	var parts []string
	for i := 0; i < len(pages); {
		j := i
		for j+1 < len(pages) && pages[j+1] == pages[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(pages[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", pages[i], pages[j]))
		}
		i = j + 1
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

// pushPlanner plans the pushes of a Graft, one after the other.
type pushPlanner struct {
	r      *Remote
	parent lineage
	next   volume.Commit // the Volume and LSN
}

func TestPushPlans(t *testing.T) {
	var p *pushPlanner
	runPlans(t, "testdata/push.txt", map[string]func(*testing.T, *datadriven.TestData) string{
		"new": func(t *testing.T, d *datadriven.TestData) string {
			p = &pushPlanner{r: &Remote{maxSince: maxSince}, next: volume.Commit{Volume: volume.NewVolumeID(), LSN: 1}}
			d.MaybeScanArgs(t, "max-since", &p.r.maxSince)
			return ""
		},
		"push": func(t *testing.T, d *datadriven.TestData) string { return p.push(t, d) },
	})
}

// push plans the push of local commits, one a line, and takes it to have landed.
func (p *pushPlanner) push(t *testing.T, d *datadriven.TestData) string {
	var out strings.Builder
	plan, names := rollupOf(t, d)
	fmt.Fprintf(&out, "pages after it %d, kept %d\n", plan.PageCount, plan.Kept)
	for _, s := range plan.Sources {
		fmt.Fprintf(&out, "of commit %d: %s\n", names[s.Segment], ranges(slices.Collect(s.Pages.All())))
	}
	c := p.next
	c.PageCount, c.Kept, c.PushID = plan.PageCount, plan.Kept, volume.NewPushID()
	pages := plan.Pages()
	p.parent.begin(&c, pages)
	var own volume.PageTable
	var frames []byte
	if !pages.IsEmpty() {
		own, frames = addPlanned(t, &c, pages, d.HasArg("random"))
		fmt.Fprintf(&out, "inline: %v\n", c.Segments[0].Inline)
	}
	var since []volume.PageIdx
	for idx := range c.Since.All() {
		since = append(since, idx)
	}
	fmt.Fprintf(&out, "changed since the checkpoint: %s; of it hold pages up to %d\n", ranges(since), c.SinceKept)
	if p.r.needsCheckpoint(&c, own) {
		fmt.Fprintf(&out, "writes a checkpoint\n")
		c.Checkpoint = volume.CheckpointRef{CheckpointKey: volume.NewCheckpointKey(c.Volume, c.LSN), Offset: 8, Length: 100, Sum: volume.HashOf(nil)}
		c.Since, c.SinceKept = volume.PageTable{}, c.Kept
	}
	rec, err := volume.EncodeEmbedding(c, volume.Embedded{Frames: frames})
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	x, err := newIndex(p.r, rec)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	p.parent, p.next.LSN = lineage{parent: x}, c.LSN.Next()
	return out.String()
}

// rollupOf rolls up the local commits of the input, and numbers their Segments.
func rollupOf(t *testing.T, d *datadriven.TestData) (snapshot.Rollup, map[volume.SegmentID]int) {
	var commits []volume.Commit
	names := make(map[volume.SegmentID]int)
	for line := range strings.Lines(d.Input) {
		args := argsOf(d, t, line)
		c := volume.Commit{PageCount: volume.PageCount(numberOf(d, t, args["count"]))}
		c.Kept = c.PageCount
		if kept, ok := args["kept"]; ok {
			c.Kept = volume.PageCount(numberOf(d, t, kept))
		}
		if pages := rangesOf(d, t, args["pages"]); !pages.IsEmpty() {
			c.Segments = []volume.Segment{{ID: volume.NewSegmentID(), Pages: pages}}
			names[c.Segments[0].ID] = len(commits) + 1
		}
		commits = append(commits, c)
	}
	return snapshot.NewRollup(commits), names
}

// addPlanned gives c the Segment of its pages, which are zeros or random.
func addPlanned(t *testing.T, c *volume.Commit, pages volume.PageSet, random bool) (own volume.PageTable, frames []byte) {
	t.Helper()
	var object bytes.Buffer
	sw := volume.NewSegmentWriter(&object, volume.NewSegmentID())
	for p := range pages.All() {
		page := new(volume.Page)
		if random {
			chacha := rand.NewChaCha8([32]byte{byte(p)})
			_, _ = chacha.Read(page[:])
		}
		if err := sw.Add(p, page); err != nil {
			t.Fatal(err)
		}
	}
	seg, err := sw.Close()
	if err != nil {
		t.Fatal(err)
	}
	c.Segments = []volume.Segment{seg}
	if pages.Len() > maxInlinePages || !fitsInline(seg, object.Len()) {
		return seg.Table(sw.Index()), nil
	}
	c.Segments[0].Inline = true
	own, _ = c.Own()
	return own, volume.InlineFrames(object.Bytes())
}

func TestRanges(t *testing.T) {
	runPlans(t, "testdata/ranges.txt", map[string]func(*testing.T, *datadriven.TestData) string{
		"coalesce": func(t *testing.T, d *datadriven.TestData) string {
			var parts []part
			for line := range strings.Lines(d.Input) {
				args := argsOf(d, t, line)
				parts = append(parts, part{place: place{key: args["key"], offset: int64(numberOf(d, t, args["at"])), length: int64(numberOf(d, t, args["length"]))}})
			}
			var out strings.Builder
			spans := coalesce(parts)
			for _, s := range spans {
				fmt.Fprintf(&out, "%s from %d to %d:", s.key, s.offset, s.end)
				for _, p := range s.parts {
					fmt.Fprintf(&out, " %d+%d", p.offset, p.length)
				}
				out.WriteByte('\n')
			}
			fmt.Fprintf(&out, "%d bytes", spanBytes(spans))
			return out.String()
		},
	})
}

func TestOutcomes(t *testing.T) {
	errs := map[string]error{"exist": objstore.ErrExist, "refused": objstore.ErrRefused, "absent": objstore.ErrNotExist, "other": errors.New("other")}
	v := volume.NewVolumeID()
	commit := func(text string) volume.Record {
		c := volume.Commit{Volume: v, LSN: 1, PageCount: volume.PageCount(len(text)), PushID: volume.NewPushID()}
		rec, err := volume.EncodeCommit(c)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	pending := commit("ours")
	damaged := commit("another").Bytes
	damaged[len(damaged)-1] ^= 1
	found := map[string][]byte{"ours": pending.Bytes, "another": commit("another").Bytes, "damaged": damaged, "nothing": nil}
	runPlans(t, "testdata/outcomes.txt", map[string]func(*testing.T, *datadriven.TestData) string{
		"answer": func(t *testing.T, d *datadriven.TestData) string {
			var err error
			for _, name := range strings.Fields(d.Input) {
				err = errors.Join(err, errs[name])
			}
			return string(outcomeOf(err))
		},
		"found": func(t *testing.T, d *datadriven.TestData) string {
			ours, err := isOurs(pending, found[strings.TrimSpace(d.Input)])
			if err != nil {
				return fmt.Sprintf("corrupt: %v", errors.Is(err, volume.ErrCorrupt))
			}
			return fmt.Sprintf("ours: %v", ours)
		},
	})
}

// A commit with a large page set has no room for a checkpoint.
func TestACheckpointIsEmbeddedWhereThereIsRoom(t *testing.T) {
	few, many := volume.PageSetOf(1, 2), volume.PageSetOf(1)
	for p := range volume.PageIdx(20_000) {
		many.Add(16*p + 1)
	}
	r := &Remote{maxEmbedded: maxEmbedded}
	for name, tt := range map[string]struct {
		pages volume.PageSet
		size  int
		want  bool
	}{
		"as much as may be": {few, maxEmbedded, true}, "a byte more": {few, maxEmbedded + 1, false}, "many scattered pages": {many, 100, false},
	} {
		c := &volume.Commit{Segments: []volume.Segment{{ID: volume.NewSegmentID(), Pages: tt.pages}}}
		if got := r.embeds(c, tt.size); got != tt.want {
			t.Errorf("%s: %t with sets of %d bytes", name, got, tt.pages.EncodedSize())
		}
	}
}
