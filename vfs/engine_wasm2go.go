//go:build graft_wasm2go

package vfs

// CacheEnv is the environment variable that says where wazero keeps what it
// compiles. With the tag graft_wasm2go there is no wazero, and it says nothing.
const CacheEnv = "GRAFT_WASM_CACHE"

// ConfigureEngine does nothing: SQLite was translated to Go when go-sqlite3 was
// made.
func ConfigureEngine() {}
