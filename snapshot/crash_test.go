package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"pgregory.net/rapid"

	"graft/internal/testdir"
)

// kill opens the store as a process that is killed now would leave it. Nothing works in
// the background but the store itself, which applies its journal when it likes.
func (g *graft) kill(t rapid.TB) {
	t.Helper()
	g.lives++
	old, dir := g.dir, filepath.Join(g.base, strconv.Itoa(g.lives))
	if err := errors.Join(testdir.CopyStill(dir, old), g.store.Close(), os.RemoveAll(old)); err != nil {
		t.Fatal(err)
	}
	g.dir = dir
	g.openStore(t)
}
