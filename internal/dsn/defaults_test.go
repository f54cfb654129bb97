package dsn

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestDefaultDirFollowsTheOperatingSystem(t *testing.T) {
	abs := t.TempDir() // absolute wherever the test runs
	home := filepath.Join(abs, "home")
	for _, c := range []struct {
		name, goos string
		env        map[string]string
		home, want string
	}{
		{"linux", "linux", nil, home, filepath.Join(home, ".local", "share", "graft")},
		{"linux with XDG", "linux", map[string]string{"XDG_DATA_HOME": abs}, home, filepath.Join(abs, "graft")},
		{"linux with a relative XDG", "linux", map[string]string{"XDG_DATA_HOME": "data"}, home, filepath.Join(home, ".local", "share", "graft")},
		{"linux without a home", "linux", nil, "", ""},
		{"XDG without a home", "linux", map[string]string{"XDG_DATA_HOME": abs}, "", filepath.Join(abs, "graft")},
		{"freebsd", "freebsd", nil, home, filepath.Join(home, ".local", "share", "graft")},
		{"darwin", "darwin", map[string]string{"XDG_DATA_HOME": abs}, home, filepath.Join(home, "Library", "Application Support", "graft")},
		{"darwin without a home", "darwin", nil, "", ""},
		{"windows", "windows", map[string]string{"LocalAppData": abs}, home, filepath.Join(abs, "graft")},
		{"windows without LocalAppData", "windows", map[string]string{"XDG_DATA_HOME": abs}, home, ""},
		{"android", "android", map[string]string{"XDG_DATA_HOME": abs}, home, ""},
		{"ios", "ios", nil, home, ""},
	} {
		if got := defaultDir(c.goos, func(key string) string { return c.env[key] }, c.home); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWithDefaultsPrefersWhatIsGiven(t *testing.T) {
	t.Setenv("GRAFT_DIR", "/env/dir")
	t.Setenv("GRAFT_REMOTE", "mem://env")
	for name, c := range map[string]struct{ in, want Config }{
		"nothing given": {Config{Tag: "m"}, Config{Tag: "m", Dir: "/env/dir", DefaultRemote: "mem://env"}},
		"dir given":     {Config{Tag: "m", Dir: "/d"}, Config{Tag: "m", Dir: "/d", DefaultRemote: "mem://env"}},
		"both given":    {Config{Tag: "m", Dir: "/d", Remote: "mem://r"}, Config{Tag: "m", Dir: "/d", Remote: "mem://r", DefaultRemote: "mem://env"}},
	} {
		got, err := c.in.WithDefaults()
		if err != nil || got.Tag != c.want.Tag || got.Dir != c.want.Dir || got.Remote != c.want.Remote || got.DefaultRemote != c.want.DefaultRemote {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWithDefaultsWithoutAnEnvironment(t *testing.T) {
	for _, key := range []string{"GRAFT_DIR", "GRAFT_REMOTE", "XDG_DATA_HOME", "LocalAppData", "HOME", "USERPROFILE", "home"} {
		t.Setenv(key, "")
	}
	_, err := Config{Tag: "m"}.WithDefaults()
	if err == nil {
		t.Fatal("makes up a data directory")
	}
	for _, word := range []string{"dir=", "GRAFT_DIR"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("LocalAppData", home)
	got, err := Config{Tag: "m"}.WithDefaults()
	if runtime.GOOS == "linux" && got.Dir != filepath.Join(home, ".local", "share", "graft") {
		t.Errorf("directory %q, %v", got.Dir, err)
	}
	if err == nil && (!strings.HasPrefix(got.Dir, home) || got.Remote != "" || got.DefaultRemote != "") {
		t.Errorf("%+v", got)
	}
}
