// Package toxitest tests package objstore, and graft over it, on bad lines: an S3 server in the process, behind a proxy
// that delays, resets and truncates. It is a module of its own, because the core does without what the proxy needs.
package toxitest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"graft/internal/testserver"
	"graft/objstore"
	_ "graft/objstore/s3"
)

func TestMain(m *testing.M) {
	for name, value := range testserver.Env(filepath.Join(os.TempDir(), "graft-no-such-folder")) {
		os.Setenv(name, value)
	}
	// The proxy leaves those of connections that it cut.
	const proxy = "github.com/Shopify/toxiproxy/v2"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(proxy+"/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).read"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).write"))
}

// A line is a server, and the proxy before it.
type line struct {
	proxy  *toxiproxy.Proxy
	bad    *objstore.Bucket // through the proxy
	direct *objstore.Bucket
}

func newLine(t *testing.T) *line {
	t.Helper()
	url := newServer(t)
	l := &line{proxy: newProxy(t, url)}
	l.bad, l.direct = l.open(t, "http://"+l.proxy.Listen), l.open(t, url)
	return l
}

// newServer starts a server with one bucket, and returns its URL.
func newServer(t *testing.T) (url string) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("graft"); err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	server := httptest.NewUnstartedServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(quiet))).Server())
	server.Config.ErrorLog = quiet
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// newProxy starts a proxy before the server at url.
func newProxy(t *testing.T, url string) *toxiproxy.Proxy {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(api, "line", "127.0.0.1:0", strings.TrimPrefix(url, "http://"))
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return proxy
}

func (l *line) open(t *testing.T, endpoint string) *objstore.Bucket {
	t.Helper()
	b, err := objstore.Open(t.Context(), testserver.BucketURL(endpoint, "graft"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// spoil gives the line a fault, in the terms of toxiproxy.
func (l *line) spoil(t *testing.T, kind, stream, attribute string, value int, toxicity float64) {
	t.Helper()
	text := fmt.Sprintf(`{"name":"fault","type":%q,"stream":%q,"toxicity":%g,"attributes":{%q:%d}}`, kind, stream, toxicity, attribute, value)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// mend takes the fault away, for connections to come, and cuts those that there are.
func (l *line) mend(t *testing.T) {
	t.Helper()
	l.proxy.Stop()
	if err := l.proxy.Toxics.RemoveToxic(context.Background(), "fault"); err != nil {
		t.Fatal(err)
	}
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
}

// put puts an object over the good line.
func (l *line) put(t *testing.T, key string, data []byte) {
	t.Helper()
	if err := l.direct.PutIfAbsent(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

// calls calls each method over the bad line, all at a time, and returns their errors. What a method gets right is wrong
// unless it is as on the good line, where key holds data.
func (l *line) calls(ctx context.Context, t *testing.T, key string, data []byte) map[string]error {
	t.Helper()
	methods := map[string]func() error{
		"get": func() error {
			got, err := l.bad.Get(ctx, key, 1<<20)
			return right(err, string(got) == string(data))
		},
		"range": func() error {
			got, err := l.bad.GetRange(ctx, key, 1, int64(len(data)-1))
			return right(err, string(got) == string(data[1:]))
		},
		"stat": func() error {
			ok, err := l.bad.Exists(ctx, key)
			return right(err, ok)
		},
		"list": func() error {
			var got []string
			var last error
			for key, err := range l.bad.List(ctx, key) {
				if last = err; err == nil {
					got = append(got, key)
				}
			}
			return right(last, len(got) == 1 && got[0] == key)
		},
		"delete": func() error { return l.bad.Delete(ctx, "none") },
		"upload": func() error {
			return l.bad.Upload(ctx, "uploaded-"+key, func(w io.Writer) error { _, err := w.Write(data); return err })
		},
		"put": func() error { return l.bad.PutIfAbsent(ctx, "put-"+key, data) },
	}
	type result struct {
		name string
		err  error
	}
	results := make(chan result)
	for name, call := range methods {
		go func() { results <- result{name, call()} }()
	}
	errs := map[string]error{}
	for range methods {
		r := <-results
		errs[r.name] = r.err
		if r.err == errWrong {
			t.Errorf("%s: what is wrong was returned as right", r.name)
		}
	}
	return errs
}

var errWrong = fmt.Errorf("wrong result without an error")

func right(err error, ok bool) error {
	if err == nil && !ok {
		return errWrong
	}
	return err
}
