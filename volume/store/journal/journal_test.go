package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"graft/internal/filesys"
	"graft/internal/filesys/crashfs"
)

func TestNothingIsMadeBeforeTheFirstAppend(t *testing.T) {
	fsys := crashfs.New()
	j, got := mustOpen(t, fsys, 41, Options{})
	if len(got) != 0 || j.Next() != 42 || j.Used() != 0 || len(mustList(t, fsys)) != 0 {
		t.Fatalf("replayed %s, next %d, files %q", text(got), j.Next(), mustList(t, fsys))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFilesGrowInSteps(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, Options{})
	var sizes []int
	for range 300 {
		mustAppend(t, j, strings.Repeat("x", 12<<10))
		if n := int(j.mu.files[0].size); len(sizes) == 0 || n != sizes[len(sizes)-1] {
			sizes = append(sizes, n)
		}
		if len(sizes) == 5 {
			break
		}
	}
	if n := len(fsys.Content(fileName(1))); n != sizes[len(sizes)-1] {
		t.Fatalf("file of %d bytes, sizes %d", n, sizes)
	}
	if want := []int{256 << 10, 1280 << 10, 2304 << 10, 3328 << 10, 4 << 20}; !slices.Equal(sizes, want) {
		t.Fatalf("sizes %d, want %d", sizes, want)
	}
}

// TestPrepareLeavesAppendOneWrite appends to a journal that was prepared for it.
func TestPrepareLeavesAppendOneWrite(t *testing.T) {
	for _, size := range []int64{100, 200 << 10, 600 << 10} {
		fsys := crashfs.New()
		j, _ := mustOpen(t, fsys, 0, Options{})
		for range 2 { // the second time there is nothing to do
			if err := j.Prepare(size); err != nil {
				t.Fatal(err)
			}
			j.check(t)
		}
		before := fsys.Ops()
		mustAppend(t, j, strings.Repeat("x", int(size)))
		if n := fsys.Ops() - before; n != 1 {
			t.Errorf("a record of %d bytes took %d operations", size, n)
		}
		if _, got := mustOpen(t, fsys.Kill(), 0, Options{}); len(got) != 1 {
			t.Errorf("replayed %s", text(got))
		}
	}
}

func TestLongestPayload(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	p := strings.Repeat("x", int(j.MaxPayload()))
	mustAppend(t, j, p)
	if _, err := j.Append([]byte(p + "x")); err == nil {
		t.Fatal("a longer payload was taken")
	}
	if _, got := mustOpen(t, fsys.Kill(), 0, small); len(got) != 1 || got[0].payload != p {
		t.Fatalf("replayed %s", text(got))
	}
}

func TestFullUntilReleased(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	p := strings.Repeat("x", int(j.MaxPayload()))
	for range small.Files {
		mustAppend(t, j, p)
	}
	if j.Used() != int64(small.Files)*(small.FileSize-fileHeader) {
		t.Fatalf("%d bytes used", j.Used())
	}
	if _, err := j.Append(nil); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	j.Release(1)
	if seq := mustAppend(t, j, p); seq != 4 {
		t.Fatalf("sequence number %d", seq)
	}
	j.check(t)
	if _, err := j.Append(nil); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if _, got := mustOpen(t, fsys.Kill(), 1, small); len(got) != 3 {
		t.Fatalf("replayed %s", text(got))
	}
}

func TestCloseTrims(t *testing.T) {
	for _, released := range []uint64{6, 7} {
		fsys := crashfs.New()
		j, _ := mustOpen(t, fsys, 0, small)
		for range 7 {
			mustSync(t, j, mustAppend(t, j, strings.Repeat("x", 1000)))
		}
		j.Release(released)
		if err := errors.Join(j.Close(), j.Close()); err != nil {
			t.Fatal(err)
		}
		names := mustList(t, fsys)
		if released == 7 && (len(names) != 1 || len(fsys.Content(names[0])) != int(small.step/4)) || released == 6 && len(names) != 3 {
			t.Fatalf("released %d: files %q", released, names)
		}
		if _, err := j.Append(nil); !errors.Is(err, fs.ErrClosed) {
			t.Fatal(err)
		}
		if err := j.Sync(7); err != nil {
			t.Fatalf("sync of what is durable: %v", err)
		}
		j, got := mustOpen(t, fsys, released, small)
		if len(got) != int(7-released) || j.Next() != 8 {
			t.Fatalf("replayed %s, next %d", text(got), j.Next())
		}
	}
}

// TestTrim fills three files, trims them while the journal is open, and fills them once more.
func TestTrim(t *testing.T) {
	w := newWorld(t, small)
	w.mustOpen(false)
	if err := w.trim(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for range 7 {
			if err := w.append(1000); err != nil {
				t.Fatal(err)
			}
		}
		for _, released := range []uint64{w.last() - 1, w.last()} {
			w.release(released)
			if err := w.trim(); err != nil {
				t.Fatal(err)
			}
			want := 3
			if released == w.last() {
				want = 1
			}
			if names := mustList(t, w.fs); len(names) != want || w.fs.Handles() != want {
				t.Fatalf("%d of %d released: files %q, %d open", released, w.last(), names, w.fs.Handles())
			}
			if f := w.j.mu.files[0]; want == 1 && (len(w.fs.Content(f.name)) != int(small.firstSize()) || f.pos != fileHeader) {
				t.Fatalf("left are %d bytes, to be filled from %d on", len(w.fs.Content(f.name)), f.pos)
			}
		}
	}
	if err := w.append(300); err != nil {
		t.Fatal(err)
	}
	w.kill()
	w.mustOpen(false)
}

// TestTrimOfStoppedJournal wants the reason why a journal cannot be trimmed, and its files as they were.
func TestTrimOfStoppedJournal(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	mustSync(t, j, mustAppend(t, j, strings.Repeat("x", 3000)))
	seq := mustAppend(t, j, strings.Repeat("x", 3000))
	fsys.SetHook(failOn("Sync", "", errPlanted))
	if err := j.Sync(seq); !errors.Is(err, ErrPoisoned) {
		t.Fatal(err)
	}
	fsys.SetHook(nil)
	j.Release(seq)
	if err := j.Trim(); !errors.Is(err, ErrPoisoned) || len(mustList(t, fsys)) != 2 {
		t.Fatalf("trim of a poisoned journal: %v, files %q", err, mustList(t, fsys))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Trim(); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("trim of a closed journal: %v", err)
	}
}

func TestNumbersJumpAboveLeftovers(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	for i := range 5 {
		mustAppend(t, j, fmt.Sprint(i))
	}
	fsys = fsys.Kill()
	b := fsys.Content(fileName(1))
	clear(b[fileHeader+2*slot : fileHeader+3*slot]) // a power cut took record 3
	fsys.SetContent(fileName(1), b)
	for range 2 {
		j, got := mustOpen(t, fsys, 0, small)
		if len(got) != 2 || j.Next() != 6 {
			t.Fatalf("replayed %s, next %d", text(got), j.Next())
		}
		fsys = fsys.Kill()
	}
	j, _ = mustOpen(t, fsys, 0, small)
	mustSync(t, j, mustAppend(t, j, "six"))
	for _, applied := range []uint64{0, 2, 5} { // 5 is a number that nobody has
		fsys = fsys.Kill()
		j, got := mustOpen(t, fsys, applied, small)
		if len(got) != max(1, 3-int(applied)) || got[len(got)-1] != (rec{6, "six"}) || j.Next() != 7 {
			t.Fatalf("applied %d: replayed %s, next %d", applied, text(got), j.Next())
		}
	}
}

// TestTrimmedLeftoversStayAway closes a journal with leftovers and uses it again: no power cut may bring them back.
func TestTrimmedLeftoversStayAway(t *testing.T) {
	for _, n := range []int{500, 2500} { // one file, three files
		for seed := range uint64(50) {
			w := newWorld(t, small)
			w.mustOpen(false)
			for range 3 {
				if err := w.append(n); err != nil {
					t.Fatal(err)
				}
			}
			w.release(1)
			w.kill()
			// A power cut takes record 2.
			name := fileName(1)
			off := fileHeader + int(recordSize(int64(n)))
			if n > 2000 {
				name, off = fileName(2), fileHeader
			}
			b := w.fs.Content(name)
			clear(b[off : off+slot])
			w.fs.SetContent(name, b)
			w.durable = 1
			w.mustOpen(true)
			if err := w.j.Close(); err != nil {
				t.Fatal(err)
			}
			w.mustOpen(false)
			if err := w.append(20); err != nil {
				t.Fatal(err)
			}
			w.cut(seed)
			w.mustOpen(true)
		}
	}
}

// TestFullDiskPoisonsNothing lets the disk be full when a file is made and when one grows.
func TestFullDiskPoisonsNothing(t *testing.T) {
	for _, opts := range []Options{{FileSize: 4 << 10, Files: 3, step: 16 << 10}, small} {
		for _, op := range []string{"Create", "WriteAt", "Sync"} {
			fsys := crashfs.New()
			j, _ := mustOpen(t, fsys, 0, opts)
			p := strings.Repeat("x", 1000)
			for j.mu.files == nil || j.mu.files[0].pos+1100 <= j.mu.files[0].size {
				mustSync(t, j, mustAppend(t, j, p))
			}
			if opts.step < opts.FileSize && op == "Create" {
				continue // it grows
			}
			next := j.Next()
			fsys.SetHook(failOn(op, "", crashfs.Short(100, syscall.ENOSPC)))
			if _, err := j.Append([]byte(p)); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrPoisoned) {
				t.Fatalf("%s fails: %v", op, err)
			}
			fsys.SetHook(nil)
			if seq := mustAppend(t, j, p); seq != next {
				t.Fatalf("%s failed: then record %d, want %d", op, seq, next)
			}
			mustSync(t, j, next)
			j.check(t)
			if _, got := mustOpen(t, fsys.Kill(), 0, opts); len(got) != int(next) {
				t.Fatalf("%s failed: replayed %s", op, text(got))
			}
		}
	}
}

func TestFailedSyncPoisons(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	mustSync(t, j, mustAppend(t, j, "one"))
	mustAppend(t, j, "two")
	fsys.SetHook(failOn("Sync", "", errPlanted))
	if err := j.Sync(2); !errors.Is(err, ErrPoisoned) || !errors.Is(err, errPlanted) || !strings.Contains(err.Error(), "unknown") {
		t.Fatal(err)
	}
	fsys.SetHook(nil)
	_, err := j.Append(nil)
	for _, err := range []error{err, j.Sync(2)} {
		if !errors.Is(err, ErrPoisoned) || !errors.Is(err, errPlanted) {
			t.Fatal(err)
		}
	}
	if err := j.Sync(1); err != nil {
		t.Fatalf("sync of what is durable: %v", err)
	}
	if err := j.Close(); err != nil || fsys.Handles() != 0 {
		t.Fatalf("%v, %d files open", err, fsys.Handles())
	}
}

// TestOpenMakesDurableWhatItReplays opens a journal whose Sync failed: the kernel shows the record, the disk lacks it.
func TestOpenMakesDurableWhatItReplays(t *testing.T) {
	for seed := range uint64(50) {
		w := newWorld(t, small)
		w.mustOpen(false)
		if err := w.append(1000); err != nil {
			t.Fatal(err)
		}
		w.fs.SetHook(failOn("Sync", "", errPlanted))
		if err := w.sync(1); !errors.Is(err, ErrPoisoned) {
			t.Fatal(err)
		}
		w.kill()
		w.mustOpen(false)
		if err := w.append(1000); err != nil {
			t.Fatal(err)
		}
		if err := w.sync(2); err != nil {
			t.Fatal(err)
		}
		w.cut(seed)
		w.mustOpen(true)
	}
}

// TestFailedAppendStaysAway lets a write fail that has happened, and the next record go to another file.
func TestFailedAppendStaysAway(t *testing.T) {
	for seed := range uint64(50) {
		w := newWorld(t, small)
		w.mustOpen(false)
		if err := w.append(3000); err != nil {
			t.Fatal(err)
		}
		first := true
		w.fs.SetHook(func(op crashfs.Op) error {
			if op.Kind == "WriteAt" && op.Off > 3000 && op.Len == 512 && first {
				first = false
				return crashfs.Happened(errPlanted)
			}
			return nil
		})
		if err := w.append(450); !errors.Is(err, errPlanted) || errors.Is(err, ErrPoisoned) {
			t.Fatal(err)
		}
		if err := w.append(2000); err != nil {
			t.Fatal(err)
		}
		w.cut(seed)
		w.mustOpen(true)
	}
}

// TestFailedGrowthPoisonsWhatItMayHaveLost lets the fdatasync of a growing file fail, which may be about a record.
func TestFailedGrowthPoisonsWhatItMayHaveLost(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	seq := mustAppend(t, j, "not synced")
	fsys.SetHook(failOn("Sync", "", errPlanted))
	if _, err := j.Append(make([]byte, 2000)); !errors.Is(err, ErrPoisoned) {
		t.Fatal(err)
	}
	fsys.SetHook(nil)
	if err := j.Sync(seq); !errors.Is(err, ErrPoisoned) {
		t.Fatal(err)
	}
}

// TestHalfMadeFileIsReplaced lets a file that cannot be finished not go away either.
func TestHalfMadeFileIsReplaced(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	fsys.SetHook(func(op crashfs.Op) error {
		if op.Kind == "Rename" || op.Kind == "Remove" && fsys.Content(op.Name) != nil {
			return errPlanted
		}
		return nil
	})
	if _, err := j.Append(nil); !errors.Is(err, errPlanted) || errors.Is(err, ErrPoisoned) {
		t.Fatal(err)
	}
	fsys.SetHook(nil)
	mustAppend(t, j, "one")
	if names := mustList(t, fsys); !slices.Equal(names, []string{fileName(1)}) {
		t.Fatalf("files %q", names)
	}
}

func TestOpenRemovesHalfMadeFiles(t *testing.T) {
	fsys := crashfs.New()
	fsys.SetContent(fileName(3)+newSuffix, []byte("half"))
	fsys.SetContent("journal-3", []byte("of somebody else"))
	mustOpen(t, fsys, 0, small)
	if names := mustList(t, fsys); !slices.Equal(names, []string{"journal-3"}) {
		t.Fatalf("files %q", names)
	}
}

func TestReplayErrorEndsOpen(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	mustAppend(t, j, "one")
	mustAppend(t, j, "two")
	fsys = fsys.Kill()
	calls := 0
	_, err := Open(fsys, 0, small, func(uint64, []byte) error { calls++; return errPlanted })
	if !errors.Is(err, errPlanted) || calls != 1 || fsys.Handles() != 0 {
		t.Fatalf("%v after %d calls, %d files open", err, calls, fsys.Handles())
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, o := range []Options{{FileSize: -1}, {FileSize: 5000}, {FileSize: 1 << 40}, {Files: -1}, {Files: 1 << 20}} {
		if _, _, err := tryOpen(crashfs.New(), 0, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	err := Options{FileSize: -1, Files: -1}.Validate()
	if err == nil || !strings.Contains(err.Error(), "FileSize") || !strings.Contains(err.Error(), "Files -1") {
		t.Errorf("not every problem at once: %v", err)
	}
}

func TestSyncOfWhatIsNotAppended(t *testing.T) {
	j, _ := mustOpen(t, crashfs.New(), 3, small)
	if err := j.Sync(4); err == nil {
		t.Fatal("synced a record that is not there")
	}
	if err := j.Sync(3); err != nil {
		t.Fatal(err)
	}
}

// TestCommitsShareSyncs holds the first fdatasync until all others have appended: a second one does for them.
func TestCommitsShareSyncs(t *testing.T) {
	const n = 8
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, Options{})
	mustSync(t, j, mustAppend(t, j, "the file is there"))
	var syncs, appended atomic.Int32
	all := make(chan struct{})
	fsys.SetHook(func(op crashfs.Op) error {
		if op.Kind == "Sync" && syncs.Add(1) == 1 {
			<-all
		}
		return nil
	})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			seq, err := j.Append([]byte("commit"))
			if appended.Add(1) == n {
				close(all)
			}
			if err == nil {
				err = j.Sync(seq)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if syncs.Load() > 2 {
		t.Fatalf("%d commits took %d fdatasyncs", n, syncs.Load())
	}
}

// TestSyncTellsWhatItSaw appends a record while an fdatasync runs: it takes another one.
func TestSyncTellsWhatItSaw(t *testing.T) {
	fsys := crashfs.New()
	j, _ := mustOpen(t, fsys, 0, small)
	seq := mustAppend(t, j, "one")
	syncs := 0
	fsys.SetHook(func(op crashfs.Op) error {
		if op.Kind == "Sync" {
			if syncs++; syncs == 1 {
				mustAppend(t, j, "two") // small enough to need no fdatasync itself
			}
		}
		return nil
	})
	mustSync(t, j, seq)
	mustSync(t, j, seq+1)
	if syncs != 2 {
		t.Fatalf("%d fdatasyncs", syncs)
	}
}

// TestFailedSyncIsToldToAll lets one fdatasync fail while others wait for the next: that it would succeed means nothing.
func TestFailedSyncIsToldToAll(t *testing.T) {
	const n = 8
	for range 50 {
		fsys := crashfs.New()
		j, _ := mustOpen(t, fsys, 0, Options{FileSize: 64 << 10, step: 256 << 10})
		mustSync(t, j, mustAppend(t, j, "the file is there"))
		var syncs, writes atomic.Int32
		all := make(chan struct{})
		fsys.SetHook(func(op crashfs.Op) error {
			switch {
			case op.Kind == "Sync" && syncs.Add(1) == 1:
				<-all
				for range 100 {
					runtime.Gosched() // so that most of them wait
				}
				return errPlanted
			case op.Kind == "WriteAt" && writes.Add(1) == n:
				close(all)
			}
			return nil
		})
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				seq, err := j.Append(nil)
				if err == nil {
					err = j.Sync(seq)
				}
				if !errors.Is(err, ErrPoisoned) {
					t.Errorf("told %v", err)
				}
			})
		}
		wg.Wait()
	}
}

// commits lets n goroutines commit each times, and checks that all is there.
func commits(t *testing.T, j *Journal, n, times int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for k := range times {
				seq, err := j.Append(fmt.Appendf(nil, "%d/%d%s", i, k, strings.Repeat("x", 500*i)))
				if err == nil {
					err = j.Sync(seq)
				}
				if err != nil {
					t.Error(err)
					return
				}
				j.Release(seq) // no more than what is synced, since a commit makes all before it durable
			}
		})
	}
	wg.Wait()
	j.check(t)
}

func TestConcurrentCommits(t *testing.T) {
	for _, fsys := range []filesys.FS{crashfs.New(), filesys.Dir(t.TempDir())} {
		j, _ := mustOpen(t, fsys, 0, Options{FileSize: 64 << 10, Files: 2})
		commits(t, j, 8, 50)
		if j.Next() != 401 || j.Used() != 0 {
			t.Fatalf("next %d, %d bytes used", j.Next(), j.Used())
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j, got := mustOpen(t, fsys, 400, Options{})
		if len(got) != 0 || j.Next() != 401 {
			t.Fatalf("replayed %s", text(got))
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkAppendSync is a commit of three pages, in a directory of the operating system.
func BenchmarkAppendSync(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			j, err := Open(filesys.Dir(b.TempDir()), 0, Options{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			payload := make([]byte, 12<<10)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.SetBytes(int64(len(payload)))
			b.ResetTimer()
			for range n {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						seq, err := j.Append(payload)
						if err == nil {
							err = j.Sync(seq)
						}
						if err != nil {
							b.Error(err)
							return
						}
						j.Release(seq)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
