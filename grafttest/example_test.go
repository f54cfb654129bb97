package grafttest_test

import (
	"testing"

	"graft/grafttest"
)

func ExampleOpen() {
	_ = func(t *testing.T) { // a test
		db := grafttest.Open(t)
		if _, err := db.Exec("CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("PRAGMA graft_push"); err != nil {
			t.Fatal(err)
		}
		elsewhere := grafttest.Replica(t, db)
		var n int
		if err := elsewhere.QueryRow("SELECT count(*) FROM orders").Scan(&n); err != nil || n != 0 {
			t.Errorf("the other machine has %d orders, %v", n, err)
		}
	}
	// Output:
}
