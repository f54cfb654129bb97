package graft_test

import (
	"testing"

	"graft"
	"graft/internal/testserver"
	_ "graft/objstore/azure"
	_ "graft/objstore/gcs"
	_ "graft/objstore/s3"
)

// TestClouds has one machine push to each server, a small push and one of many pages, and another clone, pull, hydrate
// and fork.
func TestClouds(t *testing.T) {
	for name, kind := range map[string]testserver.Kind{
		"s3, minio": testserver.MinIO, "s3, versitygw": testserver.Versity, "gs": testserver.GCS, "azblob": testserver.Azurite,
	} {
		t.Run(name, func(t *testing.T) {
			opts := &graft.Options{Remote: kind.Serve(t)}
			a := graftOf(t, openDB(t, t.TempDir(), opts), "main")
			write(t, a, "small")
			remote := push(t, a)
			b := graftOf(t, openDB(t, t.TempDir(), opts), "main")
			if err := b.Clone(ctx, remote); err != nil {
				t.Fatal(err)
			}
			if got := read(t, b); got != "small" {
				t.Errorf("cloned %q", got)
			}

			const pages = 3000 // more than one part of an upload
			writeMany(t, a, pages)
			push(t, a)
			write(t, a, "last")
			push(t, a)
			if _, err := b.Pull(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Hydrate(ctx); err != nil {
				t.Fatal(err)
			}
			err := b.View(func(r *graft.Reader) error {
				for p := graft.PageIdx(2); p <= pages; p++ {
					page, err := r.Page(ctx, p)
					if err != nil {
						return err
					}
					if page[0] != byte(p) || page[1] != byte(p>>8) {
						t.Errorf("page %d holds %x", p, page[:2])
					}
				}
				return nil
			})
			if got := read(t, b); err != nil || got != "last" {
				t.Errorf("pulled %q, %v", got, err)
			}

			// A fork shares what is in the bucket, and is cloned by who has neither.
			f, err := b.Fork(ctx, "fork")
			must(t, err)
			write(t, f, "forked")
			forked := push(t, f)
			c := graftOf(t, openDB(t, t.TempDir(), opts), "main")
			must(t, c.Clone(ctx, forked))
			_, err = c.Hydrate(ctx)
			must(t, err)
			if got := read(t, c); got != "forked" || c.Reader().PageCount() != pages {
				t.Errorf("the clone of the fork has %q on %d pages", got, c.Reader().PageCount())
			}

			// Both have a commit to push: one wins.
			write(t, a, "a")
			write(t, b, "b")
			push(t, a)
			if _, err := b.Push(ctx); err == nil {
				t.Error("both pushes landed")
			}
		})
	}
}
