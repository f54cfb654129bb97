package objstoretest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"gocloud.dev/blob/fileblob"

	"graft/objstore"
	"graft/objstore/objstoretest"
)

func openMem(t *testing.T) *objstore.Bucket {
	t.Helper()
	b, err := objstore.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// TestRaceFinds plants one violation in each case.
func TestRaceFinds(t *testing.T) {
	const keys = 5
	cases := map[string]struct {
		put  func(b *objstore.Bucket) objstoretest.PutFunc
		want string // in each key's finding
	}{
		"looks, then writes": {lookThenWrite, "the winners are [0 1], want one"},
		"writes nothing": {func(*objstore.Bucket) objstoretest.PutFunc {
			return func(context.Context, string, []byte) error { return nil }
		}, "no bytes"},
		"nobody wins": {func(b *objstore.Bucket) objstoretest.PutFunc {
			return func(ctx context.Context, key string, data []byte) error {
				return errors.Join(b.PutIfAbsent(ctx, key, data), objstore.ErrExist)
			}
		}, "the winners are [], want one"},
		"the loser's bytes": {func(b *objstore.Bucket) objstoretest.PutFunc {
			return func(ctx context.Context, key string, data []byte) error {
				return b.PutIfAbsent(ctx, key, []byte("writer X"))
			}
		}, `but the bytes are "writer X"`},
		"another error": {func(b *objstore.Bucket) objstoretest.PutFunc {
			return func(ctx context.Context, key string, data []byte) error {
				if b.PutIfAbsent(ctx, key, data) != nil {
					return errors.New("conflict")
				}
				return nil
			}
		}, "got conflict, not ErrExist"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			b := openMem(t)
			put := test.put(b)
			findings := objstoretest.Race(t.Context(), b, "", keys, []objstoretest.PutFunc{put, put})
			n := 0
			for _, finding := range findings {
				if strings.Contains(finding, test.want) {
					n++
				}
			}
			if n != keys {
				t.Errorf("found %q %d times, want %d; all: %q", test.want, n, keys, findings)
			}
		})
	}
}

// lookThenWrite returns a put-if-absent that is not atomic, and makes both of two writers look before either writes.
func lookThenWrite(b *objstore.Bucket) objstoretest.PutFunc {
	var mu sync.Mutex
	looked := map[string]*sync.WaitGroup{}
	return func(ctx context.Context, key string, data []byte) error {
		mu.Lock()
		wg := looked[key]
		if wg == nil {
			wg = new(sync.WaitGroup)
			wg.Add(2)
			looked[key] = wg
		}
		mu.Unlock()
		exists, err := b.Exists(ctx, key)
		wg.Done()
		if err != nil {
			return err
		}
		wg.Wait()
		if exists {
			return objstore.ErrExist
		}
		return b.Upload(ctx, key, func(w io.Writer) error { _, err := w.Write(data); return err })
	}
}

// TestRaceFindsFileblob shows why file:// is not gocloud's own driver.
func TestRaceFindsFileblob(t *testing.T) {
	inner, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	b := objstore.New(inner)
	puts := make([]objstoretest.PutFunc, 8)
	for i := range puts {
		puts[i] = b.PutIfAbsent
	}
	const keys = 5000 // several in a hundred are violated; the first ends the test
	for done := 0; done < keys; done += 100 {
		if findings := objstoretest.Race(t.Context(), b, fmt.Sprint(done, "/"), 100, puts); len(findings) > 0 {
			t.Logf("after %d keys: %s", done+100, findings[0])
			return
		}
	}
	t.Errorf("no violation in %d keys", keys)
}

func TestRaceIsContent(t *testing.T) {
	b := openMem(t)
	if findings := objstoretest.Race(t.Context(), b, "", 100, []objstoretest.PutFunc{b.PutIfAbsent, b.PutIfAbsent}); len(findings) > 0 {
		t.Error(findings)
	}
}
