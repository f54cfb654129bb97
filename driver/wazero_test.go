//go:build !graft_wasm2go

package driver_test

import (
	"os"
	"os/exec"
	"testing"

	"graft/vfs"
)

// TestTheCompiledSQLiteIsKept runs another process that opens a database, with a
// cache folder of its own and with the cache off.
func TestTheCompiledSQLiteIsKept(t *testing.T) {
	for setting, kept := range map[string]bool{"": true, "off": false} {
		home := t.TempDir()
		if kept {
			setting = home
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), holderEnv+"="+t.TempDir(), vfs.CacheEnv+"="+setting, "XDG_CACHE_HOME="+home)
		out, err := child.Output()
		if err != nil || string(out) != "ready <nil>\n" {
			t.Fatalf("the other process says %q, %v", out, err)
		}
		entries, err := os.ReadDir(home)
		if err != nil || (len(entries) > 0) != kept {
			t.Errorf("%s=%s: the cache folder has %v, %v", vfs.CacheEnv, setting, entries, err)
		}
	}
}
