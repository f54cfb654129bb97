package platform

import (
	"os"
	"path/filepath"
	"testing"

	"graft/internal/testbuild"
)

// mobileMost is what examples/mobile/demo may have for android/arm64 on each engine, in MB of 1,000,000 bytes, stripped; when
// this was written it had 23.5 on wazero and 24.1 on wasm2go. Whoever adds to it on purpose raises it, and says in the commit
// what for.
var mobileMost = map[string]float64{wazero.name: 24.2, wasm2go.name: 24.8}

// TestMobileSize links the program on package mobile for android/arm64 without an NDK, and keeps it from growing by an
// import that nobody looked at.
func TestMobileSize(t *testing.T) {
	if os.Getenv("GRAFT_CROSS") == "" {
		t.Skip("make cross runs it")
	}
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "demo")
			size, err := testbuild.Size(path, root, "./examples/mobile/demo", target{"android", "arm64"}.env(), engine.flags)
			if err != nil {
				t.Fatal(err)
			}
			if t.Logf("%.1f MB", size); size > mobileMost[engine.name] {
				t.Errorf("%.2f MB, more than %v", size, mobileMost[engine.name])
			}
		})
	}
}
