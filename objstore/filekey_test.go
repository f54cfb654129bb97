package objstore

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestKeyPath(t *testing.T) {
	for key, want := range map[string]string{
		// What graft puts.
		"volumes/74ggbzxuMf2uAg2sRyg9JE/log/fffffffffffffffe":                            "",
		"volumes/74ggbzxuMf2uAg2sRyg9JE/checkpoints/fffffffffffffffe-74ggbzxuMf2uAg2sRy": "",
		"volumes/74ggbzxuMf2uAg2sRyg9JE/pins/74ggbzxuMf2uAg2sRyg9JE":                     "",
		"volumes/74ggbzxuMf2uAg2sRyg9JE/floors/fffffffffffffffe":                         "",
		"segments/74ggbzxuMf2uAg2sRyg9JE":                                                "",
		"prefix/segments/x":                                                              "",
		// Other keys.
		"a":                         "a%",
		"a/b":                       "a/b%",
		"segments":                  "segments%",
		"segments/a/b":              "segments/a%/b%",
		"":                          "%-%",
		"/":                         "%-/%-%",
		"a//b":                      "a/%-/b%",
		"a/":                        "a/%-%",
		"../../x":                   "%2E%2E/%2E%2E/x%",
		"segments/..":               "segments/%2E%2E",
		"segments/.":                "segments/%2E",
		"segments/.a":               "segments/%2Ea",
		"segments/a.":               "segments/a%2E",
		"segments/a.b":              "segments/a.b",
		`segments/a\b`:              "segments/a%5Cb",
		"segments/C:":               "segments/C%3A",
		"segments/Con":              "segments/%43on",
		"segments/lpt1":             "segments/%6Cpt1",
		"nul.x/segments/prn.tar.gz": "%6Eul.x/segments/%70rn.tar.gz",
		"segments/console":          "segments/console",
		"segments/%41":              "segments/%2541",
		"segments/ü":                "segments/%C3%BC",
		".tmp/segments/x":           "%2Etmp/segments/x",
	} {
		if want == "" {
			want = key
		}
		if got := filepath.ToSlash(keyPath(key)); got != want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
}

func TestForeignNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", ".tmp", ".DS_Store", "%", "%4", "%-x", "a%4", "%41", "%2e", "a b", "con", "%zz", "a%%", "ü", "a.", "%-%-"} {
		for _, isDir := range []bool{false, true} {
			if part, ok := decodeName(name, isDir, "log"); ok && encodeName(part, isDir, "log") != name {
				t.Errorf("%q is read as %q", name, part)
			}
			if part, ok := decodeName(name, false, "log"); ok {
				t.Errorf("%q is read as %q", name, part)
			}
		}
	}
}

func FuzzKeyPath(f *testing.F) {
	for _, seed := range []string{"segments/a", "volumes/x/log/y", "../..", "a//b", "con/NUL", "%-%/%", "a\\b\x00"} {
		f.Add(seed, seed+"/")
	}
	f.Fuzz(func(t *testing.T, key, other string) {
		path := keyPath(key)
		if !filepath.IsLocal(path) || !utf8.ValidString(path) || strings.HasPrefix(path, tempDir) {
			t.Fatalf("%q: unsafe path %q", key, path)
		}
		if path == keyPath(other) && key != other {
			t.Fatalf("%q and %q have the same path %q", key, other, path)
		}
		if strings.HasPrefix(keyPath(other), path+string(filepath.Separator)) {
			t.Fatalf("the file of %q is a directory on the path of %q", key, other)
		}
		// The parts of the path give the key back.
		parts := strings.Split(path, string(filepath.Separator))
		back, parent := "", ""
		for i, name := range parts {
			isDir := i < len(parts)-1
			part, ok := decodeName(name, isDir, parent)
			if !ok {
				t.Fatalf("%q: %q is no name", key, name)
			}
			back, parent = back+part, part
			if isDir {
				back += "/"
			}
		}
		if back != key {
			t.Fatalf("%q comes back as %q", key, back)
		}
	})
}
