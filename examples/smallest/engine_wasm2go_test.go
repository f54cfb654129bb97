//go:build graft_wasm2go

package main

const (
	engine = "wasm2go"
	most   = 23.5 // it had 22.7
)

var engineFlags = []string{"-modfile=../../go.wasm2go.mod", "-tags=graft_wasm2go"}
