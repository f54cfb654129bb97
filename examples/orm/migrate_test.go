package orm

import (
	"errors"
	"testing"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"graft/grafttest"
)

func TestGolangMigrate(t *testing.T) {
	db := grafttest.Open(t)
	target, err := sqlite.WithInstance(db, &sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	source, err := iofs.New(folder(t, "migrate"), ".")
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.NewWithInstance("iofs", source, "graft", target)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Up(); err != nil {
		t.Fatal(err)
	}
	want(t, db, columns, "id,item,amount")
	if err := m.Steps(-1); err != nil {
		t.Fatal(err)
	}
	want(t, db, columns, "id,item")
	if v, dirty, err := m.Version(); err != nil || v != 1 || dirty {
		t.Errorf("version %d, dirty %v, %v, want 1", v, dirty, err)
	}
	if err := m.Up(); err != nil {
		t.Error(err)
	}
	if err := m.Up(); !errors.Is(err, migrate.ErrNoChange) {
		t.Errorf("up again gives %v, want ErrNoChange", err)
	}
	if err := m.Down(); err != nil {
		t.Error(err)
	}
	want(t, db, columns, "")
	if source, target := m.Close(); source != nil || target != nil {
		t.Error(source, target)
	}
}
