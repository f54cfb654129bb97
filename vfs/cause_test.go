package vfs

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"graft"
)

func TestACauseBelongsToItsErrorAlone(t *testing.T) {
	full := fmt.Errorf("commit: %w", graft.ErrFull)
	f := &file{}
	if got := f.fail(full, sqlite3.IOERR_FSYNC); got == nil {
		t.Fatal("no error")
	}
	for err, want := range map[error]bool{nil: false, sqlite3.FULL: true, sqlite3.ERROR: false, sqlite3.IOERR_FSYNC: false, errors.New("x"): false} {
		if f.causes(err) != want {
			t.Errorf("%v causes %v: %v", full, err, !want)
		}
	}
	f = &file{}
	_ = f.fail(graft.ErrStale, sqlite3.IOERR_LOCK)
	for err, want := range map[error]bool{sqlite3.BUSY_SNAPSHOT: true, sqlite3.BUSY: false} { // the second may be another file's
		if f.causes(err) != want {
			t.Errorf("it causes %v: %v", err, !want)
		}
	}
	f.keepCause(graft.ErrDiverged, sqlite3.ExtendedErrorCode(sqlite3.ERROR))
	for text, want := range map[string]bool{"no such table": false, "x: " + graft.ErrDiverged.Error(): true} {
		if f.causes(fmt.Errorf("%s%w", text, sqlite3.ERROR)) != want {
			t.Errorf("a pragma's error causes %q: %v", text, !want)
		}
	}
}
