package graft

import "testing"

// Without a bucket nothing could be fetched again.
func TestThereIsNoQuotaWithoutABucket(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want int64
	}{
		{Options{Cache: 7}, 0},
		{Options{Cache: 7, Remote: "mem://a"}, 7},
		{Options{Cache: 7, DefaultRemote: "mem://a"}, 7},
		{Options{Remote: "mem://a"}, 0},
	} {
		o := c.o.opening()
		if got := o.quota(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.o, got, c.want)
		}
	}
}
