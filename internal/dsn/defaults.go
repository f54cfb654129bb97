package dsn

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// WithDefaults fills in the data directory and the bucket, where c has none,
// from the environment (GRAFT_DIR, GRAFT_REMOTE) and the custom of the
// operating system.
func (c Config) WithDefaults() (Config, error) {
	c.DefaultRemote = os.Getenv("GRAFT_REMOTE")
	if c.Dir == "" {
		c.Dir = os.Getenv("GRAFT_DIR")
	}
	if c.Dir == "" {
		home, _ := os.UserHomeDir() // empty is a home that nobody has
		c.Dir = defaultDir(runtime.GOOS, os.Getenv, home)
	}
	if c.Dir == "" {
		return c, errors.New("graft: no data directory: add dir=PATH to the data source name, or set GRAFT_DIR")
	}
	return c, nil
}

// defaultDir is where data of an application belongs on an operating system, or
// empty where that is not known.
func defaultDir(goos string, getenv func(string) string, home string) string {
	switch goos {
	case "windows":
		if dir := getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, "graft")
		}
		return ""
	case "darwin":
		if home != "" {
			return filepath.Join(home, "Library", "Application Support", "graft")
		}
		return ""
	case "android", "ios", "js", "wasip1", "plan9":
		return ""
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "graft")
	}
	if home != "" {
		return filepath.Join(home, ".local", "share", "graft")
	}
	return ""
}
