package faultbucket

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// Disordered gives a gocloud bucket over b that lists keys in no useful order, up to
// page of them at a time, as some stores do.
func (b *Bucket) Disordered(page int) *blob.Bucket {
	return blob.NewBucket(&disordered{conn: conn{b}, page: page})
}

// Sparse is Disordered with an empty page with a token before each page that has
// keys.
func (b *Bucket) Sparse(page int) *blob.Bucket {
	return blob.NewBucket(&disordered{conn: conn{b}, page: page, sparse: true})
}

type disordered struct {
	conn
	page   int
	sparse bool
}

// ListPaged implements driver.Bucket. A token is the last key that was listed,
// after a letter that tells whether the empty page was given.
func (d *disordered) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	token := string(opts.PageToken)
	last, ready := strings.CutPrefix(token, "+")
	if !ready {
		last = strings.TrimPrefix(token, "-")
	}
	page := &driver.ListPage{}
	err := d.b.do(ctx, Request{"list", opts.Prefix}, func(objects map[string][]byte) error {
		if !ready && d.sparse {
			page.NextPageToken = []byte("+" + last)
			return nil
		}
		for key, data := range objects {
			if strings.HasPrefix(key, opts.Prefix) && (last == "" || byHash(key, last) > 0) {
				page.Objects = append(page.Objects, &driver.ListObject{Key: key, Size: int64(len(data))})
			}
		}
		return nil
	})
	slices.SortFunc(page.Objects, func(a, b *driver.ListObject) int { return byHash(a.Key, b.Key) })
	if size := min(cmp.Or(opts.PageSize, d.page), d.page); len(page.Objects) > size {
		page.Objects = page.Objects[:size]
		page.NextPageToken = []byte("-" + page.Objects[size-1].Key)
	}
	return page, err
}

// byHash orders keys by a hash of theirs.
func byHash(a, b string) int { return cmp.Or(cmp.Compare(hash(a), hash(b)), cmp.Compare(a, b)) }

func hash(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()
}
