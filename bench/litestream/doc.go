//go:build !vfs

// Program litestream takes the tag vfs: see main.go.
package main

func main() { panic("build it with the tag vfs, and cgo") }
