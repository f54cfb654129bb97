package main

import (
	"database/sql"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestServedBucket asks a bucket by HTTP, which counts it.
func TestServedBucket(t *testing.T) {
	b := memoryBucket()
	defer b.Close()
	served := serveBucket(b)
	defer served.Close()
	ask := func(method, path, span, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, served.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if span != "" {
			req.Header.Set("Range", span)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for _, test := range []struct {
		method, path, span, body string
		status                   int
		want                     string
	}{
		{"PUT", "/o/a/b", "", "0123456789", 200, ""},
		{"GET", "/o/a/b", "", "", 200, "0123456789"},
		{"GET", "/o/a/b", "bytes=3-", "", 200, "3456789"},
		{"GET", "/o/a/b", "bytes=3-5", "", 200, "345"},
		{"GET", "/o/a/b", "pages=3", "", 500, ""},
		{"GET", "/o/a/c", "", "", 404, ""},
		{"GET", "/list?prefix=a/", "", "", 200, `"Size":10`},
		{"GET", "/list?prefix=b/", "", "", 200, "[]"},
		{"DELETE", "/o/a/b", "", "", 200, ""},
		{"GET", "/o/a/b", "", "", 404, ""},
	} {
		status, text := ask(test.method, test.path, test.span, test.body)
		if status != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%s %s %s: %d %q", test.method, test.path, test.span, status, text)
		}
	}
	u := b.slow.usage()
	if u.requests[putRequest] != 1 || u.requests[getRequest] != 3 || u.requests[rangedRequest] != 2 || u.requests[listRequest] != 2 || u.requests[deleteRequest] != 1 {
		t.Errorf("counted are %v", u)
	}
	// 1 PUT and 2 LIST at 5 millionths of a dollar, 5 GET at 0.4, 20 bytes read at 90 billionths.
	if got, want := u.dollars(), 3*5e-6+5*0.4e-6+20*0.09e-9; got < want*0.999 || got > want*1.001 {
		t.Errorf("%v dollars, not %v", got, want)
	}
}

// TestWrongDatabaseIsSeen plants a bucket of another database: each peer but
// Litestream, which takes a program.
func TestWrongDatabaseIsSeen(t *testing.T) {
	e := tinyEnv(t)
	e.peerless = true
	pub, err := e.publish(t.Context(), e.size.social)
	if err != nil {
		t.Fatal(err)
	}
	other, err := e.publish(t.Context(), e.size.socialLarge)
	if err != nil {
		t.Fatal(err)
	}
	file, err := openFile(t.Context(), pub.network.file)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	count := func(db *sql.DB) (string, error) { return askScan(t.Context(), db, 0) }
	want, err := count(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range remotePeers {
		if p.folder(pub) == "" {
			continue
		}
		if _, err := p.cold(t.Context(), e, pub, speed{}, want, count); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if _, err := p.cold(t.Context(), e, other, speed{}, want, count); err == nil {
			t.Errorf("%s does not see another database", p.name)
		}
	}
}
