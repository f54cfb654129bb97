package crashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"graft/internal/filesys"
)

var errPlanted = errors.New("planted")

// create makes a file whose content and name are durable.
func create(t *testing.T, s *FS, name string, content []byte) filesys.File {
	t.Helper()
	f, err := s.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, content, 0)
	if err := errors.Join(f.Sync(), s.SyncDir()); err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, f filesys.File, p []byte, off int64) {
	t.Helper()
	if n, err := f.WriteAt(p, off); n != len(p) || err != nil {
		t.Fatalf("write at %d: %d, %v", off, n, err)
	}
}

// crashes calls fn on what many power cuts leave, each of a world of its own.
func crashes(t *testing.T, world func() *FS, fn func(*FS)) {
	t.Helper()
	for seed := range uint64(500) {
		fn(world().Crash(rand.New(rand.NewPCG(seed, 0))))
	}
}

// outcomes counts what a file holds after many power cuts.
func outcomes(t *testing.T, name string, world func() *FS) map[string]int {
	seen := make(map[string]int)
	crashes(t, world, func(s *FS) {
		seen[string(s.Content(name))]++
	})
	return seen
}

func sectors(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n*sector) }

func TestSyncedContentSurvives(t *testing.T) {
	seen := outcomes(t, "a", func() *FS {
		s := New()
		f := create(t, s, "a", sectors('a', 2))
		write(t, f, sectors('b', 1), sector)
		if err := errors.Join(f.Truncate(3*sector), f.Sync()); err != nil {
			t.Fatal(err)
		}
		return s
	})
	want := slices.Concat(sectors('a', 1), sectors('b', 1), sectors(0, 1))
	if len(seen) != 1 || seen[string(want)] == 0 {
		t.Fatalf("%d outcomes", len(seen))
	}
}

func TestUnsyncedWriteIsKeptDroppedOrTorn(t *testing.T) {
	seen := outcomes(t, "a", func() *FS {
		s := New()
		write(t, create(t, s, "a", sectors('a', 2)), sectors('b', 3), 0)
		return s
	})
	for name, want := range map[string][]byte{
		"dropped":     sectors('a', 2),
		"kept":        sectors('b', 3),
		"length only": append(sectors('a', 2), sectors(0, 1)...),
		"first":       append(sectors('b', 1), sectors('a', 1)...),
		"last":        append(sectors('a', 2), sectors('b', 1)...),
	} {
		if seen[string(want)] == 0 {
			t.Errorf("never %s", name)
		}
	}
	for content := range seen {
		for off := 0; off < len(content); off += sector {
			if got := content[off : off+sector]; got != string(bytes.Repeat([]byte{got[0]}, sector)) {
				t.Fatalf("sector at %d is torn", off)
			}
		}
	}
}

func TestWritesAreLostIndependently(t *testing.T) {
	seen := outcomes(t, "a", func() *FS {
		s := New()
		f := create(t, s, "a", []byte("...."))
		for i := range int64(3) {
			write(t, f, []byte{'x'}, i)
		}
		if err := f.Truncate(3); err != nil {
			t.Fatal(err)
		}
		return s
	})
	for i := range 16 {
		want := []byte("....")
		for bit := range 3 {
			if i>>bit&1 == 1 {
				want[bit] = 'x'
			}
		}
		if i>>3 == 1 {
			want = want[:3]
		}
		if seen[string(want)] == 0 {
			t.Errorf("never %q", want)
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d outcomes", len(seen))
	}
}

func TestUnsyncedNamesAreKeptOrDropped(t *testing.T) {
	seen := make(map[string]int)
	crashes(t, func() *FS {
		s := New()
		for _, name := range []string{"a", "b"} {
			if err := create(t, s, name, []byte(name)).Close(); err != nil {
				t.Fatal(err)
			}
		}
		f, err := s.Create("c")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Close(), s.Remove("a"), s.Rename("b", "d")); err != nil {
			t.Fatal(err)
		}
		return s
	}, func(s *FS) {
		names, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprint(names)]++
		if d := s.Content("d"); d != nil && string(d) != "b" {
			t.Fatalf("renamed file holds %q", d)
		}
	})
	for _, want := range []string{"[a b]", "[b]", "[a d]", "[d]", "[a b c]", "[b c]", "[a c d]", "[c d]"} {
		if seen[want] == 0 {
			t.Errorf("never %s", want)
		}
		delete(seen, want)
	}
	if len(seen) != 0 {
		t.Errorf("also %v", seen)
	}
}

func TestSyncedNamesSurvive(t *testing.T) {
	crashes(t, func() *FS {
		s := New()
		create(t, s, "a", nil)
		return s
	}, func(s *FS) {
		if names, _ := s.List(); !slices.Equal(names, []string{"a"}) {
			t.Fatalf("names %q", names)
		}
	})
}

func TestFailedSyncLeavesLimbo(t *testing.T) {
	world := func() *FS {
		s := New()
		f := create(t, s, "a", []byte("....."))
		write(t, f, []byte("xy"), 0)
		s.SetHook(func(op Op) error { return errPlanted })
		if err := f.Sync(); err != errPlanted {
			t.Fatal(err)
		}
		s.SetHook(nil)
		b := make([]byte, 5)
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != "xy..." {
			t.Fatalf("reads %q, %v", b, err)
		}
		write(t, f, []byte("Y"), 1)
		write(t, f, []byte("z"), 2)
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, w := range map[string]func() *FS{
		"crash":          world,
		"kill and crash": func() *FS { return world().Kill() },
	} {
		seen := outcomes(t, "a", w)
		// The later writes are durable; of the ones in limbo the second is covered.
		if len(seen) != 2 || seen["xYz.."] == 0 || seen[".Yz.."] == 0 {
			t.Errorf("%s: outcomes %v", name, seen)
		}
	}
}

func TestKillKeepsWhatIsWritten(t *testing.T) {
	s := New()
	f := create(t, s, "a", []byte("...."))
	write(t, f, []byte("x"), 1)
	if _, err := s.Create("b"); err != nil {
		t.Fatal(err)
	}
	k := s.Kill()
	if names, err := k.List(); !slices.Equal(names, []string{"a", "b"}) || err != nil {
		t.Fatalf("names %q, %v", names, err)
	}
	if got := k.Content("a"); string(got) != ".x.." || k.Handles() != 0 {
		t.Fatalf("content %q, %d handles", got, k.Handles())
	}
	// Not more durable than it was.
	seen := outcomes(t, "a", s.Kill)
	if seen["...."] == 0 || seen[".x.."] == 0 {
		t.Fatalf("outcomes %v", seen)
	}
}

func TestOldHandlesAreGone(t *testing.T) {
	for _, end := range []func(*FS){
		func(s *FS) { s.Kill() },
		func(s *FS) { s.Crash(rand.New(rand.NewPCG(0, 0))) },
	} {
		s := New()
		f := create(t, s, "a", []byte("...."))
		end(s)
		wantGone(t, s, f)
	}
}

func wantGone(t *testing.T, s *FS, f filesys.File) {
	t.Helper()
	_, rerr := f.ReadAt(make([]byte, 1), 0)
	_, werr := f.WriteAt([]byte("x"), 0)
	_, serr := f.Size()
	_, oerr := s.Open("a")
	_, lerr := s.List()
	for i, err := range []error{rerr, werr, serr, oerr, lerr, f.Sync(), f.Truncate(0), f.Close(), s.SyncDir(), s.Remove("a")} {
		if !errors.Is(err, ErrGone) {
			t.Errorf("operation %d: %v", i, err)
		}
	}
}

func TestHookSeesAndFailsEachOperation(t *testing.T) {
	script := func(s *FS) (errs []error) {
		note := func(err error) { errs = append(errs, err) }
		f, err := s.Create("a")
		note(err)
		if f == nil {
			return errs
		}
		_, err = f.WriteAt([]byte("hello"), 0)
		note(err)
		_, err = f.ReadAt(make([]byte, 1), 0)
		note(err)
		_, err = f.Size()
		note(err)
		note(f.Truncate(4))
		note(f.Sync())
		note(f.Close())
		note(s.Rename("a", "b"))
		_, err = s.List()
		note(err)
		note(s.SyncDir())
		note(s.Remove("b"))
		_, err = s.Open("c")
		note(err)
		return errs
	}
	var kinds []string
	s := New()
	s.SetContent("c", []byte("c"))
	s.SetHook(func(op Op) error {
		if op.N != len(kinds) {
			t.Errorf("%s: %d operations seen", op, len(kinds))
		}
		kinds = append(kinds, op.Kind)
		return nil
	})
	script(s)
	want := []string{"Create", "WriteAt", "ReadAt", "Size", "Truncate", "Sync", "Close", "Rename", "List", "SyncDir", "Remove", "Open"}
	if !slices.Equal(kinds, want) || s.Ops() != len(want) {
		t.Fatalf("operations %q", kinds)
	}
	for i := range want {
		s := New()
		s.SetContent("c", []byte("c"))
		s.SetHook(func(op Op) error {
			if op.N == i {
				return errPlanted
			}
			return nil
		})
		if errs := script(s); errs[i] != errPlanted {
			t.Errorf("%s did not fail: %v", want[i], errs)
		}
	}
}

func TestFlavoursOfFailure(t *testing.T) {
	for _, c := range []struct {
		err     error
		content string
		n       int
	}{
		{errPlanted, "....", 0},
		{Happened(errPlanted), "wxyz", 4},
		{Short(2, errPlanted), "wx..", 2},
		{Short(9, errPlanted), "wxyz", 4},
	} {
		s := New()
		f := create(t, s, "a", []byte("...."))
		s.SetHook(func(Op) error { return c.err })
		if n, err := f.WriteAt([]byte("wxyz"), 0); n != c.n || !errors.Is(err, errPlanted) {
			t.Errorf("%v: %d, %v", c, n, err)
		}
		if got := s.Content("a"); string(got) != c.content {
			t.Errorf("%v: content %q", c, got)
		}
		if err := f.Close(); !errors.Is(err, errPlanted) || s.Handles() != 0 {
			t.Errorf("%v: close: %v, %d handles", c, err, s.Handles())
		}
		f, err := s.Create("b")
		if f != nil || !errors.Is(err, errPlanted) || (s.Content("b") != nil) != (c.n == 4 && c.err.(fault).happened) {
			t.Errorf("%v: create: %v", c, err)
		}
	}
}

func TestSyncThatHappenedIsDurable(t *testing.T) {
	seen := outcomes(t, "a", func() *FS {
		s := New()
		f := create(t, s, "a", []byte("...."))
		write(t, f, []byte("x"), 0)
		s.SetHook(func(Op) error { return Happened(errPlanted) })
		if err := f.Sync(); !errors.Is(err, errPlanted) {
			t.Fatal(err)
		}
		return s
	})
	if len(seen) != 1 || seen["x..."] == 0 {
		t.Fatalf("outcomes %v", seen)
	}
}

func TestOpenFileKeepsItsName(t *testing.T) {
	s := New()
	f := create(t, s, "a", nil)
	if err := create(t, s, "b", nil).Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.Remove("a"), s.Rename("a", "c"), s.Rename("b", "a")} {
		if err == nil {
			t.Error("an open file lost its name")
		}
	}
	if err := errors.Join(f.Close(), s.Rename("b", "a"), s.Remove("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestSeedReproduces(t *testing.T) {
	world := func() *FS {
		s := New()
		f := create(t, s, "a", nil)
		for i := range int64(20) {
			write(t, f, sectors(byte(i), 3), i*sector)
		}
		return s
	}
	for seed := range uint64(50) {
		a := world().Crash(rand.New(rand.NewPCG(seed, 0)))
		b := world().Crash(rand.New(rand.NewPCG(seed, 0)))
		if !bytes.Equal(a.Content("a"), b.Content("a")) {
			t.Fatalf("seed %d gives two outcomes", seed)
		}
	}
}
