package objstore_test

import (
	"fmt"
	"slices"
	"testing"

	"graft/internal/faultbucket"
	"graft/objstore"
)

// TestDisorderedListing wants every key once from a bucket that lists in no order, with empty pages between.
func TestDisorderedListing(t *testing.T) {
	inner := faultbucket.New()
	var want []string
	for i := range 300 {
		want = append(want, fmt.Sprintf("log/%04d", i))
		inner.SetObject(want[i], []byte("x"))
		inner.SetObject(fmt.Sprintf("other/%04d", i), []byte("x"))
	}
	b := objstore.New(inner.Disordered())
	var got []string
	for key, err := range b.List(t.Context(), "log/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if slices.IsSorted(got) {
		t.Error("the listing is in order: nothing was tested")
	}
	if n := len(inner.Requests()); n < 2*300/7 {
		t.Errorf("%d requests: too few for empty pages", n)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %d keys, want %d, each once", len(got), len(want))
	}
	for key, err := range b.List(t.Context(), "none/") {
		t.Errorf("nothing there: %q, %v", key, err)
	}
}
