package graft_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"graft"
)

// A program without SQL: pages of two data directories with a bucket between
// them.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "graft-example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	opts := &graft.Options{Remote: "mem://example"}

	first, err := graft.Open(ctx, dir+"/first", opts)
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()
	notes, err := first.Graft(ctx, "notes")
	if err != nil {
		log.Fatal(err)
	}
	lsn, err := notes.Update(ctx, func(w *graft.Writer) error {
		page := new(graft.Page)
		copy(page[:], "hello")
		return w.Write(1, page)
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("committed LSN", lsn)
	pushed, err := notes.Push(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pushed as LSN", pushed.LSN)
	info, err := notes.Info()
	if err != nil {
		log.Fatal(err)
	}

	second, err := graft.Open(ctx, dir+"/second", opts)
	if err != nil {
		log.Fatal(err)
	}
	defer second.Close()
	replica, err := second.Graft(ctx, "notes")
	if err != nil {
		log.Fatal(err)
	}
	if err := replica.Clone(ctx, info.Remote); err != nil {
		log.Fatal(err)
	}
	err = replica.View(func(r *graft.Reader) error {
		page, err := r.Page(ctx, 1)
		if err != nil {
			return err
		}
		fmt.Printf("%s, from %d page\n", page[:5], r.PageCount())
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// committed LSN 1
	// pushed as LSN 1
	// hello, from 1 page
}

// The context of an operation takes the function that its progress is told to.
func ExampleWithProgress() {
	dir, err := os.MkdirTemp("", "graft-example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := graft.Open(context.Background(), dir, &graft.Options{Remote: "mem://progress"})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	notes, err := db.Graft(context.Background(), "notes")
	if err != nil {
		log.Fatal(err)
	}
	_, err = notes.Update(context.Background(), func(w *graft.Writer) error {
		return w.Write(1, &graft.Page{'h', 'i'})
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := graft.WithProgress(context.Background(), func(p graft.Progress) {
		if p.Phase == graft.PhaseDone {
			fmt.Printf("%s: %d of %d pages by %d request\n", p.Op, p.Pages, p.TotalPages, p.Requests)
		}
	})
	if _, err := notes.Push(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// push: 1 of 1 pages by 1 request
}
