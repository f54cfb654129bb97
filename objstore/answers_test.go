package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"graft/internal/testserver"
	"graft/objstore"
)

// A cloud is one that a test server can pass for.
type cloud struct {
	env     func(t *testing.T, addr string) map[string]string
	url     func(addr string) string
	created http.HandlerFunc // the answer to a put
	listing string           // of one key, k1
	partial bool             // its SDK takes no other answer to a range than 206 and 416, also of an empty object
}

var s3 = cloud{
	env:     func(t *testing.T, _ string) map[string]string { return testserver.Env(t.TempDir()) },
	url:     func(addr string) string { return testserver.BucketURL("http://"+addr, "graft") },
	created: func(http.ResponseWriter, *http.Request) {},
	listing: `<?xml version="1.0"?><ListBucketResult><Contents><Key>k1</Key><Size>1</Size>` +
		`<LastModified>2026-11-24T00:00:00Z</LastModified></Contents></ListBucketResult>`,
}

var clouds = map[string]cloud{
	"s3": s3,
	"gs": {
		env:     func(_ *testing.T, addr string) map[string]string { return testserver.GCSEnv(addr) },
		url:     func(string) string { return "gs://graft" },
		partial: true,
		created: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"name":"k"}`) },
		listing: `{"kind":"storage#objects","items":[{"kind":"storage#object","name":"k1","size":"1","updated":"2026-11-24T00:00:00Z"}]}`,
	},
	"azblob": {
		env:     func(*testing.T, string) map[string]string { return testserver.AzureEnv() },
		url:     func(addr string) string { return testserver.AzureURL(addr, "graft") },
		created: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) },
		listing: `<?xml version="1.0"?><EnumerationResults ContainerName="graft"><Blobs><Blob><Name>k1</Name><Properties>` +
			`<Last-Modified>Tue, 24 Nov 2026 00:00:00 GMT</Last-Modified><Content-Length>1</Content-Length>` +
			`</Properties></Blob></Blobs><NextMarker /></EnumerationResults>`,
	},
}

// eachCloud runs a test for each cloud.
func eachCloud(t *testing.T, test func(t *testing.T, c cloud)) {
	for name, c := range clouds {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// open returns a bucket at addr, which repeats requests at once.
func (c cloud) open(t *testing.T, addr string) *objstore.Bucket {
	t.Helper()
	for name, value := range c.env(t, addr) {
		t.Setenv(name, value)
	}
	t.Setenv("AWS_MAX_ATTEMPTS", "7")
	b := open(t, c.url(addr))
	b.SetWait(objstore.NoWait)
	return b
}

// serve returns a bucket on a server that answers as handler does.
func (c cloud) serve(t *testing.T, handler http.Handler) *objstore.Bucket {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return c.open(t, server.Listener.Addr().String())
}

// callAll calls each method of b that sends requests, on key.
func callAll(ctx context.Context, b *objstore.Bucket, key string) map[string]func() error {
	return map[string]func() error{
		"put": func() error { return b.PutIfAbsent(ctx, key, []byte("data")) },
		"upload": func() error {
			return b.Upload(ctx, key, func(w io.Writer) error { _, err := w.Write([]byte("data")); return err })
		},
		"get":    func() error { _, err := b.Get(ctx, key, 10); return err },
		"range":  func() error { _, err := b.GetRange(ctx, key, 0, 1); return err },
		"stat":   func() error { _, err := b.Exists(ctx, key); return err },
		"delete": func() error { return b.Delete(ctx, key) },
		"list": func() (err error) {
			for _, err = range b.List(ctx, key) {
			}
			return err
		},
	}
}

// TestSDKRepeatsNothing counts what a server sees of requests that it answers by an error, or not at all.
func TestSDKRepeatsNothing(t *testing.T) { eachCloud(t, testSDKRepeatsNothing) }

func testSDKRepeatsNothing(t *testing.T, c cloud) {
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		puts    int64
		others  int64
		refused bool
	}{
		"503": {answerXML(503, "SlowDown"), 1, 5, false},
		"429": {answerXML(429, "TooManyRequests"), 1, 5, false},
		"409": {answerXML(409, "ConditionalRequestConflict"), 1, 1, false},
		"403": {answerXML(403, "AccessDenied"), 1, 1, true},
		"cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1, 5, false},
	} {
		var n atomic.Int64
		b := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			test.answer(w, r)
		}))
		for method, call := range callAll(t.Context(), b, "k") {
			n.Store(0)
			err, want := call(), test.others
			if method == "put" {
				want = test.puts
				if errors.Is(err, objstore.ErrRefused) != test.refused || errors.Is(err, objstore.ErrExist) {
					t.Errorf("%s: put: %v", name, err)
				}
			}
			if err == nil || n.Load() != want {
				t.Errorf("%s: %s: %d requests, want %d; %v", name, method, n.Load(), want, err)
			}
		}
	}
}

func answerXML(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}

// TestCutOnOldConnection has the server cut a connection that served a put before, where net/http may send again.
func TestCutOnOldConnection(t *testing.T) { eachCloud(t, testCutOnOldConnection) }

func testCutOnOldConnection(t *testing.T, c cloud) {
	var n atomic.Int64
	b := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		c.created(w, r)
	}))
	if err := b.PutIfAbsent(t.Context(), "a", []byte("data")); err != nil {
		t.Fatal(err)
	}
	err := b.PutIfAbsent(t.Context(), "b", []byte("data"))
	if err == nil || errors.Is(err, objstore.ErrRefused) || errors.Is(err, objstore.ErrExist) || n.Load() != 2 {
		t.Errorf("%d requests, %v", n.Load(), err)
	}
}

// TestNobodyListens has nobody at the address.
func TestNobodyListens(t *testing.T) { eachCloud(t, testNobodyListens) }

func testNobodyListens(t *testing.T, c cloud) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	gone := c.open(t, server.Listener.Addr().String())
	for method, call := range callAll(t.Context(), gone, "k") {
		err := call()
		if err == nil || errors.Is(err, objstore.ErrRefused) != (method == "put") || !strings.Contains(err.Error(), "attempt 5, the last") {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// raw answers with text, and closes the connection.
func raw(t *testing.T, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
}

// TestAnswersThatLie has answers to reads that are cut, or belong to other requests. None may pass for the object.
func TestAnswersThatLie(t *testing.T) { eachCloud(t, testAnswersThatLie) }

func testAnswersThatLie(t *testing.T, c cloud) {
	const modified = "Last-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\nX-Goog-Generation: 1\r\n"
	const ok, part = "HTTP/1.1 200 OK\r\n" + modified, "HTTP/1.1 206 Partial Content\r\n" + modified
	ranges := map[string]bool{"another part": true, "part without its range": true, "the whole for the part": true}
	for name, answer := range map[string]string{
		"body cut":                  ok + "Content-Length: 8\r\n\r\nhalf",
		"no body":                   ok + "Content-Length: 8\r\n\r\n",
		"no length":                 ok + "Connection: close\r\n\r\nhalf",
		"no length, no body":        ok + "Connection: close\r\n\r\n",
		"old protocol, no length":   "HTTP/1.0 200 OK\r\n" + modified + "\r\nhalf",
		"chunks cut":                ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"no chunks":                 ok + "Transfer-Encoding: chunked\r\n\r\n",
		"chunk cut":                 ok + "Transfer-Encoding: chunked\r\n\r\n8\r\nhalf",
		"header cut":                ok + "Content-Length: 8\r\n",
		"status cut":                "HTTP/1.1 20",
		"nothing":                   "",
		"part, cut":                 part + "Content-Range: bytes 4-7/8\r\nContent-Length: 4\r\n\r\nha",
		"part, no length":           part + "Content-Range: bytes 4-7/8\r\nConnection: close\r\n\r\nha",
		"another part":              part + "Content-Range: bytes 0-3/8\r\nContent-Length: 4\r\n\r\nhalf",
		"part without its range":    part + "Content-Length: 4\r\n\r\nhalf",
		"the whole for the part":    ok + "Content-Length: 8\r\n\r\nhalfhalf",
		"a proxy's page, not found": "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\npage",
	} {
		b := c.serve(t, raw(t, answer))
		if !ranges[name] { // else it is right for the whole object
			if got, err := b.Get(t.Context(), "k", 100); err == nil || errors.Is(err, objstore.ErrNotExist) {
				t.Errorf("%s: get: %q, %v", name, got, err)
			}
		}
		if got, err := b.GetRange(t.Context(), "k", 4, 4); err == nil || errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("%s: range: %q, %v", name, got, err)
		}
		for key, err := range b.List(t.Context(), "k") {
			if err == nil {
				t.Errorf("%s: list: %q", name, key)
			}
		}
	}
}

// TestCutIsAskedForAgain counts the requests for an object whose answers are all cut: the SDK does not go on with the rest.
func TestCutIsAskedForAgain(t *testing.T) { eachCloud(t, testCutIsAskedForAgain) }

func testCutIsAskedForAgain(t *testing.T, c cloud) {
	var n atomic.Int64
	b := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.Header().Set("Content-Length", "8")
		w.Header().Set("Last-Modified", "Tue, 24 Nov 2026 00:00:00 GMT")
		w.Header().Set("X-Goog-Generation", "1")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	got, err := b.Get(t.Context(), "k", 100)
	if !errors.Is(err, io.ErrUnexpectedEOF) || n.Load() != int64(objstore.Attempts) {
		t.Errorf("%d requests, %q, %v", n.Load(), got, err)
	}
}

// TestOneRequest has puts of sizes at which drivers begin to put in parts.
func TestOneRequest(t *testing.T) { eachCloud(t, testOneRequest) }

func testOneRequest(t *testing.T, c cloud) {
	var n atomic.Int64
	b := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n.Add(1)
		c.created(w, r)
	}))
	for _, size := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, objstore.MaxConditional} {
		n.Store(0)
		if err := b.PutIfAbsent(t.Context(), "k", make([]byte, size)); err != nil || n.Load() != 1 {
			t.Errorf("%d bytes: %d requests, %v", size, n.Load(), err)
		}
	}
}

// TestUploadFails has the bucket refuse an upload of several parts.
func TestUploadFails(t *testing.T) { eachCloud(t, testUploadFails) }

func testUploadFails(t *testing.T, c cloud) {
	b := c.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answerXML(403, "AccessDenied")(w, r)
	}))
	err := b.Upload(t.Context(), "k", func(w io.Writer) error {
		_, err := w.Write(make([]byte, 12<<20))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Error(err)
	}
}

// TestWholeForPart has a server that ignores ranges, where that does no harm.
func TestWholeForPart(t *testing.T) { eachCloud(t, testWholeForPart) }

func testWholeForPart(t *testing.T, c cloud) {
	const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\nLast-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\n"
	b := c.serve(t, raw(t, ok+"Content-Length: 8\r\n\r\nhalfhalf"))
	if got, err := b.GetRange(t.Context(), "k", 0, 4); err != nil || string(got) != "half" {
		t.Errorf("from the start: %q, %v", got, err)
	}
	if c.partial {
		return
	}
	b = c.serve(t, raw(t, ok+"Content-Length: 0\r\n\r\n"))
	if got, err := b.GetRange(t.Context(), "k", 4, 4); !errors.Is(err, objstore.ErrTooShort) || strings.Contains(err.Error(), "attempt") {
		t.Errorf("empty object: %q, %v", got, err)
	}
}

// TestListingsThatLie wants an error of each listing that is cut.
func TestListingsThatLie(t *testing.T) { eachCloud(t, testListingsThatLie) }

func testListingsThatLie(t *testing.T, c cloud) {
	const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
	whole := c.listing
	list := func(answer string) (n int, err error) {
		for key, e := range c.serve(t, raw(t, answer)).List(t.Context(), "k") {
			if err = e; key != "" {
				n++
			}
		}
		return n, err
	}
	for _, text := range []string{"", whole[:20], whole[:60], whole[:len(whole)-5]} {
		for _, answer := range []string{
			ok + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text), text),
			ok + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(whole), text),
			ok + "Transfer-Encoding: chunked\r\n\r\n" + chunk(text),
			ok + "Transfer-Encoding: chunked\r\n\r\n" + chunk(text) + "0\r\n\r\n",
			ok + "\r\n" + text,
		} {
			if n, err := list(answer); err == nil || n > 0 {
				t.Errorf("%q: %d keys, %v", answer, n, err)
			}
		}
	}
	if n, err := list(ok + "Transfer-Encoding: chunked\r\n\r\n" + chunk(whole) + "0\r\n\r\n"); err != nil || n != 1 {
		t.Errorf("the whole listing: %d keys, %v", n, err)
	}
}

func chunk(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(text), text)
}

// TestPartsRepeated fails one part of a large upload, once: the upload goes on, and does not start again.
func TestPartsRepeated(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("graft"); err != nil {
		t.Fatal(err)
	}
	inner := gofakes3.New(backend).Server()
	var failed, parts atomic.Int64
	b := s3.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			parts.Add(1)
			if failed.Add(1) == 2 {
				_, _ = io.Copy(io.Discard, r.Body)
				answerXML(503, "SlowDown")(w, r)
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	const size = 20 << 20
	calls := 0
	err := b.Upload(t.Context(), "k", func(w io.Writer) error {
		calls++
		_, err := w.Write(make([]byte, size))
		return err
	})
	if err != nil || calls != 1 || parts.Load() != 5 {
		t.Errorf("source called %d times, %d parts sent, %v; want 1 and 5", calls, parts.Load(), err)
	}
	if got, err := b.Get(t.Context(), "k", size); err != nil || len(got) != size {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}
