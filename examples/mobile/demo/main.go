// Command demo drives package mobile as an application would, on two devices and a folder for a bucket: one makes a
// list and pushes it, the other one clones it and reads it, writes into it and pushes, and the first one pulls.
//
//	demo [DIRECTORY]
//
// The devices and the bucket are folders of the directory, which is a temporary one if none is given.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"graft/examples/mobile"
)

func main() {
	dir := ""
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(os.Stdout, dir); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v (%s)\n", err, mobile.Kind(err))
		os.Exit(1)
	}
}

// printer is a Listener, as an application would show a bar.
type printer struct{ out io.Writer }

func (p printer) Progress(operation, phase string, bytes, total int64) bool {
	if phase == "done" {
		fmt.Fprintf(p.out, "  %s: %d bytes\n", operation, bytes)
	}
	return true
}

func run(out io.Writer, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "graft-mobile-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	bucket := filepath.ToSlash(filepath.Join(dir, "bucket"))
	if !strings.HasPrefix(bucket, "/") {
		bucket = "/" + bucket // C:/…
	}
	remote := (&url.URL{Scheme: "file", Path: bucket}).String()
	first, err := mobile.Open(filepath.Join(dir, "first"), "list", remote)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.Close()) }()
	second, err := mobile.Open(filepath.Join(dir, "second"), "list", remote)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	return share(out, first, second)
}

// share has both devices write one list.
func share(out io.Writer, first, second *mobile.Database) error {
	l := printer{out}
	if _, err := first.Execute("CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL)", nil); err != nil {
		return err
	}
	if err := add(first, "bread", "salt"); err != nil {
		return err
	}
	fmt.Fprintln(out, "first device pushes")
	if _, err := first.Push(l); err != nil {
		return err
	}
	volume, err := first.RemoteVolume()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "second device clones")
	if err := second.Clone(volume, l); err != nil {
		return err
	}
	if err := add(second, "tea"); err != nil {
		return err
	}
	fmt.Fprintln(out, "second device pushes")
	if _, err := second.Push(l); err != nil {
		return err
	}
	fmt.Fprintln(out, "first device pulls")
	if _, err := first.Pull(l); err != nil {
		return err
	}
	return list(out, first)
}

func add(d *mobile.Database, names ...string) error {
	for _, name := range names {
		args := mobile.NewArgs()
		args.AddText(name)
		if _, err := d.Execute("INSERT INTO item(name) VALUES (?)", args); err != nil {
			return err
		}
	}
	return nil
}

func list(out io.Writer, d *mobile.Database) (err error) {
	rows, err := d.Query("SELECT id, name FROM item ORDER BY id", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		more, err := rows.Next()
		if err != nil || !more {
			return err
		}
		id, err := rows.Integer(0)
		if err != nil {
			return err
		}
		name, err := rows.Text(1)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d %s\n", id, name)
	}
}
