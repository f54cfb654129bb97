package store

import (
	"os"
	"testing"
)

// TestMapping fails where ristretto loses files that it cuts.
func TestMapping(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := tryMapping(dir); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}
