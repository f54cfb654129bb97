package journal

import (
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"graft/internal/filesys/crashfs"
)

// flavours are the ways in which an operation fails.
var flavours = map[string]error{
	"nothing happened": errPlanted,
	"but it happened":  crashfs.Happened(errPlanted),
	"short":            crashfs.Short(100, errPlanted),
}

// script uses a journal in every way; when it is poisoned it goes on with the next process, unless there is but one. It
// is over when Open fails.
func script(w *world, once bool) error {
	if err := w.open(false); err != nil {
		return err
	}
	for i := range 40 {
		err := w.append(50 + i*37%900)
		if i%3 == 0 && err == nil {
			_ = w.sync(w.last())
		}
		if i%5 == 4 && len(w.log) > 0 {
			w.release(w.log[max(0, len(w.log)-1-i%3)].seq)
		}
		switch {
		case w.j.stopped() != nil && once:
			return nil
		case w.j.stopped() != nil || i == 20:
			w.kill()
			if err := w.open(false); err != nil {
				return err
			}
		case i == 15 || i == 35:
			w.release(w.last())
			_ = w.trim()
		case i == 30:
			w.release(w.last())
			_ = w.j.Close()
			if err := w.open(false); err != nil {
				return err
			}
		}
	}
	_ = w.append(70)
	return nil
}

// TestFaults lets operation number i of the script fail, for each i, and then ends the process or cuts the power.
func TestFaults(t *testing.T) {
	for name, fault := range flavours {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				faultLoop(t, seed, false, func(n, at int) error {
					if n == at {
						return fault
					}
					return nil
				})
			}
		})
	}
	t.Run("nothing works any more", func(t *testing.T) {
		for seed := range uint64(3) {
			faultLoop(t, seed, true, func(n, at int) error {
				if n >= at {
					return crashfs.Short(200, errPlanted)
				}
				return nil
			})
		}
	})
}

// faultLoop runs the script for each operation. Seed 0 means no power cut after it.
func faultLoop(t *testing.T, seed uint64, once bool, fault func(n, at int) error) {
	for at := 0; ; at++ {
		w := newWorld(t, small)
		n, hit := -1, false
		w.hook = func(crashfs.Op) error {
			n++ // over all processes
			err := fault(n, at)
			hit = hit || err != nil
			return err
		}
		w.fs.SetHook(w.hook)
		if err := script(w, once); err != nil && !errors.Is(err, errPlanted) {
			t.Fatalf("operation %d: %v", at, err)
		}
		if seed == 0 {
			w.kill()
		} else {
			w.cut(seed<<32 | uint64(at))
		}
		w.mustOpen(seed != 0)
		again(t, w, seed+uint64(at))
		if !hit {
			return
		}
	}
}

// again uses the journal some more, through another power cut.
func again(t *testing.T, w *world, seed uint64) {
	t.Helper()
	w.release(w.last())
	for range 5 {
		if err := w.append(300); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.sync(w.last()); err != nil {
		t.Fatal(err)
	}
	if err := w.append(300); err != nil {
		t.Fatal(err)
	}
	w.cut(seed)
	w.mustOpen(true)
}

// TestPowerCuts is the model test: any operations, faults, ends of the process and power cuts.
func TestPowerCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, small)
		w.mustOpen(false)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { w.t = t },
			"append": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "records") {
					_ = w.append(rapid.SampledFrom([]int{8, 16, 17, 80, 300, 600, 1000, 2000, 5000}).Draw(t, "bytes"))
				}
			},
			"sync": func(t *rapid.T) {
				seq := rapid.Uint64Range(w.durable, w.last()).Draw(t, "seq")
				if err := w.sync(seq); err != nil && w.j.stopped() == nil {
					t.Fatalf("sync of %d: %v", seq, err)
				}
			},
			"release": func(t *rapid.T) {
				if len(w.log) > 0 {
					w.release(rapid.SampledFrom(w.log).Draw(t, "record").seq)
				}
			},
			"trim": func(*rapid.T) { _ = w.trim() },
			"prepare": func(t *rapid.T) {
				_ = w.j.Prepare(rapid.SampledFrom([]int64{8, 600, 2000, 5000}).Draw(t, "bytes"))
				w.j.check(t)
			},
			"fault": func(t *rapid.T) {
				at := w.fs.Ops() + rapid.IntRange(0, 12).Draw(t, "operations from now")
				fault := rapid.SampledFrom([]string{"nothing happened", "but it happened", "short"}).Draw(t, "flavour")
				w.fs.SetHook(func(op crashfs.Op) error {
					if op.N == at {
						return flavours[fault]
					}
					return nil
				})
			},
			"kill":  func(t *rapid.T) { w.kill(); w.mustOpen(false) },
			"cut":   func(t *rapid.T) { w.cut(rapid.Uint64().Draw(t, "seed")); w.mustOpen(true) },
			"close": func(t *rapid.T) { reopen(t, w) },
		})
	})
}

// reopen closes and opens the journal under the fault that may be set, and once more if that failed.
func reopen(t *rapid.T, w *world) {
	_ = w.j.Close()
	if n := w.fs.Handles(); n != 0 {
		t.Fatalf("close left %d files open", n)
	}
	if err := w.open(false); err == nil {
		return
	}
	if rapid.Bool().Draw(t, "cut after failed open") {
		w.cut(rapid.Uint64().Draw(t, "seed"))
		w.mustOpen(true)
		return
	}
	w.mustOpen(false)
}

// TestLeftoversNeverFollow cuts the power in rapid succession, with little in between: each leaves leftovers, which
// must not join the records of a later life.
func TestLeftoversNeverFollow(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, small)
		w.mustOpen(false)
		for range 20 {
			for range 1 + r.IntN(6) {
				if err := w.append(40 + r.IntN(3)*64); errors.Is(err, ErrFull) {
					w.release(w.last())
				}
			}
			if r.IntN(3) == 0 {
				w.release(w.last() - uint64(r.IntN(2)))
			}
			if r.IntN(3) == 0 {
				if err := w.trim(); err != nil {
					t.Fatal(err)
				}
			}
			w.cut(r.Uint64())
			w.mustOpen(true)
		}
	}
}
