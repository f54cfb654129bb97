// Package testbuild links programs for tests of their sizes.
package testbuild

import (
	"fmt"
	"os"
	"os/exec"
)

// Size links a program, stripped, to path, and gives its size in MB of 1,000,000 bytes. The package is looked up in dir, ""
// for the current one; env is what the environment has beside, and flags are those of go build.
func Size(path, dir, pkg string, env, flags []string) (float64, error) {
	args := append([]string{"build", "-ldflags=-s -w", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("link %s: %w: %s", pkg, err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / 1e6, nil
}
