package objstore_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	_ "graft/objstore/azure"
	_ "graft/objstore/gcs"
	_ "graft/objstore/s3"
)

// TestServerNeverAnswers is TestDeadline with an SDK between.
func TestServerNeverAnswers(t *testing.T) { eachCloud(t, testServerNeverAnswers) }

func testServerNeverAnswers(t *testing.T, c cloud) {
	b := c.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client go
		<-r.Context().Done()
	}))
	b.SetRequestTimeout(50 * time.Millisecond)
	for name, call := range callAll(t.Context(), b, "some/key") {
		if name == "upload" { // bound by its progress, see TestUploadStalls
			continue
		}
		err := call()
		if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") || !strings.Contains(err.Error(), "some/key") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
