package main

import (
	"errors"
	"testing"
)

// needMemory skips a test where the memory of a process cannot be read on this
// system. Where it should be, an error fails the test.
func needMemory(t *testing.T) {
	t.Helper()
	_, err := anonymousMemory()
	if unsupported := skipped(""); errors.As(err, &unsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
