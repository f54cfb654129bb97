package orm

import (
	"testing"

	"github.com/pressly/goose/v3"

	"graft/grafttest"
)

func TestGoose(t *testing.T) {
	ctx := t.Context()
	db := grafttest.Open(t)
	g, err := goose.NewProvider(goose.DialectSQLite3, db, folder(t, "goose"))
	if err != nil {
		t.Fatal(err)
	}
	results, err := g.Up(ctx)
	if err != nil || len(results) != 2 {
		t.Fatalf("up ran %v, %v", results, err)
	}
	want(t, db, columns, "id,item,amount")
	if _, err := g.Down(ctx); err != nil {
		t.Fatal(err)
	}
	want(t, db, columns, "id,item")
	if v, err := g.GetDBVersion(ctx); err != nil || v != 1 {
		t.Errorf("version %d, %v, want 1", v, err)
	}
	if again, err := g.Up(ctx); err != nil || len(again) != 1 {
		t.Errorf("up runs %v, %v", again, err)
	}
	want(t, db, columns, "id,item,amount")
}
