//go:build !graft_wasm2go

package main

const (
	engine = "wazero"
	most   = 22.9 // it had 22.1
)

var engineFlags []string
