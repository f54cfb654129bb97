package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"graft/volume"
	"graft/volume/store/journal"
)

// openPoisonable opens a store with some changes in Badger and some not, on a
// journal of files of its own.
func openPoisonable(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, t.TempDir(), journal.Options{}, 0)
	w.s = open(t, filepath.Join(w.base, "data"))
	must(t, w.apply(w.change(2, false)))
	must(t, w.stage(3, false))
	must(t, w.flush(w.s.Flush))
	return w
}

// wantPoisoned wants a write to fail because of cause.
func wantPoisoned(t *testing.T, what string, err error, cause string) {
	t.Helper()
	if !errors.Is(err, ErrPoisoned) || !strings.Contains(err.Error(), cause) {
		t.Errorf("%s: %v", what, err)
	}
}

// wantNoWrites wants all writes to fail because of cause, and none to reach
// Badger.
func wantNoWrites(t *testing.T, s *Store, cause string) {
	t.Helper()
	for name, write := range writes(s) {
		before := dbOf(s).MaxVersion()
		wantPoisoned(t, name, write(), cause)
		if dbOf(s).MaxVersion() != before {
			t.Errorf("%s wrote to Badger", name)
		}
	}
}

// saying is what Badger logs, in its own words, instead of returning it.
type saying struct {
	warns  bool
	format string
	args   []any
	kind   sayingKind
}

// sayingKind is what becomes of Badger, besides that the store takes no more writes.
type sayingKind int

const (
	goesOn sayingKind = iota
	isStuck
	isHeld // its writer is, which says it
)

var sayings = []saying{
	{kind: isHeld, format: "Error while curlf sync: %v\n", args: []any{errPlanted}},
	{kind: isHeld, format: "writeRequests: Unable to sync value log: %q err: %v", args: []any{"planted/000001.vlog", errPlanted}},
	{kind: isHeld, format: "writeRequests: writeRequests err: %v", args: []any{errPlanted}},
	{format: "writeRequests: %v", args: []any{errPlanted}},
	{format: "While trying to flush memtable: %v", args: []any{errPlanted}},
	{format: "Ignoring table %s", args: []any{"planted/000003.sst"}},
	{warns: true, format: "[Compactor: %d] LOG Compact FAILED with error: %+v: %+v", args: []any{1, errPlanted, "a compaction"}},
	{warns: true, format: "While running doCompact: %v\n", args: []any{errPlanted}},
	{warns: true, format: "While running doCompact with %+v. Error: %v\n", args: []any{"a compaction", errPlanted}},
	{warns: true, format: "While running compact def: %+v. Error: %v", args: []any{"a compaction", errPlanted}},
	{kind: isStuck, format: "error flushing memtable to disk: %v, retrying", args: []any{errPlanted}},
	{kind: isStuck, format: "Got error: %v for id: %d\n", args: []any{errPlanted, 7}},
}

// say has the Badger of s say it. What it says is in the error of each write.
func (y saying) say(s *Store) (cause string) {
	if l := dbOf(s).Opts().Logger; y.warns {
		l.Warningf(y.format, y.args...)
	} else {
		l.Errorf(y.format, y.args...)
	}
	return strings.TrimSpace(fmt.Sprintf(y.format, y.args...))
}

// forSayings runs a test for those of a kind.
func forSayings(t *testing.T, kind sayingKind, fn func(*testing.T, saying)) {
	for _, y := range sayings {
		if y.kind == kind {
			t.Run(y.format, func(t *testing.T) { fn(t, y) })
		}
	}
}

func TestBadgersLogPoisons(t *testing.T) {
	forSayings(t, goesOn, func(t *testing.T, y saying) {
		w := openPoisonable(t)
		must(t, w.apply(w.change(1, true)))
		cause := y.say(w.s)
		dbOf(w.s).Opts().Logger.Errorf("writeRequests: another")
		wantNoWrites(t, w.s, cause)
		w.wantState(t)
		wantPoisoned(t, "close", w.s.Close(), cause)
		w.s = open(t, w.s.Dir())
		w.wantState(t)
		must(t, w.apply(w.change(1, false)))
		must(t, w.flush(w.s.Flush))
		w.s = reopen(t, w.s)
		w.wantState(t)
	})
}

// TestStuckBadgerIsLeftAlone has what is not in Badger read on, and no call that
// waits for Badger or reads from it.
func TestStuckBadgerIsLeftAlone(t *testing.T) {
	forSayings(t, isStuck, func(t *testing.T, y saying) {
		w := openPoisonable(t)
		before := w.now()
		c := w.change(2, true)
		must(t, w.apply(c))
		cause := y.say(w.s)
		wantNoWrites(t, w.s, cause)
		checkPages(t, w.s, c.Segment, c.Pages)
		if v, err := w.s.Tag("newest"); v != c.Tags[1].Graft || err != nil {
			t.Errorf("tag: %s, %v", v, err)
		}
		w.s.cache.pages.InvalidateAll()
		for name, read := range badgerReads(w.s, before) {
			wantPoisoned(t, name, read(), cause)
		}
		db := dbOf(w.s)
		wantPoisoned(t, "close", w.s.Close(), cause)
		must(t, errors.Join(db.Close(), w.s.lock.release())) // as the end of the process does
		w.s = open(t, w.s.Dir())
		w.wantState(t)
	})
}

// badgerReads are reads of what is in Badger alone.
func badgerReads(s *Store, c content) map[string]func() error {
	reads := map[string]func() error{
		"Tags":     func() error { _, err := s.Tags(); return err },
		"Grafts":   func() error { _, err := s.Grafts(); return err },
		"Index":    func() error { _, err := s.Index(someVolume); return err },
		"NextLeaf": func() error { _, _, err := s.NextLeaf(someVolume, 0); return err },
		"Object":   func() error { _, err := s.Object(volume.Hash{}); return err },
		"Head":     func() error { _, err := s.Head(someVolume); return err },
	}
	for key := range c {
		if ref, ok := parseKeyPage([]byte(key)); ok {
			reads["Page"] = func() error { _, err := s.Page(ref.Segment, ref.Idx); return err }
			reads["HasPage"] = func() error { _, err := s.HasPage(ref.Segment, ref.Idx); return err }
		}
		if v, l, ok := parseKeyLog([]byte(key)); ok {
			reads["Commit"] = func() error { _, err := s.Commit(v, l); return err }
		}
	}
	return reads
}

// TestStuckBadgerKeepsItsDirectory opens the directory again while Badger is left alone,
// in the same process and in another one: nothing looks at its files, and who comes is
// told which process has to end.
func TestStuckBadgerKeepsItsDirectory(t *testing.T) {
	w := openPoisonable(t)
	cause := sayings[len(sayings)-1].say(w.s)
	db := dbOf(w.s)
	empty := filepath.Join(w.s.badgerDir(), "00099.mem") // as Badger is about to begin it
	must(t, os.WriteFile(empty, nil, 0o666))
	wantPoisoned(t, "close", w.s.Close(), cause)
	wantKept(t, w.s, cause)
	if said := startHolder(t, w.s.Dir()).said; !strings.Contains(said, cause) || !strings.Contains(said, "end that process") {
		t.Errorf("another process says %q", said)
	}
	if _, err := os.Stat(empty); err != nil {
		t.Errorf("a file of Badger that is open: %v", err)
	}
	if _, err := badger.Open(badgerOptions(w.s.badgerDir(), 0)); err == nil || errors.Is(openError(err), volume.ErrCorrupt) {
		t.Errorf("Badger itself is opened twice: %v", err)
	}
	must(t, errors.Join(os.Remove(empty), db.Close(), w.s.lock.release())) // as the end of the process does
	w.s = open(t, w.s.Dir())
	w.wantState(t)
}

// wantKept wants the directory of s, which is closed, not to be opened again.
func wantKept(t *testing.T, s *Store, cause string) {
	t.Helper()
	again, err := Open(s.Dir(), Options{})
	if err == nil {
		closeStore(t, again)
	}
	if !errors.Is(err, ErrInUse) {
		t.Errorf("open: %v", err)
		return
	}
	for _, text := range []string{cause, "restart this process", fmt.Sprintf("process %d,", os.Getpid())} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("open: %q does not say %q", err, text)
		}
	}
}

func TestOtherSayingsOfBadgerDoNotPoison(t *testing.T) {
	w := openPoisonable(t)
	l := dbOf(w.s).Opts().Logger
	l.Infof("writeRequests: %v", errPlanted)
	l.Debugf("Got error: %v", errPlanted)
	l.Warningf("Blocked by %s", time.Second)
	l.Errorf("Received error while reading a file, %v", errPlanted)
	must(t, w.apply(w.change(1, false)))
	must(t, w.flush(w.s.Flush))
	w.wantState(t)
	l.Warningf("While running doCompact: %v", errPlanted)
	wantPoisoned(t, "apply", w.apply(w.change(1, false)), errPlanted.Error())
	wantPoisoned(t, "close", w.s.Close(), errPlanted.Error())
}
