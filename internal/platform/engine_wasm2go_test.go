//go:build graft_wasm2go

package platform

// thisEngine is the one that this test was built for.
var thisEngine = wasm2go
