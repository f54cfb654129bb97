package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"graft"
)

// tag is the one that the work on pages has.
const tag = "main"

// history is a data directory with many commits, as a killed process left it.
// It was opened once since, and closed.
type history struct {
	dir       string
	afterKill outcome // of that first open
}

// killedHistory gives the history, which is built when it is first asked for.
func (e *env) killedHistory(ctx context.Context) (*history, error) {
	if e.history != nil {
		return e.history, nil
	}
	h := &history{}
	var err error
	h.dir, err = e.build("history", func(dir string) error {
		_, err := child(ctx, job{Kind: "build", Dir: dir, Pages: e.size.pages, Commits: e.size.commits, Hold: true})
		return err
	})
	if err != nil {
		return nil, err
	}
	e.rest(ctx)
	h.afterKill, err = child(ctx, job{Kind: "open", Dir: h.dir, Pages: e.size.pages, Commits: e.size.commits})
	if err != nil {
		return nil, fmt.Errorf("open after a kill: %w", err)
	}
	e.history = h
	return h, nil
}

// buildJob makes a history. It is left open when the job holds.
func buildJob(ctx context.Context, j job) (outcome, error) {
	db, g, err := openGraft(ctx, j.Dir)
	if err != nil {
		return outcome{}, err
	}
	err = writeHistory(ctx, g, j.Pages, j.Commits)
	if err != nil || !j.Hold {
		err = errors.Join(err, db.Close())
	}
	return outcome{}, err
}

// writeHistory makes one commit of all pages, and then commits of one page.
func writeHistory(ctx context.Context, g *graft.Graft, pages, commits int) error {
	if err := writeAll(ctx, g, pages, 0); err != nil {
		return err
	}
	choose := chosenPages(pages)
	for version := 1; version <= commits; version++ {
		p := choose()
		_, err := g.Update(ctx, func(w *graft.Writer) error { return w.Write(p, makePage(p, version)) })
		if err != nil {
			return fmt.Errorf("commit %d: %w", version, err)
		}
	}
	return nil
}

// writeAll writes all pages in one transaction.
func writeAll(ctx context.Context, g *graft.Graft, pages, version int) error {
	_, err := g.Update(ctx, func(w *graft.Writer) error {
		for p := graft.PageIdx(1); int(p) <= pages; p++ {
			if err := w.Write(p, makePage(p, version)); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// chosenPages gives the pages of the commits of a history, one after the other.
func chosenPages(pages int) func() graft.PageIdx {
	r := rand.New(rand.NewPCG(1, 0))
	return func() graft.PageIdx { return graft.PageIdx(1 + r.IntN(pages)) }
}

// versions gives the newest version of each page of a history, by index.
func versions(pages, commits int) []int {
	newest := make([]int, pages+1)
	choose := chosenPages(pages)
	for version := 1; version <= commits; version++ {
		newest[choose()] = version
	}
	return newest
}

// noise is what pages are made of.
var noise = sync.OnceValue(func() *graft.Page {
	var page graft.Page
	r := rand.New(rand.NewPCG(2, 0))
	for i := 0; i < len(page); i += 8 {
		binary.LittleEndian.PutUint64(page[i:], r.Uint64())
	}
	return &page
})

// makePage gives a page that no other index or version has. It does not
// compress.
func makePage(p graft.PageIdx, version int) *graft.Page {
	page := *noise()
	for i := 0; i < len(page); i += 512 {
		putStamp(page[i:], p, version)
	}
	return &page
}

func putStamp(b []byte, p graft.PageIdx, version int) {
	binary.LittleEndian.PutUint32(b, uint32(p))
	binary.LittleEndian.PutUint32(b[4:], uint32(version))
}

// checkPage fails unless the page is one that makePage gives.
func checkPage(page *graft.Page, p graft.PageIdx, version int) error {
	var want [8]byte
	putStamp(want[:], p, version)
	if [8]byte(page[:8]) != want {
		return fmt.Errorf("page %d begins with %x, not %x", p, page[:8], want)
	}
	return nil
}

// openGraft opens a data directory and its Graft.
func openGraft(ctx context.Context, dir string) (*graft.DB, *graft.Graft, error) {
	return openGraftWith(ctx, dir, nil)
}

func openGraftWith(ctx context.Context, dir string, opts *graft.Options) (*graft.DB, *graft.Graft, error) {
	db, err := graft.Open(ctx, dir, opts)
	if err != nil {
		return nil, nil, err
	}
	g, err := db.Graft(ctx, tag)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, g, nil
}

// closeReader releases a Reader where that takes a call.
func closeReader(r *graft.Reader) error {
	switch c := any(r).(type) {
	case interface{ Close() error }:
		return c.Close()
	case interface{ Close() }:
		c.Close()
	}
	return nil
}
