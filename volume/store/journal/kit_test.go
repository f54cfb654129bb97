package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"graft/internal/filesys"
	"graft/internal/filesys/crashfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small makes files rotate and be filled anew all the time.
var small = Options{FileSize: 4 << 10, Files: 3, step: 1 << 10}

var errPlanted = errors.New("planted")

// tb is what *testing.T and *rapid.T have.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check tests the invariants of Journal.
func (j *Journal) check(t tb) {
	t.Helper()
	j.append.Lock()
	defer j.append.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	m := &j.mu
	if m.released > m.durable || m.durable > m.last || m.last >= m.next {
		t.Fatalf("invariant 1: released %d, durable %d, last %d, next %d", m.released, m.durable, m.last, m.next)
	}
	used, seq := int64(0), m.released
	for _, s := range m.live {
		if s.seq <= seq || s.seq > m.last {
			t.Fatalf("invariant 2: %d follows %d", s.seq, seq)
		}
		seq, used = s.seq, used+s.bytes
	}
	if used != m.used {
		t.Fatalf("invariant 2: used %d, want %d", m.used, used)
	}
	last := uint64(0)
	for i, f := range m.files {
		if f.last != 0 && f.last <= last {
			t.Fatalf("invariant 3: %s ends with %d behind %d", f.name, f.last, last)
		}
		if f.last == m.last && len(m.live) > 0 && i < len(m.files)-1 && m.files[i+1].last != 0 {
			t.Fatalf("invariant 3: %s holds the newest record and is not the last", f.name)
		}
		last = max(last, f.last)
	}
}

// rec is a record of the model.
type rec struct {
	seq     uint64
	payload string
}

// world is a journal, who uses it, and the model of what it must hold.
type world struct {
	t    tb
	opts Options
	fs   *crashfs.FS
	j    *Journal

	log     []rec                  // returned by Append and not lost, oldest first
	applied uint64                 // in the store of who uses it, durably
	durable uint64                 // Sync has said so
	failed  map[string]bool        // payloads that must never be seen
	maybe   *rec                   // its Append poisoned the journal
	count   int                    // of payloads
	hook    func(crashfs.Op) error // of each process until mustOpen
}

func newWorld(t tb, opts Options) *world {
	return &world{t: t, opts: opts, fs: crashfs.New(), failed: make(map[string]bool)}
}

// payload gives n bytes, at least 8, that no other has.
func (w *world) payload(n int) []byte {
	w.count++
	head := fmt.Appendf(nil, "%08d", w.count)
	return append(head, bytes.Repeat([]byte{byte(w.count)}, max(0, n-len(head)))...)
}

func (w *world) last() uint64 {
	if len(w.log) > 0 {
		return max(w.applied, w.log[len(w.log)-1].seq)
	}
	return w.applied
}

func (w *world) append(n int) error {
	w.t.Helper()
	p := w.payload(min(n, int(w.j.MaxPayload())))
	poisoned, next := w.j.stopped() != nil, w.j.Next()
	seq, err := w.j.Append(p)
	switch {
	case err == nil && seq != next:
		w.t.Fatalf("append gave %d, next was %d", seq, next)
	case err == nil:
		w.log = append(w.log, rec{seq, string(p)})
	case errors.Is(err, ErrPoisoned) && !poisoned:
		w.maybe = &rec{next, string(p)}
	case errors.Is(err, ErrFull) && w.j.Used() == 0:
		w.t.Fatalf("full with nothing in use")
	default:
		w.failed[string(p)] = true
	}
	w.j.check(w.t)
	return err
}

func (w *world) sync(seq uint64) error {
	err := w.j.Sync(seq)
	if err == nil {
		w.durable = max(w.durable, seq)
	}
	w.j.check(w.t)
	return err
}

func (w *world) release(seq uint64) {
	w.applied = max(w.applied, seq)
	w.j.Release(seq)
	w.j.check(w.t)
}

// trim trims the journal, or finds it as it was.
func (w *world) trim() error {
	w.t.Helper()
	before, released := len(w.j.mu.files), w.j.Used() == 0
	err := w.j.Trim()
	w.j.check(w.t)
	if err != nil {
		return err
	}
	for _, f := range w.j.mu.files {
		if n := int64(len(w.fs.Content(f.name))); n < f.size {
			w.t.Fatalf("trimmed, %s has %d bytes and is said to have %d", f.name, n, f.size)
		}
	}
	if after := len(w.j.mu.files); after != before && (!released || after != 1) {
		w.t.Fatalf("trimmed %d files to %d, released %t", before, after, released)
	}
	return nil
}

// kill ends the process, cut the power.
func (w *world) kill() {
	w.fs, w.j = w.fs.Kill(), nil
	w.fs.SetHook(w.hook)
}

func (w *world) cut(seed uint64) {
	w.fs, w.j = w.fs.Crash(rand.New(rand.NewPCG(seed, 0))), nil
}

// open opens the journal and compares what it replays with the model; cut tells that the power failed.
func (w *world) open(cut bool) error {
	w.t.Helper()
	var got []rec
	j, err := Open(w.fs, w.applied, w.opts, func(seq uint64, payload []byte) error {
		got = append(got, rec{seq, string(payload)})
		return nil
	})
	if err != nil {
		if n := w.fs.Handles(); n != 0 {
			w.t.Fatalf("open failed and left %d files open", n)
		}
		return err
	}
	w.j = j
	j.check(w.t)
	w.compare(got, cut)
	w.log, w.maybe = got, nil
	w.durable = w.last()
	if next := j.Next(); next <= w.durable {
		w.t.Fatalf("next is %d, newest is %d", next, w.durable)
	}
	return nil
}

func (w *world) compare(got []rec, cut bool) {
	w.t.Helper()
	want := slices.DeleteFunc(slices.Clone(w.log), func(r rec) bool { return r.seq <= w.applied })
	if w.maybe != nil {
		want = append(want, *w.maybe)
	}
	for i, r := range got {
		if w.failed[r.payload] {
			w.t.Fatalf("replayed %d, whose Append had failed", r.seq)
		}
		if i >= len(want) || r != want[i] {
			w.t.Fatalf("replayed %s as number %d of %s", text(got), i, text(want))
		}
	}
	for _, r := range want[len(got):] {
		if r.seq <= w.durable || !cut && (w.maybe == nil || r != *w.maybe) {
			w.t.Fatalf("replayed %s, want %s; durable was %d, power cut %t", text(got), text(want), w.durable, cut)
		}
	}
}

// mustOpen opens the journal without faults.
func (w *world) mustOpen(cut bool) {
	w.t.Helper()
	w.hook = nil
	w.fs.SetHook(nil)
	if err := w.open(cut); err != nil {
		w.t.Fatalf("open: %v", err)
	}
}

func text(recs []rec) string {
	var b bytes.Buffer
	for _, r := range recs {
		fmt.Fprintf(&b, "%d:%.8s+%d ", r.seq, r.payload, len(r.payload))
	}
	return "[" + b.String() + "]"
}

// mustOpen opens a journal and gives what it replays.
func mustOpen(t *testing.T, fsys filesys.FS, applied uint64, opts Options) (*Journal, []rec) {
	t.Helper()
	j, got, err := tryOpen(fsys, applied, opts)
	if err != nil {
		t.Fatal(err)
	}
	return j, got
}

func tryOpen(fsys filesys.FS, applied uint64, opts Options) (*Journal, []rec, error) {
	var got []rec
	j, err := Open(fsys, applied, opts, func(seq uint64, payload []byte) error {
		got = append(got, rec{seq, string(payload)})
		return nil
	})
	return j, got, err
}

func mustAppend(t *testing.T, j *Journal, payload string) uint64 {
	t.Helper()
	seq, err := j.Append([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func mustSync(t *testing.T, j *Journal, seq uint64) {
	t.Helper()
	if err := j.Sync(seq); err != nil {
		t.Fatal(err)
	}
}

// failOn fails the operations of a kind on a file, or on any.
func failOn(kind, name string, err error) func(crashfs.Op) error {
	return func(op crashfs.Op) error {
		if op.Kind == kind && (name == "" || op.Name == name) {
			return err
		}
		return nil
	}
}
