package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"graft/internal/httpanswer"
)

type answerWith struct {
	status int
	text   string
}

func (a answerWith) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.text)), ContentLength: int64(len(a.text)), Request: r,
	}, nil
}

// TestUnknownLength has an object whose size no header gives. The SDK would log that it got too much.
func TestUnknownLength(t *testing.T) {
	for url, want := range map[string]bool{"http://host/graft/k": false, "http://host/storage/v1/b/graft/o?alt=json": true} {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp := &http.Response{StatusCode: http.StatusOK, ContentLength: -1, TransferEncoding: []string{"chunked"}, ProtoMajor: 1}
		if err := check(r, resp); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestTokens has a server of tokens that is asked after the bucket was opened, and does not answer.
func TestTokens(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked.Add(1)
		<-r.Context().Done()
	}))
	defer server.Close()
	dir := t.TempDir()
	subject, file := filepath.Join(dir, "subject"), filepath.Join(dir, "credentials.json")
	text, err := json.Marshal(map[string]any{
		"type": "external_account", "audience": "a", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": server.URL, "credential_source": map[string]string{"file": subject},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{subject: []byte("subject"), file: text} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(emulatorVariable, "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	ctx, cancel := context.WithCancel(t.Context())
	b, err := opener{tokenTimeout: 50 * time.Millisecond}.OpenBucketURL(ctx, &url.URL{Scheme: "gs", Host: "graft"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cancel()
	if _, err := b.ReadAll(t.Context(), "k"); err == nil || asked.Load() != 1 {
		t.Errorf("asked for a token %d times, %v", asked.Load(), err)
	}
}

// TestRefusals has answers of the service, by both of its APIs, and of others.
func TestRefusals(t *testing.T) {
	const inJSON = `{"error":{"code":0,"message":"MESSAGE","errors":[{"message":"MESSAGE","domain":"global","reason":"REASON"}]}}`
	say := func(reason, message string) string {
		return strings.NewReplacer("MESSAGE", message, "REASON", reason).Replace(inJSON)
	}
	for _, test := range []struct {
		status   int
		text     string
		emulator bool
		code     string
	}{
		{404, "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>", false, httpanswer.NoObject},
		{404, "<Error><Code>NoSuchBucket</Code></Error>", false, httpanswer.NoBucket},
		{404, say("notFound", "No such object: graft/k"), false, httpanswer.NoObject},
		{404, say("notFound", "The specified bucket does not exist."), false, httpanswer.NoBucket},
		{404, say("notFound", "Not Found"), false, httpanswer.NotFound},
		{404, say("notFound", "Not Found"), true, httpanswer.NoObject},
		{404, "Not Found\n", false, httpanswer.NotFound},
		{404, "Not Found\n", true, httpanswer.NoObject},
		{404, "<html>no such page</html>", true, httpanswer.NotFound},
		{404, "", true, httpanswer.NotFound},
		{403, say("forbidden", "No such object: graft/k"), false, "forbidden"},
		{412, say("conditionNotMet", "At least one of the pre-conditions you specified did not hold."), false, "conditionNotMet"},
		{503, "", false, ""},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://host/graft/k", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&strictTransport{inner: answerWith{test.status, test.text}, emulator: test.emulator}).RoundTrip(r)
		var e *httpanswer.Error
		if !errors.As(err, &e) || e.Status != test.status || e.Code != test.code {
			t.Errorf("%d %s: got %#v, want code %q", test.status, test.text, err, test.code)
		}
	}
}
