package orm

import (
	"database/sql"
	"testing"

	"github.com/jmoiron/sqlx"

	"graft/grafttest"
)

func TestSqlx(t *testing.T) {
	type fruit struct {
		Name  string
		Price sql.NullInt64
	}
	db := sqlx.NewDb(grafttest.Open(t), "sqlite3") // the name chooses the form of parameters
	db.MustExec("CREATE TABLE fruit(name TEXT PRIMARY KEY, price INTEGER)")
	tx := db.MustBeginTx(t.Context(), nil)
	_, err := tx.NamedExec("INSERT INTO fruit(name, price) VALUES (:name, :price)", []fruit{
		{"apple", sql.NullInt64{Int64: 30, Valid: true}},
		{"pear", sql.NullInt64{Int64: 45, Valid: true}},
		{"quince", sql.NullInt64{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	var got []fruit
	if err := db.Select(&got, "SELECT * FROM fruit WHERE price > ? ORDER BY name", 20); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[1] != (fruit{"pear", sql.NullInt64{Int64: 45, Valid: true}}) {
		t.Errorf("fruit over 20 is %v", got)
	}
	query, args, err := sqlx.In("SELECT count(*) FROM fruit WHERE name IN (?)", []string{"apple", "quince"})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.Get(&n, db.Rebind(query), args...); err != nil || n != 2 {
		t.Errorf("%d of apple and quince, %v", n, err)
	}
	rows, err := db.NamedQuery("SELECT price FROM fruit WHERE name = :name", map[string]any{"name": "quince"})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[string]any{}
	if !rows.Next() || rows.MapScan(m) != nil || m["price"] != nil || len(m) != 1 {
		t.Errorf("quince is %v, %v", m, rows.Err())
	}
}
