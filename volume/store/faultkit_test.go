package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"graft/internal/filesys/crashfs"
	"graft/internal/testdir"
	"graft/volume"
	"graft/volume/store/journal"
)

var errPlanted = errors.New("planted")

// flavours are the ways in which an operation fails.
var flavours = map[string]error{
	"nothing happened": errPlanted,
	"but it happened":  crashfs.Happened(errPlanted),
	"short":            crashfs.Short(100, errPlanted),
}

// tb is what *testing.T and *rapid.T have.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// copyBadger copies Badger's folder while nothing is written to it, but for
// what Badger does on its own: a copy during which a table came or went is no
// state of the folder, and is made anew.
func copyBadger(t tb, to, from string) {
	t.Helper()
	for try := 0; ; try++ {
		before := layout(t, from)
		err := errors.Join(os.RemoveAll(to), testdir.Copy(to, from))
		if err == nil && layout(t, from) == before {
			return
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) || try == 1000 {
			t.Fatalf("copy %s: %v", from, err)
		}
	}
}

// layout gives the names of the files, and the MANIFEST.
func layout(t tb, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("copy: %v", err)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		t.Fatalf("copy: %v", err)
	}
	return fmt.Sprintf("%v %x", entries, manifest)
}

// content is what a store holds: the values of all keys but those of the page
// indexes and of the store itself.
type content map[string]string

// dump reads the content of s.
func dump(t tb, s *Store) content {
	t.Helper()
	return dumpSpaces(t, s, spaceTag, spaceGraft, spaceLog, spaceSegment, spacePage)
}

func dumpSpaces(t tb, s *Store, spaces ...byte) content {
	t.Helper()
	c := make(content)
	for _, space := range spaces {
		err := s.scan(space, func(key, value []byte) error {
			c[string(space)+string(key)] = string(value)
			return nil
		})
		if err != nil {
			t.Fatalf("read key space %c: %v", space, err)
		}
	}
	return c
}

// apply makes a change to what a store should hold.
func (c content) apply(t tb, change Change) {
	t.Helper()
	ops, err := change.encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	for _, o := range ops {
		if c[string(o.key)] = string(o.value); o.value == nil {
			delete(c, string(o.key))
		}
	}
}

// head gives the newest LSN of v.
func (c content) head(v volume.VolumeID) (head volume.LSN) {
	for key := range c {
		if of, l, ok := parseKeyLog([]byte(key)); ok && of == v {
			head = max(head, l)
		}
	}
	return head
}

// diff says in a few words what is not as in want.
func (c content) diff(want content) string {
	var missing, other, more int
	example := ""
	for key, value := range want {
		switch got, ok := c[key]; {
		case !ok:
			missing, example = missing+1, key
		case got != value:
			other, example = other+1, key
		}
	}
	for key := range c {
		if _, ok := want[key]; !ok {
			more, example = more+1, key
		}
	}
	return fmt.Sprintf("%d of %d keys missing, %d other, %d more, such as %q", missing, len(want), other, more, example)
}

// world is a store on a disk that fails and loses its power, who uses it, and
// the model of what it must hold. Its journal is on a crashfs. Badger's folder
// is copied at the moment of a crash: it syncs whatever it writes.
type world struct {
	t    tb
	base string // of the data directories, one for each life
	opts Options
	hook func(crashfs.Op) error // of every life

	lives int
	files *crashfs.FS
	s     *Store
	live  func(PageRef) bool // is Options.Live

	durable content  // what no power cut may take
	log     []Change // applied since, oldest first
	maybe   *Change  // its Apply has poisoned the store
	staged  content  // pages that were staged, and referred to or not
	unsure  content  // pages whose Stage failed
	volumes [2]volume.VolumeID
	newest  [2]Change // with pages, of each Volume
	count   uint64

	replaced map[string]bool // pages that a durable change has replaced
	thinned  map[string]bool // pages that were denied when memory was thinned out
}

// small makes the files of a journal rotate, be filled anew and be full all the
// time.
var small = journal.Options{FileSize: 8 << 10, Files: 3}

func newWorld(t tb, base string, opts journal.Options, applyAt int) *world {
	w := &world{
		t: t, base: base, files: crashfs.New(), live: always,
		durable: make(content), staged: make(content), unsure: make(content),
		volumes:  [2]volume.VolumeID{volume.NewVolumeID(), volume.NewVolumeID()},
		replaced: make(map[string]bool), thinned: make(map[string]bool),
	}
	w.opts = Options{journal: opts, ApplyAt: applyAt, Live: func(_ volume.VolumeID, ref PageRef) bool { return w.live(ref) }}
	return w
}

func always(PageRef) bool { return true }

func (w *world) dir() string { return filepath.Join(w.base, fmt.Sprint(w.lives)) }

// open opens the store and compares it with the model; cut tells that the power
// failed.
func (w *world) open(cut bool) error {
	w.t.Helper()
	w.opts.journalFiles = w.files
	w.files.SetHook(w.hook)
	s, err := Open(w.dir(), w.opts)
	if err != nil {
		if n := w.files.Handles(); n != 0 {
			w.t.Fatalf("open failed and left %d files open", n)
		}
		return err
	}
	w.s = s
	w.compare(cut)
	return nil
}

// mustOpen opens the store without faults.
func (w *world) mustOpen(cut bool) {
	w.t.Helper()
	w.hook = nil
	if err := w.open(cut); err != nil {
		w.t.Fatalf("open: %v", err)
	}
}

// compare finds the moment of the model that the store is at, from where on the
// model continues.
func (w *world) compare(cut bool) {
	w.t.Helper()
	got := w.withoutStaged(dump(w.t, w.s))
	changes := w.log
	if w.maybe != nil {
		changes = append(changes[:len(changes):len(changes)], *w.maybe)
	}
	state, replaced, text := maps.Clone(w.durable), maps.Clone(w.replaced), ""
	for i := 0; ; i++ {
		if i >= len(w.log) || cut {
			if w.same(got, state, replaced) {
				break
			}
			text += fmt.Sprintf("\nafter %d changes: %s", i, got.diff(state))
		}
		if i == len(changes) {
			w.t.Fatalf("the store is at no moment of %d changes, the newest poisoned %t, power cut %t: %s", len(changes), w.maybe != nil, cut, text)
		}
		state.apply(w.t, changes[i])
		addReplaced(replaced, changes[i])
	}
	w.durable, w.replaced, w.log, w.maybe, w.unsure = state, replaced, nil, nil, make(content)
	w.checkReads(state)
}

// same tells whether got is state, in which some pages are replaced: of those the ones
// that memory was thinned of may be missing.
func (w *world) same(got, state content, replaced map[string]bool) bool {
	for key, value := range state {
		have, ok := got[key]
		if have != value && (ok || !w.thinned[key] || !replaced[key]) {
			return false
		}
	}
	for key := range got {
		if _, ok := state[key]; !ok {
			return false
		}
	}
	return true
}

// addReplaced adds the pages that c replaces.
func addReplaced(replaced map[string]bool, c Change) {
	for _, ref := range c.Replaced {
		replaced[string(keyPage(ref.Segment, ref.Idx))] = true
	}
}

// replacedNow are the pages that are replaced by now.
func (w *world) replacedNow() map[string]bool {
	replaced := maps.Clone(w.replaced)
	for _, c := range w.log {
		addReplaced(replaced, c)
	}
	return replaced
}

// relieve thins memory out of the pages that are replaced.
func (w *world) relieve() error {
	w.t.Helper()
	replaced := w.replacedNow()
	w.setLive(func(ref PageRef) bool {
		key := string(keyPage(ref.Segment, ref.Idx))
		if replaced[key] {
			w.thinned[key] = true
		}
		return !replaced[key]
	})
	err := w.s.applier.relieve(w.s, func() bool { return true })
	w.setLive(always)
	return err
}

// setLive sets live, which the applier calls.
func (w *world) setLive(live func(PageRef) bool) {
	w.s.applier.mu.Lock()
	defer w.s.applier.mu.Unlock()
	w.live = live
}

// withoutStaged takes the pages out that were staged, which must be there.
func (w *world) withoutStaged(got content) content {
	w.t.Helper()
	for key, value := range w.staged {
		if got[key] != value {
			w.t.Fatalf("staged page %q is missing or another", key)
		}
		delete(got, key)
	}
	for key, value := range w.unsure {
		if page, ok := got[key]; ok && page != value {
			w.t.Fatalf("page %q is another than was staged", key)
		}
		delete(got, key)
	}
	return got
}

// checkReads reads by other methods what the store must hold.
func (w *world) checkReads(now content) {
	w.t.Helper()
	for _, v := range w.volumes {
		want := now.head(v)
		if head, err := w.s.Head(v); head != want || err != nil {
			w.t.Fatalf("head %d, %v; want %d", head, err, want)
		}
		if want == 0 {
			continue
		}
		if err := w.s.Log(v, volume.LSNRange{First: 1, Last: want}, func(volume.Record) error { return nil }); err != nil {
			w.t.Fatalf("log: %v", err)
		}
	}
	replaced := w.replacedNow()
	for key, value := range now {
		ref, ok := parseKeyPage([]byte(key))
		if !ok || w.thinned[key] && replaced[key] {
			continue
		}
		if has, err := w.s.HasPage(ref.Segment, ref.Idx); !has || err != nil {
			w.t.Fatalf("has page %v: %t, %v", ref, has, err)
		}
		if page, err := w.s.Page(ref.Segment, ref.Idx); err != nil || string(page[:]) != value {
			w.t.Fatalf("page %v: another content, or %v", ref, err)
		}
	}
}

// now is what the store must hold, without a change that is in doubt.
func (w *world) now() content {
	state := maps.Clone(w.durable)
	for _, c := range w.log {
		state.apply(w.t, c)
	}
	return state
}

// synced tells the model that all changes so far are durable.
func (w *world) synced() {
	w.durable, w.replaced, w.log = w.now(), w.replacedNow(), nil
}

// change gives a Change of one commit with n new pages, tags and a Graft.
func (w *world) change(n int, relaxed bool) Change {
	w.t.Helper()
	w.count++
	v := w.volumes[w.count%2]
	c := Change{
		Tags:    []Tag{{fmt.Sprintf("tag%d", w.count%3), volume.NewVolumeID()}, {"newest", volume.NewVolumeID()}},
		Segment: volume.NewSegmentID(), Pages: pages(1, volume.PageIdx(n), w.count), Relaxed: relaxed,
	}
	if w.count%5 != 0 {
		w.edit(&c)
	}
	if w.count%4 == 0 {
		c.DeleteTags = []string{fmt.Sprintf("tag%d", (w.count+1)%3)}
	}
	w.addCommit(&c, v, c.Segment, n)
	return c
}

// edit has c change a little of the pages that the Volume had, or was to have.
func (w *world) edit(c *Change) {
	old := &w.newest[w.count%2]
	for i := range min(len(c.Pages), len(old.Pages)) {
		c.Pages[i].Page = edit(old.Pages[i].Page, w.count)
		c.Replaced = append(c.Replaced, PageRef{Segment: old.Segment, Idx: c.Pages[i].Idx})
	}
	if len(c.Pages) > 0 {
		*old = *c
	}
}

func (w *world) addCommit(c *Change, v volume.VolumeID, id volume.SegmentID, n int) {
	w.t.Helper()
	l := w.now().head(v) + 1
	var set volume.PageSet
	for p := range n {
		set.Add(volume.PageIdx(p + 1))
	}
	commit := volume.Commit{Volume: v, LSN: l, PageCount: volume.PageCount(n), Time: time.UnixMilli(int64(l))}
	if n > 0 {
		commit.Segments = []volume.Segment{{ID: id, Pages: set}}
	}
	rec, err := volume.EncodeCommit(commit)
	if err != nil {
		w.t.Fatalf("encode: %v", err)
	}
	c.Commits = []volume.Record{rec}
	c.Grafts = []volume.GraftState{{Local: v, Remote: otherVolume, SyncPoint: volume.SyncPoint{Local: l}}}
}

// apply applies c and notes the outcome in the model.
func (w *world) apply(c Change) error {
	w.t.Helper()
	poisoned := w.s.poison.err() != nil
	err := w.s.Apply(c)
	switch {
	case poisoned && !errors.Is(err, ErrPoisoned):
		w.t.Fatalf("apply to a poisoned store: %v", err)
	case err == nil:
		w.log = append(w.log, c)
		if !c.Relaxed {
			w.synced()
		}
	case errors.Is(err, ErrPoisoned) && !poisoned:
		w.maybe = &c
	}
	return err
}

// stage stages n pages, and applies a change that refers to them.
func (w *world) stage(n int, relaxed bool) error {
	w.t.Helper()
	w.count++
	id, entries := volume.NewSegmentID(), pages(1, volume.PageIdx(n), w.count)
	err := w.s.Stage(id, entries)
	into := w.staged
	if err != nil {
		into = w.unsure
	}
	for _, e := range entries {
		into[string(keyPage(id, e.Idx))] = string(e.Page[:])
	}
	if err != nil {
		return err
	}
	c := Change{Relaxed: relaxed}
	w.addCommit(&c, w.volumes[w.count%2], id, n)
	return w.apply(c)
}

// flush is Flush, or another way to make all changes durable.
func (w *world) flush(how func() error) error {
	w.t.Helper()
	poisoned := w.s.poison.err() != nil
	err := how()
	if poisoned && !errors.Is(err, ErrPoisoned) {
		w.t.Fatalf("flush of a poisoned store: %v", err)
	}
	if err == nil {
		w.synced()
	}
	return err
}

// kill ends the process: what was written is there.
func (w *world) kill() {
	w.t.Helper()
	w.end((*crashfs.FS).Kill)
}

// cut is a power cut.
func (w *world) cut(seed uint64) {
	w.t.Helper()
	w.end(func(files *crashfs.FS) *crashfs.FS { return files.Crash(rand.New(rand.NewPCG(seed, 0))) })
}

// end makes the next life of what end leaves of the journal, and of Badger's
// folder as it is between two runs of the applier.
func (w *world) end(end func(*crashfs.FS) *crashfs.FS) {
	w.t.Helper()
	s, dir := w.s, w.dir()
	w.lives++
	if s != nil {
		dbOf(s) // its folder is whole
		s.applier.mu.Lock()
	}
	if badger := filepath.Join(dir, "badger"); isThere(w.t, badger) { // it was opened ever
		copyBadger(w.t, filepath.Join(w.dir(), "badger"), badger)
	}
	w.files = end(w.files)
	if s != nil {
		s.applier.mu.Unlock()
		_ = s.Close() // its journal is gone
	}
	w.s, w.live = nil, always
	if err := os.RemoveAll(dir); err != nil {
		w.t.Fatalf("remove: %v", err)
	}
}

func isThere(t tb, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("look for %s: %v", path, err)
	}
	return err == nil
}

// close closes the store in order, and without faults everything is durable.
func (w *world) close() error {
	w.t.Helper()
	err := w.s.Close()
	w.s = nil
	if err == nil {
		w.synced()
	}
	if n := w.files.Handles(); n != 0 {
		w.t.Fatalf("close left %d files open", n)
	}
	return err
}

// done ends the last life.
func (w *world) done() {
	if w.s != nil {
		_ = w.s.Close()
	}
	_ = os.RemoveAll(w.dir())
}
