//go:build graft_wasm2go

package main

const engine = "wasm2go"

var engineFlags = []string{"-modfile=../../go.wasm2go.mod", "-tags=graft_wasm2go"}
