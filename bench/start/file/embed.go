//go:build !graft_wasm2go

package main

import (
	"os"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/embed" // the SQLite that wazero runs
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// With a folder of compiled code in the environment SQLite is not compiled again,
// as graft does it: see vfs.ConfigureEngine.
func init() {
	dir := os.Getenv("START_CACHE")
	if dir == "" {
		return
	}
	if cache, err := wazero.NewCompilationCacheWithDir(dir); err == nil {
		sqlite3.RuntimeConfig = wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(4096).WithCompilationCache(cache)
	}
}
