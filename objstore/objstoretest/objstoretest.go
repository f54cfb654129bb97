// Package objstoretest is the conformance suite for buckets under package objstore: what graft relies on, races
// included. Every kind of bucket runs it through [Run]; [Race] is the part that finds a put-if-absent that is not
// atomic, which writing twice in a row does not.
//
// It does not test durability, nor what happens when answers get lost.
package objstoretest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"graft/objstore"
)

// A Limit is something that a kind of bucket cannot do, and that graft does not need.
type Limit int

// PlainKeys is the limit of servers that keep each object at the path that is its key. An object cannot have the key of
// another one's folder (MinIO takes it, and leaves the other out of listings; Versity's gateway answers 409), and the
// parts of keys are plain file names.
const PlainKeys Limit = 1

// EscapedSlash is the limit of Azure, whose driver escapes the slash at the end of a key: a listing does not find it by
// its folder, nor where it belongs.
const EscapedSlash Limit = 2

// Run runs the suite. Every call of open gives another handle on one bucket, and leaves the closing to t.Cleanup. The
// suite keeps to keys under a random prefix, and leaves objects there. It leaves out what the limits name.
func Run(t *testing.T, open func(t *testing.T) *objstore.Bucket, limits ...Limit) {
	plain, escaped := slices.Contains(limits, PlainKeys), slices.Contains(limits, EscapedSlash)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b, other *objstore.Bucket, dir string)
	}{
		{"Race", testRace},
		{"PutIfAbsent", testPutIfAbsent},
		{"Get", testGet},
		{"GetRange", testGetRange},
		{"Upload", testUpload},
		{"UploadFails", testUploadFails},
		{"Delete", func(t *testing.T, b, other *objstore.Bucket, dir string) { testDelete(t, b, other, dir, plain) }},
		{"List", func(t *testing.T, b, other *objstore.Bucket, dir string) { testList(t, b, other, dir, plain, escaped) }},
		{"Keys", func(t *testing.T, b, other *objstore.Bucket, dir string) { testKeys(t, b, other, dir, plain) }},
		{"Context", testContext},
		{"Stats", testStats},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, open(t), open(t), "objstoretest-"+rand.Text()+"/")
		})
	}
}

func testRace(t *testing.T, b, other *objstore.Bucket, dir string) {
	const keys, writers = 50, 8
	var puts []PutFunc
	for i := range writers {
		puts = append(puts, []*objstore.Bucket{b, other}[i%2].PutIfAbsent)
	}
	for _, finding := range Race(t.Context(), other, dir, keys, puts) {
		t.Error(finding)
	}
}

func testPutIfAbsent(t *testing.T, b, other *objstore.Bucket, dir string) {
	ctx := t.Context()
	for _, size := range []int{0, 1, 100, 256 << 10, 256<<10 + 1, objstore.MaxConditional} {
		key := fmt.Sprint(dir, size)
		data := pattern(size)
		if err := b.PutIfAbsent(ctx, key, data); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		err := other.PutIfAbsent(ctx, key, []byte("other"))
		if !errors.Is(err, objstore.ErrExist) || !strings.Contains(fmt.Sprint(err), key) {
			t.Errorf("put again: got %v, want ErrExist and the key", err)
		}
		wantObject(t, other, key, data)
	}
	err := b.PutIfAbsent(ctx, dir+"big", pattern(objstore.MaxConditional+1))
	if err == nil || errors.Is(err, objstore.ErrExist) {
		t.Errorf("oversize: got %v", err)
	}
	wantAbsent(t, other, dir+"big")
	if err := b.PutIfAbsent(ctx, "", nil); err == nil {
		t.Error("empty key: no error")
	}
}

func testGet(t *testing.T, b, other *objstore.Bucket, dir string) {
	ctx := t.Context()
	data := pattern(1000)
	put(t, b, dir+"a", data)
	for _, limit := range []int64{1000, 1001, math.MaxInt64} {
		if got, err := other.Get(ctx, dir+"a", limit); err != nil || !bytes.Equal(got, data) {
			t.Errorf("limit %d: got %d bytes, %v", limit, len(got), err)
		}
	}
	for _, limit := range []int64{0, 999} {
		_, err := b.Get(ctx, dir+"a", limit)
		if err == nil || !strings.Contains(err.Error(), "1000") || !strings.Contains(err.Error(), fmt.Sprint(limit)) {
			t.Errorf("limit %d: got %v, want an error with both sizes", limit, err)
		}
	}
	wantAbsent(t, b, dir+"b")
	wantAbsent(t, b, dir[:len(dir)-1])
	wantAbsent(t, b, dir+"a/b")
	if _, err := b.Get(ctx, dir+"b", 0); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("absent, limit 0: %v", err)
	}
}

func testGetRange(t *testing.T, b, other *objstore.Bucket, dir string) {
	ctx := t.Context()
	data := pattern(1000)
	put(t, b, dir+"a", data)
	put(t, b, dir+"empty", nil)
	for _, r := range [][2]int64{{0, 1}, {0, 1000}, {999, 1}, {500, 250}, {7, 0}} {
		got, err := other.GetRange(ctx, dir+"a", r[0], r[1])
		if err != nil || !bytes.Equal(got, data[r[0]:r[0]+r[1]]) {
			t.Errorf("range %d: got %d bytes, %v", r, len(got), err)
		}
	}
	for _, r := range []struct {
		key         string
		off, length int64
	}{{"a", 0, 1001}, {"a", 999, 2}, {"a", 1000, 1}, {"a", 5000, 10}, {"a", 0, 1 << 40}, {"a", 1, math.MaxInt64 - 1}, {"empty", 0, 1}} {
		_, err := b.GetRange(ctx, dir+r.key, r.off, r.length)
		if !errors.Is(err, objstore.ErrTooShort) || !strings.Contains(err.Error(), dir+r.key) ||
			!strings.Contains(err.Error(), fmt.Sprint(r.off)) || !strings.Contains(err.Error(), fmt.Sprint(r.length)) {
			t.Errorf("range %v: got %v, want ErrTooShort with the key and the range", r, err)
		}
	}
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {2, math.MaxInt64 - 1}} {
		if _, err := b.GetRange(ctx, dir+"a", r[0], r[1]); err == nil {
			t.Errorf("range %d: no error", r)
		}
	}
	if _, err := b.GetRange(ctx, dir+"b", 0, 1); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func testUpload(t *testing.T, b, other *objstore.Bucket, dir string) {
	ctx := t.Context()
	for _, size := range []int{0, 1, 1000, 20 << 20} { // the last one becomes a multipart upload
		key := fmt.Sprint(dir, size)
		for range 2 {
			err := b.Upload(ctx, key, func(w io.Writer) error {
				for chunk := range slices.Chunk(pattern(size), 64<<10) {
					if _, err := w.Write(chunk); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
		}
		wantObject(t, other, key, pattern(size))
	}
}

func testUploadFails(t *testing.T, b, other *objstore.Bucket, dir string) {
	errStop := errors.New("stop")
	for _, size := range []int{0, 1, 1000, 100 << 10, 20 << 20} {
		key := fmt.Sprint(dir, size)
		err := b.Upload(t.Context(), key, func(w io.Writer) error {
			if _, err := w.Write(pattern(size)); err != nil {
				return err
			}
			return errStop
		})
		if !errors.Is(err, errStop) || !strings.Contains(err.Error(), key) {
			t.Errorf("after %d bytes: got %v, want the callback's error", size, err)
		}
		wantAbsent(t, other, key)

		ctx, cancel := context.WithCancel(t.Context())
		err = b.Upload(ctx, key, func(w io.Writer) error {
			_, err := w.Write(pattern(size))
			cancel()
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled after %d bytes: %v", size, err)
		}
		wantAbsent(t, other, key)
	}
	for key := range keysOf(t, other, dir) {
		t.Errorf("%q is listed", key)
	}
}

func testDelete(t *testing.T, b, other *objstore.Bucket, dir string, plain bool) {
	ctx := t.Context()
	near := dir + "a/b"
	if plain {
		near = dir + "ab"
	}
	put(t, b, dir+"a", []byte("a"))
	put(t, b, near, []byte("b"))
	for range 2 {
		if err := other.Delete(ctx, dir+"a"); err != nil {
			t.Fatal(err)
		}
		wantAbsent(t, b, dir+"a")
		wantObject(t, b, near, []byte("b"))
	}
	put(t, b, dir+"a", []byte("again"))
	wantObject(t, other, dir+"a", []byte("again"))
	if err := b.Delete(ctx, dir+"never"); err != nil {
		t.Error(err)
	}
}

func testList(t *testing.T, b, other *objstore.Bucket, dir string, plain, escaped bool) {
	want := []string{"A", "a-", "a/b/c", "a/c", "a0", "ab", "z"}
	if !plain {
		want = append(want, "a", "a/b")
	}
	if !plain && !escaped {
		want = append(want, "a/")
	}
	for i := range 130 { // more than one page
		want = append(want, fmt.Sprintf("log/%016x", ^uint64(i)))
	}
	slices.Sort(want) // by bytes
	for _, i := range slices.Backward(want) {
		put(t, b, dir+i, []byte(i))
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "log/", "log/fffffffffffffff", "x", "zz"} {
		var expect []string
		for _, key := range want {
			if strings.HasPrefix(key, prefix) {
				expect = append(expect, dir+key)
			}
		}
		if got := slices.Collect(keysOf(t, other, dir+prefix)); !slices.Equal(got, expect) {
			t.Errorf("prefix %q: got %d keys, want %d; %s", prefix, len(got), len(expect), difference(got, expect))
		}
	}
	for key, err := range other.List(t.Context(), dir+"log/") {
		if want := fmt.Sprintf("%slog/%016x", dir, ^uint64(129)); err != nil || key != want {
			t.Errorf("first of log/: got %q, %v, want %q", key, err, want)
		}
		break
	}
}

// difference says where got differs from want.
func difference(got, want []string) string {
	at := func(keys []string, i int) string {
		if i < len(keys) {
			return fmt.Sprintf("%q", keys[i])
		}
		return "nothing"
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("at %d: got %s, want %s", i, at(got, i), at(want, i))
}

// oddKeys are no keys of graft's.
var oddKeys = []string{
	"volumes", "volumes/x", "volumes/x/log",
	"segments", "segments/x/y", "x/log/a/b", "x/log/a", "..a", "a..", ".tmp", ".tmp/x", ".", "...", "x/.hidden",
	"con", "NUL.txt", "x/Com1", "a b", "a.", "a ", "a:b", "a*?<>|\"", `a\b`, "a%2Fb", "a%", "%", "%-", "a%2e", "~", "ü", "☺☺", "a\nb",
}

// testKeys has keys that a file system could confuse with others, or with what is not the bucket's.
func testKeys(t *testing.T, b, other *objstore.Bucket, dir string, plain bool) {
	keys := []string{
		"volumes/74ggbzxuMf-2uAg2sRyg9J/log/fffffffffffffffe", "volumes/74ggbzxuMf2uAg2sRyg9J/pins/74ggbzxuMf2uAg2sRyg9K",
		"volumes/74ggbzxuMf2uAg2sRyg9J/checkpoints/fffffffffffffffe-JBSWY3DP", "volumes/74ggbzxuMf2uAg2sRyg9J/floors/fffffffffffffffe",
		"segments/74ggbzxuMf2uAg2sRyg9J", "segments/74ggbzxuMf2uAg2sRyg9j",
	}
	if !plain {
		keys = append(keys, oddKeys...)
	}
	for _, key := range keys {
		put(t, b, dir+key, []byte(key))
	}
	for _, key := range keys {
		wantObject(t, other, dir+key, []byte(key))
	}
	for i, key := range keys {
		keys[i] = dir + key
	}
	slices.Sort(keys)
	// Sorted, because s3blob escapes some of these and they are listed where the escaped ones belong.
	if got := slices.Sorted(keysOf(t, other, dir)); !slices.Equal(got, keys) {
		t.Errorf("listed %d keys, want %d; %s", len(got), len(keys), difference(got, keys))
	}
}

func testContext(t *testing.T, b, other *objstore.Bucket, dir string) {
	put(t, b, dir+"a", []byte("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	add(b.PutIfAbsent(ctx, dir+"b", nil))
	add(b.Upload(ctx, dir+"b", func(io.Writer) error { return nil }))
	_, err := b.Get(ctx, dir+"a", 10)
	add(err)
	_, err = b.GetRange(ctx, dir+"a", 0, 1)
	add(err)
	_, err = b.Exists(ctx, dir+"a")
	add(err)
	add(b.Delete(ctx, dir+"a"))
	for _, err := range b.List(ctx, dir) {
		add(err)
	}
	if len(errs) != 7 {
		t.Errorf("got %d errors, want 7", len(errs))
	}
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), dir) {
			t.Errorf("call %d: got %v, want Canceled and the key", i, err)
		}
	}
	wantAbsent(t, other, dir+"b")
	wantObject(t, other, dir+"a", []byte("a"))
}

func testStats(t *testing.T, b, _ *objstore.Bucket, dir string) {
	ctx := t.Context()
	before := b.Stats()
	put(t, b, dir+"a", pattern(100))
	_ = b.PutIfAbsent(ctx, dir+"a", pattern(10))
	_ = b.Upload(ctx, dir+"b", func(w io.Writer) error { _, err := w.Write(pattern(7)); return err })
	_, _ = b.Get(ctx, dir+"a", 1000)
	_, _ = b.GetRange(ctx, dir+"a", 10, 20)
	_, _ = b.Get(ctx, dir+"none", 1000)
	_, _ = b.Exists(ctx, dir+"a")
	_ = slices.Collect(keysOf(t, b, dir))
	_ = b.Delete(ctx, dir+"a")
	got := b.Stats().Sub(before)
	want := objstore.Stats{Gets: 3, Puts: 3, Lists: 1, Heads: 1, Deletes: 1, BytesIn: 120, BytesOut: 117}
	if got != want || got.Requests() != 9 {
		t.Errorf("got %+v (%d requests), want %+v", got, got.Requests(), want)
	}
}

// pattern returns n bytes that differ from block to block.
func pattern(n int) []byte {
	data := make([]byte, 0, n+8)
	for i := uint64(0); len(data) < n; i++ {
		data = binary.BigEndian.AppendUint64(data, i*0x9E3779B97F4A7C15)
	}
	return data[:n:n]
}

func put(t *testing.T, b *objstore.Bucket, key string, data []byte) {
	t.Helper()
	if err := b.PutIfAbsent(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

func wantObject(t *testing.T, b *objstore.Bucket, key string, want []byte) {
	t.Helper()
	got, err := b.Get(t.Context(), key, 1<<30)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("get %q: got %d bytes, %v; want %d bytes", key, len(got), err, len(want))
	}
	if ok, err := b.Exists(t.Context(), key); err != nil || !ok {
		t.Errorf("exists %q: got %v, %v", key, ok, err)
	}
}

func wantAbsent(t *testing.T, b *objstore.Bucket, key string) {
	t.Helper()
	if _, err := b.Get(t.Context(), key, 1<<30); !errors.Is(err, objstore.ErrNotExist) || !strings.Contains(err.Error(), key) {
		t.Errorf("get %q: got %v, want ErrNotExist and the key", key, err)
	}
	if ok, err := b.Exists(t.Context(), key); err != nil || ok {
		t.Errorf("exists %q: got %v, %v", key, ok, err)
	}
}

// keysOf is a listing that fails the test on an error.
func keysOf(t *testing.T, b *objstore.Bucket, prefix string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for key, err := range b.List(t.Context(), prefix) {
			if err != nil {
				t.Errorf("list %q: %v", prefix, err)
				return
			}
			if !yield(key) {
				return
			}
		}
	}
}
