package azure_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"graft/internal/testserver"
	"graft/objstore"
	_ "graft/objstore/azure"
	"graft/objstore/objstoretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	bucketURL := testserver.Azurite.Serve(t)
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, bucketURL) }, objstoretest.EscapedSlash)
}

// setEnv sets the variables of a client's environment, and clears the others.
func setEnv(t *testing.T, env map[string]string) {
	t.Helper()
	for name := range testserver.AzureEnv() {
		t.Setenv(name, env[name])
	}
}

func TestBadURL(t *testing.T) {
	for _, test := range []struct {
		url  string
		env  map[string]string
		want string
	}{
		{"azblob://", testserver.AzureEnv(), "names no container"},
		{"azblob://graft/path", testserver.AzureEnv(), "unexpected path"},
		{"azblob://key:testsecret@graft", testserver.AzureEnv(), "unexpected user info"},
		{"azblob://graft?secret=testsecret", testserver.AzureEnv(), `unknown query parameter "secret"`},
		{"azblob://graft?cdn=testsecret", testserver.AzureEnv(), "invalid syntax"},
		{"azblob://graft", nil, "AccountName is required"},
		{"azblob://graft", map[string]string{"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "testsecret!"}, "base64"},
		{"azblob://graft", map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountKey=testsecret"}, "connection string"},
		{"azblob://graft", map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "testsecret"}, "connection string"},
		{
			"azblob://graft", map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=ht tp://x;SharedAccessSignature=sig=testsecret"},
			"parse",
		},
		{
			"azblob://graft?domain=evil.example", map[string]string{"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "sig=testsecret"},
			"cannot be used with a token",
		},
		{
			"azblob://graft?protocol=http", map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=testsecret"},
			"cannot be used with a token",
		},
	} {
		setEnv(t, test.env)
		b, err := objstore.Open(t.Context(), test.url)
		if err == nil { // some is found at the first request
			err = b.PutIfAbsent(t.Context(), "k", nil)
			b.Close()
		}
		if err == nil {
			t.Errorf("%s: opened", test.url)
		} else if strings.Contains(err.Error(), "testsecret") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s and no secret", test.url, err, test.want)
		}
	}
}

// TestCredentialsAreNotShown has a server quote what signs a request, and connections break.
func TestCredentialsAreNotShown(t *testing.T) {
	var asked, signed atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Query().Get("sig"))
		signed.Store(r.Header.Get("Authorization"))
		if r.URL.Query().Has("comp") {
			panic(http.ErrAbortHandler)
		}
		_, signature, _ := strings.Cut(r.Header.Get("Authorization"), ":")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>AuthenticationFailed</Code><Message>No.\nRequestId: 1</Message><AuthenticationErrorDetail>"+
			"The MAC signature found in the HTTP request '%s%s' is not the same</AuthenticationErrorDetail></Error>",
			signature, html.EscapeString(r.URL.Query().Get("sig")))
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	const token = "sv=2026-01-01&sig=testsecret%2Bmore"
	for name, test := range map[string]struct {
		env map[string]string
		url string
	}{
		"token": {map[string]string{
			"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": token, "AZURE_STORAGE_DOMAIN": addr, "AZURE_STORAGE_PROTOCOL": "http",
		}, "azblob://graft"},
		"connection string": {map[string]string{
			"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=http://" + addr + "/a;SharedAccessSignature=" + token,
		}, "azblob://graft"},
		"key": {testserver.AzureEnv(), testserver.AzureURL(addr, "graft")},
	} {
		setEnv(t, test.env)
		b := open(t, test.url)
		ctx, cancel := context.WithCancel(t.Context())
		put := b.PutIfAbsent(ctx, "k", []byte("data"))
		if !errors.Is(put, objstore.ErrRefused) || !strings.Contains(put.Error(), "AuthenticationFailed") {
			t.Errorf("%s: put: %v", name, put)
		}
		secrets := []string{"testsecret"}
		if name == "key" {
			_, signature, _ := strings.Cut(signed.Load().(string), ":")
			secrets = append(secrets, signature)
		} else if asked.Load() != "testsecret+more" {
			t.Errorf("%s: the server was not shown the token", name)
		}
		time.AfterFunc(50*time.Millisecond, cancel) // or it is asked again
		_, _, list := b.First(ctx, "k", 1)
		if !errors.Is(list, context.Canceled) && (list == nil || !strings.Contains(list.Error(), "EOF")) {
			t.Errorf("%s: list: %v", name, list)
		}
		for _, secret := range secrets {
			if secret == "" || strings.Contains(put.Error()+list.Error(), secret) {
				t.Errorf("%s: the errors show %q: %v; %v", name, secret, put, list)
			}
		}
		cancel()
	}
}

// TestAnswersThatLackSomething has answers that the driver panics at.
func TestAnswersThatLackSomething(t *testing.T) {
	list := func(blobs string) string { return "<EnumerationResults>" + blobs + "</EnumerationResults>" }
	const modified, length = "<Last-Modified>Tue, 24 Nov 2026 00:00:00 GMT</Last-Modified>", "<Content-Length>1</Content-Length>"
	for _, text := range []string{
		"data", "<html></html>", list(""), list("<Blobs><Blob><Name>k</Name></Blob></Blobs>"),
		list("<Blobs><Blob><Name>k</Name><Properties>" + modified + "</Properties></Blob></Blobs>"),
		list("<Blobs><Blob><Name>k</Name><Properties>" + length + "</Properties></Blob></Blobs>"),
		list("<Blobs><Blob><Name>k</Name><Properties>" + length + "<Last-Modified></Last-Modified></Properties></Blob></Blobs>"),
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
		setEnv(t, testserver.AzureEnv())
		b := open(t, testserver.AzureURL(server.Listener.Addr().String(), "graft"))
		if got, err := b.Get(t.Context(), "k", 1000); err == nil {
			t.Errorf("get: %q", got)
		}
		if ok, err := b.Exists(t.Context(), "k"); err == nil {
			t.Errorf("exists: %v", ok)
		}
		if keys, _, err := b.First(t.Context(), "k", 10); err == nil {
			t.Errorf("%s: listed %q", text, keys)
		}
		server.Close()
	}
}

// TestConflicts has the answers of the service to a put that it does not take.
func TestConflicts(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{409, "BlobAlreadyExists", objstore.ErrExist},
		{412, "ConditionNotMet", objstore.ErrExist},
		{412, "TargetConditionNotMet", objstore.ErrExist},
		{409, "BlobBeingRehydrated", nil},
		{409, "ContainerBeingDeleted", nil},
		{404, "ContainerNotFound", objstore.ErrRefused},
		{403, "AuthorizationFailure", objstore.ErrRefused},
		{503, "ServerBusy", nil},
		{500, "OperationTimedOut", nil},
	} {
		for _, inHeader := range []bool{true, false} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if inHeader {
					w.Header().Set("x-ms-error-code", test.code)
				}
				w.WriteHeader(test.status)
				fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", test.code)
			}))
			setEnv(t, testserver.AzureEnv())
			err := open(t, testserver.AzureURL(server.Listener.Addr().String(), "graft")).PutIfAbsent(t.Context(), "k", nil)
			for _, sentinel := range []error{objstore.ErrExist, objstore.ErrRefused} {
				if err == nil || errors.Is(err, sentinel) != (sentinel == test.want) {
					t.Errorf("%d %s: got %v, want %v", test.status, test.code, err, test.want)
				}
			}
			server.Close()
		}
	}
}

// TestBlocksRepeated fails one block of a large upload, once: the upload goes on, and does not start again.
func TestBlocksRepeated(t *testing.T) {
	var blocks, bytes, lists atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		switch {
		case r.URL.Query().Get("comp") == "blocklist":
			lists.Add(1)
		case blocks.Add(1) == 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		default:
			bytes.Add(n)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	setEnv(t, testserver.AzureEnv())
	const size = 12 << 20
	calls := 0
	err := open(t, testserver.AzureURL(server.Listener.Addr().String(), "graft")).Upload(t.Context(), "k", func(w io.Writer) error {
		calls++
		_, err := w.Write(make([]byte, size))
		return err
	})
	if err != nil || calls != 1 || blocks.Load() != 4 || bytes.Load() != size || lists.Load() != 1 {
		t.Errorf("source called %d times, %d blocks sent, %d bytes and %d lists taken, %v; want 1, 4, %d and 1",
			calls, blocks.Load(), bytes.Load(), lists.Load(), err, size)
	}
}
