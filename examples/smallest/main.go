// Command smallest is the least program that has what graft is for: SQL over a database of which a folder is the
// bucket. Its size is what graft adds to a program, and the test keeps it from growing.
//
//	smallest DIRECTORY BUCKET STATEMENT...
//
// It runs each statement on the tag main of the data directory, and prints the rows that it gives. BUCKET is the
// absolute path of a folder.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"graft"
	"graft/driver"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: smallest DIRECTORY BUCKET STATEMENT...")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "smallest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir, bucket string, statements []string) (err error) {
	store, err := graft.Open(ctx, dir, &graft.Options{Remote: bucketURL(bucket)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	connector, err := driver.NewConnector(store, "main", nil)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, statement := range statements {
		if err := query(ctx, out, db, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// bucketURL is that of a folder.
func bucketURL(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// query runs a statement and prints its rows, with tabs between columns.
func query(ctx context.Context, out io.Writer, db *sql.DB, statement string) error {
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, row := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		row[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(row...); err != nil {
			return err
		}
		for i, v := range values {
			if i > 0 {
				fmt.Fprint(out, "\t")
			}
			fmt.Fprint(out, v.String)
		}
		fmt.Fprintln(out)
	}
	return rows.Err()
}
