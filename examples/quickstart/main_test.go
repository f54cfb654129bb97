package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A short run has an eighth of the database.
func TestOwnDatabase(t *testing.T) {
	source, products, least := "", "5000", int64(20<<20)
	if testing.Short() {
		source, products, least = filepath.Join(t.TempDir(), "shop.sqlite"), "625", 5<<19
		if err := makeDatabase(context.Background(), source, allPurchases/8); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	r, err := run(context.Background(), &out, source)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	check(t, r)
	if r.exported < least {
		t.Errorf("the database has %d bytes, want at least %d", r.exported, least)
	}
	if got := r.answers["SELECT count(*) FROM product"]; got != products {
		t.Errorf("products: %q", got)
	}
}

func TestChinook(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "data", "chinook.sqlite")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the Chinook database is not in the shared folder")
	}
	var out bytes.Buffer
	r, err := run(context.Background(), &out, path)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	check(t, r)
	if got := r.answers["SELECT count(*) FROM Track"]; got != "3503" {
		t.Errorf("tracks: %q", got)
	}
	for q, answer := range r.answers {
		if strings.Contains(q, "JOIN") && answer != "AC/DC, For Those About To Rock We Salute You, For Those About To Rock (We Salute You)" {
			t.Errorf("%s: %q", q, answer)
		}
	}
}

// check tests what holds for every database. run itself compares the exports
// and the integrity of both sides.
func check(t *testing.T, r report) {
	t.Helper()
	if p := r.presentBefore; p.Present == 0 || p.Present >= p.Written {
		t.Errorf("the clone held %d of %d pages after its queries", p.Present, p.Written)
	}
	if len(r.answers) < 2 {
		t.Errorf("answers: %q", r.answers)
	}
}

func TestBadSource(t *testing.T) {
	text := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(text, bytes.Repeat([]byte("Dear reader. "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := run(context.Background(), &bytes.Buffer{}, text)
	if err == nil || !strings.Contains(err.Error(), "not a SQLite database") {
		t.Errorf("a letter: %v", err)
	}
	_, err = run(context.Background(), &bytes.Buffer{}, text+".missing")
	if err == nil || !strings.Contains(err.Error(), "letter.txt.missing") {
		t.Errorf("no file: %v", err)
	}
}
