package objstore_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"graft/objstore"
	_ "graft/objstore/s3"
)

// TestServerNeverAnswers is TestDeadline with an SDK between.
func TestServerNeverAnswers(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none,
	} {
		t.Setenv(name, value)
	}
	os.Unsetenv("AWS_PROFILE")
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	defer server.Close()
	b := open(t, "s3://graft?endpoint="+server.URL+"&use_path_style=true&region=us-east-1")
	b.SetRequestTimeout(50 * time.Millisecond)
	b.SetWait(objstore.NoWait)
	calls := map[string]func() error{
		"put":    func() error { return b.PutIfAbsent(t.Context(), "some/key", nil) },
		"get":    func() error { _, err := b.Get(t.Context(), "some/key", 10); return err },
		"range":  func() error { _, err := b.GetRange(t.Context(), "some/key", 0, 1); return err },
		"stat":   func() error { _, err := b.Exists(t.Context(), "some/key"); return err },
		"delete": func() error { return b.Delete(t.Context(), "some/key") },
		"list":   func() error { return firstError(t, b) },
	}
	for name, call := range calls {
		err := call()
		if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") || !strings.Contains(err.Error(), "some/key") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func firstError(t *testing.T, b *objstore.Bucket) error {
	for _, err := range b.List(t.Context(), "some/key") {
		return err
	}
	return nil
}
