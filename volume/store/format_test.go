package store

import (
	"errors"
	"math/rand/v2"
	"testing"

	"graft/internal/filesys/crashfs"
	"graft/volume"
)

// formatWorlds are directories that a store is opened in.
var formatWorlds = map[string]func() *crashfs.FS{
	"new": crashfs.New,
	"another draft was left": func() *crashfs.FS {
		files := crashfs.New()
		files.SetContent(formatFile+".new", []byte("graft data dir"))
		return files
	},
	"marked": func() *crashfs.FS {
		files := crashfs.New()
		files.SetContent(formatFile, []byte(formatText(formatVersion, bigEndian)))
		return files
	},
}

// checkMarked wants the directory to open as new or as what it is, and to stay
// so. Without faults before the mark is durable.
func checkMarked(t *testing.T, files *crashfs.FS, durable bool) {
	t.Helper()
	for range 2 {
		if err := checkFormat(files); err != nil {
			t.Fatal(err)
		}
		if n := files.Handles(); n != 0 {
			t.Fatalf("%d files are open", n)
		}
		files = files.Crash(rand.New(rand.NewPCG(1, 1)))
		got := files.Content(formatFile)
		if durable && got == nil || got != nil && string(got) != formatText(formatVersion, bigEndian) {
			t.Fatalf("%s is %q after a power cut", formatFile, got)
		}
	}
}

// TestFormatFaults lets operation number i of checkFormat fail, or all from it
// on, and then ends the process or cuts the power.
func TestFormatFaults(t *testing.T) {
	for place, world := range formatWorlds {
		t.Run(place, func(t *testing.T) {
			checkMarked(t, world(), true)
			for _, fault := range flavours {
				for at := 0; formatFault(t, world, fault, func(n int) bool { return n == at }); at++ {
				}
				for at := 0; formatFault(t, world, fault, func(n int) bool { return n >= at }); at++ {
				}
			}
		})
	}
}

// formatFault runs checkFormat with operations that fail. It tells whether it
// came to that.
func formatFault(t *testing.T, world func() *crashfs.FS, fault error, fails func(n int) bool) (hit bool) {
	t.Helper()
	for seed := range uint64(20) {
		files := world()
		files.SetHook(func(op crashfs.Op) error {
			if !fails(op.N) {
				return nil
			}
			hit = true
			return fault
		})
		err := checkFormat(files)
		if err != nil && (!errors.Is(err, errPlanted) || errors.Is(err, volume.ErrCorrupt)) {
			t.Fatal(err)
		}
		if n := files.Handles(); n != 0 {
			t.Fatalf("%d files are open", n)
		}
		if seed == 0 {
			files = files.Kill()
		} else {
			files = files.Crash(rand.New(rand.NewPCG(seed, 0)))
		}
		checkMarked(t, files, err == nil && !hit)
	}
	return hit
}

// TestFormatErrorIsNoVerdict wants a FORMAT that cannot be read to be an error
// of the disk, not of the directory, and nothing to be written over it.
func TestFormatErrorIsNoVerdict(t *testing.T) {
	for _, kind := range []string{"Open", "ReadAt", "Close"} {
		files := formatWorlds["marked"]()
		files.SetContent(formatFile, []byte("graft data directory, format 7\n"))
		files.SetHook(func(op crashfs.Op) error {
			if op.Kind == kind && op.Name == formatFile {
				return errPlanted
			}
			return nil
		})
		if err := checkFormat(files); !errors.Is(err, errPlanted) || errors.Is(err, volume.ErrCorrupt) || errors.Is(err, volume.ErrVersion) {
			t.Errorf("%s: %v", kind, err)
		}
		files.SetHook(nil)
		if err := checkFormat(files); !errors.Is(err, volume.ErrVersion) {
			t.Errorf("%s: afterwards: %v", kind, err)
		}
	}
}

// TestFormatOfTheOtherByteOrder: Badger would take it for damage.
func TestFormatOfTheOtherByteOrder(t *testing.T) {
	files := crashfs.New()
	files.SetContent(formatFile, []byte(formatText(formatVersion, !bigEndian)))
	if err := checkFormat(files); !errors.Is(err, volume.ErrVersion) || errors.Is(err, volume.ErrCorrupt) {
		t.Error(err)
	}
	for _, text := range []string{"graft data directory, format 1", "graft data directory, format 1, little endian\n", "graft data directory, format 1\n\n"} {
		files.SetContent(formatFile, []byte(text))
		if err := checkFormat(files); !errors.Is(err, volume.ErrCorrupt) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, big := range []bool{false, true} {
		f.Add(formatText(formatVersion, big))
	}
	f.Add("graft data directory, format 01\n")
	f.Fuzz(func(t *testing.T, text string) {
		version, big, ok := parseFormat(text)
		if ok && formatText(version, big) != text {
			t.Errorf("%q is version %d, big endian %v", text, version, big)
		}
	})
}
