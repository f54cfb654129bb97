package vfs

import (
	"context"
	"testing"

	sqlite3vfs "github.com/ncruces/go-sqlite3/vfs"

	"graft"
)

func TestATurnThatIsNotTakenIsGivenBack(t *testing.T) {
	ctx := context.Background()
	db, err := graft.Open(ctx, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g, err := db.Graft(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	f := &file{vfs: &graftVFS{}, graft: g}
	for _, locks := range []bool{false, true} {
		if f.turn, err = g.Writer(ctx); err != nil {
			t.Fatal(err)
		}
		if locks {
			if err := f.Lock(sqlite3vfs.LOCK_SHARED); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Unlock(sqlite3vfs.LOCK_NONE); err != nil {
			t.Fatal(err)
		}
		if g.Busy() {
			t.Fatalf("locked %v: nobody writes, and the Graft is busy", locks)
		}
	}
}
