package objstore_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"graft/objstore"
)

func TestOpenRefuses(t *testing.T) {
	dir := fileURL(t.TempDir())
	for bad, want := range map[string]string{
		"":                         "no scheme",
		"/data/bucket":             "no scheme",
		"bucket":                   "no scheme",
		"nosuch://x":               `unknown scheme "nosuch" (known: azblob, file, `,
		"mem://a\x00":              "malformed URL",
		"mem://%zz":                "malformed URL",
		"mem://a?%zz":              "malformed query",
		"mem://a?nomd5=1":          `unknown query parameter "nomd5"`,
		"mem://a?key=x":            `unknown query parameter "key"`,
		"mem://a?prefix=x&prefix=": `"prefix" is given 2 times`,
		"mem://a/b":                "without a path",
		"mem:a":                    "without a path",
		"mem://u@a":                "user info",
		"file:data":                "must be absolute",
		"file://":                  "must be absolute",
		"file://data/x":            `unexpected host "data"`,
		"file://./x":               `unexpected host "."`,
		"file://u@localhost/x":     "user info",
		dir + "?create_dir=1":      `unknown query parameter "create_dir"`,
		dir + "#1":                 "fragment",
		dir + "/no/such":           "parent directory",
	} {
		b, err := objstore.Open(t.Context(), bad)
		if err == nil {
			b.Close()
			t.Errorf("%q: opened", bad)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", bad, err, want)
		}
	}
}

func TestOpenFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "some dir")
	if err := open(t, fileURL(dir)).PutIfAbsent(t.Context(), "segments/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	local := strings.Replace(fileURL(dir), "file://", "file://localhost", 1)
	for _, u := range []string{fileURL(dir), fileURL(dir) + "/", local} {
		if got, err := open(t, u).Get(t.Context(), "segments/a", 10); err != nil || string(got) != "a" {
			t.Errorf("%s: got %q, %v", u, got, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "segments", "a")); err != nil || string(got) != "a" {
		t.Errorf("the file: got %q, %v", got, err)
	}
	if _, err := objstore.Open(t.Context(), fileURL(filepath.Join(dir, "segments", "a"))); err == nil {
		t.Error("a file was opened as a bucket")
	}
	if runtime.GOOS != "windows" {
		if _, err := objstore.Open(t.Context(), fileURL(filepath.Join(dir, "segments", "a", "b"))); err == nil {
			t.Error("a bucket was made below a file")
		}
	}
}

func TestMemNames(t *testing.T) {
	ctx := t.Context()
	a, private := open(t, "mem://names-a"), open(t, "mem://")
	for _, b := range []*objstore.Bucket{a, private, open(t, "mem://names-b"), open(t, "mem://")} {
		if err := b.PutIfAbsent(ctx, "k", []byte("x")); err != nil {
			t.Error(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, "mem://names-a?prefix=k")
	if err := again.PutIfAbsent(ctx, "k", nil); err != nil {
		t.Error(err)
	}
	if err := open(t, "mem://names-a").PutIfAbsent(ctx, "k", nil); !errors.Is(err, objstore.ErrExist) {
		t.Errorf("after Close of the other handle: %v", err)
	}
	if ok, err := open(t, "mem://names-a").Exists(ctx, "kk"); err != nil || !ok {
		t.Errorf("key below the prefix: %v, %v", ok, err)
	}
}

func TestClose(t *testing.T) {
	ctx := t.Context()
	inner := memblob.OpenBucket(nil)
	b := objstore.New(inner)
	if b.String() != "bucket" {
		t.Errorf("String: %q", b)
	}
	other := objstore.New(inner)
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.PutIfAbsent(ctx, "a", nil); err == nil || errors.Is(err, objstore.ErrExist) {
		t.Errorf("put after Close: %v", err)
	}
	if err := other.PutIfAbsent(ctx, "a", nil); err != nil {
		t.Errorf("put after the Close of another handle: %v", err)
	}
	// gocloud answers as it does to a conflict.
	if err := inner.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.PutIfAbsent(ctx, "b", nil); err == nil || errors.Is(err, objstore.ErrExist) {
		t.Errorf("put after the Close of the program's bucket: %v", err)
	}
}

func TestRedaction(t *testing.T) {
	const u = "leaky://AKIAUSER:hunter2%2F@host/path?token=s%2Bcret&prefix=dir/&region=eu-west-1#frag"
	open := func(u string) string {
		b, err := objstore.Open(t.Context(), u)
		if err == nil {
			t.Fatalf("%s: opened as %s", u, b)
		}
		return err.Error()
	}
	noFragment, _, _ := strings.Cut(u, "#")
	unknown := strings.Replace(noFragment, "leaky", "unknown", 1)
	malformed := strings.Replace(noFragment, "host", "ho st", 1)
	for _, bad := range []string{u, noFragment, unknown, malformed, "AKIAUSER:hunter2", "leaky://AKIAUSER:hunter2", noFragment + "&token=s%2Bcret"} {
		text := open(bad)
		for _, secret := range []string{"AKIAUSER", "hunter2", "s%2Bcret", "s+cret", "eu-west-1", "frag="} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the error shows %q: %s", bad, secret, text)
			}
		}
	}
	const shown = "leaky://xxxxx@host/path?region=xxxxx&token=xxxxx"
	if text := open(noFragment); !strings.Contains(text, "open bucket "+shown+": cannot open "+shown) {
		t.Errorf("got %s", text)
	}
	b, err := objstore.Open(t.Context(), "fine://AKIAUSER:hunter2@host?token=secret")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := b.String(); got != "fine://xxxxx@host?token=xxxxx" {
		t.Errorf("String: %s", got)
	}
}

func init() {
	objstore.Register("leaky", leakyOpener{})
	objstore.Register("fine", fineOpener{})
}

// A leakyOpener shows all that it knows in its error.
type leakyOpener struct{}

func (leakyOpener) OpenBucketURL(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	password, _ := u.User.Password()
	return nil, errors.New("cannot open " + u.String() + " as " + u.User.Username() + " with " + password + " and " + u.Query().Get("token"))
}

type fineOpener struct{}

func (fineOpener) OpenBucketURL(context.Context, *url.URL) (*blob.Bucket, error) {
	return memblob.OpenBucket(nil), nil
}
