package gcs_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"graft/internal/testserver"
	"graft/objstore"
	_ "graft/objstore/gcs"
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
	bucketURL := testserver.GCS.Serve(t)
	objstoretest.Run(t, func(t *testing.T) *objstore.Bucket { return open(t, bucketURL) })
}

func TestBadURL(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
	for bad, want := range map[string]string{
		"gs://":                               "names no bucket",
		"gs://graft/path":                     "unexpected path",
		"gs://key:testsecret@graft":           "unexpected user info",
		"gs://graft?secret=testsecret":        `unknown query parameter "secret"`,
		"gs://graft?anonymous=testsecret":     "neither true nor false",
		"gs://graft?private_key_path=/a/file": "unknown query parameter",
	} {
		b, err := objstore.Open(t.Context(), bad)
		if err == nil {
			b.Close()
			t.Errorf("%s: opened", bad)
		} else if strings.Contains(err.Error(), "testsecret") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s and no secret", bad, err, want)
		}
	}
}

// account is a service account whose tokens come from tokenURI.
func account(t *testing.T, tokenURI string) (file, privateKey string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	privateKey = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "a@b.iam", "private_key": privateKey, "private_key_id": "1", "token_uri": tokenURI,
	})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, privateKey
}

// TestCredentialsAreNotShown has requests for tokens fail in ways that quote what was sent.
func TestCredentialsAreNotShown(t *testing.T) {
	var sent string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.FormValue("assertion")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "assertion": sent, "access_token": "testsecret"})
	}))
	defer server.Close()
	file, privateKey := account(t, server.URL)
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	err := open(t, "gs://graft").PutIfAbsent(t.Context(), "k", []byte("data"))
	if err == nil || !strings.Contains(err.Error(), "invalid_grant") || sent == "" {
		t.Fatalf("sent %q, got %v", sent, err)
	}
	for _, secret := range []string{sent, "testsecret", privateKey[100:120]} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows %q: %v", secret, err)
		}
	}
}

// TestNoCredentials has a file of credentials that is broken.
func TestNoCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, []byte(`{"type":"service_account","private_key":"testsecret`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	b, err := objstore.Open(t.Context(), "gs://graft")
	if err == nil {
		b.Close()
		t.Fatal("opened")
	}
	if strings.Contains(err.Error(), "testsecret") {
		t.Errorf("the error shows the secret: %v", err)
	}
}

// TestPartsRepeated fails one part of a large upload, once: the upload goes on, and does not start again.
func TestPartsRepeated(t *testing.T) {
	var parts, bytes atomic.Int64
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		switch {
		case !r.URL.Query().Has("upload_id"):
			w.Header().Set("Location", server.URL+"/session?upload_id=1")
		case parts.Add(1) == 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(r.Header.Get("Content-Range"), "/*"):
			bytes.Add(n)
			w.Header().Set("X-Http-Status-Code-Override", "308")
		default:
			bytes.Add(n)
			_, _ = io.WriteString(w, `{"name":"k"}`)
		}
	}))
	defer server.Close()
	t.Setenv("STORAGE_EMULATOR_HOST", server.Listener.Addr().String())
	const size = 12 << 20
	calls := 0
	err := open(t, "gs://graft").Upload(t.Context(), "k", func(w io.Writer) error {
		calls++
		_, err := w.Write(make([]byte, size))
		return err
	})
	if err != nil || calls != 1 || parts.Load() != 4 || bytes.Load() != size {
		t.Errorf("source called %d times, %d parts sent, %d bytes taken, %v; want 1, 4 and %d", calls, parts.Load(), bytes.Load(), err, size)
	}
}
