//go:build !graft_wasm2go

package main

const engine = "wazero"

var engineFlags []string
