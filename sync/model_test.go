package sync_test

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/faultbucket"
	"graft/snapshot"
	"graft/volume"
)

// content is what a database of pages should read as: a text for each page, ""
// for zeros.
type content []string

func (c content) clone() content { return append(content(nil), c...) }

// resize cuts pages off, or adds zeros.
func (c content) resize(n int) content {
	for len(c) < n {
		c = append(c, "")
	}
	return c[:n]
}

// replica is a machine with what it should show.
type replica struct {
	*machine
	want content
	at   volume.LSN // of the remote Volume
}

// TestReplicasFollowAnyHistory lets one machine push any history of writes, cuts
// and growth, with checkpoints and packs of every few commits, and others clone, pull,
// read, evict, reopen and go on from it, and compares every page with the fold of the
// commits.
func TestReplicasFollowAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bucket := faultbucket.New()
		since := rapid.SampledFrom([]int{0, 100, 400, 16 << 10}).Draw(rt, "bytes of addresses")
		embedded := rapid.SampledFrom([]int{0, 300, 160 << 10}).Draw(rt, "bytes of a checkpoint")
		quota := rapid.SampledFrom([]int{1, 10, 200}).Draw(rt, "quota of pages")
		loose := rapid.SampledFrom([]int{1, 3, 32}).Draw(rt, "commits to pack")
		open := func() *machine {
			m := newCache(t, bucket, quota)
			m.remote.SetMaxSince(since)
			m.remote.SetMaxEmbedded(embedded)
			m.remote.SetLoose(loose, 1)
			return m
		}
		a := &replica{machine: open()}
		history := []content{nil} // by LSN
		var others []*replica
		steps := 0
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				n := rapid.SampledFrom([]int{1, 3, 90, 700}).Draw(rt, "pages up to")
				first := rapid.IntRange(1, n).Draw(rt, "first")
				last := min(first+rapid.SampledFrom([]int{0, 1, 20, 80}).Draw(rt, "more"), 700)
				steps++
				text := fmt.Sprint("v", steps)
				a.update(func(w *snapshot.Writer) error {
					for p := first; p <= last; p++ {
						if err := w.Write(volume.PageIdx(p), pageOf(text, volume.PageIdx(p))); err != nil {
							return err
						}
					}
					return nil
				})
				a.want = a.want.clone().resize(max(len(a.want), last))
				for p := first; p <= last; p++ {
					a.want[p-1] = text
				}
			},
			"resize": func(rt *rapid.T) {
				n := rapid.IntRange(0, 720).Draw(rt, "pages")
				if n == len(a.want) {
					return // no commit
				}
				a.resize(volume.PageCount(n))
				a.want = a.want.clone().resize(n)
			},
			"push": func(rt *rapid.T) {
				before := a.head.State().SyncPoint.Remote
				a.must(a.push())
				if a.head.State().SyncPoint.Remote > before {
					history = append(history, a.want.clone())
				}
				a.check(rt)
			},
			"reopen": func(rt *rapid.T) {
				if a.head.State().Unborn {
					return
				}
				a.reopen(bucket)
				a.remote.SetMaxSince(since)
				a.remote.SetMaxEmbedded(embedded)
				a.remote.SetLoose(loose, 1)
				a.check(rt)
			},
			"clone": func(rt *rapid.T) {
				if len(history) == 1 || len(others) == 3 {
					return
				}
				r := &replica{machine: open()}
				r.clone(a.head.State().Remote)
				r.at = volume.LSN(len(history) - 1)
				r.want = history[r.at]
				others = append(others, r)
				r.check(rt)
			},
			"pull": func(rt *rapid.T) {
				if len(others) == 0 {
					return
				}
				r := others[rapid.IntRange(0, len(others)-1).Draw(rt, "replica")]
				if rapid.Bool().Draw(rt, "reads before") {
					r.check(rt)
				}
				r.must(r.pull())
				r.at = volume.LSN(len(history) - 1)
				r.want = history[r.at]
				if rapid.Bool().Draw(rt, "reopens") {
					r.reopen(bucket)
				}
				r.check(rt)
			},
			"sweep": func(rt *rapid.T) {
				all := append([]*replica{a}, others...)
				r := all[rapid.IntRange(0, len(all)-1).Draw(rt, "machine")]
				r.must(r.heads.Sweep(context.Background()))
				r.remote.ForgetIndexes()
				r.check(rt)
			},
			"evict": func(rt *rapid.T) {
				all := append([]*replica{a}, others...)
				r := all[rapid.IntRange(0, len(all)-1).Draw(rt, "machine")]
				r.evict()
				r.check(rt)
			},
			"hand over": func(rt *rapid.T) { // another machine goes on
				if len(others) == 0 || !a.head.State().Unpushed().IsZero() {
					return
				}
				r := others[0]
				r.must(r.pull())
				r.want, r.at = a.want, volume.LSN(len(history)-1)
				others[0] = &replica{machine: a.machine, want: a.want, at: r.at}
				a = r
				a.check(rt)
			},
		})
	})
}

// check reads every page, and makes sure that the Graft knows what it stands on.
func (r *replica) check(t *rapid.T) {
	t.Helper()
	st := r.head.State()
	if at := snapshot.PointOf(&st.GraftState); !at.IsZero() {
		if rec, err := r.store.Commit(at.Volume, at.LSN); err != nil || rec.Hash() != st.Base {
			t.Fatalf("it stands on %s of hash %s: %v", at, st.Base, err)
		}
	}
	reader := r.head.Reader()
	defer reader.Close()
	if n := int(reader.PageCount()); n != len(r.want) {
		t.Fatalf("%d pages, want %d", n, len(r.want))
	}
	for i, text := range r.want {
		p := volume.PageIdx(i + 1)
		want := new(volume.Page)
		if text != "" {
			want = pageOf(text, p)
		}
		page, err := reader.Page(context.Background(), p)
		if err != nil {
			t.Fatalf("page %d: %v", p, err)
		}
		if *page != *want {
			t.Fatalf("page %d is %.12q, want %.12q", p, page[:], want[:])
		}
	}
}
