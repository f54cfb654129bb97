package driver_test

import (
	"database/sql"
	"fmt"
	"log"
	"os"

	_ "graft/driver"
)

func Example() {
	dir, err := os.MkdirTemp("", "graft-example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := sql.Open("graft", "tag=main remote=mem://shop dir="+dir)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE fruit(name TEXT, price INTEGER)"); err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO fruit VALUES ('apple', 30), ('pear', 45)"); err != nil {
		log.Fatal(err)
	}
	var text string
	if err := db.QueryRow("PRAGMA graft_push").Scan(&text); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	if err := db.QueryRow("SELECT name FROM fruit WHERE price > 40").Scan(&text); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// Pushed 2 commits with 2 pages as LSN 1 of the remote volume.
	// pear
}
