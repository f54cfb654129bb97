package objstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// A memOpener opens mem:// URLs, and keeps the buckets that have a name.
type memOpener struct {
	mu struct {
		sync.Mutex
		named map[string]*blob.Bucket
	}
}

func newMemOpener() *memOpener {
	o := new(memOpener)
	o.mu.named = make(map[string]*blob.Bucket)
	return o
}

// OpenBucketURL implements blob.BucketURLOpener. All URLs of one name get the same blob.Bucket, which must not be
// closed.
func (o *memOpener) OpenBucketURL(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	switch {
	case u.Opaque != "" || u.Path != "" && u.Path != "/":
		return nil, errors.New("want mem://NAME or mem://, without a path")
	case u.User != nil:
		return nil, errors.New("unexpected user info")
	}
	if err := noParams(u); err != nil {
		return nil, err
	}
	if u.Host == "" {
		return memblob.OpenBucket(&memblob.Options{NoMD5: true}), nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.mu.named[u.Host]
	if b == nil {
		b = memblob.OpenBucket(&memblob.Options{NoMD5: true})
		o.mu.named[u.Host] = b
	}
	return b, nil
}

// noParams refuses query parameters.
func noParams(u *url.URL) error {
	for name := range u.Query() {
		return fmt.Errorf("unknown query parameter %q", name)
	}
	return nil
}
