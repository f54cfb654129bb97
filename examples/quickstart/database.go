package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	_ "github.com/ncruces/go-sqlite3/driver"
)

const schema = `
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, description TEXT NOT NULL);
CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer, day TEXT NOT NULL, remark TEXT);
CREATE TABLE item(purchase INTEGER NOT NULL REFERENCES purchase, product INTEGER NOT NULL REFERENCES product, amount INTEGER NOT NULL);
`

const indexes = `
CREATE INDEX purchase_customer ON purchase(customer, day);
CREATE INDEX item_purchase ON item(purchase);
CREATE INDEX item_product ON item(product);
`

var words = strings.Fields(`amber anchor apple arrow autumn beacon birch bridge canvas cedar clover
	copper coral cotton crystal delta ember falcon feather fern flint forest garnet glacier granite
	harbor hazel honey island ivory jasper juniper lantern linen maple marble meadow moss oak opal
	orchard pebble pine prairie quartz raven reed river saddle silver slate spruce stone summit
	thistle timber valley velvet walnut willow winter`)

// allPurchases make a shop of about 26 MB.
const allPurchases = 120_000

// makeDatabase writes a shop, always the same for so many purchases, to a new file.
func makeDatabase(ctx context.Context, path string, purchases int) (err error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := fill(ctx, tx, purchases); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, indexes); err != nil {
		return err
	}
	return tx.Commit()
}

// fill writes the rows.
func fill(ctx context.Context, tx *sql.Tx, purchases int) error {
	customers, products := purchases/6, purchases/24
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = words[r.IntN(len(words))]
		}
		return strings.Join(parts, " ")
	}
	tables := []struct {
		insert string
		rows   int
		row    func(id int) []any
	}{
		{"INSERT INTO customer VALUES (?, ?, ?)", customers, func(id int) []any { return []any{id, text(2), text(1)} }},
		{"INSERT INTO product VALUES (?, ?, ?, ?)", products, func(id int) []any { return []any{id, text(2), 100 + r.IntN(9900), text(40)} }},
		{"INSERT INTO purchase VALUES (?, ?, ?, ?)", purchases, func(id int) []any {
			day := fmt.Sprintf("2026-%02d-%02d", 1+id*12/(purchases+1), 1+r.IntN(28))
			return []any{id, 1 + r.IntN(customers), day, text(12)}
		}},
		{"INSERT INTO item VALUES (?, ?, ?)", 2 * purchases, func(id int) []any {
			return []any{1 + r.IntN(purchases), 1 + r.IntN(products), 1 + r.IntN(5)}
		}},
	}
	for _, t := range tables {
		insert, err := tx.PrepareContext(ctx, t.insert)
		if err != nil {
			return err
		}
		for id := 1; id <= t.rows; id++ {
			if _, err := insert.ExecContext(ctx, t.row(id)...); err != nil {
				return errors.Join(err, insert.Close())
			}
		}
		if err := insert.Close(); err != nil {
			return err
		}
	}
	return nil
}

// known are queries for databases that the program knows by a table of theirs.
var known = map[string][]string{
	"Track": {
		"SELECT count(*) FROM Track",
		`SELECT Artist.Name, Album.Title, Track.Name FROM Track JOIN Album USING (AlbumId) JOIN Artist USING (ArtistId) WHERE TrackId = 1`,
	},
	"purchase": {
		"SELECT count(*) FROM product",
		`SELECT customer.name, purchase.day, product.name FROM customer
			JOIN purchase ON purchase.customer = customer.id
			JOIN item ON item.purchase = purchase.id
			JOIN product ON product.id = item.product
			WHERE customer.id = 4711 ORDER BY day DESC, product.id LIMIT 1`,
	},
}

// chooseQueries gives queries that the database can answer.
func chooseQueries(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var queries []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if q := known[name]; q != nil {
			queries = q
			break
		}
		if len(queries) < 3 {
			queries = append(queries, `SELECT count(*) FROM (SELECT 1 FROM "`+strings.ReplaceAll(name, `"`, `""`)+`" LIMIT 100)`)
		}
	}
	return queries, rows.Err()
}
