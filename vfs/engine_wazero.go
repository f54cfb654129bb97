//go:build !graft_wasm2go

package vfs

import (
	"math/bits"
	"os"
	"path/filepath"
	"sync"

	// The compiler says this name when go-sqlite3 is too new for the build.
	build_with_tag_graft_wasm2go_from_go_sqlite3_v0_33_on "github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/embed" // the SQLite that wazero runs
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// runtimeConfig is how go-sqlite3 runs wazero. From v0.33 on it does not.
var runtimeConfig = &build_with_tag_graft_wasm2go_from_go_sqlite3_v0_33_on.RuntimeConfig

// CacheEnv is the environment variable that says where the compiled SQLite is
// kept: a folder, or "off". Without it, it is the folder graft/wazero of the
// user's cache directory. Compiling takes about a second, loading a few
// hundredths of one.
const CacheEnv = "GRAFT_WASM_CACHE"

// ConfigureEngine lets wazero keep the compiled SQLite on disk. Package driver
// calls it; a program that opens its first connection by go-sqlite3 alone may
// call it before. It does nothing the second time, when the program has set
// sqlite3.RuntimeConfig itself, or when there is no folder to keep it in; and in
// programs built with the tag graft_wasm2go, where nothing is compiled.
func ConfigureEngine() { configureEngine() }

var configureEngine = sync.OnceFunc(setRuntimeConfig)

func setRuntimeConfig() {
	if *runtimeConfig != nil {
		return
	}
	dir := cacheDir(os.Getenv(CacheEnv), os.UserCacheDir)
	if dir == "" {
		return
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return // slower, and no worse
	}
	pages := uint32(4096) // 256 MB, as go-sqlite3 itself sets
	if bits.UintSize < 64 {
		pages = 512
	}
	*runtimeConfig = wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(pages).
		WithCompilationCache(cache)
}

// cacheDir gives the folder of the compilation cache, or "" for none.
func cacheDir(env string, userCacheDir func() (string, error)) string {
	switch env {
	case "off":
		return ""
	case "":
	default:
		return env
	}
	dir, err := userCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "graft", "wazero")
}
