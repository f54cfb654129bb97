package graft

import (
	"strings"
	"testing"
)

// A reset keeps what it resets, although the Tag has moved since it looked.
func TestResetBacksUpTheGraftThatItResets(t *testing.T) {
	ctx := t.Context()
	db, err := Open(ctx, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g, err := db.Graft(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		page := new(Page)
		copy(page[:], text)
		if _, err := g.Update(ctx, func(w *Writer) error { return w.Write(1, page) }); err != nil {
			t.Fatal(err)
		}
	}
	write("mine")
	head := g.head.Load()
	if err := g.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	write("another")
	backup, err := g.backUp(ctx, head, head.State().LocalHead)
	if err != nil {
		t.Fatal(err)
	}
	err = backup.View(func(r *Reader) error {
		page, err := r.Page(ctx, 1)
		if err == nil && !strings.HasPrefix(string(page[:]), "mine\x00") {
			t.Errorf("%q has %q", backup.Tag(), page[:8])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
