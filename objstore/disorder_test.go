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
	b := objstore.New(inner.Sparse(7))
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
	inOrder := slices.Clone(got)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %d keys, want %d, each once", len(got), len(want))
	}
	first, whole, err := b.First(t.Context(), "log/", 50)
	if err != nil || whole || !slices.Equal(first, inOrder[:50]) {
		t.Errorf("the first keys are %q, whole: %v, %v; want %q", first, whole, err, inOrder[:50])
	}
	if n := b.Stats().Lists; n != 3 { // 300 keys as 100 and 200, and now 50
		t.Errorf("%d listings, want 3", n)
	}
	first, whole, err = b.First(t.Context(), "log/000", 50)
	if err != nil || !whole || len(first) != 10 {
		t.Errorf("the first keys are %q, whole: %v, %v; want 10", first, whole, err)
	}
	if first, whole, err = b.First(t.Context(), "none/", 50); err != nil || !whole || len(first) > 0 {
		t.Errorf("nothing there: %q, whole: %v, %v", first, whole, err)
	}
	for key, err := range b.List(t.Context(), "none/") {
		t.Errorf("nothing there: %q, %v", key, err)
	}
}
