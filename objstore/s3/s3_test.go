package s3_test

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

	"graft/internal/testserver"
	"graft/objstore"
	"graft/objstore/objstoretest"
	_ "graft/objstore/s3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newServer starts a server with one bucket and returns the URL of a bucket of the given name on it.
func newServer(t *testing.T) (urlOf func(bucket string) string) {
	t.Helper()
	for name, value := range testserver.Env(t.TempDir()) {
		t.Setenv(name, value)
	}
	backend := s3mem.New()
	if err := backend.CreateBucket("graft"); err != nil {
		t.Fatal(err)
	}
	logger := gofakes3.StdLog(log.New(io.Discard, "", 0))
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(logger)).Server())
	t.Cleanup(server.Close)
	return func(bucket string) string { return testserver.BucketURL(server.URL, bucket) }
}

func open(t *testing.T, bucketURL string) *objstore.Bucket {
	t.Helper()
	b, err := objstore.Open(t.Context(), bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestConformance(t *testing.T) {
	urlOf := newServer(t)
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, urlOf("graft")) })
}

func TestMinIOConformance(t *testing.T)   { testConformance(t, testserver.MinIO) }
func TestVersityConformance(t *testing.T) { testConformance(t, testserver.Versity) }

func testConformance(t *testing.T, kind testserver.Kind) {
	bucketURL := kind.Serve(t)
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, bucketURL) }, objstoretest.PlainKeys)
}

func TestNoSuchBucket(t *testing.T) {
	ctx := t.Context()
	b := open(t, newServer(t)("other"))
	calls := map[string]func() error{
		"put":    func() error { return b.PutIfAbsent(ctx, "a", nil) },
		"upload": func() error { return b.Upload(ctx, "a", func(io.Writer) error { return nil }) },
		"get":    func() error { _, err := b.Get(ctx, "a", 10); return err },
		"range":  func() error { _, err := b.GetRange(ctx, "a", 0, 1); return err },
		"stat":   func() error { _, err := b.Exists(ctx, "a"); return err },
		"delete": func() error { return b.Delete(ctx, "a") },
		"list": func() error {
			for _, err := range b.List(ctx, "a") {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		err := call()
		if err == nil || errors.Is(err, objstore.ErrNotExist) || errors.Is(err, objstore.ErrExist) {
			t.Errorf("%s: got %v", name, err)
		} else if !strings.Contains(err.Error(), "bucket does not exist") {
			t.Errorf("%s: got %v, want it to say that the bucket does not exist", name, err)
		}
	}
}

func TestBadURL(t *testing.T) {
	for _, bad := range []string{
		"s3://", "s3://graft/path", "s3://key:testsecret@graft", "s3://graft?secret=testsecret", "s3://graft?use_path_style=testsecret",
		"s3://graft?key=a",
	} {
		b, err := objstore.Open(t.Context(), bad)
		if err == nil {
			b.Close()
			t.Errorf("%s: opened", bad)
		} else if strings.Contains(err.Error(), "testsecret") {
			t.Errorf("%s: the error shows the secret: %v", bad, err)
		}
	}
}
