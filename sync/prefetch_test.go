package sync_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"graft/internal/faultbucket"
	"graft/volume"
)

// Whoever asks for a page waits for no request that is not for that page, however many
// were to be made before it.
func TestWhoAsksDoesNotWaitForWhatIsFetchedAhead(t *testing.T) {
	bucket := faultbucket.New()
	a, b := newMachine(t, bucket), newMachine(t, bucket)
	var pages []volume.PageIdx // each in an object of its own
	for p := range volume.PageIdx(12) {
		a.commit("pushed", p+1)
		a.must(a.push())
		pages = append(pages, p+1)
	}
	b.clone(a.head.State().Remote)
	r := b.head.Reader()
	defer r.Close()

	const atOnce = 8
	var begun atomic.Int32
	hanging, release := make(chan struct{}), make(chan struct{})
	bucket.Fail(func(q faultbucket.Request) error {
		if !strings.Contains(q.Key, "/log/") {
			return nil
		}
		if n := begun.Add(1); n == atOnce {
			close(hanging)
		} else if n > atOnce {
			return nil
		}
		<-release
		return nil
	}, nil)
	ended := make(chan error)
	go func() { ended <- r.Prefetch(context.Background(), pages) }()
	<-hanging
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := r.Page(ctx, 11); err != nil {
		t.Errorf("page 11, while others hang: %v", err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := begun.Load(); n > int32(len(pages)) {
		t.Errorf("%d requests for %d frames", n, len(pages))
	}
}
