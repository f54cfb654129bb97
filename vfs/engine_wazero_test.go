//go:build !graft_wasm2go

package vfs

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
)

// TestARuntimeConfigOfTheProgramStays has the program choose how wazero runs.
func TestARuntimeConfigOfTheProgramStays(t *testing.T) {
	before := *runtimeConfig
	defer func() { *runtimeConfig = before }()
	its := wazero.NewRuntimeConfigInterpreter()
	*runtimeConfig = its
	setRuntimeConfig()
	if *runtimeConfig != its {
		t.Error("it was overwritten")
	}
	*runtimeConfig = nil
	t.Setenv(CacheEnv, t.TempDir())
	setRuntimeConfig()
	if *runtimeConfig == nil {
		t.Error("without one there is no cache")
	}
}

func TestCacheDir(t *testing.T) {
	home := func() (string, error) { return "cache", nil }
	none := func() (string, error) { return "", errors.New("no home") }
	for _, c := range []struct {
		env  string
		home func() (string, error)
		want string
	}{
		{"", home, filepath.Join("cache", "graft", "wazero")},
		{"off", home, ""},
		{"elsewhere", home, "elsewhere"},
		{"elsewhere", none, "elsewhere"},
		{"", none, ""},
	} {
		if got := cacheDir(c.env, c.home); got != c.want {
			t.Errorf("%q: %q, want %q", c.env, got, c.want)
		}
	}
}
